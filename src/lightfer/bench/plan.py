"""What a benchmark measures, and in which order: the steps of a run."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from lightfer.bench.case import EAGER, FULL, PROTOCOL, Case
from lightfer.bench.journal import Journal, Kind, Pieces
from lightfer.bench.quiet import Quiet, missing
from lightfer.data.dataset import Dataset
from lightfer.errors import ArgumentError
from lightfer.inference.backends import PRECISIONS, find_runtime, runtime_of
from lightfer.measure.carbon import WORLD
from lightfer.measure.energy import ASSUMED, CpuModel, EnergyPlan, Meter, enough_blocks
from lightfer.measure.environment import environment_id, package_version
from lightfer.measure.process import GARBAGE_COLLECTION, pinning, thread_variables
from lightfer.models.find import Weights, find_weights, own_source
from lightfer.results import Component, Environment, GridIntensity, Protocol

if TYPE_CHECKING:
    from lightfer.measure.accuracy import View


@dataclass(frozen=True)
class BenchConfig:
    """What is measured, and how thoroughly."""

    models: tuple[str, ...]  # names of the zoo, or paths of weight files
    runtimes: tuple[str, ...] = (EAGER,)
    precisions: tuple[str, ...] = (FULL,)  # each runtime is measured in those that it has
    device: str = "cpu"
    rounds: int = 5  # separate visits to each model
    seconds: float = 1.0  # of timed passes, at each batch size in each round, at least
    passes: int = 50  # likewise, of single images
    warmup: int = 10  # passes in a group, before timed ones
    batch_sizes: tuple[int, ...] = (1, 64)  # all images are classified at the largest
    quick: bool = False  # less than the protocol asks for, for a first look
    processes: bool = False  # each round in a fresh one
    wait_quiet: float = 0.0  # minutes
    views: "tuple[View, ...]" = ("flip",)  # beside the single one, of accuracy
    robustness: bool = False  # score the test images made worse, too
    seed: int = 0  # of the order of the models in each round
    cpu_model: CpuModel = ASSUMED  # where the energy of a CPU run is modelled
    intensity: GridIntensity = WORLD
    pue: float = 1.0
    energy: EnergyPlan | None = None  # None: no meter is read

    def __post_init__(self) -> None:
        if not self.models:
            raise ArgumentError("no model to measure: name at least one")
        if min(self.rounds, self.passes, *self.batch_sizes) < 1:
            raise ArgumentError(
                f"rounds {self.rounds}, passes {self.passes} and batch sizes {self.batch_sizes} "
                "must each be at least 1"
            )
        if self.warmup < 0:
            raise ArgumentError(f"warm-up is {self.warmup} passes, expected at least 0")
        object.__setattr__(self, "batch_sizes", tuple(sorted(set(self.batch_sizes))))
        if unknown := [p for p in self.precisions if p not in PRECISIONS]:
            known = ", ".join(PRECISIONS)
            raise ArgumentError(f"there is no precision {unknown[0]!r}; there are {known}")
        if not self.pue >= 1:
            raise ArgumentError(
                f"PUE is {self.pue}, expected at least 1: all power over that of IT"
            )

    @property
    def batch_size(self) -> int:
        """The largest: of classifying all images, of energy, and of what is compared once."""
        return self.batch_sizes[-1]

    def protocol(self) -> Protocol:
        """As a results file states it."""
        names = ("quick", "seconds", "passes", "warmup", "rounds", "batch_sizes", "seed")
        return Protocol(
            version=PROTOCOL,
            processes=self.processes,
            garbage_collection=GARBAGE_COLLECTION,
            pinning=pinning(),
            **{name: getattr(self, name) for name in names},
        )


@dataclass(frozen=True)
class Meters:
    """The meters that are read, in order of preference, and why a component has none."""

    meters: Sequence[Meter] = ()
    reasons: Mapping[Component, str] = field(default_factory=dict)
    clock_offset_s: float | None = None  # of a power log, if there is one


NO_METERS = Meters()


@dataclass(frozen=True)
class Step:
    """One thing that is measured of one case, and told of in the journal."""

    case: Case
    kind: Kind
    text: str  # what is measured
    batch_size: int = 0  # energy: of its passes
    again: bool = False  # a round that was disturbed


def each_once(keys: Iterable[str]) -> list[Weights]:
    """The weights that are asked for; those given twice, by name and by path, as they come first.

    Raises ValueError or CheckpointError as `find_weights` does.
    """
    found: dict[tuple[str, str | None], Weights] = {}
    for weights in map(find_weights, keys):
        found.setdefault((weights.name, weights.sha256), weights)
    return list(found.values())


def variants(config: BenchConfig) -> list[tuple[str, str]]:
    """Each pair of runtime and precision to measure, eager float32 first.

    Raises ValueError for a runtime that is unknown, cannot be used here, or has none of the
    precisions.
    """
    pairs = []
    for name in config.runtimes:
        known = runtime_of(name).precisions
        chosen = [p for p in config.precisions if p in known] or config.precisions[:1]
        for precision in chosen:
            find_runtime(name, precision, config.device)
            pairs.append((name, precision))
    return sorted(dict.fromkeys(pairs), key=lambda pair: pair != (EAGER, FULL))


def steps(
    config: BenchConfig,
    cases: Sequence[Case],
    meters: Meters,
    journal: Journal,
    quiet: Quiet | None = None,
) -> Iterator[tuple[Step, int, int]]:
    """The steps that the journal does not hold, with how many are before them, and about how many
    there are in all: every case for size and accuracy, then in random order in each round, then for
    blocks of energy. What an earlier step measured, or failed in, decides about later ones.
    """
    done, of = 0, len(cases) * (1 + config.rounds)
    for case in cases:
        pieces = journal.pieces[case.journal_key]
        if pieces.static is None and pieces.error is None:
            yield Step(case, "static", "size and accuracy"), done, of
        done += 1
    for number in range(config.rounds):
        for case in random.Random(f"{config.seed} {number}").sample(cases, len(cases)):
            pieces = journal.pieces[case.journal_key]
            tried = len(pieces.rounds) + len(pieces.failed_rounds)
            if tried <= number and pieces.error is None:
                text = f"speed, round {number + 1} of {config.rounds}"
                yield Step(case, "round", text), done, of
            done += 1
    while (
        quiet and not quiet.over and (again := missing(cases, journal, config.rounds, quiet.failed))
    ):
        for case in random.Random(f"{config.seed} {len(again)}").sample(again, len(again)):
            if not quiet.over:
                yield Step(case, "round", "speed, a disturbed round again", again=True), done, of
    if config.energy and meters.meters:
        yield from _energy_steps(config, config.energy, cases, journal)


def _energy_steps(
    config: BenchConfig, plan: EnergyPlan, cases: Sequence[Case], journal: Journal
) -> Iterator[tuple[Step, int, int]]:
    """Blocks of all cases in random order, round after round; each gets as many as its first ones
    ask for, so the rounds thin out.
    """
    sizes = dict.fromkeys((config.batch_size, *plan.batch_sizes))
    pairs = [(case, size) for case in cases for size in sizes]
    done = 0
    for number in range(plan.most_blocks):
        wanted = [
            (case, size)
            for case, size in pairs
            if _wants_more(journal.pieces[case.journal_key], size, number, plan)
        ]
        order = random.Random(f"{config.seed} energy {number}").sample(wanted, len(wanted))
        for i, (case, size) in enumerate(order):
            left = len(order) - i + len(pairs) * max(0, plan.fewest_blocks - number - 1)
            if journal.pieces[case.journal_key].error is None:
                text = f"energy at batch {size}, block {number + 1}"
                yield Step(case, "energy", text, size), done, done + left
            done += 1


def _wants_more(pieces: Pieces, size: int, number: int, plan: EnergyPlan) -> bool:
    """Whether round `number` measures it: it has no error, not this round's block, nor enough.

    What a power log will say is not known yet: with a log alone the fewest blocks are taken.
    """
    blocks = pieces.energy[size]
    return not pieces.error and len(blocks) <= number and enough_blocks(blocks, plan) is None


def fingerprint(
    config: BenchConfig,
    cases: Sequence[Case],
    environment: Environment,
    meters: Meters,
    also: Sequence[Dataset] = (),
) -> str:
    """Equal for runs that may be continued by one another."""
    derived = ("intensity", "pue", "cpu_model", "wait_quiet")  # measure nothing else
    what = {name: value for name, value in asdict(config).items() if name not in derived}
    what["also"] = [data.sha256() for data in also]
    what["meters"] = [meter.source for meter in meters.meters]
    own = {case.weights.name: own_source(case.weights.name) for case in cases}
    weights = [
        (c.weights.sha256, c.variant, package_version(runtime_of(c.runtime).package)) for c in cases
    ]
    where = f"{environment_id(environment)} {pinning()} {thread_variables()}"
    text = f"{what} {weights} {own} {where}"
    return hashlib.sha256(text.encode()).hexdigest()
