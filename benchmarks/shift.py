"""Time of the shift beside a depthwise 3x3 and a 1x1 convolution, alone and in a block.

    python benchmarks/shift.py --out out/shift

Writes out/shift.json (every sample) and out/shift.md (the tables that are printed). Takes about a
minute on two idle cores.

Measured: one forward pass without gradients in float32 (forward and backward pass where a row says
"training"), output allocated by the pass, in NCHW and
channels last ("last"); the process is set as `lightfer bench` sets it. Each round visits every
implementation once, for a block of warmed passes, so that a slow moment of the machine meets all of
them alike. A figure is the median over the rounds of the time per pass; a ratio is one of medians.

"shift, in use" is what `Shift` takes here: the copies where the extension is built, else
`shift_convolution`. "best depthwise" is the faster of NCHW and channels last, with dense weights.
The block is BN, ReLU, 1x1, shift, BN, ReLU, 1x1, added to its input, against the same block with a
depthwise 3x3 for the shift. "folded" is that block with the second batch norm folded into the
depthwise convolution, which a shift, having no weights, cannot do; it does norm and ReLU in the
pass that moves instead.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import geometric_mean, median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightfer._files import write_text
from lightfer.measure.process import tune_process
from lightfer.models.shift import Shift, copies_win, shift_convolution
from lightfer.models.shiftnet import ConvShiftConv

SHAPES = ((64, 24), (256, 12))  # channels, side
BATCHES, THREADS = (1, 64), (1, 2)
FORMATS = {"NCHW": torch.contiguous_format, "last": torch.channels_last}
TARGETS = {  # of the project: ratio, and the most it may be
    "shift / best depthwise, geometric mean": 0.7,
    "shift / best depthwise, largest": 0.9,
    "shift / best depthwise, geometric mean (shift in channels last)": 0.7,
    "shift / best depthwise, largest (shift in channels last)": 0.9,
    "block / block with depthwise, B = 1, largest": 0.95,
    "block / block with depthwise, B = 64, largest": 1.05,
}


@dataclass(frozen=True)
class Row:
    """Seconds per pass of one implementation, one number per round."""

    threads: int
    batch: int
    channels: int
    side: int
    implementation: str
    memory_format: str
    samples_s: tuple[float, ...]


class Depthwise(nn.Module):
    """A dense depthwise 3x3 in the place of a shift."""

    def __init__(self, channels: int, folded: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False).eval()
        self.conv = fuse_conv_bn_eval(conv, folded) if folded else conv
        self.folded = folded is not None

    def norm_relu(self, x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        return torch.relu(self.conv(x) if self.folded else norm(self.conv(x)))


def implementations(
    batch: int, channels: int, side: int
) -> dict[tuple[str, str], Callable[[], Tensor]]:
    """(implementation, memory format) -> a call without arguments, on an input of its own."""
    torch.manual_seed(0)
    shift, calls = Shift(channels, 3), {}
    block = ConvShiftConv(channels, channels, 3, expansion=1, stride=1).eval()
    with_depthwise, with_folded = deepcopy(block), deepcopy(block)
    with_depthwise.add_module("shift", Depthwise(channels))
    with_folded.add_module("shift", Depthwise(channels, folded=block.bn2))
    blocks = {"block": block, "depthwise block": with_depthwise, "folded block": with_folded}
    for name, order in FORMATS.items():
        x = torch.randn(batch, channels, side, side).contiguous(memory_format=order)
        one_hot = shift.weight.contiguous(memory_format=order)
        depthwise = torch.randn(channels, 1, 3, 3).contiguous(memory_format=order)
        pointwise = torch.randn(channels, channels, 1, 1).contiguous(memory_format=order)
        calls |= {
            ("copy (no shift)", name): lambda x=x: x.clone(),
            ("shift, in use", name): lambda x=x: shift(x),
            ("shift_convolution", name): lambda x=x, w=one_hot: shift_convolution(x, w),
            ("depthwise 3x3", name): lambda x=x, w=depthwise: conv2d(
                x, w, padding=1, groups=channels
            ),
            ("1x1", name): lambda x=x, w=pointwise: conv2d(x, w),
            ("shift, in use, training", name): trained(shift, x),
            ("shift_convolution, training", name): trained(
                lambda x, w=one_hot: shift_convolution(x, w), x
            ),
        }
        for kind, net in blocks.items():
            ordered = deepcopy(net).to(memory_format=order)  # pyright: ignore[reportCallIssue]
            calls[kind, name] = lambda x=x, net=ordered: net(x)
    return calls


def trained(operator: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    """A call that does the forward pass on a copy of `x`, and from a fixed gradient back to it."""
    given, gradient = x.clone().requires_grad_(), x.clone()

    def step() -> Tensor:
        with torch.inference_mode(False):
            return torch.autograd.grad(operator(given), given, gradient)[0]

    return step


def measure(
    calls: dict[tuple[str, str], Callable[[], Tensor]], rounds: int, passes: int, block_s: float
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Seconds per pass, a sample a round; blocks of `passes` or more that fill `block_s`."""
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    counts = {key: max(passes, int(block_s / _time(call, 10))) for key, call in calls.items()}
    for _ in range(rounds):
        for key, call in calls.items():
            _time(call, 5)  # warms caches that the previous implementation filled
            samples[key].append(_time(call, counts[key]))
    return {key: tuple(values) for key, values in samples.items()}


