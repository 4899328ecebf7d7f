"""Results: the records of `lightfer/1`, and reading and writing them. Needs no torch.

`schema` what a measurement is, `energy` its part on energy and carbon, `counts` what a pass of each
shipped net does, `io` reading and writing, `validate` the same as JSON Schema, `stats` what
measured figures allow to be said.
"""

from lightfer.results.counts import Counts as Counts
from lightfer.results.counts import published_counts as published_counts
from lightfer.results.energy import MEASURED as MEASURED
from lightfer.results.energy import TEST_IMAGES as TEST_IMAGES
from lightfer.results.energy import Carbon as Carbon
from lightfer.results.energy import CarbonElsewhere as CarbonElsewhere
from lightfer.results.energy import Component as Component
from lightfer.results.energy import CrossCheck as CrossCheck
from lightfer.results.energy import Energy as Energy
from lightfer.results.energy import EnergyBlock as EnergyBlock
from lightfer.results.energy import EnergyComponent as EnergyComponent
from lightfer.results.energy import EnergyComponents as EnergyComponents
from lightfer.results.energy import EnergyReading as EnergyReading
from lightfer.results.energy import EnergyTotal as EnergyTotal
from lightfer.results.energy import GridIntensity as GridIntensity
from lightfer.results.energy import Method as Method
from lightfer.results.energy import SoftwareCarbonIntensity as SoftwareCarbonIntensity
from lightfer.results.energy import Training as Training
from lightfer.results.energy import TrainingEnergy as TrainingEnergy
from lightfer.results.io import ResultsError as ResultsError
from lightfer.results.io import add_results as add_results
from lightfer.results.io import content_of as content_of
from lightfer.results.io import filled as filled
from lightfer.results.io import read_results as read_results
from lightfer.results.io import results_in as results_in
from lightfer.results.io import write_results as write_results
from lightfer.results.schema import SCHEMA as SCHEMA
from lightfer.results.schema import VERDICTS as VERDICTS
from lightfer.results.schema import Accuracy as Accuracy
from lightfer.results.schema import ClassScore as ClassScore
from lightfer.results.schema import Data as Data
from lightfer.results.schema import Entry as Entry
from lightfer.results.schema import Environment as Environment
from lightfer.results.schema import GpuNoise as GpuNoise
from lightfer.results.schema import Latency as Latency
from lightfer.results.schema import Noise as Noise
from lightfer.results.schema import Protocol as Protocol
from lightfer.results.schema import Results as Results
from lightfer.results.schema import TeacherWeights as TeacherWeights
from lightfer.results.schema import Teaching as Teaching
from lightfer.results.schema import Waiting as Waiting
from lightfer.results.schema import WeightCard as WeightCard
from lightfer.results.schema import Work as Work
