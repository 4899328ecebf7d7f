"""The part of prediction that needs torch: running a network in it, and exporting one."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lightfer.inference.backends import find_runtime
from lightfer.models.find import find_weights
from lightfer.models.weights import Card


def load_torch(
    model: str, runtime: str, batch_size: int, threads: int
) -> tuple[Card, Callable[[np.ndarray], np.ndarray]]:
    """The card, and a function from uint8 faces (N, H, W) to logits (N, classes)."""
    item = find_weights(model, needed=True)
    assert item.card is not None
    contract = item.card.input
    shape = (batch_size, contract.channels, contract.height, contract.width)
    load = find_runtime(runtime).load
    loaded = load(item.build("cpu"), shape, threads=threads, precision="float32")

    lock = threading.Lock()  # compiled code serves one thread at a time

    @torch.inference_mode()
    def run(faces: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(faces).unsqueeze(1).float() / 255 - contract.mean) / contract.std
        x = x.expand(-1, contract.channels, -1, -1).contiguous(memory_format=torch.channels_last)
        with lock:
            return loaded(x).numpy()

    return item.card, run


def export_for_prediction(model: str, path: Path) -> None:
    """Write a shipped model or weight file as ONNX with its card, checked against PyTorch."""
    from lightfer.inference.export import ExportConfig, export

    export(find_weights(model), ExportConfig("onnx", path), None, test_log=path.with_suffix(".log"))