def _time(call: Callable[[], Tensor], passes: int) -> float:
    start = perf_counter()
    for _ in range(passes):
        call()
    return (perf_counter() - start) / passes


def ratios(rows: list[Row]) -> dict[str, float]:
    """The figures of TARGETS: of the better memory format for each, and block by block."""
    times = {
        (r.threads, r.batch, r.channels, r.side, r.implementation, r.memory_format): median(
            r.samples_s
        )
        for r in rows
    }
    places = sorted({key[:4] for key in times})

    def best(place: tuple[int, int, int, int], implementation: str) -> float:
        return min(times[*place, implementation, order] for order in FORMATS)

    alone, found = {}, {}
    for order in FORMATS:
        alone[order] = [
            times[*p, "shift, in use", order] / best(p, "depthwise 3x3") for p in places
        ]
    alone["better"] = [best(p, "shift, in use") / best(p, "depthwise 3x3") for p in places]
    names = {"better": "", "NCHW": " (shift in NCHW)", "last": " (shift in channels last)"}
    for order, suffix in names.items():
        found[f"shift / best depthwise, geometric mean{suffix}"] = geometric_mean(alone[order])
        found[f"shift / best depthwise, largest{suffix}"] = max(alone[order])
    for order in FORMATS:
        ours, theirs = "shift, in use, training", "shift_convolution, training"
        training = [times[*p, ours, order] / times[*p, theirs, order] for p in places]
        found[f"training: shift / shift_convolution, geometric mean ({order})"] = geometric_mean(
            training
        )
        found[f"training: shift / shift_convolution, largest ({order})"] = max(training)
    for batch, other in product(BATCHES, ("depthwise", "folded")):
        at = [p for p in places if p[1] == batch]
        largest = max(
            times[*p, "block", o] / times[*p, f"{other} block", o] for p in at for o in FORMATS
        )
        found[f"block / block with {other}, B = {batch}, largest"] = largest
    return found


def tables(rows: list[Row], conditions: dict[str, str]) -> str:
    """Markdown: microseconds by implementation and place, then the ratios, then the conditions."""
    places = sorted({(r.threads, r.batch, r.channels, r.side) for r in rows})
    kinds = sorted({(r.implementation, r.memory_format) for r in rows})
    cells = {
        (r.implementation, r.memory_format, r.threads, r.batch, r.channels, r.side): r for r in rows
    }
    heads = [f"{t} thr, B={b}, C={c}, {s}x{s}" for t, b, c, s in places]
    lines = ["Microseconds per pass, median of rounds.", ""]
    lines += ["| implementation | format | " + " | ".join(heads) + " |"]
    lines += ["|---|---|" + "---:|" * len(heads)]
    for kind in kinds:
        figures = [f"{1e6 * median(cells[*kind, *p].samples_s):,.0f}" for p in places]
        lines.append(f"| {kind[0]} | {kind[1]} | " + " | ".join(figures) + " |")
    lines += ["", "| ratio | measured | at most |", "|---|---:|---:|"]
    for name, ratio in ratios(rows).items():
        lines.append(f"| {name} | {ratio:.2f} | {TARGETS.get(name, '')} |")
    lines += ["", *(f"- {name}: {value}" for name, value in conditions.items()), ""]
    return "\n".join(lines)


def conditions(rounds: int, passes: int) -> dict[str, str]:
    """What the figures hold for; the load tells whether the machine was idle."""
    return {
        "processor": _processor(),
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "allocator": tune_process(),
        "rounds": f"{rounds}, of at least {passes} warmed passes",
        "extension": "built" if copies_win(torch.zeros(1)) else "missing: convolution measured",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/shift"), help="without suffix")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=50, help="per block, at least")
    arguments = parser.parse_args()
    tune_process()
    held = conditions(arguments.rounds, arguments.passes)
    rows = []
    for threads, batch, (channels, side) in product(THREADS, BATCHES, SHAPES):
        torch.set_num_threads(threads)
        calls = implementations(batch, channels, side)
        with torch.inference_mode():
            samples = measure(calls, arguments.rounds, arguments.passes, block_s=0.01)
        print(f"measured: {threads} threads, batch {batch}, {channels} channels", file=sys.stderr)
        rows += [
            Row(threads, batch, channels, side, *key, values) for key, values in samples.items()
        ]
    text = tables(rows, held)
    record = {"conditions": held, "ratios": ratios(rows), "rows": [asdict(row) for row in rows]}
    write_text(arguments.out.with_suffix(".md"), text)
    write_text(arguments.out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
