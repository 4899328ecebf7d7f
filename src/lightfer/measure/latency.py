"""How long forward passes take.

Timed:      run(x), from the call to the moment the device has finished; `time_images` also times
            the whole way from uint8 faces in memory to logits, `time_decoding` that from PNG files
            in memory to uint8 faces.
Not timed:  reading files, copies to the device, the passes of the warm-up.
Held fixed: evaluation mode, the number of threads, channels_last, no gradients.

Clocks: `wall` is the processor's clock, with the device synchronised before and after each pass, so
it holds the time to queue the kernels; `cuda events` is the GPU's clock between two marks in its
queue. Both are kept on CUDA, as a net of many small kernels differs by a factor between them.

Images rotate, as a cache that knows the one image flatters. Noise is one-sided, a pass can be
arbitrarily slow but not arbitrarily fast, so the median is what is quoted, and a model is visited
in several separate rounds, each of many passes, because a machine's speed drifts over seconds. Of
each round the passes of evenly spaced ranks are kept, and their number. A percentile is quoted only
where the sample supports it.
"""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

Images = Any  # a tensor, or, where there is no PyTorch, a NumPy array
Run = Callable[[Images], object]

STABLE = 0.05  # two groups of passes whose medians differ by less are warm
MAX_GROUPS = 20


@contextmanager
def without_gradients() -> Iterator[None]:
    """PyTorch's mode for inference, where PyTorch is in use."""
    torch = sys.modules.get("torch")
    with torch.inference_mode() if torch else nullcontext():
        yield


@without_gradients()
def time_passes(
    run: Run,
    x: Images | Iterator[Images],
    *,
    passes: int,
    warmup: int,
    seconds: float = 0.0,
    timed: Callable[[Run, Images], float] | None = None,
) -> list[float]:
    """Wall seconds of each call of `run`; a module is set to evaluation mode.

    On `x`, or on the inputs that it gives in turn, on the device: at least `passes` times, and
    until the passes have taken `seconds`. Warmed up as in `warm_up`, by groups of `warmup`. `timed`
    does one pass by another clock.
    """
    timed = timed or _timed
    inputs = x if isinstance(x, Iterator) else repeat(x)
    warm_up(run, next(inputs), group=warmup)
    taken: list[float] = []
    left = seconds
    while len(taken) < passes or left > 0:
        taken.append(timed(run, next(inputs)))
        left -= taken[-1]
    return taken


def time_passes_by_events(run: Run, x: Images | Iterator[Images], **effort: Any) -> list[float]:
    """As `time_passes`, each between two CUDA events; the inputs lie on a CUDA device."""
    return time_passes(run, x, **effort, timed=_timed_by_events)


@without_gradients()
def warm_up(run: Run, x: Images, *, group: int, max_groups: int = MAX_GROUPS) -> int:
    """Run groups of passes until two successive medians agree within `STABLE`; passes done.

    At least two groups, at most `max_groups`: a machine that is never steady must not stop the
    run. A group of none warms up nothing.
    """
    if eval_mode := getattr(run, "eval", None):
        eval_mode()
    if group < 1:
        return 0
    before = None
    for number in range(1, max_groups + 1):
        now = median(_timed(run, x) for _ in range(group))
        if before is not None and abs(now - before) <= STABLE * before:
            return number * group
        before = now
    return max_groups * group


@without_gradients()
def time_images(
    run: Run,
    images: Images,
    prepare: Callable[[Images], Images],
    *,
    batch_size: int,
) -> tuple[float, float]:
    """Classify uint8 `images` (N, 1, H, W), which lie on the device, batch by batch.

    Returns the seconds for all of them, `prepare` (uint8 to network input) included, and those of
    `run(x)` alone. Before, one pass of each size, as some runtimes compile for each.
    """
    if eval_mode := getattr(run, "eval", None):
        eval_mode()
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    for batch in (batches[0], batches[-1]):
        run(prepare(batch))
    inside = 0.0
    wait(images)
    start = perf_counter()
    for batch in batches:
        inside += _timed(run, prepare(batch))
    return perf_counter() - start, inside


def time_decoding(images: Images, repeats: int = 5) -> float:
    """Seconds to decode all `images`, uint8 (N, 1, H, W), from PNG files in memory, one by one.

    The median of `repeats`, after one that is not counted.
    """
    import torch
    from PIL import Image

    files = []
    for image in images.squeeze(1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        files.append(file)
    taken = []
    for _ in range(1 + repeats):
        start = perf_counter()
        for file in files:
            torch.from_numpy(np.array(Image.open(file)))
        taken.append(perf_counter() - start)
    return median(taken[1:])


def evenly_ranked(samples_s: Sequence[float], most: int) -> tuple[float, ...]:
    """Of more than `most` samples those of evenly spaced ranks, sorted; in whole nanoseconds, the
    clock's.
    """
    n = len(samples_s)
    kept = samples_s
    if n > most:
        ordered = sorted(samples_s)
        kept = [ordered[int((i + 0.5) * n / most)] for i in range(most)]
    return tuple(round(s, 9) for s in kept)


def percentile(samples_s: Sequence[float], p: float) -> float | None:
    """The `p`-quantile (0 < p < 1) of the samples, or None if there are too few to know it.

    At least ten samples must lie beyond it: n >= 10 / (1 - p), so 100 samples for 0.9 and 1,000
    for 0.99. Linear between the two nearest order statistics. Raises ValueError for other `p`.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}, expected a number between 0 and 1")
    if len(samples_s) * (1 - p) < 10 - 1e-9:
        return None
    return float(np.quantile(samples_s, p))


def _timed(run: Run, x: Images) -> float:
    wait(x)
    start = perf_counter()
    run(x)
    wait(x)
    return perf_counter() - start


def _timed_by_events(run: Run, x: Images) -> float:
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run(x)
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def wait(x: Images) -> None:
    """Block until the kernels are done that are queued where `x` lies; a CPU has no queue."""
    device = getattr(x, "device", None)
    kind = getattr(device, "type", "cpu")
    if kind == "cuda":
        sys.modules["torch"].cuda.synchronize(device)
    elif kind == "mps":
        sys.modules["torch"].mps.synchronize()
