"""Measured energies of known size, for tests of what is made of them."""

from collections.abc import Sequence

import msgspec

from lightfer.measure.energy import EnergyPlan, energy_of_blocks
from lightfer.results import Component, Energy, EnergyBlock, EnergyReading, Method

SPREAD = (0.99, 1.01, 1.0, 0.995, 1.005)


def measured_energy(
    joules_each: float = 2.0,
    *,
    batch_size: int = 64,
    method: Method = "counter",
    component: Component = "gpu",
    spread: Sequence[float] = SPREAD,
    simulated: bool = False,
) -> Energy:
    """Blocks of 500 images in 10 s whose gross J/image is `joules_each` times each of `spread`."""
    blocks = [
        EnergyBlock(
            work_s=(100.0, 110.0),
            idle_before_s=(90.0, 95.0),
            idle_after_s=(111.0, 116.0),
            images=500,
            readings=(
                EnergyReading(
                    component=component,
                    method=method,
                    source="meter",
                    joules=500 * joules_each * factor,
                    idle_w=(10.0, 10.0),
                ),
            ),
        )
        for factor in spread
    ]
    return energy_of_blocks(blocks, EnergyPlan(), batch_size=batch_size, simulated=simulated)


def warned(energy: Energy, *warnings: str) -> Energy:
    """The same with warnings."""
    return msgspec.structs.replace(energy, warnings=warnings)
