"""Our medians beside those of each runtime's own tool, on the same exported files.

    python benchmarks/peers.py --out out/peers                 # 7 nets, 5 rounds, about 10 minutes
    python benchmarks/peers.py --out out/peers --models squeezenet1_1_bn --rounds 1     # a try

One image, one net after the other in an order drawn by lot in each round, ours and the peer one
after the other, by lot too, in one process but for `benchmark_app`, which is a program:

openvino:    OpenVINO's `benchmark_app`, synchronous, the exported ONNX file, one stream, the same
             precision and number of threads; its "Median". It sets the input once and quotes the
             runtime's own clock; ours fills the input in each pass and reads the logits, in Python.
onnxruntime: a bare loop around `InferenceSession.run` on the same file; the median.
pytorch:     `torch.utils.benchmark.Timer.blocked_autorange` of the net itself; its median.

Ours is what a round of `lightfer bench` calls (`case.visit_case`), for as long. The figure is the
ratio, ours to the peer's, of each round, and the median of these with their range.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch.utils.benchmark import Timer

from lightfer.bench.case import EAGER, FULL, visit_case
from lightfer.bench.plan import BenchConfig
from lightfer.inference.backends import Loaded, eager, onnxruntime, openvino
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.card import INPUT, OUTPUT
from lightfer.measure.environment import describe_environment
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.process import tune_process
from lightfer.measure.yardstick import Yardstick
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models

INPUT_SHAPE = (1, 1, 48, 48)
Median = Callable[[], float]  # seconds of one pass


def ours(run: Loaded, runtime: str, threads: int, seconds: float) -> Median:
    """A round of the benchmark on single images."""
    yardstick = Yardstick(runtime, "cpu", threads)
    images = torch.randint(0, 256, (256, *INPUT_SHAPE[1:]), dtype=torch.uint8)

    protocol = BenchConfig(("",), batch_sizes=(1,), seconds=seconds).protocol()

    def once() -> float:
        visit = visit_case(run, yardstick, images, "cpu", protocol)
        return median(visit.timed[0].samples_s)

    return once


def benchmark_app(path: Path, threads: int, seconds: float) -> Median:
    """OpenVINO's own tool. Raises SystemExit where it fails or prints no median."""
    program = shutil.which("benchmark_app", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("benchmark_app is not beside this Python: pip install openvino")
    command = [program, "-m", path, "-d", "CPU", "-api", "sync"]
    command += ["-hint", "none", "-nstreams", 1]  # what its hint "latency" sets, with threads given
    command += ["-nthreads", threads, "-infer_precision", "f32", "-shape", str(list(INPUT_SHAPE))]
    command += ["-t", max(1, round(seconds))]

    def once() -> float:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        found = re.search(r"Median:\s*([\d.]+) (us|ms)", done.stdout)
        if done.returncode or not found:
            raise SystemExit(f"benchmark_app failed:\n{done.stdout}{done.stderr}")
        return float(found[1]) * {"us": 1e-6, "ms": 1e-3}[found[2]]

    return once


def bare_loop(content: bytes, threads: int, seconds: float) -> Median:
    """ONNX Runtime's interface and nothing else."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    image = {INPUT: np.random.default_rng(0).standard_normal(INPUT_SHAPE).astype(np.float32)}

    def once() -> float:
        for _ in range(20):
            session.run([OUTPUT], image)
        taken: list[float] = []
        begin = perf_counter()
        while perf_counter() - begin < seconds:
            start = perf_counter()
            session.run([OUTPUT], image)
            taken.append(perf_counter() - start)
        return median(taken)

    return once


def torch_timer(net: torch.nn.Module, threads: int, seconds: float) -> Median:
    """PyTorch's own tool."""
    x = torch.randn(INPUT_SHAPE).contiguous(memory_format=torch.channels_last)
    timer = Timer("net(x)", globals={"net": net, "x": x}, num_threads=threads)

    def once() -> float:
        with torch.inference_mode():
            return timer.blocked_autorange(min_run_time=seconds).median

    return once


def pairs(name: str, folder: Path, threads: int, seconds: float) -> dict[str, dict[str, Median]]:
    """Of one net: runtime -> ours and the peer's."""
    net = find_weights(name).build()
    path = folder / f"{name}.onnx"
    content = to_onnx(net, INPUT_SHAPE)
    path.write_bytes(content)
    networks = {
        EAGER: eager.load(net, INPUT_SHAPE, threads=threads, precision=FULL),
        "onnxruntime": onnxruntime.from_content(content, threads),
        "openvino": openvino.from_network(openvino.read(path), INPUT_SHAPE, threads, FULL),
    }
    peers = {
        EAGER: torch_timer(net, threads, seconds),
        "onnxruntime": bare_loop(content, threads, seconds),
        "openvino": benchmark_app(path, threads, seconds),
    }
    return {
        runtime: {"ours": ours(run, runtime, threads, seconds), "peer": peers[runtime]}
        for runtime, run in networks.items()
    }


def report(rows: list[dict], conditions: str) -> str:
    """A line per net and runtime; beyond 5 % in bold."""
    lines = [conditions, "", "| net | runtime | ours ms | peer ms | ours / peer | rounds |"]
    lines.append("| --- | --- | ---: | ---: | ---: | --- |")
    for row in rows:
        ratios = [a / b for a, b in zip(row["ours"], row["peer"], strict=True)]
        middle = f"{median(ratios):.3f}"
        middle = middle if abs(median(ratios) - 1) <= 0.05 else f"**{middle}**"
        lines.append(
            f"| {row['model']} | {row['runtime']} | {1e3 * median(row['ours']):.3f} "
            f"| {1e3 * median(row['peer']):.3f} | {middle} "
            f"| {min(ratios):.3f} to {max(ratios):.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/peers"), help="folder to write")
    parser.add_argument("--models", nargs="*", help="default: every net with shipped weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--threads", type=int, help="default: all cores")
    options = parser.parse_args()
    allocator = tune_process(options.threads)
    about = describe_environment(data=None, allocator=allocator, device="cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    models = options.models or list_models(pretrained=True)
    found = {m: pairs(m, options.out, about.threads, options.seconds) for m in models}
    cells = [(model, runtime) for model in models for runtime in found[model]]
    taken: dict[tuple[str, str, str], list[float]] = {}
    before = snapshot()
    for number in range(options.rounds):
        lot = random.Random(number)
        for model, runtime in lot.sample(cells, len(cells)):
            for side in lot.sample(["ours", "peer"], 2):
                seconds = found[model][runtime][side]()
                taken.setdefault((model, runtime, side), []).append(seconds)
            print(f"round {number + 1}/{options.rounds}: {model}, {runtime}", file=sys.stderr)
    noise = verdict(before, snapshot())
    rows = [
        {"model": m, "runtime": r, **{s: taken[m, r, s] for s in ("ours", "peer")}}
        for m, r in cells
    ]
    versions = ", ".join(f"{k} {v}" for k, v in about.versions.items())
    conditions = (
        f"One image, {about.cpu}, {about.threads} threads of {about.cores} cores, {versions}, code "
        f"{about.code}, {about.started}; " + "; ".join([f"{noise.verdict} machine", *noise.reasons])
    )
    data = {"conditions": conditions, "rows": rows}
    (options.out / "peers.json").write_text(json.dumps(data, indent=1) + "\n")
    text = report(rows, conditions)
    (options.out / "peers.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
