"""How long forward passes take.

Timed:      model(x), from the call to the moment the device has finished; `time_images` also times
            the whole way from uint8 faces in memory to logits.
Not timed:  reading and decoding files, copies to the device, the passes of the warm-up.
Held fixed: evaluation mode, the number of threads, channels_last, no gradients.

Every pass is kept. A shared machine's noise is one-sided, a pass can be arbitrarily slow but not
arbitrarily fast, so the median is what is quoted, and a model is visited in several separate
rounds, each of many passes, because a machine's speed drifts over seconds.
"""

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor, nn


@torch.inference_mode()
def time_passes(model: nn.Module, x: Tensor, *, passes: int, warmup: int) -> list[float]:
    """Seconds of each of `passes` forward passes on `x`, which lies on the model's device."""
    model.eval()
    for _ in range(warmup):
        model(x)
    return [_timed(model, x) for _ in range(passes)]


@torch.inference_mode()
def time_images(
    model: nn.Module,
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    *,
    batch_size: int,
    warmup: int,
) -> tuple[float, list[float]]:
    """Classify uint8 `images` (N, 1, H, W), which lie on the model's device, batch by batch.

    Returns the seconds for all of them, `prepare` (uint8 to network input) included, and the
    seconds of `model(x)` alone for each full batch.
    """
    model.eval()
    batches = images.split(batch_size)
    for _ in range(warmup):
        model(prepare(batches[0]))
    passes = []
    _wait(images.device)
    start = perf_counter()
    for batch in batches:
        seconds = _timed(model, prepare(batch))
        if len(batch) == batch_size:
            passes.append(seconds)
    return perf_counter() - start, passes


def _timed(model: nn.Module, x: Tensor) -> float:
    _wait(x.device)
    start = perf_counter()
    model(x)
    _wait(x.device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    """Block until queued kernels are done; a CPU has no queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
