"""The records of energy and carbon in a results file and in the card of weights.

A part of the shape of `results.json`, see `lightfer.results`, which hands all of it on.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

Component = Literal["gpu", "cpu", "dram"]
Method = Literal["counter", "polled", "log", "modelled", "absent"]
TEST_IMAGES = 3589
"""Images of the FER2013 test set, for which `kwh_test_set` and `kg_co2e_test_set` are given."""

MEASURED: tuple[Method, ...] = ("counter", "polled", "log")


class EnergyReading(Struct, frozen=True, kw_only=True, gc=False):
    """What one meter said of one block; where `joules` is None, `reason` says why."""

    component: Component
    method: Method
    source: str  # the meter
    joules: float | None
    idle_w: tuple[float | None, float | None] = (None, None)  # idle power before and after
    reason: str | None = None


class EnergyBlock(Struct, frozen=True, kw_only=True, gc=False):
    """One window of work between two idle ones with the model resident.

    Each window is its start and end in seconds since 1970, by this machine's clock.
    """

    work_s: tuple[float, float]
    idle_before_s: tuple[float, float]
    idle_after_s: tuple[float, float]
    images: Annotated[int, Meta(ge=1)]
    readings: tuple[EnergyReading, ...] = ()


class EnergyComponent(Struct, frozen=True, kw_only=True, gc=False):
    """Energy of one part of the machine, and how the figure was obtained."""

    joules_per_image: float | None  # gross
    method: Method
    net_joules_per_image: float | None = None
    ci95: tuple[float, float] | None = None  # of gross joules per image
    net_ci95: tuple[float, float] | None = None
    idle_w: float | None = None  # median over the blocks, model resident
    source: str | None = None  # the meter or the model
    tick_s: float | None = None  # between two updates of its counter, measured
    reason: str | None = None  # why there is no figure


class EnergyComponents(Struct, frozen=True, kw_only=True, gc=False):
    gpu: EnergyComponent
    cpu: EnergyComponent
    dram: EnergyComponent


class EnergyTotal(Struct, frozen=True, kw_only=True, gc=False):
    """A sum over components: all of them measured, or all of them modelled."""

    joules_per_image: float | None
    includes: tuple[Component, ...] = ()


class CrossCheck(Struct, frozen=True, kw_only=True, gc=False):
    """Two meters of one component over the same windows."""

    component: Component
    sources: tuple[str, str]
    ratio_loaded: float | None  # first / second
    ratio_idle: float | None
    alarm: bool  # a ratio lies outside the band


class Energy(Struct, frozen=True, kw_only=True, gc=False):
    """Energy of classifying: gross is all that was drawn, net is without the idle share."""

    components: EnergyComponents
    gross: EnergyTotal | None
    net: EnergyTotal | None
    kwh_test_set: float | None  # gross, 3,589 images
    ci95: tuple[float, float] | None  # of gross joules per image
    model: dict[str, float | str] | None = None  # the inputs, where a component is modelled
    net_ci95: tuple[float, float] | None = None
    batch_size: int | None = None
    blocks: tuple[EnergyBlock, ...] = ()
    stopped: str | None = None  # why there are no more blocks
    cross_check: CrossCheck | None = None
    clock_offset_s: float | None = None  # of a power log: its clock minus this machine's
    warnings: tuple[str, ...] = ()
    simulated: bool = False  # no meter was read: for tests of this program only

    def included(self) -> dict[Component, EnergyComponent]:
        """The components that the total is the sum of; older files do not name them."""
        parts: dict[Any, EnergyComponent] = structs.asdict(self.components)
        if self.gross is None or self.gross.joules_per_image is None:
            return {}
        return {
            name: part
            for name, part in parts.items()
            if name in (self.gross.includes or parts) and part.joules_per_image is not None
        }

    def method(self) -> str:
        """How the total was obtained: one method, or several joined by " + "; "" without one."""
        text = " + ".join(dict.fromkeys(part.method for part in self.included().values()))
        return f"{text}, simulated" if text and self.simulated else text

    def measured(self) -> bool:
        """Whether there is a total and meters gave it, not a model and not a simulation."""
        methods = [part.method for part in self.included().values()]
        return bool(methods) and set(methods) <= set(MEASURED) and not self.simulated

    def gross_of_blocks(self) -> list[float]:
        """Joules per image of each block, summed over what the total includes."""
        wanted = {(name, part.source) for name, part in self.included().items()}
        found = []
        for block in self.blocks:
            told = [
                r.joules
                for r in block.readings
                if (r.component, r.source) in wanted and r.joules is not None
            ]
            if told and len(told) == len(wanted):
                found.append(sum(told) / block.images)
        return found


class TrainingEnergy(Struct, frozen=True, kw_only=True, gc=False):
    """Energy of one training, as the card of its weights holds it."""

    seconds: float
    joules: float | None
    method: Method
    includes: tuple[Component, ...] = ()
    source: str | None = None  # the meters, or the model
    model: dict[str, float | str] | None = None  # its inputs, where it is modelled
    reason: str | None = None  # why joules is None, or without what a meter should have told


class GridIntensity(Struct, frozen=True, kw_only=True, gc=False):
    """Carbon intensity of the electricity that is assumed."""

    g_co2e_per_kwh: float
    zone: str
    year: int | None
    source: str
    kind: str | None = None  # "average, life cycle", ...
    basis: str = "location-based"


class CarbonElsewhere(Struct, frozen=True, kw_only=True, gc=False):
    """The same energy on another grid."""

    intensity: GridIntensity
    g_co2e_per_1000_images: float | None


class SoftwareCarbonIntensity(Struct, frozen=True, kw_only=True, gc=False):
    """SCI = (E x I + M) per R (Green Software Foundation, ISO/IEC 21031:2024)."""

    g_co2e_per_1000_faces: float | None  # the score; R is 1,000 classified faces
    energy_kwh: float | None  # E, with PUE
    intensity_g_co2e_per_kwh: float  # I
    embodied_g_co2e: float | None  # M; None is left out of the score
    boundary: str


class Carbon(Struct, frozen=True, kw_only=True, gc=False):
    """Derived from the gross energy; measures nothing of its own."""

    kg_co2e_test_set: float | None
    g_co2e_per_1000_images: float | None
    intensity: GridIntensity
    pue: float = 1.0  # power usage effectiveness of the building
    sensitivity: tuple[CarbonElsewhere, ...] = ()
    sci: SoftwareCarbonIntensity | None = None


class Training(Struct, frozen=True, kw_only=True, gc=False):
    """What the training of the weights cost, and after how many images using them costs as much."""

    energy: TrainingEnergy
    kwh: float | None
    kg_co2e: float | None  # with the entry's grid and PUE
    images_until_repaid: float | None  # by gross joules per image
    images_until_repaid_net: float | None
    modelled: bool  # the training's energy or the image's is modelled
