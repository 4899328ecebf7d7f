"""What a card may say of a network's input and output; a card is a stranger's until it is checked.

Standard library only: weight files and exported files are read with and without torch.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Protocol


class Contract(Protocol):
    """Of an input: x = (pixel / 255 - mean) / std, (N, channels, height, width)."""

    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...
    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


def fault_of(contract: Contract, classes: Sequence[str], temperature: float | None) -> str | None:
    """What no network can have, in a sentence; None if all of it can be used."""
    numbers = {"mean": contract.mean, "std": contract.std}
    if temperature is not None:
        numbers["temperature"] = temperature
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not isfinite(value):
            return f"{name} is {value!r}, expected a number"
        if name != "mean" and value <= 0:
            return f"{name} is {value}, expected more than 0"
    for name, most in (("channels", 4), ("height", 4096), ("width", 4096)):
        value = getattr(contract, name)
        if not isinstance(value, int) or not 1 <= value <= most:
            return f"{name} is {value!r}, expected a whole number from 1 to {most}"
    names = [name for name in classes if isinstance(name, str) and name]
    if len(names) < 2 or len({*names}) < len(classes):
        return f"classes are {', '.join(map(str, classes)) or 'none'}, expected different names"
    return None
