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
from importlib.util import find_spec
from pathlib import Path

from lightfer.errors import ArgumentError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_OF_THREADS = ("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_")
_asked_for: int | None = None  # threads
CPUINFO = Path("/proc/cpuinfo")


def torch_installed() -> bool:
    """Whether there is PyTorch; without it `lightfer bench` measures shipped nets, on arrays."""
    return find_spec("torch") is not None


def tune_process(threads: int | None = None, device: str = "cpu") -> str:
    """Keep freed memory, flush subnormal numbers, and use `threads` threads (None: all cores).

    A GPU that is named by its number is PyTorch's from now on, where no other is named. Returns the
    state of the allocator, for the records. Raises ValueError if `device` is not there.
    """
    global _asked_for
    _check_device(device)
    _asked_for = threads
    if torch_installed():
        import torch

        torch.set_flush_denormal(True)
        if threads:
            torch.set_num_threads(threads)
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)
    return _tune_allocator()


def without_tf32(device: str) -> dict[str, str]:
    """On a GPU nets in float32 compute in that from now on: PyTorch's convolutions there take TF32
    unasked, with ten bits of a fraction. Returns what the records say of it.
    """
    if not device.startswith("cuda"):
        return {}
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return {"tf32": "off"}


def computes_bfloat16(device: str = "cpu") -> bool:
    """Whether PyTorch computes in bfloat16 there at a speed worth it: on an x86 processor without
    AVX-512 it takes many times as long as float32. Without PyTorch: whether there is AVX-512.
    """
    if not torch_installed():
        return CPUINFO.exists() and " avx512f" in CPUINFO.read_text(errors="replace")
    import torch

    if not device.startswith("cpu"):
        return True
    return torch.backends.mkldnn.is_available() and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def device_name(device: str) -> str:
    """A GPU's own name; another device is called as it is given."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def threads_used() -> int:
    """How many threads nets are computed with: PyTorch's, else what `tune_process` was given."""
    if torch_installed():
        import torch

        return torch.get_num_threads()
    return _asked_for or usable_cores()


def usable_cores() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def look_no_more() -> None:
    """Collect garbage; what is left is not looked through again before the end of `looked_once`. Of
    what exporters leave that is half a second's work.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def looked_once() -> Iterator[None]:
    """The time in which what `look_no_more` has looked through is left alone."""
    try:
        yield
    finally:
        gc.unfreeze()


def pinning() -> str:
    """Which cores the threads may use; this package binds none to a core."""
    if not hasattr(os, "sched_getaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    return f"not pinned, cores {', '.join(map(str, cores))} of {os.cpu_count()}"


def thread_variables() -> dict[str, str]:
    """What the environment tells the libraries that compute about threads, cores and kernels."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_OF_THREADS)}


def reset_peak_memory(device: str) -> None:
    """From now on the peaks count; the process's own only where Linux allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> tuple[int | None, int | None]:
    """The most bytes that this process held, and that PyTorch held on a GPU; None is unknown."""
    of_process = None
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        of_process = int(found[1]) * 1024 if found else None
    if not device.startswith("cuda"):
        return of_process, None
    import torch

    return of_process, torch.cuda.max_memory_allocated(device)


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
    usable = ["cpu"]
    if torch_installed():
        import torch

        if count := torch.cuda.device_count():
            usable += ["cuda", *(f"cuda:{i}" for i in range(count))]
        usable += ["mps"] * torch.backends.mps.is_available()
    if device not in usable:
        raise ArgumentError(
            f"device {device!r} is not available here; available: {', '.join(usable)}"
        )
