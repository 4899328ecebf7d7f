"""What a runtime is: a name, the precisions it can be set to, and a way to load a network.

Precision and threads are set, then read back where the runtime can say what it does; `settings` of
what was loaded holds the answers. Nothing is left to a default that depends on the machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from lightfer.measure.process import torch_installed

if TYPE_CHECKING:
    from torch import Tensor, nn

Settings = dict[str, str | int]

PRECISIONS = ("float32", "bfloat16", "int8")
AGREES = 1e-4
"""Largest difference of a logit by which a float32 runtime computes the same net as PyTorch."""


@dataclass(frozen=True)
class Loaded:
    """A network ready to run: float32 (N, C, H, W) -> float32 logits (N, classes), both tensors, or
    NumPy arrays where it was opened without PyTorch.

    Other batch sizes than the one it was loaded for are allowed; the first of a new size may take
    long, as some runtimes compile then.
    """

    run: Callable[[Any], Any]
    settings: Settings  # as the runtime states them
    deployed_bytes: int | None = None  # of the file(s) that the runtime needs instead of PyTorch
    load_s: float | None = None  # from the content of the file(s) to a net that is ready to run
    reopen: "Callable[[], Loaded] | None" = None
    """The same again, at another place in memory, on which a percent of the time depends; None: it
    would take too long, or there is no way to. `lightfer bench` then states `opened: once`.
    """

    def __call__(self, x: Any) -> Any:
        return self.run(x)


def on_tensors(loaded: Loaded) -> Loaded:
    """The same network, given and giving tensors that lie where the arrays lie."""
    import torch

    def run(x: "Tensor") -> "Tensor":
        return torch.from_numpy(loaded.run(x.contiguous().numpy()))

    reopen = loaded.reopen
    return replace(loaded, run=run, reopen=reopen and (lambda: on_tensors(reopen())))


class Load(Protocol):
    def __call__(
        self,
        model: "nn.Module",
        shape: tuple[int, ...],
        *,
        threads: int,
        precision: str,
        calibration: "Tensor | None" = None,
    ) -> Loaded:
        """Load `model`, in evaluation mode, for inputs of `shape` (N, C, H, W).

        int8 needs `calibration`: prepared train images, float32 (M, C, H, W). The model itself is
        left as it is. Raises ValueError for a precision that the runtime does not have, and for
        int8 without images.
        """
        ...


class OpenOnnx(Protocol):
    def __call__(
        self, content: bytes, shape: tuple[int, ...], *, threads: int, precision: str
    ) -> Loaded:
        """Open an ONNX file's content, a float32 net for any batch size, on arrays."""
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
    open_onnx: OpenOnnx | None = None  # where it needs no PyTorch

    def unusable(self) -> str | None:
        """The reason why it cannot be used here, or None."""
        if self.open_onnx is None and not torch_installed():
            return "torch is not installed; onnxruntime and openvino do without it: give --runtime"
        return self.available()


def needed_for_export() -> tuple[str, ...]:
    """The packages with which PyTorch writes ONNX; without it nothing is exported."""
    return ("onnx", "onnxscript") if torch_installed() else ()


def missing(*packages: str, extra: str = "runtimes") -> str | None:
    """One sentence on the packages that are not installed and how to get them, or None."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return None
    return f'{", ".join(absent)} not installed: pip install "lightfer[{extra}]"'
