"""ONNX Runtime on the CPU, all its graph optimisations: float32, or int8 with QDQ nodes.

Its CPU kernels have no bfloat16. An int8 file only asks for int8; what is computed in it is read
back from the graph as the session has optimised it.
"""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from lightfer.errors import ArgumentError
from lightfer.inference.backends.int8 import int8_settings, quantize_onnx
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.backends.protocol import (
    Loaded,
    Runtime,
    Settings,
    missing,
    needed_for_export,
    on_tensors,
)
from lightfer.inference.card import INPUT, OUTPUT
from lightfer.inference.session import PROVIDERS, onnx_options

if TYPE_CHECKING:
    from torch import Tensor, nn


def load(
    model: "nn.Module",
    shape: tuple[int, ...],
    *,
    threads: int,
    precision: str,
    calibration: "Tensor | None" = None,
) -> Loaded:
    """Export and open a session; one session serves every batch size."""
    if precision not in RUNTIME.precisions:
        raise ArgumentError(f"ONNX Runtime computes in float32 or int8 on a CPU, not {precision}")
    content = to_onnx(model, shape)
    if precision == "int8":
        content = quantize_onnx(content, calibration)
    return from_content(content, threads)


def from_content(content: bytes, threads: int) -> Loaded:
    """An ONNX file as it is."""
    return on_tensors(open_onnx(content, threads=threads))


def open_onnx(
    content: bytes, shape: tuple[int, ...] = (), *, threads: int, precision: str = "float32"
) -> Loaded:
    """The same, on arrays; it computes in what the file is in, and at any batch size."""
    first, settings, seconds = open_session(content, threads)

    def opened(session: Any) -> Loaded:
        def run(x: np.ndarray) -> np.ndarray:
            (logits,) = session.run([OUTPUT], {INPUT: x})
            return logits

        return Loaded(
            run, settings, len(content), seconds, lambda: opened(_session(content, threads))
        )

    return opened(first)


def open_session(content: bytes, threads: int) -> tuple[Any, Settings, float]:
    """An `onnxruntime.InferenceSession` on that many threads, what it says that it does, and the
    seconds that opening it took.
    """
    start = perf_counter()
    session = _session(content, threads)
    seconds = perf_counter() - start
    in_int8: Settings = {}
    if b"QuantizeLinear" in content:
        with TemporaryDirectory() as folder:
            optimized = Path(folder) / "optimized.onnx"
            _session(content, threads, str(optimized))
            in_int8 = int8_settings(*(_kinds(optimized, name) for name in ("Conv", "Gemm|MatMul")))
    settings: Settings = {
        "precision": "float32",
        "threads": session.get_session_options().intra_op_num_threads,
        "provider": ", ".join(session.get_providers()),
    }
    return session, settings | in_int8, seconds


def _session(content: bytes, threads: int, optimized: str = "") -> Any:
    """An `onnxruntime.InferenceSession`; its optimised graph is written to the path `optimized`."""
    options = onnx_options(threads)
    if optimized:
        options.optimized_model_filepath = optimized
    return import_module("onnxruntime").InferenceSession(content, options, providers=PROVIDERS)


def _kinds(path: Path, named: str) -> Counter[bool]:
    """How many nodes of an optimised graph that are so named are in int8, and how many are not."""
    nodes = import_module("onnx").load(path).graph.node
    kinds = [node.op_type for node in nodes if re.search(named, node.op_type)]
    return Counter(kind.startswith(("QLinear", "QGemm")) or "Integer" in kind for kind in kinds)


RUNTIME = Runtime(
    name="onnxruntime",
    precisions=("float32", "int8"),
    devices=("cpu",),
    package="onnxruntime",
    available=lambda: missing("onnxruntime", *needed_for_export()),
    load=load,
    open_onnx=open_onnx,
)
