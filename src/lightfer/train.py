"""Train one network on one data set, resumable, with the epoch chosen on validation.

Each epoch draws its random numbers from the run's seed and the epoch's number alone, and the state
after each epoch is saved whole, so a run that was stopped and continued gives the same weights as
one that was not (on the same kind of processor, with the same threads and versions).

Random numbers, optimiser state and weights are stored as safetensors and JSON; nothing is pickled.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import cos, pi
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightfer.checkpoint import Card, InputContract, rounded, save_checkpoint, unrounded
from lightfer.data.augment import MEAN, STD, Augmentation, augment, normalize
from lightfer.data.dataset import CLASSES, Dataset, Split
from lightfer.data.folds import Fold, without_fold
from lightfer.evaluate import measure_accuracy, predict_logits
from lightfer.files import atomic_path, write_text
from lightfer.measure.environment import code_version

OnBatch = Callable[[int, int, int], None]  # epoch, batches done, batches of the epoch


class SoftLoss(Protocol):
    """What is learnt beside the labels; see `lightfer.distill`."""

    def __call__(self, logits: Tensor, label_loss: Tensor, index: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes), the mean loss against the labels, which train images (n,), their
        augmented views (n, 1, H, W) -> the mean loss.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """For the card; two runs with different descriptions are different runs."""
        ...


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights, beside the network and the data."""

    epochs: int = 36
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"  # sgd: Nesterov, momentum 0.9
    learning_rate: float = 4e-3  # at the end of the warm-up
    weight_decay: float = 0.05  # not on norms and biases
    warmup_epochs: float = 1.0
    schedule: Literal["cosine", "linear"] = "cosine"  # to zero
    clip_norm: float = 5.0  # of the gradient over all parameters
    label_smoothing: float = 0.1
    ema_decay: float = 0.998  # of the weights that are evaluated and kept
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs}, expected less than epochs, {self.epochs}"
            )


@dataclass(frozen=True)
class Epoch:
    """One line of the history. Losses are means per image; accuracy is of the averaged weights."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_top1: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """The averaged weights of the best epoch on validation, and the whole history."""

    weights: dict[str, Tensor]
    best: Epoch
    history: tuple[Epoch, ...]


def train(
    model: nn.Module,
    train_split: Split,
    validation_split: Split,
    config: TrainConfig,
    run_dir: Path,
    *,
    device: str = "cpu",
    soft: SoftLoss | None = None,
    on_batch: OnBatch | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainResult:
    """Train `model` for `config.epochs`, writing state and history to `run_dir` after each one.

    A `run_dir` that holds the state of the same configuration is continued. `on_batch(epoch, done,
    of)` and `on_epoch(epoch)` report progress.

    Raises ValueError if `run_dir` holds another configuration's run.
    """
    model = model.to(device)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    run = _Run(model, config, run_dir, soft)
    images, labels = train_split.images.to(device), train_split.labels.to(device)
    validation = Split(validation_split.images.to(device), validation_split.labels.to(device))
    run.resume()
    while len(run.history) < config.epochs:
        start = perf_counter()
        number = len(run.history) + 1
        train_loss = run.train_epoch(number, images, labels, on_batch)
        validation_loss, top1 = _validate(run.averaged, validation)
        epoch = Epoch(
            number, train_loss, validation_loss, top1, run.last_rate, perf_counter() - start
        )
        run.finish(epoch)
        if on_epoch:
            on_epoch(epoch)
    best = run.best()
    return TrainResult(load_file(run.best_path), best, tuple(run.history))


def train_to_file(
    name: str,
    model: nn.Module,
    data: Dataset,
    config: TrainConfig,
    run_dir: Path,
    *,
    recipe: str,
    device: str = "cpu",
    fold: Fold | None = None,
    soft: SoftLoss | None = None,
    on_batch: OnBatch | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Path, Card]:
    """Train, round, score the rounded weights on validation, and write `run_dir/NAME.safetensors`.

    With a `fold` the network does not see that part of the train split, and may later teach others
    about it. Raises ValueError if `run_dir` holds a run of another model, data or configuration.
    """
    splits = {split: data[split].sha256() for split in ("train", "validation")}
    if fold and soft:
        raise ValueError("a network of a fold cannot be a student: its teachers saw the fold")
    about = {"model": name, "recipe": recipe, "data": splits}
    about |= {"fold": str(fold) if fold else None, "distillation": soft and soft.describe()}
    about = _same_run(run_dir, about)
    result = train(
        model,
        without_fold(data["train"], fold) if fold else data["train"],
        data["validation"],
        config,
        run_dir,
        device=device,
        soft=soft,
        on_batch=on_batch,
        on_epoch=on_epoch,
    )
    model.load_state_dict(unrounded(rounded(result.weights)))
    validation = data["validation"]
    accuracy = measure_accuracy(
        predict_logits(model, validation.images),
        validation.labels,
        split="validation",
        label_source=data.name,
    )
    card = Card(
        model=name,
        classes=CLASSES,
        input=InputContract(mean=MEAN, std=STD),
        data_name=data.name,
        data_sha256=splits,
        trained_on="train",
        chosen_on="validation",
        recipe=recipe,
        config=asdict(config),
        seed=config.seed,
        epochs=config.epochs,
        epoch=result.best.epoch,
        training_s=sum(epoch.seconds for epoch in result.history),
        code=about["code"],
        fold=about["fold"],
        distillation=about["distillation"],
        validation=accuracy,
    )
    path = run_dir / f"{name}.safetensors"
    save_checkpoint(path, result.weights, card)
    return path, card


def _same_run(run_dir: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What `run_dir/run.json` says of the run, written now if it is new."""
    path = run_dir / "run.json"
    if not path.exists():
        about = {**about, "code": code_version()}
        write_text(path, json.dumps(about, indent=1) + "\n")
        return about
    known = json.loads(path.read_text(encoding="utf-8"))
    for key, value in about.items():
        if known.get(key) != value:
            raise ValueError(
                f"{run_dir} holds a run with {key} {known.get(key)}, now it is {value}: "
                "choose another folder"
            )
    return known


