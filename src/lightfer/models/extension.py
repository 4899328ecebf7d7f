"""C extensions without headers of Python or torch, loaded through ctypes."""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch


class Extension(NamedTuple):
    """Its functions, and the address of `GOMP_parallel` in torch's library: torch's own threads."""

    functions: ctypes.CDLL
    parallel: int | None


def load_extension(module: str, name: str) -> Extension | None:
    """The extension `name` beside the file `module`; None where it was not built."""
    folder = Path(module).parent
    found = [*folder.glob(f"{name}*.so"), *folder.glob(f"{name}*.pyd")]
    try:
        functions = ctypes.CDLL(str(found[0]))
    except (IndexError, OSError):
        return None
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        parallel = ctypes.cast(torch_cpu.GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):  # not Linux, or not built with GNU OpenMP: one thread
        parallel = None
    return Extension(functions, parallel)
