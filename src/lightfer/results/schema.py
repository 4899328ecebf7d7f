"""What a measurement is, and how it is written down.

The one module that defines the shape of `results.json`, schema `lightfer/1`. A reader of results
needs neither torch nor the code that measured. Numbers are in the unit that their name ends in
(`_s` seconds, `joules_`, `kwh_`, `kg_co2e_`); shares and accuracies are fractions; `null` is
unknown, never 0. Rounding happens where numbers are printed. Keys are added, none is renamed.
"""

from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert, structs

from lightfer.results.energy import Carbon, Energy, Training

SCHEMA = "lightfer/1"
NODE = "^node-[0-9a-z]{1,16}$"  # what a node may be called: no host name, no address
VERDICTS = ("quiet", "noisy", "unusable")  # on noise, from best to worst


class ClassScore(Struct, frozen=True, kw_only=True, gc=False):
    """Precision, recall and F1 of one class; None where a class was never predicted or absent."""

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


class Accuracy(Struct, frozen=True, kw_only=True, gc=False):
    """How well one set of images was classified, from `images` predictions."""

    split: str  # "test", "validation", "test without copies", "kaggle test", ...
    labels: str  # "fer2013", "fer+", "synthetic", or another data set's name, as "rafdb"
    view: str  # "single", "flip", "ten-crop"
    corruption: str | None = None  # "blur 1" to "rotation 3", see `data.corruptions`
    images: Annotated[int, Meta(ge=1)]
    top1: Annotated[float, Meta(ge=0, le=1)]
    ci95: tuple[float, float]  # Wilson interval of top1
    macro_f1: float | None = None
    balanced_accuracy: float | None = None
    ece: float | None = None  # expected calibration error, 15 equal-width bins
    ece_ci95: tuple[float, float] | None = None  # of the error without its bias: about or below
    # Of each bin its images, their mean confidence and the share that was right: the headline's.
    reliability: tuple[tuple[int, float, float], ...] | None = None
    top1_at_80_coverage: float | None = None  # of the 80 % of images that it is surest of
    per_class: tuple[ClassScore, ...] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None  # [true class][predicted class]
    source: Literal["measured", "reference"] = "measured"  # reference: read from the weights' card
    # Which images were right, four per hexadecimal digit, image 0 the highest bit of the first, the
    # last digit filled up with 0: what two files need to be compared image by image (McNemar),
    # without giving the labels away. Their order is that of the split with the data's sha256.
    correct_hex: str | None = None
    data_sha256: str | None = None  # of the split, where it is of another data set than FER2013


class Latency(Struct, frozen=True, kw_only=True, gc=False):
    """Time of one forward pass, round after round: of each equally many passes, evenly ranked."""

    batch_size: Annotated[int, Meta(ge=1)]
    threads: int
    samples_s: tuple[float, ...]
    median_s: float
    rounds: int  # separate visits to the model that the samples come from, of equal length
    clock: str = "wall"  # or "cuda events"; see `lightfer.measure.latency`
    # Seconds per pass of the yardstick, a fixed net, beside each round; see `measure/yardstick`.
    yardstick_s: tuple[float, ...] | None = None
    # Of all passes that were timed in each round, before they were thinned to `samples_s`.
    passes: tuple[int, ...] | None = None
    p50_s: tuple[float | None, ...] | None = None  # a percentile that too few passes show is None
    p90_s: tuple[float | None, ...] | None = None
    p99_s: tuple[float | None, ...] | None = None
    images_per_s: float | None = None  # all images of all passes over all their seconds

    def visits(self) -> list[tuple[float, ...]]:
        """The samples of each round; none where there are no rounds to have any."""
        size = len(self.samples_s) // self.rounds if self.rounds > 0 else 0
        rounds = self.rounds if size else 0
        return [self.samples_s[i * size : (i + 1) * size] for i in range(rounds)]

    def medians(self) -> tuple[float, ...]:
        """Of the samples of each round."""
        if len(self.samples_s) == self.rounds:
            return self.samples_s
        return tuple(map(median, self.visits()))

    def without_passes(self) -> "Latency":
        """The same times with one sample per round, its median."""
        return structs.replace(self, samples_s=self.medians())

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


class Work(Struct, frozen=True, kw_only=True, gc=False):
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


class Entry(Struct, frozen=True, kw_only=True, gc=False):
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
    deployed_bytes: int | None = None  # of what the runtime loads; PyTorch has no such file
    logit_difference: float | None = None  # largest one from eager float32, over one batch
    accuracy: Accuracy | None = None
    accuracy_other: tuple[Accuracy, ...] = ()
    accuracy_of: str | None = None  # "pytorch-float32" where its accuracy holds here, logits agree
    latency: tuple[Latency, ...] = ()
    inference_total_s: float | None = None  # median over the rounds, `inference_images` images
    inference_rounds_s: tuple[float, ...] | None = None  # the same of each round
    inference_per_image_s: float | None = None
    inference_images: int | None = None
    inference_batch_size: int | None = None
    inference_model_s: float | None = None  # the share of the model: without input preparation
    inference_with_decoding_s: float | None = None  # from PNG files in memory, not from pixels
    inference_with_decoding_per_image_s: float | None = None
    load_s: float | None = None  # from the content of its file to a net that is ready to run
    # The most that the process, and what PyTorch took of a GPU, held in a round of this model.
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None
    energy: Energy | None = None  # at `inference_batch_size`
    energy_other: tuple[Energy, ...] = ()  # at other batch sizes
    carbon: Carbon | None = None
    training: Training | None = None
    error: str | None = None