class _Run:
    """The state of a training: model, averaged model, optimiser, history, and their files."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, run_dir: Path, soft: SoftLoss | None
    ) -> None:
        self.model, self.config, self.soft = model, config, soft
        self.averaged = deepcopy(model).eval().requires_grad_(False)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        plain = [p for p in model.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        fused = next(model.parameters()).device.type in ("cpu", "cuda")
        self.optimizer = (
            torch.optim.SGD(groups, config.learning_rate, 0.9, nesterov=True, fused=fused)
            if config.optimizer == "sgd"
            else torch.optim.AdamW(groups, config.learning_rate, fused=fused)
        )
        self.average_pairs = _floats(self.averaged), _floats(self.model)
        self.history: list[Epoch] = []
        self.last_rate = 0.0
        self.run_dir = run_dir
        self.state_path = run_dir / "state.safetensors"
        self.best_path = run_dir / "best.safetensors"

    def train_epoch(
        self,
        number: int,
        images: Tensor,
        labels: Tensor,
        on_batch: OnBatch | None,
    ) -> float:
        """One pass over the images in random order; returns the mean loss."""
        config, device = self.config, images.device
        epoch_seed = config.seed * 100_003 + number
        torch.manual_seed(epoch_seed)  # dropout
        generator = torch.Generator(device).manual_seed(epoch_seed)
        order = torch.randperm(len(images), generator=generator, device=device)
        batches = order.split(config.batch_size)
        self.model.train()
        total = torch.zeros((), device=device)
        for i, batch in enumerate(batches):
            step = (number - 1) * len(batches) + i
            self._set_rate(step / len(batches))
            x = augment(images[batch], config.augmentation, generator)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision != "float32"):
                logits = self.model(x.contiguous(memory_format=torch.channels_last))
            loss = cross_entropy(
                logits.float(), labels[batch], label_smoothing=config.label_smoothing
            )
            if self.soft:
                loss = self.soft(logits.float(), loss, batch, x)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
            self.optimizer.step()
            self._average(step)
            total += loss.detach() * len(batch)
            if on_batch:
                on_batch(number, i + 1, len(batches))
        return total.item() / len(images)

    def _set_rate(self, epoch: float) -> None:
        """`epoch` counts from 0 and has a fraction."""
        config = self.config
        if epoch < config.warmup_epochs:
            factor = (epoch + 0.01) / config.warmup_epochs
        else:
            done = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
            factor = 1 - done if config.schedule == "linear" else (1 + cos(pi * done)) / 2
        self.last_rate = config.learning_rate * factor
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_rate

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Exponential moving average of weights and BatchNorm statistics, faster at the start."""
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        averaged, current = self.average_pairs
        torch._foreach_lerp_(averaged, current, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def finish(self, epoch: Epoch) -> None:
        """Add `epoch` to the history and save everything; the best weights first."""
        self.history.append(epoch)
        if self.best() == epoch:
            _save(self.best_path, _tensors(self.averaged), {})
        state = {f"model.{k}": v for k, v in _tensors(self.model).items()}
        state |= {f"averaged.{k}": v for k, v in _tensors(self.averaged).items()}
        for i, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state[parameter].items():
                state[f"optimizer.{i}.{key}"] = value.contiguous()
        _save(self.state_path, state, self._header())
        _write_history(self.run_dir / "history.jsonl", self.history)

    def resume(self) -> None:
        if not self.state_path.exists():
            return
        header, state = _load(self.state_path)
        if header["config"] != self._header()["config"]:
            raise ValueError(
                f"{self.run_dir} holds a run with another configuration "
                f"({header['config']}, now {self._header()['config']}): "
                "continue with that one or choose another folder"
            )
        self.model.load_state_dict(_part(state, "model."))
        self.averaged.load_state_dict(_part(state, "averaged."))
        for i, parameter in enumerate(self._parameters()):
            for key, value in _part(state, f"optimizer.{i}.").items():
                like = parameter if value.shape == parameter.shape else value
                self.optimizer.state[parameter][key] = torch.empty_like(like).copy_(value)
        self.history = [Epoch(**e) for e in json.loads(header["history"])]

    def best(self) -> Epoch:
        """The first epoch of the highest validation accuracy."""
        return max(self.history, key=lambda e: e.validation_top1)

    def _parameters(self) -> Iterator[nn.Parameter]:
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _header(self) -> dict[str, str]:
        return {
            "config": json.dumps(asdict(self.config), sort_keys=True),
            "history": json.dumps([asdict(e) for e in self.history]),
        }


@torch.inference_mode()
def _validate(model: nn.Module, split: Split, batch_size: int = 512) -> tuple[float, float]:
    """Mean cross-entropy and top-1 accuracy."""
    loss = correct = 0.0
    for images, labels in zip(
        split.images.split(batch_size), split.labels.split(batch_size), strict=True
    ):
        logits = model(normalize(images).contiguous(memory_format=torch.channels_last))
        loss += cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    return loss / len(split), correct / len(split)


def _floats(model: nn.Module) -> list[Tensor]:
    """Weights and BatchNorm statistics; loading a state later changes them in place."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _save(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _write_history(path: Path, history: list[Epoch]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(asdict(e)) + "\n" for e in history))
