"""A weight file as an ONNX model in milliseconds, with neither torch nor the package `onnx`.

`lightfer/graphs` has the graph of every shipped architecture without its weights, as
`lightfer.inference.export.graph` makes it; its initializers are called as in a weight file. An ONNX
file is one Protocol Buffers message, and such messages that lie one after the other are read as one
whose repeated fields are joined (protobuf.dev/programming-guides/encoding, "last one wins"): so
what is missing, weights and card, is appended. Field numbers are those of onnx.proto3.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lightfer._files import graph_file, read_json, sha256_of
from lightfer.inference.card import CARD_KEY, ExportedFileError, export_card, parse_card
from lightfer.models.contract import CARD_KEY as WEIGHTS_CARD_KEY
from lightfer.models.contract import read_weights

TYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}  # integers are counters of training
GRAPHS_SHAPE = (7, 1, 48, 48)  # classes, channels, height, width: the graphs have no other
SIDES = ("channels", "height", "width")
FLOAT = 1  # TensorProto.DataType


def assembled(weights: Path) -> bytes | None:
    """The content of an ONNX file with the weights and card of a weight file, float32, any batch.

    None where there is no graph of its architecture, classes and size of images. Raises
    ExportedFileError for a file that is no weight file.
    """
    try:
        header, content = read_weights(weights)
        if WEIGHTS_CARD_KEY not in header.get("__metadata__", {}):
            raise ValueError("no lightfer card in its header; make the file with `lightfer train`")
        card = read_json(header["__metadata__"][WEIGHTS_CARD_KEY])
        graph = graph_file(card["model"])
        shape = (len(card["classes"]), *(card["input"].get(n, 1) for n in SIDES))
        if not graph.exists() or shape != GRAPHS_SHAPE:
            return None
        tensors = b"".join(_message(5, _tensor(*named)) for named in _tensors(header, content))
        written = export_card(
            card,
            weights_sha256=sha256_of(weights),
            code=card["code"],
            preprocess=False,
            precision="float32",
            batch=None,
            quantisation=None,
        ).to_json()
        parse_card(written, str(weights))  # nothing that a stranger wrote is believed
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExportedFileError(f"{weights} cannot be used as a weight file: {error}") from error
    entry = _message(1, CARD_KEY.encode()) + _message(2, written.encode())
    return gzip.decompress(graph.read_bytes()) + _message(7, tensors) + _message(14, entry)


def _tensors(header: dict[str, Any], content: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    for name, about in header.items():
        if about.get("dtype") in TYPES:
            start, end = about["data_offsets"]
            values = np.frombuffer(content[start:end], TYPES[about["dtype"]])
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds numbers that are not finite; get it again")
            yield name, values.reshape(about["shape"]).astype("<f4")


def _tensor(name: str, values: np.ndarray) -> bytes:
    """A TensorProto: dims 1, data_type 2, name 8, raw_data 9."""
    dims = b"".join(_number(1 << 3) + _number(side) for side in values.shape)
    kind = _number(2 << 3) + _number(FLOAT)
    return dims + kind + _message(8, name.encode()) + _message(9, values.tobytes())


def _message(field: int, content: bytes) -> bytes:
    """A field whose content has a length: a message, text or bytes (wire type 2)."""
    return _number(field << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """Seven bits per byte, the lowest first; the eighth says that more follow."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
