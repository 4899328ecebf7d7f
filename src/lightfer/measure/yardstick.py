"""A fixed net that is timed beside every model, to tell a slower model from a slower machine.

A virtual machine has states: its two cores may be two threads of one physical core for a minute,
and then not. Every net is then 20 to 40 % slower, and no counter of the guest shows it. The time
of a model relative to the yardstick's, measured within the same second, hardly changes. It is kept
beside each round, so that `lightfer compare` can tell two runs apart by it; the times that are
printed are not divided by anything.

Timed: the lower quartile of a block of passes, in eager PyTorch with random weights whatever
runtime the model beside it uses, on the same device, with the same threads and batch size.
"""

from collections.abc import Callable
from statistics import quantiles

from torch import Tensor

from lightfer.measure.latency import time_passes

NET = "mobilenet_v2_x0_35"  # small operators of every kind, neither the fastest nor the slowest
DESCRIPTION = f"{NET}, random weights, PyTorch eager, float32, channels last"


def time_yardstick(run: Callable[[Tensor], object], x: Tensor, *, passes: int) -> float:
    """Seconds per pass of the yardstick on `x` (N, 1, H, W), which lies on its device."""
    samples = time_passes(run, x, passes=max(passes, 4), warmup=5)
    return quantiles(samples, n=4, method="inclusive")[0]
