"""Energy of classifying and of training, from meters where there are any.

training   what a training cost, and when it is repaid
model      the estimate where there is no meter
"""

from lightfer.measure.energy.model import (
    TEST_IMAGES,
    WATTS_PER_THREAD,
    CpuModel,
    cpu_model,
    model_cpu_energy,
    unmeasured_energy,
)
from lightfer.measure.energy.training import training_cost, training_energy

__all__ = [
    "TEST_IMAGES",
    "WATTS_PER_THREAD",
    "CpuModel",
    "cpu_model",
    "model_cpu_energy",
    "training_cost",
    "training_energy",
    "unmeasured_energy",
]
