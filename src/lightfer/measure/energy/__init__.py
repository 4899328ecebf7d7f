"""Energy of classifying and of training, from meters where there are any.

protocol   what a meter is: a mark now, the joules between two marks
counter    running totals that tick and wrap; power: samples of power, and polling them
nvml, rapl, log, zeus      one source each; simulated: for tests
available  which of them can be read here, and why the others cannot
windows    one block: idle, work up to the counter's tick, idle
estimate   from blocks to joules per image, gross and net, with an interval
training   what a training cost, and when it is repaid
model      the estimate where there is no meter
"""

from lightfer.measure.energy.available import open_meters as open_meters
from lightfer.measure.energy.estimate import energy_of_blocks as energy_of_blocks
from lightfer.measure.energy.estimate import enough_blocks as enough_blocks
from lightfer.measure.energy.model import ASSUMED as ASSUMED
from lightfer.measure.energy.model import WATTS_PER_THREAD as WATTS_PER_THREAD
from lightfer.measure.energy.model import CpuModel as CpuModel
from lightfer.measure.energy.model import cpu_model as cpu_model
from lightfer.measure.energy.model import model_cpu_energy as model_cpu_energy
from lightfer.measure.energy.model import modelled_instead as modelled_instead
from lightfer.measure.energy.model import unmeasured_energy as unmeasured_energy
from lightfer.measure.energy.protocol import Meter as Meter
from lightfer.measure.energy.protocol import MeterError as MeterError
from lightfer.measure.energy.training import EpochMeter as EpochMeter
from lightfer.measure.energy.training import training_cost as training_cost
from lightfer.measure.energy.training import training_meters as training_meters
from lightfer.measure.energy.windows import EnergyPlan as EnergyPlan
from lightfer.measure.energy.windows import measure_block as measure_block
from lightfer.measure.energy.windows import measure_ticks as measure_ticks
from lightfer.measure.energy.windows import slowest as slowest
from lightfer.measure.energy.windows import with_deferred as with_deferred
from lightfer.results import TEST_IMAGES as TEST_IMAGES
