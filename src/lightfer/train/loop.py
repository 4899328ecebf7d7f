"""Train one network on one data set, resumable, with the epoch chosen on validation.

Each epoch draws its random numbers from the run's seed and the epoch's number alone, and the state
after each epoch is saved whole, so a run that was stopped and continued gives the same weights as
one that was not (on the same kind of processor, with the same threads and versions).
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightfer.data.augment import augment, cut_mix, mix
from lightfer.data.dataset import Split, normalize
from lightfer.errors import ArgumentError
from lightfer.measure.energy import EpochMeter, Meter
from lightfer.measure.process import device_name
from lightfer.train.config import TrainConfig
from lightfer.train.initialise import set_dropout, unit_variance
from lightfer.train.layers import fast_layers
from lightfer.train.loss import Batch, Loss, label_loss
from lightfer.train.state import Epoch, RunState, TrainResult

OnBatch = Callable[[int, int, int], None]  # epoch, batches done, batches of the epoch
OnEpoch = Callable[[Epoch], None]

_INITIALISED_ON = 256  # images
_DROPOUT = 1 << 31  # added to an epoch's seed: not the numbers that augmentation draws


def train(
    model: nn.Module,
    train_split: Split,
    validation_split: Split,
    config: TrainConfig,
    run_dir: Path,
    *,
    loss: Loss | None = None,
    device: str = "cpu",
    meters: Sequence[Meter] = (),
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainResult:
    """Train `model` for `config.epochs`, writing state and history to `run_dir` after each one.

    A `run_dir` that holds the state of the same configuration is continued. `loss` is cross-entropy
    with the labels where None; a teacher's sees the very images that the network saw. `meters` are
    read around each epoch, and within a long one.
    `on_batch(epoch, done, of)` and `on_epoch(epoch)` report progress.

    Raises ValueError if `run_dir` holds another configuration's run, or the network cannot learn
    from batches of this size, DivergedError if a loss is not finite; the state of the epoch before
    it stays.
    """
    for name, split in (("train", train_split), ("validation", validation_split)):
        if not len(split):
            raise ArgumentError(f"no image of {name} is left: use fewer folds, or other data")
    model = model.to(device)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if config.dropout is not None:
        set_dropout(model, config.dropout)
    images, targets = train_split.images.to(device), train_split.targets.to(device)
    if (len(images) - 1) % config.batch_size == 0:
        _check_learns_from_one(model, images[:1], config)
    if config.initialise == "unit variance":
        unit_variance(model, normalize(images[:_INITIALISED_ON]))
    run = RunState(model, config, run_dir)
    validation = Split(validation_split.images.to(device), validation_split.labels.to(device))
    loss = loss or label_loss(targets, config)
    run.resume()
    meter, steps = EpochMeter(meters), -(-len(images) // config.batch_size)  # steps of an epoch
    while len(run.history) < config.epochs:
        wall, cpu = perf_counter(), process_time()
        meter.start()
        number = len(run.history) + 1
        with nullcontext() if config.compiled else fast_layers(model):
            train_loss = _train_epoch(run, number, images, loss, meter.tick, on_batch)
        run.take_counts()
        validation_loss, top1 = _validate(run.averaged, validation, meter.tick)
        epoch = Epoch(
            epoch=number,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_top1=top1,
            learning_rate=config.rate_at(number - 1 / steps),
            wall_s=perf_counter() - wall,
            cpu_s=process_time() - cpu,
            energy_j=meter.joules(),
            energy_lost=meter.lost,
            device=device_name(device),
        )
        run.finish(epoch)
        if on_epoch:
            on_epoch(epoch)
    return run.result()


def _check_learns_from_one(model: nn.Module, image: Tensor, config: TrainConfig) -> None:
    """Raises ArgumentError where a last batch of one image stops an epoch, as at a batch norm
    behind maps of one pixel: before the first epoch, not at its end.
    """
    try:
        with torch.no_grad():
            deepcopy(model).train()(normalize(image))
    except ValueError as error:
        raise ArgumentError(
            f"batches of {config.batch_size} leave one image for the last one, of which this "
            f"network cannot learn ({error}): choose another batch_size"
        ) from error


def _train_epoch(
    run: RunState,
    number: int,
    images: Tensor,
    loss: Loss,
    tick: Callable[[], None],
    on_batch: OnBatch | None,
) -> float:
    """One pass over the images in random order, with a tick after each batch; returns the mean
    loss.
    """
    config, device = run.config, images.device
    epoch_seed = config.seed * 100_003 + number
    torch.manual_seed(epoch_seed + _DROPOUT)
    generator = torch.Generator(device).manual_seed(epoch_seed)
    shares = np.random.default_rng(epoch_seed)
    order = torch.randperm(len(images), generator=generator, device=device)
    batches = order.split(config.batch_size)
    run.model.train()
    total = torch.zeros((), device=device)
    for i, indices in enumerate(batches):
        step = (number - 1) * len(batches) + i
        for group in run.optimizer.param_groups:
            group["lr"] = config.rate_at(step / len(batches))
        batch = _draw(images, indices, number, config, generator, shares)
        total += _step(run, batch, loss) * len(indices)
        run.average(step)
        tick()
        if on_batch:
            on_batch(number, i + 1, len(batches))
    return total.item() / len(images)


def _draw(
    images: Tensor,
    indices: Tensor,
    number: int,
    config: TrainConfig,
    generator: torch.Generator,
    shares: np.random.Generator,
) -> Batch:
    """The augmented view of some images of the train split.

    It depends on the configuration and the two generators alone, not on the network.
    """
    x = augment(images[indices], config.augmentation, generator)
    x = x.contiguous(memory_format=torch.channels_last)
    ways = [(way, alpha) for way, alpha in ((mix, config.mixup), (cut_mix, config.cutmix)) if alpha]
    if not ways:
        return Batch(indices, x, epoch=number)
    way, alpha = ways[shares.integers(len(ways))]
    mixed, partners, share = way(x, shares.beta(alpha, alpha), generator)
    return Batch(indices, mixed, indices[partners], share, number)


def _step(run: RunState, batch: Batch, loss: Loss) -> Tensor:
    """One step of the optimiser; returns the loss, detached."""
    config = run.config
    kind = batch.images.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=config.precision != "float32"):
        logits = run.network(batch.images)
    value = loss(logits.float(), batch)
    run.optimizer.zero_grad()
    value.backward()
    if config.clip_norm:
        nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    run.optimizer.step()
    return value.detach()


@torch.inference_mode()
def _validate(
    model: nn.Module, split: Split, tick: Callable[[], None], batch_size: int = 512
) -> tuple[float, float]:
    """Mean cross-entropy and top-1 accuracy."""
    loss = torch.zeros((), device=split.images.device)
    correct = torch.zeros((), device=split.images.device, dtype=torch.int64)
    for images, labels in zip(
        split.images.split(batch_size), split.labels.split(batch_size), strict=True
    ):
        logits = model(normalize(images).contiguous(memory_format=torch.channels_last))
        loss += cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
        tick()
    return loss.item() / len(split), correct.item() / len(split)
