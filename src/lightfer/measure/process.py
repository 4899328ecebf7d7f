"""Settings of the process that change CPU speed by up to five times, in one place.

Memory: glibc returns every block above 128 KiB to the system and pays for its pages again on the
next forward pass; with these settings it keeps them. Subnormal numbers: a product of two tiny
numbers can take a hundred cycles; flushed to zero it takes one. Both are recorded with the results.
"""

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from lightfer.errors import ArgumentError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def tune_process(threads: int | None = None, device: str = "cpu") -> str:
    """Keep freed memory, flush subnormal numbers, and use `threads` threads (None: all cores).

    Returns the state of the allocator, for the records. Raises ValueError if `device` is not
    there.
    """
    _check_device(device)
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    return _tune_allocator()


GARBAGE_COLLECTION = "off while passes are timed"


@contextmanager
def without_collection() -> Iterator[None]:
    """Python collects its garbage before, and not inside."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pinning() -> str:
    """Which cores the threads may use; this package binds none to a core."""
    if not hasattr(os, "sched_getaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    return f"not pinned, cores {', '.join(map(str, cores))} of {os.cpu_count()}"


def reset_peak_memory(device: str) -> None:
    """From now on the peaks count; the process's own only where Linux allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> tuple[int | None, int | None]:
    """The most bytes that this process held, and that PyTorch held on a GPU; None is unknown."""
    of_process = None
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        of_process = int(found[1]) * 1024 if found else None
    gpu = torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else None
    return of_process, gpu


def _tune_allocator() -> str:
    if not sys.platform.startswith("linux"):
        return "system default"
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return "system default"
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 200_000_000))
    tuned = all([libc.mallopt(name, value) for name, value in settings])
    return "glibc, memory kept" if tuned else "glibc default"


def _check_device(device: str) -> None:
    kind = device.partition(":")[0]
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(kind, False):
        usable = ", ".join(name for name, there in available.items() if there)
        raise ArgumentError(f"device {device!r} is not available here; available: {usable}")
