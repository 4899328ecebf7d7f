"""What a runtime is: a name, the precisions it can be set to, and a way to load a network.

Precision and threads are set, then read back where the runtime can say what it does; `settings` of
what was loaded holds the answers. Nothing is left to a default that depends on the machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from torch import Tensor, nn

Settings = dict[str, str | int]

PRECISIONS = ("float32", "bfloat16", "int8")
AGREES = 1e-4
"""Largest difference of a logit by which a float32 runtime computes the same net as PyTorch."""


@dataclass(frozen=True)
class Loaded:
    """A network ready to run: float32 (N, C, H, W) -> float32 logits (N, classes).

    Other batch sizes than the one it was loaded for are allowed; the first of a new size may take
    long, as some runtimes compile then.
    """

    run: Callable[[Tensor], Tensor]
    settings: Settings  # as the runtime states them
    deployed_bytes: int | None = None  # of the file(s) that the runtime needs instead of PyTorch
    load_s: float | None = None  # from the content of the file(s) to a net that is ready to run

    def __call__(self, x: Tensor) -> Tensor:
        return self.run(x)


class Load(Protocol):
    def __call__(
        self,
        model: nn.Module,
        shape: tuple[int, ...],
        *,
        threads: int,
        precision: str,
        calibration: Tensor | None = None,
    ) -> Loaded:
        """Load `model`, in evaluation mode, for inputs of `shape` (N, C, H, W).

        int8 needs `calibration`: prepared train images, float32 (M, C, H, W). The model itself is
        left as it is. Raises ValueError for a precision that the runtime does not have, and for
        int8 without images.
        """
        ...


@dataclass(frozen=True)
class Runtime:
    """One way to compute a network."""

    name: str
    precisions: tuple[str, ...]  # "float32", "bfloat16", "int8": of weights and activations
    devices: tuple[str, ...]
    package: str  # whose version is recorded
    available: Callable[[], str | None]  # the reason why it cannot be used here, or None
    load: Load


def missing(*packages: str, extra: str = "runtimes") -> str | None:
    """One sentence on the packages that are not installed and how to get them, or None."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return None
    return f'{", ".join(absent)} not installed: pip install "lightfer[{extra}]"'
