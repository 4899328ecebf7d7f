"""What a card may say of a network's input and output; a card is a stranger's until it is checked.

Standard library only: weight files and exported files are read with and without torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite


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


def fault_of(
    contract: InputContract, classes: Sequence[str], temperature: float | None
) -> str | None:
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
