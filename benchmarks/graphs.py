"""Where ONNX Runtime's time goes at batch 1, one thread, and what other graphs would bring.

    python benchmarks/graphs.py --data DATA --out benchmarks/measured/graphs.json     # 2 minutes

profile:  every shipped net of the six families in float32 and int8: the median of a pass; the nodes
          of the graph as the runtime optimised it; what each kind of node takes of the time, by the
          runtime's own profiler. That is slower with its clock on, so shares count, not times.
rewrites: the same net with another graph, equal logits to the bit, in blocks by turns:
          a channel shuffle (reshape, transpose, reshape, split) as one gather for each half;
          a squeeze-and-excitation's factors drawn out to the map's size, so that the product stays
          in the blocked layout; each for any batch size and for a fixed one.

int8 files are calibrated on train images; nothing is scored.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from lightfer._files import write_text
from lightfer.data import load
from lightfer.data.dataset import normalize
from lightfer.data.subsets import calibration_images
from lightfer.inference.backends.int8 import quantize_onnx
from lightfer.inference.backends.onnx_file import fix_batch, to_onnx
from lightfer.inference.card import INPUT, OUTPUT
from lightfer.measure.environment import describe_environment
from lightfer.measure.process import tune_process
from lightfer.models.registry import DEFAULT_MODELS, create_model

SHAPE = (1, 1, 48, 48)
WARM, PASSES = 200, 1000
ROUNDS, BLOCK = 20, 60
IMAGE = {INPUT: np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)}


def session(content: bytes, profile: str = "") -> Any:
    ort = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.enable_profiling, options.profile_file_prefix = bool(profile), profile
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def passes(run: Any, count: int) -> list[float]:
    """Seconds of each pass of one image."""
    taken = []
    for _ in range(count):
        start = perf_counter()
        run.run([OUTPUT], IMAGE)
        taken.append(perf_counter() - start)
    return taken


def profile(content: bytes) -> dict[str, Any]:
    """Median of a pass, and nodes and share of time of each kind of node."""
    run = session(content)
    passes(run, WARM)
    taken = median(passes(run, PASSES))
    with TemporaryDirectory() as folder:
        run = session(content, f"{folder}/run")
        passes(run, WARM + PASSES)
        events = json.loads(Path(run.end_profiling()).read_text())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"], event["name"]].append(event["dur"])
    kinds: dict[str, list[float]] = defaultdict(list)
    for (kind, _), durations in times.items():
        kinds[kind].append(mean(durations[WARM:]))
    whole = sum(map(sum, kinds.values()))
    rows = [
        {"kind": kind, "nodes": len(each), "share": sum(each) / whole}
        for kind, each in sorted(kinds.items(), key=lambda of: -sum(of[1]))
    ]
    return {"median_s": taken, "nodes": sum(row["nodes"] for row in rows), "kinds": rows}


def with_gathers(model: Any) -> int:
    """Each channel shuffle as gathers, in place; returns how many were changed."""
    helper, arrays = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    graph, sizes, changed = model.graph, _sizes(model), 0
    readers = {name: node for node in reversed(graph.node) for name in node.input}
    nodes: dict[str, list[Any]] = {}
    for joined in [node for node in graph.node if node.op_type == "Concat"]:
        chain = [joined]
        while len(chain) < 5 and (after := readers.get(chain[-1].output[0])):
            chain.append(after)
        kinds = [node.op_type for node in chain]
        if kinds[:4] != ["Concat", "Reshape", "Transpose", "Reshape"]:
            continue
        channels = sizes[joined.output[0]][1]
        order = np.arange(channels).reshape(2, -1).T.ravel()
        last = chain[4] if kinds[4:] == ["Split"] else chain[3]
        whole, parts = joined.output[0], np.split(order, len(last.output))
        nodes |= {node.output[0]: [] for node in chain[1:4]}
        nodes[last.output[0]] = [
            helper.make_node("Gather", [whole, f"{out}_order"], [out], axis=1)
            for out in last.output
        ]
        graph.initializer.extend(
            arrays.from_array(part, f"{out}_order")
            for part, out in zip(parts, last.output, strict=True)
        )
        changed += 1
    kept = [new for node in graph.node for new in nodes.get(node.output[0], [node])]
    _replace(graph, kept)
    return changed


def with_resizes(model: Any) -> int:
    """Each product of a map and its channels' factors with the factors drawn out, in place."""
    helper, arrays = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    graph, sizes, changed = model.graph, _sizes(model), 0
    kept: list[Any] = []
    for node in graph.node:
        sides = [sizes.get(name, [])[2:] for name in node.input]
        if node.op_type == "Mul" and sides[0] == [1, 1] != sides[1]:
            scales, drawn = f"{node.output[0]}_scales", f"{node.output[0]}_factors"
            graph.initializer.append(
                arrays.from_array(np.array([1, 1, *sides[1]], np.float32), scales)
            )
            settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            kept.append(
                helper.make_node(
                    "Resize", [node.input[0], "", scales], [drawn], mode="nearest", **settings
                )
            )
            node.input[0] = drawn
            changed += 1
        kept.append(node)
    _replace(graph, kept)
    return changed


