"""The main flow: for every model, accuracy once, speed in several rounds, and one entry.

    data -> accuracy of each model -> round 1, 2, ... over all models -> blocks of energy, if asked
         -> entries -> results.json

A model in another runtime or precision is a subject of its own, with an entry of its own. Rounds
visit the subjects in random order, each for a block of warmed passes, beside a block of the
yardstick: changing at every pass would halve a runtime's speed. A float32 runtime whose logits
agree with eager PyTorch's takes over its accuracy, and says so; any other is scored itself.

Each piece goes to a journal as soon as it is measured, so an interrupted run continues where it
was; a model that fails becomes an entry with its error, and the others go on.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import torch
from torch import Tensor

from lightfer.data.dataset import IMAGE_SIZE, Dataset
from lightfer.energy_blocks import measure_energy
from lightfer.journal import Journal, Pieces
from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    ASSUMED,
    TEST_IMAGES,
    CpuModel,
    EnergyPlan,
    Meter,
    energy_of_blocks,
    model_cpu_energy,
    modelled_instead,
    unmeasured_energy,
    with_deferred,
)
from lightfer.measure.environment import describe_environment, environment_id
from lightfer.measure.gpu import GpuWatch
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.yardstick import DESCRIPTION
from lightfer.results import (
    Component,
    Data,
    Energy,
    Entry,
    Environment,
    GridIntensity,
    Latency,
    Results,
)
from lightfer.runtimes import RUNTIMES, Loaded, find_runtime
from lightfer.subject import (
    EAGER,
    FULL,
    Subject,
    find_subject,
    load_subject,
    load_yardstick,
    public_card,
    score_subject,
    size_subject,
    visit_subject,
)
from lightfer.zoo import architecture


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
        if self.pue < 1:
            raise ValueError(f"PUE is {self.pue}, expected at least 1: all power over that of IT")


@dataclass(frozen=True)
class Meters:
    """The meters that are read, in order of preference, and why a component has none."""

    meters: Sequence[Meter] = ()
    reasons: Mapping[Component, str] = field(default_factory=dict)
    clock_offset_s: float | None = None  # of a power log, if there is one


NO_METERS = Meters()


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
    models = [find_subject(key) for key in config.models]
    subjects = [
        replace(model, runtime=runtime, precision=precision)
        for runtime, precision in ways(config)
        for model in models
    ]
    before, gpu = snapshot(), GpuWatch(config.device)
    environment = describe_environment(
        data=_describe(data), allocator=allocator, device=config.device
    )
    fingerprint = _fingerprint(config, subjects, environment, meters)
    journal = Journal(journal_path, fingerprint, environment)
    images = data["test"].images if data else _random_images(TEST_IMAGES)
    loaded: dict[str, Loaded] = {}  # kept over the rounds: exporting takes seconds
    yardstick = load_yardstick(config.device, environment.threads)

    def load(item: Subject) -> Loaded:
        if item.journal_key not in loaded:
            loaded[item.journal_key] = load_subject(item, config.device, environment.threads, data)
        return loaded[item.journal_key]

    steps = [(s, "size and accuracy", None) for s in subjects]
    for number in range(config.rounds):
        order = random.Random(f"{config.seed} {number}").sample(subjects, len(subjects))
        steps += [(s, f"speed, round {number + 1} of {config.rounds}", number) for s in order]

    for done, (item, text, number) in enumerate(steps):
        on_step(f"{item.name}, {item.way}: {text}", done, len(steps))
        pieces = journal.pieces.get(item.journal_key, Pieces())
        if pieces.error or (pieces.scored if number is None else len(pieces.rounds) > number):
            continue
        try:
            run = load(item)
            if number is None:
                pieces = size_subject(
                    item,
                    run,
                    images,
                    device=config.device,
                    batch_size=config.batch_size,
                    decode=data is not None,
                )
                eager = journal.pieces.get(replace(item, runtime=EAGER).journal_key)
                pieces = score_subject(item, run, pieces, data, test_log, eager)
            else:
                new = visit_subject(
                    run,
                    yardstick,
                    images,
                    device=config.device,
                    passes=config.passes,
                    batch_size=config.batch_size,
                    warmup=config.warmup,
                )
                pieces = msgspec.structs.replace(pieces, rounds=(*pieces.rounds, new))
        except Exception as error:  # one model's failure must not lose the others
            text = f"{type(error).__name__}: {error}"
            pieces = msgspec.structs.replace(pieces, error=text)
        journal.record(item.journal_key, pieces)
        gpu.look()

    ticks: dict[str, float] = {}
    if config.energy and meters.meters:
        ticks = measure_energy(
            subjects,
            list(dict.fromkeys((config.batch_size, *config.energy.batch_sizes))),
            config.energy,
            meters.meters,
            load=load,
            images=images,
            device=config.device,
            seed=config.seed,
            journal=journal,
            on_step=on_step,
            on_block=gpu.look,
        )

    key = environment_id(journal.environment)
    entries = tuple(
        _entry(
            item,
            journal.pieces[item.journal_key],
            key,
            journal.environment,
            config,
            len(images),
            meters,
            ticks,
        )
        for item in subjects
    )
    # An interrupted run is judged by its last part; the spread is that of all its rounds.
    visits = [pieces.rounds for pieces in journal.pieces.values()]
    noise = verdict(
        before,
        snapshot(),
        [[r.single_s for r in rounds] for rounds in visits],
        [[r.yardstick_single_s for r in rounds] for rounds in visits],
        gpu.noise(),
    )
    environment = msgspec.structs.replace(journal.environment, noise=noise, yardstick=DESCRIPTION)
    cards = {m.sha256: public_card(m.card) for m in models if m.sha256 and m.card}
    return Results(environments={key: environment}, entries=entries, cards=cards), journal


def ways(config: BenchConfig) -> list[tuple[str, str]]:
    """Each pair of runtime and precision to measure, eager float32 first.

    Raises ValueError for a runtime that is unknown, cannot be used here, or has none of the
    precisions.
    """
    pairs = []
    for name in config.runtimes:
        known = RUNTIMES[name].precisions if name in RUNTIMES else ()
        chosen = [p for p in config.precisions if p in known] or config.precisions[:1]
        for precision in chosen:
            find_runtime(name, precision, config.device)
            pairs.append((name, precision))
    return sorted(dict.fromkeys(pairs), key=lambda pair: pair != (EAGER, FULL))


def _entry(
    item: Subject,
    pieces: Pieces,
    environment_key: str,
    environment: Environment,
    config: BenchConfig,
    images: int,
    meters: Meters,
    ticks: Mapping[str, float],
) -> Entry:
    """Put the pieces of one model together."""
    arch = architecture(item.name)
    total = median(r.total_s for r in pieces.rounds) if pieces.rounds else None
    per_image = None if total is None else total / images
    model_s = median(r.model_s for r in pieces.rounds) if pieces.rounds else None
    decoded = None if total is None or pieces.decoding_s is None else total + pieces.decoding_s
    energy, energy_other = _energies(pieces, config, meters, ticks, per_image, environment.threads)
    beside_single = [r.yardstick_single_s for r in pieces.rounds]
    beside_batch = [r.yardstick_batch_s for r in pieces.rounds]
    blocks = (
        (1, "wall", [r.single_s for r in pieces.rounds], beside_single),
        (config.batch_size, "wall", [r.batch_s for r in pieces.rounds], beside_batch),
        (1, "cuda events", [r.events_s for r in pieces.rounds], beside_single),
    )
    return Entry(
        id=f"{environment_key}/{item.name}/{(item.sha256 or 'random')[:8]}/{item.way}",
        environment=environment_key,
        model=item.name,
        family=arch.family,
        device=config.device,
        runtime=item.runtime,
        precision=item.precision,
        output_stride=arch.output_stride,
        weights=item.sha256,
        recipe=item.card.recipe if item.card else None,
        seed=item.card.seed if item.card else None,
        params=pieces.params,
        macs=pieces.macs,
        flops=pieces.macs and 2 * pieces.macs,
        work=pieces.work,
        runtime_version=version(RUNTIMES[item.runtime].package),
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
        energy_other=energy_other,
        carbon=carbon_of(energy, config.intensity, config.pue),
        error=pieces.error,
    )


def _energies(
    pieces: Pieces,
    config: BenchConfig,
    meters: Meters,
    ticks: Mapping[str, float],
    per_image_s: float | None,
    threads: int,
) -> tuple[Energy, tuple[Energy, ...]]:
    """Energy at the benchmark's batch size, and at others.

    Without a meter that told it all, that of a CPU run is modelled and that of another unknown.
    """
    plan = config.energy or EnergyPlan()
    found = {
        size: energy_of_blocks(
            [with_deferred(block, meters.meters) for block in blocks],
            plan,
            batch_size=size,
            ticks=ticks,
            reasons=meters.reasons,
            clock_offset_s=meters.clock_offset_s,
            simulated=any(meter.simulated for meter in meters.meters),
        )
        for size, blocks in pieces.energy.items()
    }
    main = found.pop(config.batch_size, None) or unmeasured_energy(meters.reasons)
    if main.gross is None and config.device == "cpu":
        modelled = model_cpu_energy(
            per_image_s,
            threads,
            config.cpu_model.watts_per_thread,
            source=config.cpu_model.source,
            batch_size=config.batch_size,
        )
        main = modelled_instead(main, modelled)
    return main, tuple(found.values())


def _fingerprint(
    config: BenchConfig, subjects: list[Subject], environment: Environment, meters: Meters
) -> str:
    """Equal for runs that may be continued by one another."""
    what = {**asdict(config), "intensity": config.intensity.g_co2e_per_kwh}
    what["meters"] = [meter.source for meter in meters.meters]
    weights = [(s.sha256, s.way, version(RUNTIMES[s.runtime].package)) for s in subjects]
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
