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

from lightfer.measure.energy.available import open_meters
from lightfer.measure.energy.estimate import energy_of_blocks, enough_blocks
from lightfer.measure.energy.model import (
    ASSUMED,
    TEST_IMAGES,
    WATTS_PER_THREAD,
    CpuModel,
    cpu_model,
    model_cpu_energy,
    modelled_instead,
    unmeasured_energy,
)
from lightfer.measure.energy.protocol import Mark, Meter, MeterError
from lightfer.measure.energy.training import EpochMeter, training_cost
from lightfer.measure.energy.windows import (
    EnergyPlan,
    measure_block,
    measure_ticks,
    slowest,
    with_deferred,
)

__all__ = [
    "ASSUMED",
    "TEST_IMAGES",
    "WATTS_PER_THREAD",
    "CpuModel",
    "EnergyPlan",
    "EpochMeter",
    "Mark",
    "Meter",
    "MeterError",
    "cpu_model",
    "energy_of_blocks",
    "enough_blocks",
    "measure_block",
    "measure_ticks",
    "model_cpu_energy",
    "modelled_instead",
    "open_meters",
    "slowest",
    "training_cost",
    "unmeasured_energy",
    "with_deferred",
]
