"""The results.json of the project that this one follows: six names, each with six figures.

    {"MobileNetV1": {"accuracy": 62.16, "inference_time_sec": 14.66, "energy_consumed_kwh": ...,
                     "co2_emissions_kg": ..., "flops": "29.48 MMac", "parameters": "3.21 M"}, ...}

Accuracy is in percent of the 7,178 images of Kaggle's folder `test` (both of FER2013's PublicTest
and PrivateTest), which also chose the weights. Counts are strings of ptflops with two decimals.
Times, energies and emissions lack the machine, the batch size and the repetitions, so they are
not read: nothing can be compared with them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lightfer._files import read_json
from lightfer.results import ResultsError
from lightfer.results.io import unreadable

IMAGES = 7178
KEYS = {"accuracy", "flops", "parameters"}
MODELS = {  # the predecessor's names -> the zoo's
    "SqueezeNet": "squeezenet1_0",
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3_small",
    "ShiftNet": "shiftnet_b",
    "ShuffleNetV2": "shufflenet_v2_x1_0",
}
FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Count:
    """A rounded count: the true one lies within half a unit of the last decimal."""

    value: float
    half_unit: float


@dataclass(frozen=True)
class Quoted:
    """What can be used of one model."""

    name: str
    model: str  # of the zoo, or the name where the zoo has no such model
    top1: float  # fraction of IMAGES
    params: Count
    macs: Count  # ptflops: multiply-adds, with biases, norms, activations and pools added


def quoted_in(text: bytes, path: Path) -> list[Quoted] | None:
    """The models of such a file, from its content; None if it is of another form.

    Raises ResultsError if it is not JSON or a figure is not what it should be.
    """
    try:
        if "schema" in msgspec.json.decode(text, type=dict[str, msgspec.Raw]):
            return None  # lightfer's own, which may be large
        document = read_json(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error
    if not document or not all(isinstance(v, dict) and set(v) >= KEYS for v in document.values()):
        return None
    found = []
    for name, figures in document.items():
        place = f"{path}: $.{name}"
        percent = figures["accuracy"]
        if not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise ResultsError(f"{place}.accuracy: found {percent!r}, expected percent")
        found.append(
            Quoted(
                name=name,
                model=MODELS.get(str(name), str(name)),
                top1=percent / 100,
                params=_count(figures["parameters"], f"{place}.parameters"),
                macs=_count(figures["flops"], f"{place}.flops"),
            )
        )
    return found


def _count(text: Any, place: str) -> Count:
    """`32.01 MMac` -> 32,010,000 within 5,000; `735.56 k` -> 735,560 within 5."""
    match = re.fullmatch(r"(\d+)(\.\d+)? ?([kMG]?)(?:Mac)?", str(text).strip())
    if match is None or not 0 < float(match[1] + (match[2] or "")) < 1e15:
        raise ResultsError(
            f"{place}: found {text!r}, expected a count above 0, such as '32.01 MMac'"
        )
    factor, decimals = FACTORS[match[3]], len(match[2] or ".") - 1
    return Count(float(match[1] + (match[2] or "")) * factor, factor * 10**-decimals / 2)
