"""Import torchvision's Python models beside a CPU build of torch.

PyPI's torchvision is built for CUDA torch. Beside a CPU build its compiled operators do not load,
and `import torchvision` stops at `torchvision::nms`, for which it registers a fake kernel. The
models are pure Python and need none of these operators, so declaring the two missing schemas is
enough: calling them still fails, but no model does. Where the operators load, nothing is declared.
"""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a Library takes its schemas with it when collected


def import_torchvision(module: str = "torchvision") -> ModuleType:
    """Return torchvision, or one of its modules, whichever build of torch is installed."""
    if not _declared and not _operators_load():
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
    return importlib.import_module(module)


def _operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "torchvision is not installed; install it: pip install torchvision"
        )
    try:
        for library in Path(spec.origin).parent.glob("_C*"):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")
