"""What a measurement is, and how it is written down.

The one module that defines the shape of `results.json`, schema `lightfer/1`. A reader of results
needs neither torch nor the code that measured. Numbers are in the unit that their name ends in
(`_s` seconds, `joules_`, `kwh_`, `kg_co2e_`); shares and accuracies are fractions; `null` is
unknown, never 0. Rounding happens where numbers are printed. Keys are added, none is renamed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lightfer.files import write_text

SCHEMA = "lightfer/1"
VERDICTS = ("quiet", "noisy", "unusable")  # on noise, from best to worst


class ClassScore(Struct, frozen=True, kw_only=True):
    """Precision, recall and F1 of one class; None where a class was never predicted or absent."""

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


class Accuracy(Struct, frozen=True, kw_only=True):
    """How well one set of images was classified, from `images` predictions."""

    split: str  # "test", "validation", "test without copies", "kaggle test", ...
    labels: str  # "fer2013", "fer+", "synthetic"
    view: str  # "single", "flip", "ten-crop"
    images: int
    top1: float
    ci95: tuple[float, float]  # Wilson interval of top1
    macro_f1: float | None = None
    balanced_accuracy: float | None = None
    ece: float | None = None  # expected calibration error, 15 equal-width bins
    per_class: tuple[ClassScore, ...] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None  # [true class][predicted class]
    source: Literal["measured", "reference"] = "measured"  # reference: read from the weights' card
    # Which images were right, four per hexadecimal digit, image 0 the highest bit of the first, the
    # last digit filled up with 0: what two files need to be compared image by image (McNemar),
    # without giving the labels away. Their order is that of the split with the data's sha256.
    correct_hex: str | None = None


class Latency(Struct, frozen=True, kw_only=True):
    """Time of one forward pass, kept as every sample that was taken, round after round."""

    batch_size: int
    threads: int
    samples_s: tuple[float, ...]
    median_s: float
    rounds: int  # separate visits to the model that the samples come from, of equal length
    clock: str = "wall"  # or "cuda events"; see `lightfer.measure.latency`
    # Seconds per pass of the yardstick, a fixed net, beside each round; see `measure/yardstick.py`.
    yardstick_s: tuple[float, ...] | None = None

    def visits(self) -> list[tuple[float, ...]]:
        """The samples of each round."""
        size = len(self.samples_s) // self.rounds
        return [self.samples_s[i * size : (i + 1) * size] for i in range(self.rounds)]

    @staticmethod
    def of(
        samples_s: Sequence[Sequence[float]],
        batch_size: int,
        threads: int,
        clock: str = "wall",
        yardstick_s: Sequence[float] | None = None,
    ) -> "Latency":
        """From the samples of each round."""
        flat = tuple(s for samples in samples_s for s in samples)
        return Latency(
            batch_size=batch_size,
            threads=threads,
            samples_s=flat,
            median_s=median(flat),
            rounds=len(samples_s),
            clock=clock,
            yardstick_s=None if yardstick_s is None else tuple(yardstick_s),
        )


class Work(Struct, frozen=True, kw_only=True):
    """What a forward pass of one image does, as `lightfer.measure.operations` defines it."""

    elementwise: int
    moved: int
    buffers: int
    weight_bytes: int
    bytes_fused: int
    bytes_unfused: int
    flops_per_byte_fused: float
    flops_per_byte_unfused: float
    peak_activation_bytes: int
    operator_calls: int
    uncounted: tuple[str, ...] = ()  # operators that the definitions do not cover


Component = Literal["gpu", "cpu", "dram"]
Method = Literal["counter", "polled", "log", "modelled", "absent"]
MEASURED: tuple[Method, ...] = ("counter", "polled", "log")


class EnergyReading(Struct, frozen=True, kw_only=True):
    """What one meter said of one block; where `joules` is None, `reason` says why."""

    component: Component
    method: Method
    source: str  # the meter
    joules: float | None
    idle_w: tuple[float | None, float | None] = (None, None)  # idle power before and after
    reason: str | None = None


class EnergyBlock(Struct, frozen=True, kw_only=True):
    """One window of work between two idle ones with the model resident.

    Each window is its start and end in seconds since 1970, by this machine's clock.
    """

    work_s: tuple[float, float]
    idle_before_s: tuple[float, float]
    idle_after_s: tuple[float, float]
    images: int
    readings: tuple[EnergyReading, ...] = ()


class EnergyComponent(Struct, frozen=True, kw_only=True):
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


class EnergyComponents(Struct, frozen=True, kw_only=True):
    gpu: EnergyComponent
    cpu: EnergyComponent
    dram: EnergyComponent


class EnergyTotal(Struct, frozen=True, kw_only=True):
    """A sum over components: all of them measured, or all of them modelled."""

    joules_per_image: float | None
    includes: tuple[Component, ...] = ()


class CrossCheck(Struct, frozen=True, kw_only=True):
    """Two meters of one component over the same windows."""

    component: Component
    sources: tuple[str, str]
    ratio_loaded: float | None  # first / second
    ratio_idle: float | None
    alarm: bool  # a ratio lies outside the band


class Energy(Struct, frozen=True, kw_only=True):
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
        """The components that the total is the sum of."""
        names = self.gross.includes if self.gross else ()
        return {name: getattr(self.components, name) for name in names}

    def method(self) -> str:
        """How the total was obtained: one method, or several joined by " + "; "" without one."""
        return " + ".join(dict.fromkeys(part.method for part in self.included().values()))

    def measured(self) -> bool:
        """Whether there is a total and meters gave it, not a model and not a simulation."""
        methods = [part.method for part in self.included().values()]
        return bool(methods) and set(methods) <= set(MEASURED) and not self.simulated

    def gross_of_blocks(self) -> list[float]:
        """Joules per image of each block, summed over what the total includes."""
        sources = {part.source for part in self.included().values()}
        found = []
        for block in self.blocks:
            joules = [r.joules for r in block.readings if r.source in sources]
            known = [j for j in joules if j is not None]
            if known and len(known) == len(joules):
                found.append(sum(known) / block.images)
        return found


class TrainingEnergy(Struct, frozen=True, kw_only=True):
    """Energy of one training, as the card of its weights holds it."""

    seconds: float
    joules: float | None
    method: Method
    includes: tuple[Component, ...] = ()
    source: str | None = None  # the meters, or the model
    model: dict[str, float | str] | None = None  # its inputs, where it is modelled
    reason: str | None = None  # why joules is None


class GridIntensity(Struct, frozen=True, kw_only=True):
    """Carbon intensity of the electricity that is assumed."""

    g_co2e_per_kwh: float
    zone: str
    year: int | None
    source: str
    kind: str | None = None  # "average, life cycle", ...
    basis: str = "location-based"


class CarbonElsewhere(Struct, frozen=True, kw_only=True):
    """The same energy on another grid."""

    intensity: GridIntensity
    g_co2e_per_1000_images: float | None


class SoftwareCarbonIntensity(Struct, frozen=True, kw_only=True):
    """SCI = (E x I + M) per R (Green Software Foundation, ISO/IEC 21031:2024)."""

    g_co2e_per_1000_faces: float | None  # the score; R is 1,000 classified faces
    energy_kwh: float | None  # E, with PUE
    intensity_g_co2e_per_kwh: float  # I
    embodied_g_co2e: float | None  # M; None is left out of the score
    boundary: str


class Carbon(Struct, frozen=True, kw_only=True):
    """Derived from the gross energy; measures nothing of its own."""

    kg_co2e_test_set: float | None
    g_co2e_per_1000_images: float | None
    intensity: GridIntensity
    pue: float = 1.0  # power usage effectiveness of the building
    sensitivity: tuple[CarbonElsewhere, ...] = ()
    sci: SoftwareCarbonIntensity | None = None


class Training(Struct, frozen=True, kw_only=True):
    """What the training of the weights cost, and after how many images using them costs as much."""

    energy: TrainingEnergy
    kwh: float | None
    kg_co2e: float | None  # with the entry's grid and PUE
    images_until_repaid: float | None  # by gross joules per image
    images_until_repaid_net: float | None
    modelled: bool  # the training's energy or the image's is modelled


class Entry(Struct, frozen=True, kw_only=True):
    """One model measured in one environment; `error` says why figures are missing."""

    id: str
    environment: str
    model: str
    family: str
    device: str
    runtime: str
    precision: str
    output_stride: int
    weights: str | None = None  # sha256 of the weight file
    recipe: str | None = None
    seed: int | None = None
    params: int | None = None
    macs: int | None = None
    flops: int | None = None
    work: Work | None = None
    runtime_version: str | None = None
    runtime_settings: dict[str, str | int] | None = None  # as the runtime itself states them
    deployed_bytes: int | None = (
        None  # size of the file(s) that the runtime loads; PyTorch has none
    )
    logit_difference: float | None = None  # largest one from eager float32, over one batch
    accuracy: Accuracy | None = None
    accuracy_other: tuple[Accuracy, ...] = ()
    accuracy_of: str | None = None  # "pytorch-float32" where its accuracy holds here, logits agree
    latency: tuple[Latency, ...] = ()
    inference_total_s: float | None = None  # median over the rounds, `inference_images` images
    inference_per_image_s: float | None = None
    inference_images: int | None = None
    inference_batch_size: int | None = None
    inference_model_s: float | None = None  # the share of the model: without input preparation
    inference_with_decoding_s: float | None = None  # from PNG files in memory, not from pixels
    inference_with_decoding_per_image_s: float | None = None
    energy: Energy | None = None  # at `inference_batch_size`
    energy_other: tuple[Energy, ...] = ()  # at other batch sizes
    carbon: Carbon | None = None
    training: Training | None = None
    error: str | None = None


class Data(Struct, frozen=True, kw_only=True):
    """The data that the accuracy was measured on; sha256 is of the pixels and labels."""

    name: str  # "fer2013", "synthetic", "custom"
    label: str  # what to print beside figures: "FER2013", "unverified data", ...
    verified: bool  # pixels and labels are known official content
    sha256: dict[str, str]  # split -> hash


class Noise(Struct, frozen=True, kw_only=True):
    """How much else happened on the machine while it measured; shares are fractions."""

    verdict: Literal["quiet", "noisy", "unusable"]
    reasons: tuple[str, ...]  # why it is not quiet
    seconds: float  # that were watched
    load_before: float | None  # 1-minute load average
    load_after: float | None
    other_cpu_share: float | None  # of all cores' time, taken by other processes
    steal_share: float | None  # of all cores' time, taken by other virtual machines
    governor: str | None  # of CPU frequencies
    throttle_events: int | None
    round_spread: float | None  # (slowest - fastest) / fastest round; see measure/noise.py
    yardstick_spread: float | None = None  # likewise of the yardstick: the machine's own changes
    gpu: "GpuNoise | None" = None


class GpuNoise(Struct, frozen=True, kw_only=True):
    """What else the GPU did, over the moments at which it was looked at, each under load."""

    other_processes: int | None  # the most at one moment
    clock_mhz: tuple[int, int] | None  # lowest and highest of the multiprocessors
    temperature_c: tuple[int, int] | None  # lowest and highest
    power_limit_w: tuple[float, float] | None  # lowest and highest
    slowdowns: tuple[str, ...] = ()  # why the driver lowered the clocks


class Environment(Struct, frozen=True, kw_only=True):
    """The machine, the software and the command of a run."""

    cpu: str
    cores: int
    threads: int
    memory_bytes: int | None
    gpu: str | None
    system: str
    python: str
    versions: dict[str, str]  # package -> version
    allocator: str
    flush_denormal: bool
    code: str  # commit of the code, "+dirty" if files were changed, or the version
    command: str
    data: Data | None
    started: str  # UTC, ISO 8601
    noise: Noise | None = None
    yardstick: str | None = None  # what net stood beside each round, in full


class WeightCard(Struct, frozen=True, kw_only=True):
    """What a reader must know of a weight file, from the card in its header."""

    model: str
    recipe: str
    settings: dict[str, Any]  # of the training, as the recipe gave them
    seed: int
    epochs: int
    epoch: int  # the one that was kept
    training_s: float
    trained_on: str
    chosen_on: str
    data: str
    code: str
    license: str
    intended_use: str
    not_intended_use: str
    validation: Accuracy | None = None  # of the kept epoch, without its details
    history: tuple[dict[str, float | None], ...] | None = None  # figures of each epoch, by name
    training_energy: dict[str, Any] | None = None  # as the card holds it


class Results(Struct, frozen=True, kw_only=True):
    """The whole of a results file."""

    schema: str = SCHEMA
    environments: dict[str, Environment] = {}
    entries: tuple[Entry, ...] = ()
    cards: dict[str, WeightCard] = {}  # sha256 of a weight file, as in `Entry.weights` -> its card

    def merged(self, other: "Results") -> "Results":
        """These results with those of `other` added; entries of the same id are replaced.

        Where both were measured in one environment, the worse of the two verdicts on noise stays.
        """
        new = {entry.id for entry in other.entries}
        kept = tuple(entry for entry in self.entries if entry.id not in new)
        environments = {**self.environments, **other.environments}
        for key in self.environments.keys() & other.environments.keys():
            noises = (self.environments[key].noise, other.environments[key].noise)
            worse = max(
                (n for n in noises if n), key=lambda n: VERDICTS.index(n.verdict), default=None
            )
            environments[key] = msgspec.structs.replace(environments[key], noise=worse)
        return Results(
            environments=environments,
            entries=kept + other.entries,
            cards={**self.cards, **other.cards},
        )


class ResultsError(Exception):
    """A results file cannot be read; the message says where and why."""


def read_results(path: Path) -> Results:
    """Read and validate a results file.

    Raises ResultsError naming the file and the path of the first violation inside it.
    """
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as error:
        raise ResultsError(f"{path}: {error}") from error
    if results.schema != SCHEMA:
        raise ResultsError(f"{path}: schema is {results.schema!r}, expected {SCHEMA!r}")
    return results


def write_results(path: Path, results: Results) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, _indented(msgspec.to_builtins(results)) + "\n")


def _indented(value: Any, margin: str = "\n") -> str:
    """JSON with one line per item, but lists of numbers, the samples, on one line each."""
    inner = margin + " "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(k)}: {_indented(v, inner)}" for k, v in value.items())
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        return "[" + inner + f",{inner}".join(_indented(v, inner) for v in value) + margin + "]"
    return json.dumps(value, allow_nan=False)
