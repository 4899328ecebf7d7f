"""LiteRT (TensorFlow Lite) files, float32, of one batch size.

The converter brings JAX and Transformers with it, more than 2 GB, so it is in no other extra of
this package and is best installed in an environment of its own.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lightfer.inference.card import CARD_KEY, INPUT, OUTPUT, ExportCard

SIGNATURE = "serving_default"
HOW = (
    "the converter to LiteRT is not installed. It brings JAX and Transformers, so give it an "
    "environment of its own, in a checkout: python -m venv litert; "
    'litert/bin/pip install ".[litert]"; '
    "litert/bin/lightfer export ... --to litert"
)


class _Named(nn.Module):
    """The network with named ends."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {OUTPUT: self.model(image)}


def available() -> str | None:
    """What is missing and how to get it, or None."""
    return None if find_spec("litert_torch") else HOW


def write(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Convert for inputs of `shape` (N, C, H, W), no others."""
    model = _Named(model).eval().to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    example = {INPUT: torch.zeros(shape)}
    import_module("litert_torch").convert(model, sample_kwargs=example).export(str(path))


def open_file(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The file's signature as a function."""
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(
        str(path), num_threads=torch.get_num_threads()
    )
    run = interpreter.get_signature_runner(SIGNATURE)
    return lambda x: run(**{INPUT: x})[OUTPUT]


def stamp(path: Path, card: ExportCard) -> None:
    """Add the card to a file: as one more buffer, named in the metadata."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    content = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer = CARD_KEY.encode(), len(model.buffers)
    buffer.data = card.to_json().encode()
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = import_module("flatbuffers").Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