def _sizes(model: Any) -> dict[str, list[int]]:
    onnx = import_module("onnx")
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def _replace(graph: Any, nodes: list[Any]) -> None:
    onnx = import_module("onnx")
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)


REWRITES: dict[str, tuple[str, Callable[[Any], int]]] = {
    "shufflenet_v2_x1_0": ("shuffles as gathers", with_gathers),
    "mobilenet_v3_small": ("factors drawn out", with_resizes),
}


def rewrite(content: bytes, change: Callable[[Any], int], batch: int | None) -> dict[str, Any]:
    """Speed of the changed graph as a multiple of the graph as it is. Raises SystemExit where
    their logits differ.
    """
    onnx = import_module("onnx")
    before, after = onnx.load_from_string(content), onnx.load_from_string(content)
    changed = change(after)
    if batch:
        before, after = fix_batch(before, batch), fix_batch(after, batch)
    runs = [session(model.SerializeToString()) for model in (before, after)]
    first, second = (run.run([OUTPUT], IMAGE)[0] for run in runs)
    if not changed or not np.array_equal(first, second):
        raise SystemExit(f"{changed} places changed, logits differ by {abs(first - second).max()}")
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for i in random.sample((0, 1), 2):
            passes(runs[i], BLOCK // 3)
            taken[i] += passes(runs[i], BLOCK)
    slow, fast = map(median, taken)
    return {"places": changed, "batch": batch, "times_as_fast": slow / fast}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list(DEFAULT_MODELS))
    parser.add_argument("--data", required=True, help="FER2013; its train split calibrates")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tune_process(1)
    images = normalize(calibration_images(load(args.data, ("train",))))
    where = describe_environment(data=None, allocator="", device="cpu")
    found: dict[str, Any] = {
        "cpu": where.cpu,
        "code": where.code,
        "onnxruntime": where.versions["onnxruntime"],
        "profile": [],
        "rewrites": [],
    }
    for name in args.models:
        plain = to_onnx(create_model(name, pretrained=True), SHAPE)
        for precision, content in (("float32", plain), ("int8", quantize_onnx(plain, images))):
            row = {"model": name, "precision": precision, **profile(content)}
            found["profile"].append(row)
            shares = (f"{kind['kind']} {100 * kind['share']:.0f} %" for kind in row["kinds"][:6])
            print(f"{name} {precision}: {1e6 * row['median_s']:.0f} us", *shares, sep=", ")
        if name in REWRITES:
            what, change = REWRITES[name]
            for batch in (None, 1):
                row = {"model": name, "rewrite": what, **rewrite(plain, change, batch)}
                found["rewrites"].append(row)
                print(f"{name}, {what}, batch {batch}: {row['times_as_fast']:.2f} times as fast")
    write_text(args.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
