"""The main flow: for every model, accuracy once, speed in several rounds, and one entry.

    data -> accuracy of each model -> round 1, 2, ... over all models -> blocks of energy, if asked
         -> entries -> results.json

A model in another runtime or precision is a case of its own, with an entry of its own. Rounds
visit the cases in random order, each for a block of warmed passes, beside a block of the
yardstick: changing at every pass would halve a runtime's speed. A float32 runtime whose logits
agree with eager PyTorch's takes over its accuracy, and says so; any other is scored itself.

Each piece goes to a journal as soon as it is measured, so an interrupted run continues where it
was; a model that fails becomes an entry with its error, and the others go on.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import torch
from torch import Tensor

from lightfer.bench.case import (
    EAGER,
    FULL,
    Case,
    load_case,
    load_yardstick,
    public_card,
    score_case,
    size_case,
    spent_on_training,
    visit_case,
)
from lightfer.bench.energy import NO_METERS, Meters, energies_of, measure_energy
from lightfer.bench.journal import Journal, Pieces
from lightfer.data.dataset import IMAGE_SIZE, Dataset
from lightfer.inference.backends import PRECISIONS, Loaded, find_runtime, runtime_of
from lightfer.measure.accuracy import View
from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    ASSUMED,
    TEST_IMAGES,
    CpuModel,
    EnergyPlan,
    model_cpu_energy,
    modelled_instead,
    training_cost,
    unmeasured_energy,
)
from lightfer.measure.environment import describe_environment, environment_id
from lightfer.measure.gpu import GpuWatch
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.yardstick import DESCRIPTION
from lightfer.models.registry import Weights, architecture, find_weights
from lightfer.results import (
    Data,
    Energy,
    Entry,
    Environment,
    GridIntensity,
    Latency,
    Results,
)


@dataclass(frozen=True)
class BenchConfig:
    """What is measured, and how thoroughly."""

    models: tuple[str, ...]  # names of the zoo, or paths of weight files
    runtimes: tuple[str, ...] = (EAGER,)
    precisions: tuple[str, ...] = (FULL,)  # each runtime is measured in those that it has
    device: str = "cpu"
    rounds: int = 5  # separate visits to each model
    passes: int = 50  # of batch size 1, per round
    warmup: int = 10  # passes before each block of timed ones
    batch_size: int = 64
    views: tuple[View, ...] = ("flip",)  # beside the single one, of accuracy
    seed: int = 0  # of the order of the models in each round
    cpu_model: CpuModel = ASSUMED  # where the energy of a CPU run is modelled
    intensity: GridIntensity = WORLD
    pue: float = 1.0
    energy: EnergyPlan | None = None  # None: no meter is read

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("no model to measure: name at least one")
        if min(self.rounds, self.passes, self.batch_size) < 1:
            raise ValueError(
                f"rounds {self.rounds}, passes {self.passes} and batch_size {self.batch_size} "
                "must each be at least 1"
            )
        if unknown := [p for p in self.precisions if p not in PRECISIONS]:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"there is no precision {unknown[0]!r}; there are {known}")
        if self.pue < 1:
            raise ValueError(f"PUE is {self.pue}, expected at least 1: all power over that of IT")


def run_benchmark(
    config: BenchConfig,
    data: Dataset | None,
    *,
    allocator: str,
    journal_path: Path,
    test_log: Path,
    meters: Meters = NO_METERS,
    on_step: Callable[[str, int, int], None] = lambda text, done, of: None,
) -> tuple[Results, Journal]:
    """Measure every model; returns the results and the journal, to be removed once they are kept.

    Without `data` the accuracy is that of each card, marked `reference`. A journal left by an
    interrupted run of the same configuration, code, machine and data is continued. `meters` are
    read if `config.energy` is a plan. `on_step(text, done, of)` reports progress.

    Raises ValueError or CheckpointError for a model that does not exist and a runtime that cannot
    be used, before anything runs.
    """
    models = each_once(config.models)
    cases = [
        Case(model, runtime, precision)
        for runtime, precision in variants(config)
        for model in models
    ]
    before, gpu = snapshot(), GpuWatch(config.device)
    environment = describe_environment(
        data=_describe(data), allocator=allocator, device=config.device
    )
    fingerprint = _fingerprint(config, cases, environment, meters)
    journal = Journal(journal_path, fingerprint, environment)
    bench = _Bench(config, data, environment.threads, journal, test_log)

    steps = bench.steps(cases)
    for done, (case, number) in enumerate(steps):
        what = "size and accuracy"
        if number is not None:
            what = f"speed, round {number + 1} of {config.rounds}"
        on_step(f"{case.weights.name}, {case.variant}: {what}", done, len(steps))
        if bench.measure(case, number):
            gpu.look()
    ticks: dict[str, float] = {}
    if config.energy and meters.meters:
        ticks = measure_energy(
            cases,
            list(dict.fromkeys((config.batch_size, *config.energy.batch_sizes))),
            config.energy,
            meters.meters,
            load=bench.load,
            images=bench.images,
            device=config.device,
            seed=config.seed,
            journal=journal,
            on_step=on_step,
            on_block=gpu.look,
        )

    key = environment_id(journal.environment)
    entries = tuple(
        _entry(case, journal, key, config, len(bench.images), meters, ticks) for case in cases
    )
    # An interrupted run is judged by its last part; the spread is that of all its rounds.
    visits = [pieces.rounds for pieces in journal.pieces.values()]
    noise = verdict(
        before,
        snapshot(),
        [[r.single_s for r in rounds] for rounds in visits],
        [[r.yardstick_single_s for r in rounds] for rounds in visits],
        gpu=gpu.noise(),
    )
    environment = msgspec.structs.replace(journal.environment, noise=noise, yardstick=DESCRIPTION)
    cards = {m.sha256: public_card(m.card) for m in models if m.sha256 and m.card}
    return Results(environments={key: environment}, entries=entries, cards=cards), journal


class _Bench:
    """What the steps of one run share, and how each is done and recorded."""

    def __init__(
        self,
        config: BenchConfig,
        data: Dataset | None,
        threads: int,
        journal: Journal,
        test_log: Path,
    ) -> None:
        self.config, self.data, self.threads = config, data, threads
        self.journal, self.test_log = journal, test_log
        self.images = data["test"].images if data else _random_images(TEST_IMAGES)
        self.yardstick = load_yardstick(config.device, threads)
        self.loaded: dict[str, Loaded] = {}  # kept over the rounds: exporting takes seconds

    def steps(self, cases: Sequence[Case]) -> list[tuple[Case, int | None]]:
        """Every case once for size and accuracy, then in each round, by its number."""
        steps: list[tuple[Case, int | None]] = [(case, None) for case in cases]
        for number in range(self.config.rounds):
            order = random.Random(f"{self.config.seed} {number}").sample(cases, len(cases))
            steps += [(case, number) for case in order]
        return steps

    def load(self, case: Case) -> Loaded:
        if case.journal_key not in self.loaded:
            run = load_case(case, self.config.device, self.threads, self.data)
            self.loaded[case.journal_key] = run
        return self.loaded[case.journal_key]

    def measure(self, case: Case, number: int | None) -> bool:
        """Do and record one step; False if the journal holds it already, or an earlier error."""
        pieces = self.journal.pieces.get(case.journal_key, Pieces())
        tried = len(pieces.rounds) + len(pieces.failed_rounds)
        if pieces.error or (pieces.scored if number is None else tried > number):
            return False
        # One model's failure must not lose the others, nor one round's the other rounds.
        try:
            new = self._sized(case) if number is None else self._visited(case, pieces)
        except Exception as error:
            if number is None:
                new = msgspec.structs.replace(pieces, error=f"{type(error).__name__}: {error}")
            else:
                new = self._visited_again(case, pieces, number)
        self.journal.record(case.journal_key, new)
        return True

    def _sized(self, case: Case) -> Pieces:
        run = self.load(case)
        pieces = size_case(
            case,
            run,
            self.images,
            device=self.config.device,
            batch_size=self.config.batch_size,
            decode=self.data is not None,
        )
        eager = self.journal.pieces.get(replace(case, runtime=EAGER).journal_key)
        views = self.config.views
        return score_case(case, run, pieces, self.data, self.test_log, eager, views)

    def _visited_again(self, case: Case, pieces: Pieces, number: int) -> Pieces:
        """A second try of a round that failed; its error is kept if it fails again."""
        try:
            return self._visited(case, pieces)
        except Exception as error:
            failed = {**pieces.failed_rounds, number: f"{type(error).__name__}: {error}"}
            return msgspec.structs.replace(pieces, failed_rounds=failed)

    def _visited(self, case: Case, pieces: Pieces) -> Pieces:
        visit = visit_case(
            self.load(case),
            self.yardstick,
            self.images,
            device=self.config.device,
            passes=self.config.passes,
            batch_size=self.config.batch_size,
            warmup=self.config.warmup,
        )
        return msgspec.structs.replace(pieces, rounds=(*pieces.rounds, visit))


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


def _entry(
    case: Case,
    journal: Journal,
    environment_key: str,
    config: BenchConfig,
    images: int,
    meters: Meters,
    ticks: Mapping[str, float],
) -> Entry:
    """Put the pieces of one model together."""
    pieces, environment = journal.pieces[case.journal_key], journal.environment
    weights, arch = case.weights, architecture(case.weights.name)
    total = median(r.total_s for r in pieces.rounds) if pieces.rounds else None
    per_image = None if total is None else total / images
    model_s = median(r.model_s for r in pieces.rounds) if pieces.rounds else None
    decoded = None if total is None or pieces.decoding_s is None else total + pieces.decoding_s
    energies = energies_of(pieces, config.energy or EnergyPlan(), meters, ticks)
    energy = energies.pop(config.batch_size, None) or unmeasured_energy(meters.reasons)
    if energy.gross is None and config.device == "cpu":
        energy = _modelled(energy, config, per_image, environment.threads)
    carbon = carbon_of(energy, config.intensity, config.pue)
    spent = spent_on_training(case.weights.card)
    beside_single = [r.yardstick_single_s for r in pieces.rounds]
    beside_batch = [r.yardstick_batch_s for r in pieces.rounds]
    blocks = (
        (1, "wall", [r.single_s for r in pieces.rounds], beside_single),
        (config.batch_size, "wall", [r.batch_s for r in pieces.rounds], beside_batch),
        (1, "cuda events", [r.events_s for r in pieces.rounds], beside_single),
    )
    return Entry(
        id=f"{environment_key}/{weights.name}/{(weights.sha256 or 'random')[:8]}/{case.variant}",
        environment=environment_key,
        model=case.weights.name,
        family=arch.family,
        device=config.device,
        runtime=case.runtime,
        precision=case.precision,
        output_stride=arch.output_stride,
        weights=case.weights.sha256,
        recipe=case.weights.card.recipe if case.weights.card else None,
        seed=case.weights.card.seed if case.weights.card else None,
        params=pieces.params,
        macs=pieces.macs,
        flops=pieces.macs and 2 * pieces.macs,
        work=pieces.work,
        runtime_version=version(runtime_of(case.runtime).package),
        runtime_settings=pieces.settings,
        deployed_bytes=pieces.deployed_bytes,
        logit_difference=pieces.logit_difference,
        accuracy=pieces.accuracy,
        accuracy_other=pieces.accuracy_other,
        accuracy_of=pieces.accuracy_of,
        latency=tuple(
            Latency.of(samples, batch_size, environment.threads, clock, beside)
            for batch_size, clock, samples, beside in blocks
            if any(samples)
        ),
        inference_total_s=total,
        inference_per_image_s=per_image,
        inference_images=images,
        inference_batch_size=config.batch_size,
        inference_model_s=model_s,
        inference_with_decoding_s=decoded,
        inference_with_decoding_per_image_s=None if decoded is None else decoded / images,
        energy=energy,
        energy_other=tuple(energies.values()),
        carbon=carbon,
        training=spent and training_cost(spent, energy, carbon),
        error=pieces.error or _failed_rounds(pieces, config.rounds),
    )


def _failed_rounds(pieces: Pieces, rounds: int) -> str | None:
    """What is wrong with the times of a model of which not every round could be measured."""
    if not pieces.failed_rounds:
        return None
    errors = "; ".join(dict.fromkeys(pieces.failed_rounds.values()))
    return f"{len(pieces.failed_rounds)} of {rounds} rounds failed twice: {errors}"


def _modelled(
    unmeasured: Energy, config: BenchConfig, per_image_s: float | None, threads: int
) -> Energy:
    """The estimate of last resort, from time; what the meters said stays in it."""
    modelled = model_cpu_energy(
        per_image_s,
        threads,
        config.cpu_model.watts_per_thread,
        source=config.cpu_model.source,
        batch_size=config.batch_size,
    )
    return modelled_instead(unmeasured, modelled)


def _fingerprint(
    config: BenchConfig, cases: list[Case], environment: Environment, meters: Meters
) -> str:
    """Equal for runs that may be continued by one another."""
    derived = ("intensity", "pue", "cpu_model")  # applied to what was measured, at the end
    what = {name: value for name, value in asdict(config).items() if name not in derived}
    what["meters"] = [meter.source for meter in meters.meters]
    weights = [(s.weights.sha256, s.variant, version(runtime_of(s.runtime).package)) for s in cases]
    text = f"{what} {weights} {environment_id(environment)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _describe(data: Dataset | None) -> Data | None:
    if data is None:
        return None
    hashes = {name: split.sha256() for name, split in data.splits.items()}
    return Data(name=data.name, label=data.label, verified=data.verified, sha256=hashes)


def _random_images(count: int) -> Tensor:
    """Noise in place of faces: a convolution takes as long on any pixels."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, 1, IMAGE_SIZE, IMAGE_SIZE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
