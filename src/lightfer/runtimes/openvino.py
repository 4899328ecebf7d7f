"""OpenVINO on the CPU: latency mode, one stream.

Its default precision depends on the processor: with AVX512-BF16 it computes a float32 network in
bfloat16 without a word. The hint is therefore always set, read back, and recorded.
"""

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from lightfer.runtimes.onnx_file import to_onnx
from lightfer.runtimes.protocol import Loaded, Runtime, missing

HINTS = {"float32": "f32", "bfloat16": "bf16"}


def load(model: nn.Module, shape: tuple[int, ...], *, threads: int, precision: str) -> Loaded:
    """Export, and compile for each batch size when it first comes."""
    if precision not in HINTS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(HINTS)}")
    core = import_module("openvino").Core()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(model, shape, path)
        network = core.read_model(path)
    config = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    requests: dict[tuple[int, ...], Any] = {}

    def request_for(size: tuple[int, ...]) -> Any:
        if size not in requests:
            network.reshape(list(size))
            requests[size] = core.compile_model(network, "CPU", config).create_infer_request()
        return requests[size]

    def run(x: Tensor) -> Tensor:
        request = request_for(tuple(x.shape))
        (logits,) = request.infer([x.contiguous().numpy()], share_inputs=True).values()
        return torch.from_numpy(logits)

    compiled = request_for(tuple(shape)).get_compiled_model()
    used = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return Loaded(
        run,
        {
            "precision": next((name for name, hint in HINTS.items() if hint == used), used),
            "threads": int(compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": int(compiled.get_property("NUM_STREAMS")),
        },
    )


RUNTIME = Runtime(
    name="openvino",
    precisions=("float32", "bfloat16"),
    devices=("cpu",),
    package="openvino",
    available=lambda: missing("openvino", "onnx", "onnxscript"),
    load=load,
)
