"""Time of the shift beside a depthwise 3x3 and a 1x1 convolution, alone and in a block.

    python benchmarks/shift.py --out out/shift

Prints a table and writes it as Markdown and JSON. Measured: one forward pass without gradients in
float32, memory format as named ("last": channels last), output allocated by the pass; the process
is set as `lightfer bench` sets it. Each round visits every implementation once, for a block of
warmed passes, so that a slow moment of the machine meets all of them; the figure is the median over
rounds of the time per pass. Ratios are medians of the rounds' ratios.

"best depthwise" is the faster of NCHW and channels last, with learned weights; the block is BN,
ReLU, 1x1, shift, BN, ReLU, 1x1, added to its input. "folded" is the block with a depthwise whose
batch norm is folded into its weights, which a shift cannot have, as it has no weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightfer.models.shift import Shift, shift_convolution, shift_copy
from lightfer.models.shiftnet import ConvShiftConv

SHAPES = ((64, 24), (256, 12))  # channels, side
BATCHES, THREADS = (1, 64), (1, 2)
FORMATS = {"NCHW": torch.contiguous_format, "last": torch.channels_last}


@dataclass(frozen=True)
class Row:
    """Seconds per pass of one implementation, one number per round."""

    threads: int
    batch: int
    channels: int
    side: int
    implementation: str
    samples_s: tuple[float, ...]


class Depthwise(nn.Module):
    """A learned depthwise 3x3 in the place of a shift."""

    def __init__(self, channels: int, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.folded = fuse_conv_bn_eval(self.conv.eval(), norm) if norm else None

    def norm_relu(self, x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        return torch.relu(self.folded(x) if self.folded else norm(self.conv(x)))


def implementations(batch: int, channels: int, side: int) -> dict[str, Callable[[], object]]:
    """Each implementation as a call without arguments on its own input."""
    calls: dict[str, Callable[[], object]] = {}
    torch.manual_seed(0)
    depthwise, pointwise = torch.randn(channels, 1, 3, 3), torch.randn(channels, channels, 1, 1)
    shift = Shift(channels, 3)
    block = ConvShiftConv(channels, channels, 3, expansion=1, stride=1).eval()
    blocks = {"block shift": block, "block depthwise": None, "block folded": None}
    for name, norm in (("block depthwise", None), ("block folded", block.bn2)):
        blocks[name] = ConvShiftConv(channels, channels, 3, expansion=1, stride=1).eval()
        blocks[name].shift = Depthwise(channels, norm)
    for name, memory_format in FORMATS.items():
        x = torch.randn(batch, channels, side, side).to(memory_format=memory_format)
        d, p = (w.to(memory_format=memory_format) for w in (depthwise, pointwise))
        w = shift.weight.to(memory_format=memory_format)
        calls |= {
            f"copy {name}": lambda x=x: x.clone(),
            f"shift in use {name}": lambda x=x: shift(x),
            f"shift_copy {name}": lambda x=x: shift_copy(x, 3, 1),
            f"shift_convolution {name}": lambda x=x, w=w: shift_convolution(x, w),
            f"depthwise {name}": lambda x=x, d=d: conv2d(x, d, padding=1, groups=channels),
            f"pointwise {name}": lambda x=x, p=p: conv2d(x, p),
        }
        for key, net in blocks.items():
            net = _copy(net).to(memory_format=memory_format)
            calls[f"{key} {name}"] = lambda net=net, x=x: net(x)
    return calls


def measure(calls: dict[str, Callable[[], object]], rounds: int, passes: int, seconds: float):
    """Samples per implementation: blocks of `passes` or more, until `seconds` are filled."""
    counts = {}
    for name, call in calls.items():
        start = perf_counter()
        for _ in range(10):
            call()
        counts[name] = max(passes, int(seconds * 10 / (perf_counter() - start)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(max(3, counts[name] // 10)):
                call()
            start = perf_counter()
            for _ in range(counts[name]):
                call()
            samples[name].append((perf_counter() - start) / counts[name])
    return samples


def _copy(net: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(net)
