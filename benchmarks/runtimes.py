"""Our nets in ONNX Runtime and OpenVINO beside the same nets of torchvision and timm, eager.

    python benchmarks/runtimes.py --prepare     # once, about a minute: exports and quantises
    python benchmarks/runtimes.py               # about two minutes on a quiet core

Measured: one forward pass of one grey 48x48 image, seven classes, one thread, all in one process
set as `lightfer bench` sets it. Every net has the weights of its peer, so both compute the same
function, and the largest difference of a logit from the peer's is stated. Each round visits every
net in every way once, in random order, for a block of at least 50 passes behind a warm-up until
stable: changing at every pass would halve a runtime's speed. The figure is the median of all
passes; ratios are medians of the rounds' ratios of medians.

The baseline "peer" is the peer's net as it comes (NCHW, float32, eager, inference mode); "peer,
channels last" is the same in the layout that is often faster on a CPU. ShiftNet, which neither has,
is compared with our own in eager mode. bfloat16 and int8 are rows of their own, less exact. The
weights are random, so their int8 ranges are calibrated on drawn faces: time does not depend on
them; what int8 costs in accuracy is measured by `deployed_accuracy.py` on the shipped weights.

The roof is the time that the machine needs for the net's multiply-adds or for its bytes, whichever
is longer, at peaks measured in the same process (see `roofline.py`).

Exit code 1 if an aim of `AIMS` is missed, or a float32 runtime differs by 1e-4.
"""

import argparse
import copy
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
from roofline import best, measure_peaks, work_of
from torch import nn

from lightfer.data.dataset import normalize
from lightfer.data.synthetic import synthetic_faces
from lightfer.inference.backends import eager, onnxruntime, openvino
from lightfer.inference.backends.int8 import quantize_onnx, quantize_openvino
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.measure.environment import describe_environment
from lightfer.measure.latency import percentile, time_passes
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.process import tune_process
from lightfer.models._torchvision import import_torchvision
from lightfer.models.registry import ZOO

BASE = "peer"
FLOAT32 = ("onnxruntime float32", "openvino float32")
LARGEST_DIFFERENCE = 1e-4
SHAPE = (1, 1, 48, 48)


@dataclass(frozen=True)
class Aim:
    """Least ratios for one net; None: only reported."""

    float32: float | None = None  # the faster float32 runtime to the peer
    int8: float | None = None  # ONNX Runtime's int8 to its float32, with VNNI
    roof: float | None = None  # share of the float32 roof


AIMS = {
    "mobilenet_v1_relu6": Aim(8.0, 1.3, 0.5),
    "mobilenet_v2": Aim(11.0, 1.3, 0.5),
    "mobilenet_v3_small": Aim(10.0),
    "shufflenet_v2_x1_0": Aim(5.5, 1.3),
    "squeezenet1_0": Aim(4.0, 1.3),
    "shiftnet_b": Aim(),
}


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
        "shiftnet_b": ("our own, eager", ZOO["shiftnet_b"]),
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


def nets(name: str) -> tuple[nn.Module, nn.Module]:
    """The peer's net and ours, with the same weights; the same at every call."""
    torch.manual_seed(0)
    peer = settle(peers()[name][1]())
    ours = ZOO[name]().eval()
    ours.load_state_dict(peer.state_dict())
    return peer, ours


