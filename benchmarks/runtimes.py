"""Our nets in ONNX Runtime and OpenVINO beside the same nets of torchvision and timm, eager.

    python benchmarks/runtimes.py --out out/runtimes     # about 4 minutes on a quiet core

Measured: one forward pass of one grey 48x48 image, seven classes, one thread, all in one process
set as `lightfer bench` sets it. Every net has the weights of its peer, so both compute the same
function, and the largest difference of a logit from the peer's is stated. Each round visits every
net in every way once, in random order, for a block of at least 50 passes behind a warm-up until
stable: changing at every pass would halve a runtime's speed. The figure is the median of all
passes; ratios are medians of the rounds' ratios of medians.

The baseline "peer" is the peer's net as it comes (NCHW, float32, eager, inference mode); "peer,
channels last" is the same in the layout that is often faster on a CPU. bfloat16 is a row of its
own: less exact, and compared with nothing.

Exit code 1 if a float32 runtime is under four times as fast as the peer or differs by 1e-4.
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

import msgspec
import torch
from torch import Tensor, nn

from lightfer.measure.environment import describe_environment
from lightfer.measure.latency import percentile, time_passes
from lightfer.models import ZOO
from lightfer.models._torchvision import import_torchvision
from lightfer.process import tune_process
from lightfer.runtimes import RUNTIMES

BASE = "peer"
ROWS = (("pytorch", "float32"), ("onnxruntime", "float32"), ("openvino", "float32"),
        ("openvino", "bfloat16"))  # fmt: skip
GATED = ("onnxruntime float32", "openvino float32")
LEAST_RATIO, LARGEST_DIFFERENCE = 4.0, 1e-4
SHAPE = (1, 1, 48, 48)


@dataclass(frozen=True)
class Row:
    """One net in one way: seconds per pass, one list per round."""

    net: str
    peer: str
    way: str
    settings: dict[str, str | int]
    logit_difference: float  # largest one from the peer, eager
    logit: float  # largest one of the peer
    samples_s: list[list[float]]


def peers() -> dict[str, tuple[str, Callable[[], nn.Module]]]:
    """Our name -> the peer's name, and its net for one grey channel and seven classes."""
    vision = import_torchvision("torchvision.models")
    import timm

    def grey(build: Callable[..., nn.Module], first: str) -> Callable[[], nn.Module]:
        def make() -> nn.Module:
            net = build(num_classes=7)
            place, _, name = first.rpartition(".")
            conv = net.get_submodule(first)
            assert isinstance(conv, nn.Conv2d)
            new = nn.Conv2d(
                1, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # pyright: ignore[reportArgumentType]
                bias=conv.bias is not None,
            )  # fmt: skip
            net.get_submodule(place)._modules[name] = new
            return net

        return make

    def v1() -> nn.Module:
        return timm.create_model("mobilenetv1_100", in_chans=1, num_classes=7)

    return {
        "mobilenet_v1_relu6": ("timm mobilenetv1_100", v1),
        "mobilenet_v2": ("torchvision mobilenet_v2", grey(vision.mobilenet_v2, "features.0.0")),
        "mobilenet_v3_small": (
            "torchvision mobilenet_v3_small",
            grey(vision.mobilenet_v3_small, "features.0.0"),
        ),
        "shufflenet_v2_x1_0": (
            "torchvision shufflenet_v2_x1_0",
            grey(vision.shufflenet_v2_x1_0, "conv1.0"),
        ),
        "squeezenet1_0": ("torchvision squeezenet1_0", grey(vision.squeezenet1_0, "features.0")),
    }


