"""The main flow: for every model, accuracy once, speed in several rounds, and one entry.

    data -> accuracy of each model -> round 1, 2, 3 over all models -> entries -> results.json

A model in another runtime or precision is a subject of its own, with an entry of its own. Rounds
visit the subjects in random order, each for a block of warmed passes: changing at every pass would
halve a runtime's speed. A float32 runtime whose logits agree with eager PyTorch's takes over its
accuracy, and says so; any other is scored itself.

Each piece goes to a journal as soon as it is measured, so an interrupted run continues where it
was; a model that fails becomes an entry with its error, and the others go on.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import torch
from torch import Tensor, nn

from lightfer.checkpoint import Card, load_checkpoint
from lightfer.data.augment import normalize
from lightfer.data.dataset import IMAGE_SIZE, Dataset
from lightfer.data.ferplus import votes_beside
from lightfer.evaluate import score_test
from lightfer.files import sha256_of
from lightfer.journal import Journal, Pieces, Round
from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    TEST_IMAGES,
    WATTS_PER_THREAD,
    model_cpu_energy,
    unmeasured_energy,
)
from lightfer.measure.environment import describe_environment, environment_id
from lightfer.measure.latency import (
    time_decoding,
    time_images,
    time_passes,
    time_passes_by_events,
)
from lightfer.measure.operations import Operations, count_operations
from lightfer.results import Data, Entry, Environment, GridIntensity, Latency, Results, Work
from lightfer.runtimes import RUNTIMES, Loaded, find_runtime
from lightfer.zoo import architecture, create_model, shipped

EAGER, FULL = "pytorch", "float32"
AGREES = 1e-4  # largest difference of a logit by which a float32 runtime is the same net
INPUT_SHAPE = (1, 1, IMAGE_SIZE, IMAGE_SIZE)


@dataclass(frozen=True)
class BenchConfig:
    """What is measured, and how thoroughly."""

    models: tuple[str, ...]  # names of the zoo, or paths of weight files
    runtimes: tuple[str, ...] = (EAGER,)
    precisions: tuple[str, ...] = (FULL,)  # each runtime is measured in those that it has
    device: str = "cpu"
    rounds: int = 3  # separate visits to each model
    passes: int = 50  # of batch size 1, per round
    warmup: int = 10  # passes before each block of timed ones
    batch_size: int = 64
    seed: int = 0  # of the order of the models in each round
    watts_per_thread: float = WATTS_PER_THREAD
    intensity: GridIntensity = WORLD

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("no model to measure: name at least one")
        if min(self.rounds, self.passes, self.batch_size) < 1:
            raise ValueError(
                f"rounds {self.rounds}, passes {self.passes} and batch_size {self.batch_size} "
                "must each be at least 1"
            )


@dataclass(frozen=True)
class Subject:
    """One model to measure, with its weights if it has any, in one runtime and precision."""

    key: str  # as it was asked for
    name: str
    path: Path | None = None
    sha256: str | None = None
    card: Card | None = None
    runtime: str = EAGER
    precision: str = FULL

    @property
    def way(self) -> str:
        """How it is computed, in one word."""
        return f"{self.runtime}-{self.precision}"

    @property
    def journal_key(self) -> str:
        return f"{self.key} {self.way}"

    def build(self, device: str) -> nn.Module:
        """The network in evaluation mode on `device`, channels last."""
        model = create_model(self.name, pretrained=self.path or False)
        model = model.to(device)
        return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def run_benchmark(
    config: BenchConfig,
    data: Dataset | None,
    *,
    allocator: str,
    journal_path: Path,
    test_log: Path,
    on_step: Callable[[str, int, int], None] = lambda text, done, of: None,
) -> tuple[Results, Journal]:
    """Measure every model; returns the results and the journal, to be removed once they are kept.

    Without `data` the accuracy is that of each card, marked `reference`. A journal left by an
    interrupted run of the same configuration, code, machine and data is continued.
    `on_step(text, done, of)` reports progress.

    Raises ValueError or CheckpointError for a model that does not exist and a runtime that cannot
    be used, before anything runs.
    """
    models = [find_subject(key) for key in config.models]
    subjects = [
        replace(model, runtime=runtime, precision=precision)
        for runtime, precision in ways(config)
        for model in models
    ]
    environment = describe_environment(
        data=_describe(data), allocator=allocator, device=config.device
    )
    journal = Journal(journal_path, _fingerprint(config, subjects, environment), environment)
    images = data["test"].images if data else _random_images(TEST_IMAGES)
    loaded: dict[str, Loaded] = {}  # kept over the rounds: exporting takes seconds

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
            if item.journal_key not in loaded:
                loaded[item.journal_key] = _load(item, config.device, environment.threads)
            run = loaded[item.journal_key]
            if number is None:
                pieces = _size(item, run, images, data, config)
                eager = journal.pieces.get(replace(item, runtime=EAGER).journal_key)
                pieces = _accuracy(item, run, pieces, data, test_log, eager)
            else:
                visit = _visit(run, images, config)
                pieces = msgspec.structs.replace(pieces, rounds=(*pieces.rounds, visit))
        except Exception as error:  # one model's failure must not lose the others
            text = f"{type(error).__name__}: {error}"
            pieces = msgspec.structs.replace(pieces, error=text)
        journal.record(item.journal_key, pieces)

    key = environment_id(journal.environment)
    entries = tuple(
        _entry(
            item, journal.pieces[item.journal_key], key, journal.environment, config, len(images)
        )
        for item in subjects
    )
    return Results(environments={key: journal.environment}, entries=entries), journal


def find_subject(key: str) -> Subject:
    """A name of the zoo, with its shipped weights if any, or the path of a weight file."""
    path = Path(key) if key.endswith(".safetensors") else shipped(architecture(key).name)
    if path is None:
        return Subject(key, key)
    _, card = load_checkpoint(path)
    return Subject(key, architecture(card.model).name, path, sha256_of(path), card)


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


def _load(item: Subject, device: str, threads: int) -> Loaded:
    runtime = find_runtime(item.runtime, item.precision, device)
    model = item.build(device)
    return runtime.load(model, INPUT_SHAPE, threads=threads, precision=item.precision)


@torch.inference_mode()
def _size(
    item: Subject, run: Loaded, images: Tensor, data: Dataset | None, config: BenchConfig
) -> Pieces:
    """Count operations, compare logits with eager PyTorch, time the decoding of the images."""
    model = item.build(config.device)
    counts = count_operations(model, INPUT_SHAPE)
    difference = None
    if item.way != f"{EAGER}-{FULL}":
        x = _prepare(images[: config.batch_size].to(config.device))
        difference = (run(x) - model(x)).abs().max().item()
    return Pieces(
        params=counts.params,
        macs=counts.macs,
        work=_work(counts),
        settings=run.settings,
        logit_difference=difference,
        decoding_s=None if data is None else time_decoding(images),
    )


def _accuracy(
    item: Subject,
    run: Loaded,
    pieces: Pieces,
    data: Dataset | None,
    test_log: Path,
    eager: Pieces | None,
) -> Pieces:
    """Score the test split if there is one and weights, else quote the card.

    `eager` is what was measured of the same model and precision in eager PyTorch. A card speaks of
    float32.
    """
    pieces = msgspec.structs.replace(pieces, scored=True)
    agrees = item.precision == FULL and (pieces.logit_difference or 0.0) <= AGREES
    if item.card is None or (data is None and not agrees):
        return pieces
    if data is None:
        reference = item.card.test and msgspec.structs.replace(item.card.test, source="reference")
        return msgspec.structs.replace(pieces, accuracy=reference)
    if item.runtime != EAGER and agrees and eager and eager.accuracy:
        return msgspec.structs.replace(
            pieces,
            accuracy=eager.accuracy,
            accuracy_other=eager.accuracy_other,
            accuracy_of=f"{EAGER}-{FULL}",
        )
    accuracy, other = score_test(
        run,
        data,
        model_name=item.name,
        weights_sha256=item.sha256,
        log=test_log,
        votes=votes_beside(data),
    )
    return msgspec.structs.replace(pieces, accuracy=accuracy, accuracy_other=other)


def _visit(run: Loaded, images: Tensor, config: BenchConfig) -> Round:
    """One visit: passes of a single image, then all images in batches."""
    images = images.to(config.device)
    single = _prepare(images[:1])
    options = {"passes": config.passes, "warmup": config.warmup}
    single_s = time_passes(run, single, **options)
    events_s = time_passes_by_events(run, single, **options) if images.is_cuda else []
    total_s, batch_s, model_s = time_images(
        run, images, _prepare, batch_size=config.batch_size, warmup=config.warmup
    )
    return Round(
        single_s=tuple(single_s),
        batch_s=tuple(batch_s),
        total_s=total_s,
        model_s=model_s,
        events_s=tuple(events_s),
    )


def _prepare(images: Tensor) -> Tensor:
    return normalize(images).contiguous(memory_format=torch.channels_last)


def _entry(
    item: Subject,
    pieces: Pieces,
    environment_key: str,
    environment: Environment,
    config: BenchConfig,
    images: int,
) -> Entry:
    """Put the pieces of one model together."""
    arch = architecture(item.name)
    total = median(r.total_s for r in pieces.rounds) if pieces.rounds else None
    per_image = None if total is None else total / images
    model_s = median(r.model_s for r in pieces.rounds) if pieces.rounds else None
    decoded = None if total is None or pieces.decoding_s is None else total + pieces.decoding_s
    energy = (
        model_cpu_energy(per_image, environment.threads, config.watts_per_thread)
        if config.device == "cpu"
        else unmeasured_energy()
    )
    blocks = (
        (1, "wall", [r.single_s for r in pieces.rounds]),
        (config.batch_size, "wall", [r.batch_s for r in pieces.rounds]),
        (1, "cuda events", [r.events_s for r in pieces.rounds]),
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
        logit_difference=pieces.logit_difference,
        accuracy=pieces.accuracy,
        accuracy_other=pieces.accuracy_other,
        accuracy_of=pieces.accuracy_of,
        latency=tuple(
            Latency.of(samples, batch_size, environment.threads, clock)
            for batch_size, clock, samples in blocks
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
        carbon=carbon_of(energy, config.intensity),
        error=pieces.error,
    )


def _fingerprint(config: BenchConfig, subjects: list[Subject], environment: Environment) -> str:
    """Equal for runs that may be continued by one another."""
    what = {**asdict(config), "intensity": config.intensity.g_co2e_per_kwh}
    weights = [(s.sha256, s.way, version(RUNTIMES[s.runtime].package)) for s in subjects]
    text = f"{what} {weights} {environment_id(environment)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _work(counts: Operations) -> Work:
    return Work(**{name: getattr(counts, name) for name in Work.__struct_fields__})


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
