"""How near each net comes to what the machine can do: the roofline.

    python benchmarks/roofline.py --out out/roofline

Peaks are measured here and now, as the fastest of several kernels: FLOP/s of matrix products and
convolutions in the precision at hand, bytes/s of copies (read and written) of several sizes. The
fastest copy is one inside a cache, and it is the peak, as a net of this size may stay in there;
the slowest, of the largest size, is the memory's own and printed beside it. Peaks are taken before,
between the rounds and after, on the same threads, and the best counts.

Achieved are FLOPs (two per multiply-add) and bytes (the fused lower bound of
`lightfer.measure.operations`, weights once per batch) over the median time of a pass. The roof of
a net is the smaller of the peak FLOP/s and its intensity times the peak bytes/s. A share above
100 % is impossible, so it means that a peak is wrong: exit code 1.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import msgspec
import torch
from torch import nn
from torch.nn.functional import conv2d

from lightfer.inference.backends import RUNTIMES, Loaded
from lightfer.measure.environment import describe_environment
from lightfer.measure.latency import time_passes
from lightfer.measure.operations import list_operators
from lightfer.measure.process import tune_process
from lightfer.models.registry import DEFAULT_MODELS, create_model, shipped

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MATRICES = (256, 512, 1024, 2048)
CONVOLUTIONS = ((128, 3, 28), (256, 1, 28), (256, 3, 14))  # channels, kernel, side
COPIES_BYTES = (16 * 2**10, 128 * 2**10, 2**20, 8 * 2**20, 256 * 2**20)
SIDE = 48


@dataclass(frozen=True)
class Peak:
    """The best rate of one kernel so far."""

    kernel: str
    unit: str  # "flop/s" or "byte/s"
    precision: str
    rate: float


@dataclass(frozen=True)
class Point:
    """One net in one runtime, precision and batch size."""

    model: str
    runtime: str
    precision: str
    batch_size: int
    flops: int
    bytes: int
    samples_s: list[float]

    @property
    def flops_per_s(self) -> float:
        return self.flops / median(self.samples_s)

    @property
    def bytes_per_s(self) -> float:
        return self.bytes / median(self.samples_s)


def kernels(precision: str) -> dict[tuple[str, str], tuple[float, Callable[[], object]]]:
    """(name, unit) -> work of a call, and the call."""
    dtype, calls = DTYPES[precision], {}
    for n in MATRICES:
        a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
        out = torch.empty(n, n, dtype=dtype)
        work = 2.0 * n**3
        calls[f"matrix product {n}", "flop/s"] = (
            work, lambda a=a, b=b, out=out: torch.mm(a, b, out=out),
        )  # fmt: skip
    for c, k, side in CONVOLUTIONS:
        x = torch.randn(4, c, side, side, dtype=dtype).to(memory_format=torch.channels_last)
        w = torch.randn(c, c, k, k, dtype=dtype).to(memory_format=torch.channels_last)
        work = 2.0 * x.numel() * c * k * k
        calls[f"convolution {k}x{k} {c}", "flop/s"] = (
            work, lambda x=x, w=w, k=k: conv2d(x, w, padding=k // 2),
        )  # fmt: skip
    for size in COPIES_BYTES:
        source, target = torch.ones(size // 4), torch.empty(size // 4)
        calls[f"copy {size // 2**10} KiB", "byte/s"] = (
            2.0 * size, lambda source=source, target=target: target.copy_(source),
        )  # fmt: skip
    return calls


def measure_peaks(precision: str, seconds: float, known: dict[str, Peak]) -> dict[str, Peak]:
    """Kernel -> its best rate, that of `known` included."""
    best = dict(known)
    for (name, unit), (work, call) in kernels(precision).items():
        key, end = f"{name} {precision}", perf_counter() + seconds
        call()
        while True:
            start = perf_counter()
            call()
            rate = work / (perf_counter() - start)
            if key not in best or rate > best[key].rate:
                best[key] = Peak(name, unit, precision, rate)
            if perf_counter() > end:
                break
    return best


def work_of(model: nn.Module, precision: str, batch_size: int) -> tuple[int, int]:
    """FLOPs and bytes of a batch; weights are read once for all of it."""
    import copy

    model = copy.deepcopy(model).to("meta", DTYPES[precision])
    operators, _ = list_operators(model, (1, SIDE, SIDE))
    macs = sum(o.macs for o in operators)
    weights = sum(o.weight_bytes for o in operators if not o.saved_bytes)
    everything = sum(o.bytes - o.saved_bytes for o in operators)
    return 2 * macs * batch_size, weights + (everything - weights) * batch_size


@torch.inference_mode()
def measure(options: argparse.Namespace) -> tuple[list[Point], dict[str, Peak]]:
    """Every net in every runtime that there is, in rounds of random order; and the peaks."""
    points: list[tuple[Point, Loaded]] = []
    precisions: set[str] = set()
    for name in options.models:
        with torch.inference_mode(False):
            model = create_model(name, pretrained=bool(shipped(name)))
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            for runtime in RUNTIMES.values():
                reason = runtime.available()
                if reason or runtime.name not in options.runtimes:
                    print(f"without {runtime.name}: {reason or 'not asked for'}", file=sys.stderr)
                    continue
                for precision in DTYPES.keys() & runtime.precisions:
                    shape = (1, 1, SIDE, SIDE)
                    run = runtime.load(model, shape, threads=options.threads, precision=precision)
                    used = str(run.settings["precision"])
                    precisions.add(used)
                    for size in options.batch_sizes:
                        work = work_of(model, used, size)
                        points.append((Point(name, runtime.name, used, size, *work, []), run))
    peaks: dict[str, Peak] = {}
    for number in range(options.rounds + 1):
        for precision in sorted(precisions):
            peaks = measure_peaks(precision, options.peak_seconds, peaks)
        if number == options.rounds:
            break
        for point, run in random.Random(number).sample(points, len(points)):
            x = torch.randn(point.batch_size, 1, SIDE, SIDE)
            passes = max(3, options.passes // point.batch_size)
            x = x.to(memory_format=torch.channels_last)
            point.samples_s.extend(time_passes(run, x, passes=passes, warmup=min(passes, 10)))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return [point for point, _ in points], peaks


def best(peaks: dict[str, Peak], unit: str, precision: str) -> Peak:
    """The fastest kernel; a copy is one whatever the precision."""
    fits = [p for p in peaks.values() if p.unit == unit and (unit == "byte/s" or p.precision == precision)]  # noqa: E501  # fmt: skip
    return max(fits, key=lambda p: p.rate)


def report(points: list[Point], peaks: dict[str, Peak]) -> tuple[str, list[str]]:
    """Markdown: peaks and points; and the points that are above a peak."""
    lines, faults = ["| Kernel | Precision | Best rate |", "| --- | --- | ---: |"], []
    for p in peaks.values():
        lines.append(f"| {p.kernel} | {p.precision} | {p.rate / 1e9:.1f} G{p.unit} |")
    lines += [
        "",
        "| Net | Runtime | Batch | GFLOP/s | of peak | GB/s | of peak | FLOP/byte | of roof |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for point in points:
        flops = point.flops_per_s / best(peaks, "flop/s", point.precision).rate
        traffic = point.bytes_per_s / best(peaks, "byte/s", point.precision).rate
        name = f"{point.model} | {point.runtime} {point.precision} | {point.batch_size}"
        lines.append(
            f"| {name} | {point.flops_per_s / 1e9:.1f} | {flops:.1%} "
            f"| {point.bytes_per_s / 1e9:.1f} | {traffic:.1%} "
            f"| {point.flops / point.bytes:.1f} | {max(flops, traffic):.1%} |"
        )
        if max(flops, traffic) > 1:
            faults.append(f"{name}: {max(flops, traffic):.1%} of a peak, so the peak is wrong")
    return "\n".join(lines) + "\n", faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT_MODELS))
    parser.add_argument("--runtimes", nargs="+", default=["pytorch", "onnxruntime", "openvino"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=200, help="images per visit")
    parser.add_argument("--peak-seconds", type=float, default=0.3, help="per kernel and visit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/roofline"))
    options = parser.parse_args()
    allocator = tune_process(options.threads)
    described = describe_environment(data=None, allocator=allocator, device="cpu")
    points, peaks = measure(options)
    table, faults = report(points, peaks)
    content = {
        "environment": msgspec.to_builtins(described),
        "versions": {name: version(r.package) for name, r in RUNTIMES.items() if not r.available()},
        "peaks": [asdict(p) for p in peaks.values()],
        "points": [asdict(p) for p in points],
        "faults": faults,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(content))
    options.out.with_suffix(".md").write_text(table)
    print(table)
    print("\n".join(faults) or "no net is above a peak")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