class Data(Struct, frozen=True, kw_only=True, gc=False):
    """The data that the accuracy was measured on; sha256 is of the pixels and labels."""

    name: str  # "fer2013", "synthetic", "custom", or another set's name, as "rafdb"
    label: str  # what to print beside figures: "FER2013", "unverified data", ...
    verified: bool  # pixels and labels are known official content
    sha256: dict[str, str]  # split -> hash


class Noise(Struct, frozen=True, kw_only=True, gc=False):
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


class GpuNoise(Struct, frozen=True, kw_only=True, gc=False):
    """What else the GPU did, over the moments at which it was looked at, each under load."""

    other_processes: int | None  # the most at one moment
    clock_mhz: tuple[int, int] | None  # lowest and highest of the multiprocessors
    temperature_c: tuple[int, int] | None  # lowest and highest
    power_limit_w: tuple[float, float] | None  # lowest and highest
    slowdowns: tuple[str, ...] = ()  # why the driver lowered the clocks


class Waiting(Struct, frozen=True, kw_only=True, gc=False):
    """For a quiet machine: one whose yardstick is within 5 % of its own best."""

    minutes: float  # that were allowed, for waiting and for repeated rounds
    waited_s: float
    repeated: int  # rounds that were disturbed, and measured again
    disturbed: int  # rounds in the file that were disturbed
    gave_up: bool  # the machine was not quiet for so long that rounds went on without


class Protocol(Struct, frozen=True, kw_only=True, gc=False):
    """How times were taken. Times of different versions, or of files without, are not comparable.

    Version 2: each round times `seconds` of passes at each batch size, the images rotating, in two
    parts, with the yardstick before, between and after.
    """

    version: int
    quick: bool  # a first look: fewer passes than the protocol asks for
    seconds: float  # of timed passes of each batch size and round, at least
    passes: int  # likewise, of single images; a sixth of it of batches
    warmup: int  # passes in each group of the warm-up
    rounds: int
    batch_sizes: tuple[int, ...]
    seed: int  # of the order in each round
    processes: bool  # each round in a fresh process
    garbage_collection: str
    pinning: str  # of threads to cores
    waiting: Waiting | None = None  # None: for nothing


class Environment(Struct, frozen=True, kw_only=True, gc=False):
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
    code: str  # commit of the code, "+dirty.HASH" if files were changed, or the version
    command: str
    data: Data | None
    started: str  # UTC, ISO 8601
    noise: Noise | None = None
    yardstick: str | None = None  # what net stood beside each round, in full
    protocol: Protocol | None = None  # None: before version 2
    node: Annotated[str, Meta(pattern=NODE)] | None = None  # tells it from machines of its kind
    microarchitecture: str | None = None  # the processor's design and instructions, where known

    @property
    def name(self) -> str:
        """Of the machine: its GPU or else its processor, and which one of several it is."""
        return ", ".join(filter(None, (self.gpu or self.cpu, self.node)))

    @property
    def instructions(self) -> list[str]:
        """Those of the processor that decide how fast a net is, as avx2; none where not known."""
        known = (self.microarchitecture or "").split(", ")
        return [name for name in known if name and " " not in name]


class WeightCard(Struct, frozen=True, kw_only=True, gc=False):
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
    distillation: "Teaching | None" = None  # None: it learnt from the labels alone

    @staticmethod
    def of(card: dict[str, Any]) -> "WeightCard":
        """From the JSON of the card in a weight file's header."""
        validation = card.get("validation")
        details = dict.fromkeys(("per_class", "confusion", "correct_hex"))
        renamed = {
            "settings": card["config"],
            "data": card["data_name"],
            "training_energy": card.get("training"),
            "validation": validation and {**validation, **details},
        }
        return convert({**card, **renamed}, WeightCard)


class TeacherWeights(Struct, frozen=True, kw_only=True, gc=False):
    """A net that taught another one."""

    model: str
    sha256: str  # of its weight file
    fold: str | None = None  # the part of the train split that it had not seen, as "0/5"


class Teaching(Struct, frozen=True, kw_only=True, gc=False):
    """What a net learnt from beside the labels (knowledge distillation), see `train.distill`."""

    temperature: float
    weight: float  # of the teachers in the loss; the labels have the rest
    view: str  # what the teachers were shown
    teachers: tuple[TeacherWeights, ...]


class Results(Struct, frozen=True, kw_only=True, gc=False):
    """The whole of a results file."""

    schema: str = SCHEMA
    environments: dict[str, Environment] = {}
    entries: tuple[Entry, ...] = ()
    cards: dict[str, WeightCard] = {}  # sha256 of a weight file, as in `Entry.weights` -> its card

    def worth(self, entry: Entry) -> tuple[bool, bool]:
        """Of entries of one id the greatest stays: first one without an error, then a full one, not
        one of a quick run.
        """
        about = self.environments.get(entry.environment)
        return entry.error is None, not (about and about.protocol and about.protocol.quick)

    def merged(self, other: "Results") -> "Results":
        """These results with those of `other` added, which replace entries of the same id that are
        not worth more.

        What each run was, its command, time, code and noise, stays with its entries.
        """
        worth = {entry.id: self.worth(entry) for entry in self.entries}
        added = [e for e in other.entries if other.worth(e) >= worth.get(e.id, (False, False))]
        new = {entry.id for entry in added}
        entries = (*(entry for entry in self.entries if entry.id not in new), *added)
        used = {entry.environment for entry in entries}
        environments = {**self.environments, **other.environments}
        return Results(
            environments={key: e for key, e in environments.items() if key in used},
            entries=entries,
            cards={**self.cards, **other.cards},
        )