def settle(net: nn.Module) -> nn.Module:
    """Random weights such that logits are of the order of one, as a trained net's are.

    Without that they are nearly zero, and any two nets would agree.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics become those of the one batch
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    with torch.no_grad():
        net.train()(torch.randn(64, *SHAPE[1:]))
    return net.eval()


def ways(name: str, make_peer: Callable[[], nn.Module], threads: int):
    """Way -> (call, settings) of one net; all have the same weights."""
    torch.manual_seed(0)
    peer = settle(make_peer())
    ours = ZOO[name]().eval()
    ours.load_state_dict(peer.state_dict())
    last = make_peer().eval()
    last.load_state_dict(peer.state_dict())
    last = last.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    eager: dict[str, str | int] = {"precision": "float32", "threads": threads}
    calls: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, str | int]]] = {
        BASE: (peer, eager),
        "peer, channels last": (last, eager),
    }
    for runtime, precision in ROWS:
        reason = RUNTIMES[runtime].available()
        if reason:
            print(f"without {runtime}: {reason}", file=sys.stderr)
            continue
        loaded = RUNTIMES[runtime].load(ours, SHAPE, threads=threads, precision=precision)
        calls[f"{runtime} {loaded.settings['precision']}"] = (loaded, loaded.settings)
    return calls


@torch.inference_mode()
def measure(nets: list[str], rounds: int, passes: int, threads: int) -> list[Row]:
    """One row per net and way."""
    known, x = peers(), torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    loaded, rows = {}, {}
    for name in nets:
        peer, make = known[name]
        with torch.inference_mode(False):
            calls = ways(name, make, threads)
        expected = calls[BASE][0](x)
        for way, (call, settings) in calls.items():
            largest = (call(x) - expected).abs().max().item()
            loaded[name, way] = call
            rows[name, way] = Row(
                name, peer, way, settings, largest, expected.abs().max().item(), []
            )
    for number in range(rounds):
        for key in random.Random(number).sample(list(loaded), len(loaded)):
            samples = time_passes(loaded[key], x, passes=passes, warmup=10)
            rows[key].samples_s.append(samples)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return list(rows.values())


def ratio(base: Row, row: Row) -> float:
    """How many times shorter than the base's: median of the rounds' ratios of medians."""
    pairs = zip(base.samples_s, row.samples_s, strict=True)
    return median(median(b) / median(r) for b, r in pairs)


def report(rows: list[Row]) -> tuple[str, list[str]]:
    """A Markdown table, and what does not hold."""
    lines = ["| Net | Way | Median ms | p90 ms | Times faster | Largest logit | difference |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    faults = []
    bases = {row.net: row for row in rows if row.way == BASE}
    for row in rows:
        flat = [s for samples in row.samples_s for s in samples]
        times, high = ratio(bases[row.net], row), percentile(flat, 0.9)
        p90 = "too few" if high is None else f"{high * 1e3:.3f}"
        way = f"{BASE}: {row.peer}" if row.way == BASE else row.way
        lines.append(
            f"| {row.net} | {way} | {median(flat) * 1e3:.3f} | {p90} | {times:.2f} "
            f"| {row.logit:.2f} | {row.logit_difference:.1e} |"
        )
        if row.way in GATED and times < LEAST_RATIO:
            faults.append(f"{row.net}: {row.way} is {times:.2f} times as fast, not {LEAST_RATIO}")
        if row.way in GATED and row.logit_difference >= LARGEST_DIFFERENCE:
            faults.append(f"{row.net}: {row.way} differs by {row.logit_difference:.1e}")
    missing = {(net, way) for net in bases for way in GATED} - {(r.net, r.way) for r in rows}
    faults += [f"{net}: {way} was not measured" for net, way in sorted(missing)]
    return "\n".join(lines) + "\n", faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nets", nargs="+", default=list(peers()))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--passes", type=int, default=100, help="per round, at least 50 to count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/runtimes"))
    options = parser.parse_args()
    allocator = tune_process(options.threads)
    described = describe_environment(data=None, allocator=allocator, device="cpu")
    rows = measure(options.nets, options.rounds, options.passes, options.threads)
    table, faults = report(rows)
    content = {
        "environment": msgspec.to_builtins(described),
        "versions": {n: version(n) for n in ("torchvision", "timm", "onnxruntime", "openvino")},
        "rows": [asdict(row) for row in rows],
        "faults": faults,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(content))
    options.out.with_suffix(".md").write_text(table)
    print(table)
    print("\n".join(faults) or "every float32 runtime is fast enough and agrees")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
