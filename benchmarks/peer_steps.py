"""What one pass of ours has in it that the runtime's own tool has not, step by step.

    python benchmarks/peer_steps.py --out benchmarks/measured/peer_steps.json     # 3 minutes

`peers.py` says how far our medians are from those of each tool; here each step from its pass to
ours is a variant of its own, on one image and the same file:

onnxruntime: a bare loop; another session, with our options; another image in each pass; from
             PyTorch's tensors and back; timed as in a round of `lightfer bench`.
openvino:    the runtime's own clock, which `benchmark_app` quotes; the call of it; the image filled
             in and the logits read; another image; tensors; timed as in a round.

In each round every variant has `WARM` passes and a block of `BLOCK` timed ones, in an order drawn
by lot. A step's cost is the median over the rounds of the difference of two blocks' medians.
"""

import argparse
import json
import random
from collections.abc import Callable
from importlib import import_module
from itertools import cycle, pairwise
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch

from lightfer._files import write_text
from lightfer.bench.case import ROTATING
from lightfer.data.dataset import normalize
from lightfer.inference.backends import onnxruntime, openvino
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.backends.protocol import Loaded, on_tensors
from lightfer.inference.card import INPUT, OUTPUT
from lightfer.measure.environment import describe_environment
from lightfer.measure.latency import time_passes
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.process import tune_process
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models

SHAPE = (1, 1, 48, 48)
WARM, BLOCK = 10, 50
Block = Callable[[], float]  # the median seconds of a block of passes


def images() -> torch.Tensor:
    """Prepared faces of noise, as many as a round shows in turn."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 256, (ROTATING, *SHAPE[1:]), dtype=torch.uint8, generator=generator)
    return normalize(drawn)


def block(once: Callable[[], Any], clock: Callable[[], float] | None = None) -> Block:
    """Calls of `once`, by the wall clock, or by what `clock` says of the last call."""

    def seconds() -> float:
        start = perf_counter()
        once()
        return clock() if clock else perf_counter() - start

    def timed() -> float:
        for _ in range(WARM):
            once()
        return median(seconds() for _ in range(BLOCK))

    return timed


def ours(on_arrays: Callable[[np.ndarray], np.ndarray], x: torch.Tensor) -> dict[str, Block]:
    """The last two steps of each runtime: a pass as our rounds make and time it."""
    run = on_tensors(Loaded(on_arrays, {})).run
    in_turn = cycle(x.split(1))
    return {
        "from tensors and back": block(lambda: run(next(in_turn))),
        "timed as in a round": lambda: median(
            time_passes(run, cycle(x.split(1)), passes=BLOCK, warmup=WARM)
        ),
    }


def of_onnxruntime(content: bytes, threads: int) -> dict[str, Block]:
    ort = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    bare = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    session, *_ = onnxruntime.open_session(content, threads)
    x = images()
    arrays = [image.numpy() for image in x.split(1)]
    in_turn = cycle(arrays)

    def run(array: np.ndarray) -> np.ndarray:
        return session.run([OUTPUT], {INPUT: array})[0]

    return {
        "a bare loop": block(lambda: bare.run([OUTPUT], {INPUT: arrays[0]})),
        "a session with our options": block(lambda: run(arrays[0])),
        "another image each time": block(lambda: run(next(in_turn))),
        **ours(run, x),
    }


def of_openvino(content: bytes, threads: int) -> dict[str, Block]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(content)
        network = openvino.read(path)
        network.reshape(list(SHAPE))
        request = openvino.compile_network(network, threads, "float32").create_infer_request()
    image, logits = request.input_tensors[0].data, request.output_tensors[0].data
    x = images()
    arrays = [one.numpy() for one in x.split(1)]
    in_turn = cycle(arrays)
    image[:] = arrays[0]

    def filled(array: np.ndarray) -> np.ndarray:
        image[:] = array
        request.infer()
        return logits.copy()

    return {
        "the runtime's own clock": block(request.infer, lambda: request.latency / 1e3),
        "the call of it": block(request.infer),
        "filled in and read": block(lambda: filled(arrays[0])),
        "another image each time": block(lambda: filled(next(in_turn))),
        **ours(filled, x),
    }


def measured(variants: dict[str, Block], rounds: int) -> list[dict]:
    """Of each variant its median, and what it takes more than the one before it."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name in random.Random(number).sample([*variants], len(variants)):
            taken[name].append(variants[name]())
    rows = [{"step": name, "us": 1e6 * median(taken[name])} for name in variants]
    for row, (before, name) in zip(rows[1:], pairwise(variants), strict=True):
        more = [1e6 * (b - a) for a, b in zip(taken[before], taken[name], strict=True)]
        low, middle, high = quantiles(more, n=4)
        row |= {"more_us": middle, "quartiles_us": [low, high]}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/peer_steps.json"))
    parser.add_argument("--models", nargs="*", help="default: every net with shipped weights")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    allocator = tune_process(options.threads)
    about = describe_environment(data=None, allocator=allocator, device="cpu")
    before, found = snapshot(), []
    for model in options.models or list_models(pretrained=True):
        content = to_onnx(find_weights(model).build(), SHAPE)
        for runtime, steps in (("onnxruntime", of_onnxruntime), ("openvino", of_openvino)):
            with torch.inference_mode():
                rows = measured(steps(content, options.threads), options.rounds)
            found.append({"model": model, "runtime": runtime, "steps": rows})
            said = ", ".join(f"{r['step']} {r.get('more_us', r['us']):+.0f} us" for r in rows)
            print(f"{model}, {runtime}: {said}", flush=True)
    noise = verdict(before, snapshot())
    conditions = {
        "processor": about.cpu,
        "threads": about.threads,
        "code": about.code,
        "started": about.started,
        "versions": about.versions,
        "noise": [noise.verdict, *noise.reasons],
        "rounds": options.rounds,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.out, json.dumps({"conditions": conditions, "measured": found}, indent=1))


if __name__ == "__main__":
    main()
