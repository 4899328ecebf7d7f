"""The main flow: for every model, accuracy once, speed in several rounds, and one entry.

    data -> accuracy of each model -> round 1, 2, 3 over all models -> entries -> results.json

Each piece goes to a journal as soon as it is measured, so an interrupted run continues where it
was; a model that fails becomes an entry with its error, and the others go on.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from lightfer.measure.latency import time_images, time_passes
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.operations import count_operations
from lightfer.results import Data, Entry, Environment, GridIntensity, Latency, Results
from lightfer.zoo import architecture, create_model, shipped

RUNTIME, PRECISION = "pytorch", "float32"


@dataclass(frozen=True)
class BenchConfig:
    """What is measured, and how thoroughly."""

    models: tuple[str, ...]  # names of the zoo, or paths of weight files
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
    """One model to measure, with its weights if it has any."""

    key: str  # as it was asked for
    name: str
    path: Path | None = None
    sha256: str | None = None
    card: Card | None = None

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

    Raises ValueError or CheckpointError for a model that does not exist, before anything runs.
    """
    subjects = [find_subject(key) for key in config.models]
    before = snapshot()
    environment = describe_environment(
        data=_describe(data), allocator=allocator, device=config.device
    )
    journal = Journal(journal_path, _fingerprint(config, subjects, environment), environment)
    images = data["test"].images if data else _random_images(TEST_IMAGES)

    steps = [(s, "size and accuracy", None) for s in subjects]
    for number in range(config.rounds):
        order = random.Random(f"{config.seed} {number}").sample(subjects, len(subjects))
        steps += [(s, f"speed, round {number + 1} of {config.rounds}", number) for s in order]

    for done, (item, text, number) in enumerate(steps):
        on_step(f"{item.name}: {text}", done, len(steps))
        pieces = journal.pieces.get(item.key, Pieces())
        if pieces.error or (pieces.scored if number is None else len(pieces.rounds) > number):
            continue
        try:
            if number is None:
                pieces = _size_and_accuracy(item, data, config.device, test_log)
            else:
                visit = _visit(item, images, config)
                pieces = msgspec.structs.replace(pieces, rounds=(*pieces.rounds, visit))
        except Exception as error:  # one model's failure must not lose the others
            text = f"{type(error).__name__}: {error}"
            pieces = msgspec.structs.replace(pieces, error=text)
        journal.record(item.key, pieces)

    key = environment_id(journal.environment)
    entries = tuple(
        _entry(item, journal.pieces[item.key], key, journal.environment, config, len(images))
        for item in subjects
    )
    # An interrupted run is judged by its last part; the spread is that of all its rounds.
    rounds = [[r.single_s for r in pieces.rounds] for pieces in journal.pieces.values()]
    noise = verdict(before, snapshot(), rounds)
    environment = msgspec.structs.replace(journal.environment, noise=noise)
    return Results(environments={key: environment}, entries=entries), journal


def find_subject(key: str) -> Subject:
    """A name of the zoo, with its shipped weights if any, or the path of a weight file."""
    path = Path(key) if key.endswith(".safetensors") else shipped(architecture(key).name)
    if path is None:
        return Subject(key, key)
    _, card = load_checkpoint(path)
    return Subject(key, architecture(card.model).name, path, sha256_of(path), card)


def _size_and_accuracy(item: Subject, data: Dataset | None, device: str, test_log: Path) -> Pieces:
    """Count operations; score the test split if there is one and weights, else quote the card."""
    model = item.build(device)
    size = count_operations(model, (1, 1, IMAGE_SIZE, IMAGE_SIZE))
    pieces = Pieces(params=size.params, macs=size.macs, scored=True)
    if item.card is None:
        return pieces
    if data is None:
        reference = item.card.test and msgspec.structs.replace(item.card.test, source="reference")
        return msgspec.structs.replace(pieces, accuracy=reference)
    accuracy, other = score_test(
        model,
        data,
        model_name=item.name,
        weights_sha256=item.sha256,
        log=test_log,
        votes=votes_beside(data),
    )
    return msgspec.structs.replace(pieces, accuracy=accuracy, accuracy_other=other)


def _visit(item: Subject, images: Tensor, config: BenchConfig) -> Round:
    """One visit: passes of a single image, then all images in batches."""
    model = item.build(config.device)
    images = images.to(config.device)
    single = time_passes(model, _prepare(images[:1]), passes=config.passes, warmup=config.warmup)
    total, batches = time_images(
        model, images, _prepare, batch_size=config.batch_size, warmup=config.warmup
    )
    return Round(single_s=tuple(single), batch_s=tuple(batches), total_s=total)


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
    energy = (
        model_cpu_energy(per_image, environment.threads, config.watts_per_thread)
        if config.device == "cpu"
        else unmeasured_energy()
    )
    blocks = [(1, [r.single_s for r in pieces.rounds])]
    blocks.append((config.batch_size, [r.batch_s for r in pieces.rounds]))
    return Entry(
        id=f"{environment_key}/{item.name}/{(item.sha256 or 'random')[:8]}/{RUNTIME}-{PRECISION}",
        environment=environment_key,
        model=item.name,
        family=arch.family,
        device=config.device,
        runtime=RUNTIME,
        precision=PRECISION,
        output_stride=arch.output_stride,
        weights=item.sha256,
        recipe=item.card.recipe if item.card else None,
        seed=item.card.seed if item.card else None,
        params=pieces.params,
        macs=pieces.macs,
        flops=pieces.macs and 2 * pieces.macs,
        accuracy=pieces.accuracy,
        accuracy_other=pieces.accuracy_other,
        latency=tuple(
            Latency.of(samples, batch_size, environment.threads)
            for batch_size, samples in blocks
            if any(samples)
        ),
        inference_total_s=total,
        inference_per_image_s=per_image,
        inference_images=images,
        inference_batch_size=config.batch_size,
        energy=energy,
        carbon=carbon_of(energy, config.intensity),
        error=pieces.error,
    )


def _fingerprint(config: BenchConfig, subjects: list[Subject], environment: Environment) -> str:
    """Equal for runs that may be continued by one another."""
    what = {**asdict(config), "intensity": config.intensity.g_co2e_per_kwh}
    weights = [s.sha256 for s in subjects]
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
