"""`lightfer predict` on a folder of crops beside a plain loop: images per second, peak memory.

    python benchmarks/predict.py --out out/predict.json     # about 1 minute on two quiet cores

A thousand drawn faces are written as 10,000 files, PNG and JPEG by turns. Measured in one run, from
files to labels and without loading the network:

- the plain loop, on 300 of the files a round: Pillow opens a file, PyTorch computes one image at a
  time in eager mode, channels last, inference mode, as many threads as cores: what a careful person
  writes first;
- `Predictor.stream` in ONNX Runtime and OpenVINO: batches of 64, decoding in threads.

Rounds visit the ways in turn; a figure is the median over the rounds, the ratio the median of the
rounds' ratios. Memory is the peak resident size of the command `lightfer predict` on 1,000 and on
10,000 of the files, each in a process of its own.

Exit code 1 if the best runtime is under five times as fast as the loop, or if ten times the files
take over a tenth more memory.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from PIL import Image

from lightfer._files import write_text
from lightfer.data.dataset import normalize
from lightfer.data.synthetic import synthetic_faces
from lightfer.inference.predict import Predictor
from lightfer.inference.predict.network import DEFAULT_MODEL
from lightfer.inference.predict.sources import items_of
from lightfer.measure.process import tune_process, usable_cores
from lightfer.models.registry import create_model

RUNTIMES = ("onnxruntime", "openvino")
LEAST_RATIO, MOST_GROWTH = 5.0, 1.1
DRAWN = 1000  # faces, written again and again
LOOP_FILES = 300  # of each round of the plain loop
FEW = 10  # times fewer files for the smaller peak of memory
TELL_PEAK = """
import atexit, pathlib, lightfer.__main__
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
lightfer.__main__.main()
"""


def write_faces(folder: Path, count: int) -> list[Path]:
    """Drawn faces as files 00000.png, 00001.jpg, ..., a thousand in a folder."""
    images = synthetic_faces({"test": DRAWN}, seed=8)["test"].images
    paths = []
    for index in range(count):
        path = folder / f"{index // 1000:02}" / f"{index:05}.{'jpg' if index % 2 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(images[index % DRAWN, 0].numpy()).save(path)
        paths.append(path)
    return paths


def plain_loop(model: str) -> Callable[[Sequence[Path]], list[int]]:
    """One image at a time, Pillow and eager PyTorch."""
    network = create_model(model, pretrained=True)
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def loop(paths: Sequence[Path]) -> list[int]:
        labels = []
        for path in paths:
            face = torch.from_numpy(np.array(Image.open(path).convert("L")))
            labels.append(int(network(normalize(face[None, None])).softmax(1).argmax()))
        return labels

    return loop


def streamed(model: str, runtime: str) -> Callable[[Sequence[Path]], list[int]]:
    predictor = Predictor(model, runtime, faces="never")
    classes = predictor.network.classes

    def stream(paths: Sequence[Path]) -> list[int]:
        found = predictor.stream(items_of(map(str, paths)))
        return [classes.index(str(p.label)) for seen in found for p in seen.predictions]

    return stream


def peak_bytes(model: str, paths: Sequence[Path]) -> int:
    """Of the command in a process of its own, as Linux tells it at its end (VmHWM, in KiB).

    Not `ru_maxrss`, which a process takes over from the one that starts it.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/lines.jsonl"
        command = [sys.executable, "-c", TELL_PEAK, "predict", "--crop", "--model", model]
        command += ["--out", out, *sorted({str(path.parent) for path in paths})]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        lines = len(Path(out).read_text().splitlines())
    if lines != len(paths):
        raise RuntimeError(f"{lines} lines for {len(paths)} files")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)[-1]) * 1024


def measure(model: str, paths: Sequence[Path], rounds: int) -> dict[str, list[float]]:
    """Images per second of every way, one figure per round; all must agree on the labels."""
    ways = {"loop": plain_loop(model), **{name: streamed(model, name) for name in RUNTIMES}}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    reference = ways["loop"](paths[:LOOP_FILES])
    for way in RUNTIMES:
        labels = ways[way](paths[: len(reference)])
        differing = sum(a != b for a, b in zip(labels, reference, strict=True))
        print(f"{way}: {differing} of {len(labels)} labels differ from the loop's")
    for _ in range(rounds):
        for way, classify in ways.items():
            some = paths[: len(reference)] if way == "loop" else paths
            start_s = perf_counter()
            classify(some)
            rates[way].append(len(some) / (perf_counter() - start_s))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/predict.json"))
    options = parser.parse_args()
    tune_process(usable_cores())
    with tempfile.TemporaryDirectory() as folder:
        paths = write_faces(Path(folder), options.images)
        rates = measure(options.model, paths, options.rounds)
        peaks = {
            len(some): peak_bytes(options.model, some)
            for some in (paths[: len(paths) // FEW], paths)
        }
    ratios = {
        way: median(a / b for a, b in zip(rates[way], rates["loop"], strict=True))
        for way in RUNTIMES
    }
    for way, values in rates.items():
        ratio = f", {ratios[way]:.1f} times the loop" if way in ratios else ""
        print(f"{options.model}, {way}: {median(values):,.0f} images/s{ratio}")
    for count, size in peaks.items():
        print(f"peak memory of {count:,} files: {size / 2**20:.0f} MiB")
    report = {"model": options.model, "images_per_s": rates, "ratio": ratios, "peak_bytes": peaks}
    write_text(options.out, json.dumps(report, indent=2) + "\n")
    few, many = peaks.values()
    return int(max(ratios.values()) < LEAST_RATIO or many > few * MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
