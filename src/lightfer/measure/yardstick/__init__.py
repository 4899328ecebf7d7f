"""A frozen net that is timed beside every round, to tell a slower model from a slower machine.

A virtual machine has states: its two cores may be two threads of one physical core for a minute,
and then not. Every net is then 20 to 40 % slower, and no counter of the guest shows it. The time
of a model relative to the yardstick's, measured within the same second, hardly changes.

It shares no line with what it stands beside: a net of its own (`net.py`), weights and graph from
files, its own loop, and the interface of the runtime itself. Its version is the hash of these
three files, and stands in the results: times beside another yardstick are never corrected by it.
Eager PyTorch's stands beside PyTorch, compiled code and runtimes of other packages; ONNX Runtime
and OpenVINO, which a machine's states hit in other ways, have their own, on the same net.
"""

import hashlib
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from lightfer.measure.process import without_tf32

FILES = ("net.py", "net.onnx", "net.safetensors")
FEWEST = 4  # passes of a block
COOLED = 3  # passes before each block, not timed: the model beside it had the caches

Pass = Callable[[], object]


@cache
def sha256() -> str:
    """The version: of all that decides about the work."""
    content = b"".join(hashlib.sha256(_read(name)).digest() for name in FILES)
    return hashlib.sha256(content).hexdigest()


def description() -> str:
    """As a results file names it; equal only for the same yardstick."""
    return (
        f"frozen net {sha256()[:16]}, float32, in ONNX Runtime or OpenVINO beside these, else in "
        "eager PyTorch"
    )


class Yardstick:
    """The net in the runtime that stands beside `runtime`, on `device`, with `threads` threads."""

    def __init__(self, runtime: str, device: str = "cpu", threads: int = 1) -> None:
        self.runtime = runtime if runtime in _OPENED else "pytorch"
        self._open = _OPENED.get(runtime, _eager)(device, threads)
        self._passes: dict[int, Pass] = {}

    def time(self, batch_size: int, seconds: float) -> list[float]:
        """Seconds of each pass of a block that lasts `seconds`, a few passes at least."""
        if batch_size not in self._passes:
            noise = np.random.default_rng(0).standard_normal((batch_size, 1, 48, 48))
            self._passes[batch_size] = self._open(noise.astype(np.float32))
        once = self._passes[batch_size]
        for _ in range(COOLED):
            once()
        found: list[float] = []
        begin = perf_counter()
        while len(found) < FEWEST or perf_counter() - begin < seconds:
            start = perf_counter()
            once()
            found.append(perf_counter() - start)
        return found


def of_passes(seconds: list[float]) -> float:
    """Seconds of one pass of the yardstick beside a round: the median, as of the round itself."""
    return median(seconds)


def _eager(device: str, threads: int) -> Callable[[np.ndarray], Pass]:
    import torch
    from safetensors.torch import load

    from lightfer.measure.yardstick.net import Yardstick as Net

    torch.set_num_threads(threads)
    without_tf32(device)
    net = Net()
    net.load_state_dict({**net.state_dict(), **load(_read("net.safetensors"))})
    net = net.eval().to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    kind = device.partition(":")[0]
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(kind, lambda: None)

    def prepare(image: np.ndarray) -> Pass:
        x = torch.from_numpy(image).to(device).contiguous(memory_format=torch.channels_last)

        @torch.inference_mode()
        def once() -> None:
            net(x)
            wait()

        return once

    return prepare


def _onnxruntime(device: str, threads: int) -> Callable[[np.ndarray], Pass]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        _read("net.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda image: lambda: session.run(["logits"], {"image": image})


def _openvino(device: str, threads: int) -> Callable[[np.ndarray], Pass]:
    import openvino

    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }

    def prepare(image: np.ndarray) -> Pass:
        network = openvino.Core().read_model(io.BytesIO(_read("net.onnx")))
        network.reshape(list(image.shape))
        request = openvino.Core().compile_model(network, "CPU", config).create_infer_request()
        return lambda: request.infer([image], share_inputs=True)

    return prepare


_OPENED = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def _read(name: str) -> bytes:
    return (Path(__file__).parent / name).read_bytes()
