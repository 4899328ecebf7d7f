"""The state of a training run: model, averaged model, optimiser, history, and their files.

One safetensors file holds all that decides the weights, the kept ones included, and is replaced
whole after every epoch: no other file can disagree with it. Nothing is pickled.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lightfer._files import atomic_path, check_input, read_json, write_text
from lightfer.errors import ArgumentError, LightferError
from lightfer.models.contract import check_header
from lightfer.train.config import TrainConfig


@dataclass(frozen=True)
class Epoch:
    """One line of the history. Losses are means per image; accuracy is of the averaged weights.

    `cpu_s` is processor time over all threads; `wall_s` goes on while a run is paused; `energy_j`
    is what meters told, by component, and `energy_lost` why one did not; `device` is where it was
    computed, if that is known.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_top1: float
    learning_rate: float
    wall_s: float
    cpu_s: float
    energy_j: dict[str, float] = field(default_factory=dict)
    energy_lost: dict[str, str] = field(default_factory=dict)
    device: str | None = None

    def told(self) -> dict[str, Any]:
        """Its fields as JSON has them, without what is unknown."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TrainResult:
    """The averaged weights of the kept epoch, that epoch, and the whole history."""

    weights: dict[str, Tensor]
    kept: Epoch
    history: tuple[Epoch, ...]


class DivergedError(LightferError):
    """A training has left the numbers; the message says when, what is kept, and what to do."""


class StateError(LightferError):
    """A run cannot be continued; the message says which, why, and what to do."""


class RunState:
    """Everything that a later process needs to continue as if nothing had happened."""

    def __init__(self, model: nn.Module, config: TrainConfig, run_dir: Path) -> None:
        self.model, self.config, self.run_dir = model, config, run_dir
        self.averaged = deepcopy(model).eval().requires_grad_(False)
        self.network = _compiled(model) if config.compiled else model  # what a step calls
        self.optimizer = _optimizer(model, config)
        self.history: list[Epoch] = []
        self._average_pairs = _floats(self.averaged), _floats(self.model)
        self._state_path = run_dir / "state.safetensors"
        self._best: dict[str, Tensor] = {}  # the kept weights, unless the last ones are kept

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Exponential moving average of weights and BatchNorm statistics, faster at the start."""
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        averaged, current = self._average_pairs
        torch._foreach_lerp_(averaged, current, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def take_counts(self) -> None:
        """What has no mean, as whole numbers and true or false, as it is after the epoch."""
        averaged = self.averaged.state_dict()
        for name, tensor in self.model.state_dict().items():
            if not tensor.is_floating_point():
                averaged[name].copy_(tensor)

    def kept(self) -> Epoch:
        """The first epoch of the highest validation accuracy, or the last one, as configured."""
        if self.config.keep == "final":
            return self.history[-1]
        return max(self.history, key=lambda e: e.validation_top1)

    def result(self) -> TrainResult:
        weights = self._best or _tensors(self.averaged)
        return TrainResult(
            {name: tensor.cpu() for name, tensor in weights.items()},
            self.kept(),
            tuple(self.history),
        )

    def finish(self, epoch: Epoch) -> None:
        """Add `epoch` to the history and save everything.

        Raises DivergedError, and leaves the files as they are, if its losses are not finite.
        """
        if not (isfinite(epoch.train_loss) and isfinite(epoch.validation_loss)):
            raise DivergedError(
                f"the training diverged in epoch {epoch.epoch}: its loss is {epoch.train_loss} on "
                f"train and {epoch.validation_loss} on validation, at a learning rate of "
                f"{epoch.learning_rate:.2g}. {self._last_good()}; train with a lower learning "
                "rate, in another folder"
            )
        self.history.append(epoch)
        if self.config.keep == "best" and self.kept() == epoch:
            self._best = _tensors(self.averaged)
        state = {f"model.{k}": v for k, v in _tensors(self.model).items()}
        state |= {f"averaged.{k}": v for k, v in _tensors(self.averaged).items()}
        state |= {f"kept.{k}": v for k, v in self._best.items()}
        for i, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state[parameter].items():
                state[f"optimizer.{i}.{key}"] = value.contiguous()
        _save(self._state_path, state, self._header())
        self._write_history()

    def _write_history(self) -> None:
        """As the state has it, if it is not there: a process may be killed between the two."""
        path = self.run_dir / "history.jsonl"
        text = "".join(json.dumps(e.told()) + "\n" for e in self.history)
        if not path.exists() or path.read_bytes() != text.encode():
            write_text(path, text)

    def resume(self) -> None:
        """Continue with what `run_dir` holds, if anything.

        Raises ArgumentError if that is a run with another configuration, StateError if it is
        damaged.
        """
        if self._state_path.exists():
            with _reading(self._state_path):
                self._resume()
            self._write_history()

    def _resume(self) -> None:
        header, state = _load(self._state_path)
        known, now = read_json(header["config"]), asdict(self.config)
        if _with_defaults(known) != now:
            raise ArgumentError(
                f"{self.run_dir} holds a run with another configuration ({known}, now {now}): "
                "continue with that one or choose another folder"
            )
        self.model.load_state_dict(_part(state, "model."))
        self.averaged.load_state_dict(_part(state, "averaged."))
        self._resume_optimizer(state)
        self.history = [Epoch(**e) for e in read_json(header["history"])]
        if self.config.keep == "best":
            beside = self.run_dir / "kept.safetensors"  # where lightfer 0.1 wrote them
            with _reading(beside):
                self._best = _part(state, "kept.") or _load(beside)[1]

    def _resume_optimizer(self, state: dict[str, Tensor]) -> None:
        """Through the optimiser itself, which knows on which device it needs what."""
        values: dict[int, dict[str, Tensor]] = {}
        for i, parameter in enumerate(self._parameters()):
            values[i] = {
                key: torch.empty_like(parameter).copy_(value)  # in the parameter's memory format
                if value.shape == parameter.shape
                else value
                for key, value in _part(state, f"optimizer.{i}.").items()
            }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": values, "param_groups": groups})

    def _last_good(self) -> str:
        if not self.history:
            return "No epoch before it was finished"
        return f"The state after epoch {self.history[-1].epoch} is kept in {self.run_dir}"

    def _parameters(self) -> Iterator[nn.Parameter]:
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _header(self) -> dict[str, str]:
        return {
            "config": json.dumps(asdict(self.config), sort_keys=True),
            "history": json.dumps([e.told() for e in self.history]),
        }


def _with_defaults(known: dict[str, Any]) -> dict[str, Any]:
    """A stored configuration, with the defaults of settings that lightfer 0.1 did not have."""
    augmentation = {"warp": 1.0, **known["augmentation"]}
    return {"cutmix": 0.0, "target": "distribution", **known, "augmentation": augmentation}


def _compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    on_gpu = next(model.parameters()).device.type == "cuda"
    return torch.compile(model, mode="reduce-overhead" if on_gpu else "default")


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """No decay on norms and biases, which are the parameters with one dimension."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.learning_rate, 0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, config.learning_rate, fused=fused)


def _floats(model: nn.Module) -> list[Tensor]:
    """Weights and BatchNorm statistics, once each where they have several names; loading a state
    later changes them in place.
    """
    tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
    return [*{tensor.data_ptr(): tensor for tensor in tensors}.values()]


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies: safetensors takes no two names of one tensor."""
    return {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _save(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={**header, "crc32": _checksum(tensors, header)})


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Raises ValueError where the checksum, which lightfer 0.1 did not write, is another."""
    check_input(path)
    with safe_open(path, framework="pt") as file:
        check_header(path)
        header: dict[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header.pop("crc32", None) not in (None, _checksum(tensors, header)):
        raise ValueError("its checksum is not that of its content")
    return header, tensors


def _checksum(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    found = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].cpu().contiguous().reshape(-1)
        found = zlib.crc32(values.view(torch.uint8).numpy().data, zlib.crc32(name.encode(), found))
    return f"{found:08x}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What is wrong with the content of `path` becomes a StateError."""
    try:
        yield
    except LightferError:
        raise
    except (
        *(SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError),
        *(RuntimeError, RecursionError),
    ) as error:
        raise StateError(
            f"{path} is damaged ({' '.join(str(error).split())}): train in another folder, or "
            "delete this one to begin anew"
        ) from error
