"""Energy of classifying, for now modelled: no counter of the machine is read.

The model: each busy thread of the CPU draws a constant power, so energy is that power times
threads times measured time. Its result is proportional to time and says nothing that time does
not; it is marked `modelled`, and what is not modelled is `absent`, never 0.
"""

from lightfer.results import Energy, EnergyComponent, EnergyComponents, EnergyTotal

WATTS_PER_THREAD = 5.0
"""An assumption, not a measurement. Rated power over cores is 3 to 4 W for current server CPUs,
2 to 4 W for laptops and 8 to 10 W for desktops; take the own machine's rather than this one."""

TEST_IMAGES = 3589
"""Images of the FER2013 test set, for which `kwh_test_set` is given."""

_ABSENT = EnergyComponent(joules_per_image=None, method="absent")


def model_cpu_energy(
    seconds_per_image: float | None, threads: int, watts_per_thread: float = WATTS_PER_THREAD
) -> Energy:
    """Energy of a CPU run from its time; every figure is None if the time is."""
    joules = None if seconds_per_image is None else seconds_per_image * threads * watts_per_thread
    return Energy(
        components=EnergyComponents(
            gpu=_ABSENT,
            cpu=EnergyComponent(joules_per_image=joules, method="modelled"),
            dram=_ABSENT,
        ),
        gross=EnergyTotal(joules_per_image=joules),
        net=None,
        kwh_test_set=None if joules is None else joules * TEST_IMAGES / 3.6e6,
        ci95=None,
        model={"watts_per_thread": watts_per_thread, "threads": threads},
    )


def unmeasured_energy() -> Energy:
    """No meter and no model: everything unknown."""
    return Energy(
        components=EnergyComponents(gpu=_ABSENT, cpu=_ABSENT, dram=_ABSENT),
        gross=None,
        net=None,
        kwh_test_set=None,
        ci95=None,
    )