def prepare(name: str, folder: Path) -> None:
    """Write the net as float32 ONNX, int8 ONNX and int8 OpenVINO."""
    drawn = synthetic_faces({"train": 128}, seed=0)["train"].images
    content = to_onnx(nets(name)[1], SHAPE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.int8.onnx").write_bytes(quantize_onnx(content, normalize(drawn)))
    network = quantize_openvino(openvino.to_openvino(content), normalize(drawn))
    openvino.save(network, folder / f"{name}.int8.xml")
    (folder / f"{name}.onnx").write_bytes(content)  # last: says that the others are there


def ways(name: str, folder: Path, threads: int):
    """Way -> (call, settings) of one net; all have the same weights."""
    peer, ours = nets(name)
    last = copy.deepcopy(peer).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    own: dict[str, str | int] = {"precision": "float32", "threads": threads}
    content = (folder / f"{name}.onnx").read_bytes()
    loaded = [
        ("pytorch", eager.load(ours, SHAPE, threads=threads, precision="float32")),
        ("onnxruntime", onnxruntime.from_content(content, threads)),
        (
            "onnxruntime",
            onnxruntime.from_content((folder / f"{name}.int8.onnx").read_bytes(), threads),
        ),
    ]
    network = openvino.to_openvino(content)
    for precision in ("float32", "bfloat16"):
        loaded.append(
            ("openvino", openvino.from_network(network.clone(), SHAPE, threads, precision))
        )
    network = openvino.read(folder / f"{name}.int8.xml")
    loaded.append(("openvino", openvino.from_network(network, SHAPE, threads, "int8")))
    return {
        BASE: (peer, own),
        "peer, channels last": (last, own),
        **{f"{way} {run.settings['precision']}": (run, run.settings) for way, run in loaded},
    }


@torch.inference_mode()
def measure(
    names: list[str], folder: Path, rounds: int, passes: int, threads: int
) -> tuple[list[Row], dict[str, float]]:
    """One row per net and way; and the roof of each net in seconds."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    loaded, rows = {}, {}
    for name in names:
        with torch.inference_mode(False):
            calls = ways(name, folder, threads)
        expected = calls[BASE][0](x)
        for way, (call, settings) in calls.items():
            largest = (call(x) - expected).abs().max().item()
            loaded[name, way] = call
            rows[name, way] = Row(
                name, peers()[name][0], way, settings, largest, expected.abs().max().item(), []
            )
    peaks = measure_peaks("float32", 0.2, {})
    for number in range(rounds):
        for key in random.Random(number).sample(list(loaded), len(loaded)):
            samples = time_passes(loaded[key], x, passes=passes, warmup=10)
            rows[key].samples_s.append(samples)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    peaks = measure_peaks("float32", 0.2, peaks)
    flops_per_s, bytes_per_s = (best(peaks, u, "float32").rate for u in ("flop/s", "byte/s"))
    roofs = {}
    for name in names:
        flops, moved = work_of(ZOO[name](), "float32", 1)
        roofs[name] = max(flops / flops_per_s, moved / bytes_per_s)
    return list(rows.values()), roofs


def ratio(base: Row, row: Row) -> float:
    """How many times shorter than the base's: median of the rounds' ratios of medians."""
    pairs = zip(base.samples_s, row.samples_s, strict=True)
    return median(median(b) / median(r) for b, r in pairs)


def report(rows: list[Row], roofs: dict[str, float]) -> str:
    """A Markdown table."""
    lines = [
        "| Net | Way | Median ms | p90 ms | Times faster | Of roof | Largest logit | difference |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    bases = {row.net: row for row in rows if row.way == BASE}
    for row in rows:
        flat = [s for samples in row.samples_s for s in samples]
        times, high = ratio(bases[row.net], row), percentile(flat, 0.9)
        p90 = "too few" if high is None else f"{high * 1e3:.3f}"
        way = f"{BASE}: {row.peer}" if row.way == BASE else row.way
        float32 = row.settings["precision"] == "float32"
        # An int8 file of random weights, on noise: the number would say nothing.
        different = "-" if "int8" in row.way else f"{row.logit_difference:.1e}"
        share = f"{roofs[row.net] / median(flat):.0%}" if float32 else "-"
        lines.append(
            f"| {row.net} | {way} | {median(flat) * 1e3:.3f} | {p90} | {times:.2f} | {share} "
            f"| {row.logit:.2f} | {different} |"
        )
    return "\n".join(lines) + "\n"


def faults(rows: list[Row], roofs: dict[str, float], vnni: bool) -> list[str]:
    """Each aim that is missed, and each float32 runtime that computes another function."""
    found = []
    known = {(row.net, row.way): row for row in rows}
    for net, roof in roofs.items():
        aim, base = AIMS[net], known[net, BASE]
        exact = [known[net, way] for way in FLOAT32]
        fastest = max(exact, key=lambda row: ratio(base, row))
        share = roof / median(s for samples in fastest.samples_s for s in samples)
        gain = ratio(known[net, FLOAT32[0]], known[net, "onnxruntime int8"])
        for what, value, least in (
            (f"{fastest.way}, times as fast as the peer", ratio(base, fastest), aim.float32),
            ("ONNX Runtime int8, times as fast as float32", gain, aim.int8 if vnni else None),
            ("share of the roof", share, aim.roof),
        ):
            if least is not None and value < least:
                found.append(f"{net}: {what}: {value:.2f}, not {least}")
        found += [
            f"{net}: {row.way} differs by {row.logit_difference:.1e}"
            for row in exact
            if row.logit_difference >= LARGEST_DIFFERENCE
        ]
    return found


def has_vnni() -> bool:
    """Whether the processor multiplies 8-bit numbers four at a time; False where unknown."""
    info = Path("/proc/cpuinfo")
    return info.exists() and any(name in info.read_text() for name in ("avx512_vnni", "avx_vnni"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nets", nargs="+", default=list(AIMS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--passes", type=int, default=50, help="per round, at least 50 to count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prepare", action="store_true", help="only write the files to measure")
    parser.add_argument("--out", type=Path, default=Path("out/runtimes"))
    options = parser.parse_args()
    allocator = tune_process(options.threads)
    for name in options.nets:
        if options.prepare or not (options.out / f"{name}.onnx").exists():
            print(f"preparing {name}", file=sys.stderr)
            prepare(name, options.out)
    if options.prepare:
        return 0
    described = describe_environment(data=None, allocator=allocator, device="cpu")
    before = snapshot()
    rows, roofs = measure(
        options.nets, options.out, options.rounds, options.passes, options.threads
    )
    noise = verdict(before, snapshot(), [row.samples_s for row in rows])
    missed = faults(rows, roofs, has_vnni())
    packages = ("torchvision", "timm", "onnxruntime", "openvino", "nncf")
    content = {
        "environment": msgspec.to_builtins(msgspec.structs.replace(described, noise=noise)),
        "versions": {name: version(name) for name in packages},
        "vnni": has_vnni(),
        "roofs_s": roofs,
        "rows": [asdict(row) for row in rows],
        "faults": missed,
    }
    table = report(rows, roofs)
    options.out.with_suffix(".json").write_text(json.dumps(content))
    options.out.with_suffix(".md").write_text(table)
    print(table)
    print(f"machine: {noise.verdict} {'; '.join(noise.reasons)}")
    print("\n".join(missed) or "every aim is met and every float32 runtime agrees")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
