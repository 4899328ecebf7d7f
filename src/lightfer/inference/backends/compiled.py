"""torch.compile: the whole net as generated code, one version per batch size, no graph break."""

import os
import shutil
from typing import TYPE_CHECKING

from lightfer.inference.backends.eager import in_precision
from lightfer.inference.backends.protocol import Loaded, Runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_VERSIONS = 256


def available() -> str | None:
    """A C++ compiler is all that it needs beside torch."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) or shutil.which("clang++"):
        return None
    return f"torch.compile needs a C++ compiler, and neither {compiler} nor clang++ is there"


def load(
    model: "nn.Module",
    shape: tuple[int, ...],
    *,
    threads: int,
    precision: str,
    calibration: "Tensor | None" = None,
) -> Loaded:
    """Compile with inductor for inputs of `shape`; the code is made for that number of threads."""
    import torch
    from torch._dynamo import config

    torch.set_num_threads(threads)
    # Counted per class, not per net: every net, precision and batch size of a class is one.
    config.recompile_limit = MOST_VERSIONS
    model, dtype, settings = in_precision(model, precision)
    device = next(model.parameters()).device
    compiled = torch.compile(model, backend="inductor", fullgraph=True, dynamic=False)

    def run(x: "Tensor") -> "Tensor":
        return compiled(x.to(device, dtype)).float()

    with torch.inference_mode():
        run(torch.zeros(shape).to(memory_format=torch.channels_last))
    return Loaded(run, {**settings, "backend": "inductor"})


RUNTIME = Runtime(
    name="compile",
    precisions=("float32", "bfloat16"),
    devices=("cpu", "cuda"),
    package="torch",
    available=available,
    load=load,
)
