"""What weight files may hold: a card is a stranger's until it is checked, a file may be damaged.

Standard library only: weight files and exported files are read with and without torch.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from lightfer._files import check_keys, read_bytes, read_json


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """What the network expects: x = (pixel / 255 - mean) / std, pixels 0 black to 255 white."""

    mean: float
    std: float
    channels: int = 1
    height: int = 48
    width: int = 48
    layout: str = "NCHW"
    crop: str = "tight, roughly frontal face, as in FER2013"


RANGES = {"mean": (0, 1), "std": (0.001, 1), "temperature": (0.01, 100)}  # pixels are 0 to 1
CARD_KEY = "lightfer_card"  # in the header of a weight file
CRC32_KEY = "crc32"  # beside it


def parts(file: bytes) -> tuple[dict[str, Any], memoryview]:
    """Of a safetensors file: eight bytes of length, the header as JSON, the tensors' bytes."""
    length = int.from_bytes(file[:8], "little")
    return read_json(file[8 : 8 + length]), memoryview(file)[8 + length :]


def checksum(header: dict[str, Any], data: memoryview) -> str:
    """Of all that a safetensors file holds but the checksum itself."""
    about = {k: text for k, text in header.get("__metadata__", {}).items() if k != CRC32_KEY}
    known = json.dumps({**header, "__metadata__": about}, sort_keys=True)
    return f"{zlib.crc32(data, zlib.crc32(known.encode())):08x}"


def read_weights(path: Path) -> tuple[dict[str, Any], memoryview]:
    """The `parts` of a weight file. Raises ValueError where its checksum, which lightfer 0.1 did
    not write, is another.
    """
    header, data = parts(read_bytes(path))
    found = checksum(header, data)
    if header.get("__metadata__", {}).get(CRC32_KEY, found) != found:
        raise ValueError("it is damaged: its checksum is not that of its content; get it again")
    return header, data


def check_header(path: Path) -> None:
    """Raise ValueError where a key stands twice in the header of a safetensors file, which its own
    reader, that is to have opened it, accepts.
    """
    with path.open("rb") as file:
        check_keys(file.read(int.from_bytes(file.read(8), "little")))


def fault_of(
    contract: InputContract, classes: Sequence[str], temperature: float | None
) -> str | None:
    """What no network can have, in a sentence; None if all of it can be used."""
    numbers = {"mean": contract.mean, "std": contract.std}
    if temperature is not None:
        numbers["temperature"] = temperature
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return f"{name} is {value!r}, expected a number"
        low, high = RANGES[name]
        if not low <= value <= high:
            return f"{name} is {value}, expected {low:g} to {high:g}"
    for name, most in (("channels", 4), ("height", 4096), ("width", 4096)):
        value = getattr(contract, name)
        if not isinstance(value, int) or not 1 <= value <= most:
            return f"{name} is {value!r}, expected a whole number from 1 to {most}"
    if contract.layout != "NCHW":
        return f"layout is {contract.layout!r}, expected 'NCHW'"
    names = [name for name in classes if isinstance(name, str) and name and name.isprintable()]
    if len(names) < 2 or len({*names}) < len(classes):
        return f"classes are {', '.join(map(repr, classes)) or 'none'}, expected different names"
    return None
