"""ONNX Runtime on the CPU, all its graph optimisations, float32 (its CPU kernels have no other)."""

from importlib import import_module

import torch
from torch import Tensor, nn

from lightfer.deployed import INPUT, OUTPUT
from lightfer.runtimes.onnx_file import to_onnx
from lightfer.runtimes.protocol import Loaded, Runtime, missing


def load(model: nn.Module, shape: tuple[int, ...], *, threads: int, precision: str) -> Loaded:
    """Export and open a session; one session serves every batch size."""
    if precision != "float32":
        raise ValueError(f"ONNX Runtime computes in float32 on a CPU, not {precision}")
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        to_onnx(model, shape), options, providers=["CPUExecutionProvider"]
    )

    def run(x: Tensor) -> Tensor:
        (logits,) = session.run([OUTPUT], {INPUT: x.contiguous().numpy()})
        return torch.from_numpy(logits)

    used = session.get_session_options()
    kinds = {i.type for i in session.get_inputs()} | {o.type for o in session.get_outputs()}
    return Loaded(
        run,
        {
            "precision": "float32" if kinds == {"tensor(float)"} else ", ".join(sorted(kinds)),
            "threads": used.intra_op_num_threads,
            "provider": ", ".join(session.get_providers()),
        },
    )


RUNTIME = Runtime(
    name="onnxruntime",
    precisions=("float32",),
    devices=("cpu",),
    package="onnxruntime",
    available=lambda: missing("onnxruntime", "onnx", "onnxscript"),
    load=load,
)
