"""OpenVINO on the CPU: latency mode, one stream.

Its default precision depends on the processor: with AVX512-BF16 it computes a float32 network in
bfloat16 without a word. The hint is therefore always set, read back, and recorded. For int8, which
stands in the network, it is f32: what is not int8 is computed in that.
"""

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from lightfer.errors import ArgumentError
from lightfer.inference.backends.int8 import int8_settings, quantize_openvino
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.backends.protocol import (
    Loaded,
    Runtime,
    Settings,
    missing,
    needed_for_export,
    on_tensors,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def load(
    model: "nn.Module",
    shape: tuple[int, ...],
    *,
    threads: int,
    precision: str,
    calibration: "Tensor | None" = None,
) -> Loaded:
    """Export, and compile for each batch size when it first comes."""
    if precision not in HINTS:
        raise ArgumentError(f"precision is {precision!r}, expected one of {', '.join(HINTS)}")
    network = to_openvino(to_onnx(model, shape))
    if precision == "int8":
        network = quantize_openvino(network, calibration)
    return from_network(network, shape, threads, precision)


def from_network(network: Any, shape: tuple[int, ...], threads: int, precision: str) -> Loaded:
    """An `openvino.Model` as it is; `precision` is that of what is not int8 in it."""
    return on_tensors(_on_arrays(network, shape, threads, precision))


def open_onnx(content: bytes, shape: tuple[int, ...], *, threads: int, precision: str) -> Loaded:
    """An ONNX file's content, on arrays."""
    return _on_arrays(to_openvino(content), shape, threads, precision)


def _on_arrays(network: Any, shape: tuple[int, ...], threads: int, precision: str) -> Loaded:
    deployed = deployed_bytes(network)
    start = perf_counter()
    run, compiled = _compiled(network, shape, threads, precision)
    seconds, settings = perf_counter() - start, read_settings(compiled)

    def opened(run: Callable[[np.ndarray], np.ndarray]) -> Loaded:
        def reopen() -> Loaded:
            return opened(_compiled(network, shape, threads, precision)[0])

        return Loaded(run, settings, deployed, seconds, reopen)

    return opened(run)


def _compiled(
    network: Any, shape: tuple[int, ...], threads: int, precision: str
) -> tuple[Callable[[np.ndarray], np.ndarray], Any]:
    """The network on arrays, compiled when a batch size first comes, and as it is for `shape`."""
    requests: dict[tuple[int, ...], tuple[Any, np.ndarray, np.ndarray]] = {}

    def request_for(size: tuple[int, ...]) -> tuple[Any, np.ndarray, np.ndarray]:
        if size not in requests:
            network.reshape(list(size))
            request = compile_network(network, threads, precision).create_infer_request()
            requests[size] = request, request.input_tensors[0].data, request.output_tensors[0].data
        return requests[size]

    def run(x: np.ndarray) -> np.ndarray:
        """In the request's own memory: to bind another input in each pass takes longer."""
        request, image, logits = request_for(x.shape)
        image[:] = x
        request.infer()
        return logits.copy()

    return run, request_for(tuple(shape))[0].get_compiled_model()


def to_openvino(content: bytes) -> Any:
    """An ONNX file's content -> `openvino.Model`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        return read(path)


def read(path: Path) -> Any:
    """An .xml or .onnx file -> `openvino.Model`."""
    return import_module("openvino").Core().read_model(path)


def compile_network(network: Any, threads: int, precision: str) -> Any:
    """An `openvino.CompiledModel` for the CPU, for single images as fast as can be."""
    config = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    return import_module("openvino").Core().compile_model(network, "CPU", config)


def read_settings(compiled: Any) -> Settings:
    """What a compiled network says that it does."""
    used = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    named = next((name for name, hint in HINTS.items() if hint == used), used)
    settings: Settings = {
        "precision": named,
        "threads": int(compiled.get_property("INFERENCE_NUM_THREADS")),
        "streams": int(compiled.get_property("NUM_STREAMS")),
    }
    in_int8 = int8_settings(
        _kinds(compiled, "Convolution"), _kinds(compiled, "FullyConnected", "MatMul")
    )
    return settings | in_int8


def save(network: Any, path: Path) -> None:
    """Write a network as `path`, an .xml, and the .bin with its weights beside it."""
    import_module("openvino").save_model(network, path, compress_to_fp16=False)


def deployed_bytes(network: Any) -> int:
    """Size of the two files that a network is deployed as."""
    with TemporaryDirectory() as folder:
        save(network, Path(folder) / "model.xml")
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def _kinds(compiled: Any, *layers: str) -> Counter[bool]:
    """How many layers of these types are computed in int8, and how many are not."""
    kinds: Counter[bool] = Counter()
    for operator in compiled.get_runtime_model().get_ops():
        info = operator.get_rt_info()
        if info["layerType"].astype(str) in layers:
            kinds[info["runtimePrecision"].astype(str) in ("i8", "u8")] += 1
    return kinds


RUNTIME = Runtime(
    name="openvino",
    precisions=("float32", "bfloat16", "int8"),
    devices=("cpu",),
    package="openvino",
    available=lambda: missing("openvino", *needed_for_export()),
    load=load,
    open_onnx=open_onnx,
)
