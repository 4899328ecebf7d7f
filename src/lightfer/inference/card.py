"""What an exported file says about itself, and how that is read; needs neither torch nor msgspec.

An ONNX file has the card as JSON under `lightfer` in its `metadata_props`, an OpenVINO model under
`lightfer` in its `rt_info`. One input `image`, one output `logits`, float32 (N, classes). The input
is one of two:

    preprocess false: float32 (N, channels, height, width): (pixel / 255 - mean) / std, grey.
    preprocess true:  uint8 RGB (N, H, W, 3), any H and W: made grey (ITU-R 601 luma, as Pillow's
                      "L"), resized to height x width with antialiasing (bilinear) and normalised
                      inside the graph. A grey image is given three times, as R, G and B.

Where a batch size was fixed, N is that number.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightfer.models.contract import fault_of

CARD_KEY = "lightfer"
INPUT, OUTPUT = "image", "logits"


@dataclass(frozen=True)
class InputContract:
    """What the network expects behind the preprocessing; the same as in a weight file's card."""

    mean: float
    std: float
    channels: int
    height: int
    width: int
    layout: str
    crop: str


@dataclass(frozen=True)
class DeployedCard:
    """What a user must know about an exported file. None is unknown."""

    model: str
    classes: tuple[str, ...]  # in the order of the logits
    input: InputContract
    preprocess: bool  # whether the graph takes uint8 RGB and does the rest itself
    precision: str  # "float32", "int8"
    batch: int | None  # the fixed one, None for any
    temperature: float | None  # softmax(logits / temperature) is calibrated; from validation
    accuracy: dict[str, float | None]  # split -> top-1 of this file, or of the weights if float32
    accuracy_lost: dict[str, float] | None  # split -> points of top-1 that int8 cost, measured
    quantisation: dict[str, str | int] | None  # how the int8 file was calibrated
    data_name: str  # that the weights were trained on
    data_sha256: dict[str, str]  # split -> hash of its pixels and labels
    weights_sha256: str | None  # of the weight file; None for random weights
    licence: str
    intended_use: str
    not_intended_use: str
    code: str  # version or commit that exported
    accuracy_on: str | None = None  # the data of `accuracy`
    versions: dict[str, str] = field(default_factory=dict)  # of the packages that made the file

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class DeployedError(Exception):
    """An exported file cannot be used; the message says which, why, and what to do."""


def parse_card(text: str | None, where: str) -> DeployedCard:
    """The card from its JSON; keys of later versions are left out. Raises DeployedError."""
    if not text:
        raise DeployedError(f"{where} has no lightfer card: make it with `lightfer export`")
    try:
        found: dict[str, Any] = json.loads(text)
        contract = InputContract(**_known(InputContract, found.pop("input")))
        classes = tuple(found.pop("classes"))
        card = DeployedCard(input=contract, classes=classes, **_known(DeployedCard, found))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DeployedError(f"{where}: its lightfer card is not valid: {error}") from error
    if fault := fault_of(contract, classes, card.temperature):
        raise DeployedError(f"{where}: its lightfer card cannot be right: {fault}")
    return card


def read_session_card(session: Any, where: str = "the ONNX model") -> DeployedCard:
    """The card of an open `onnxruntime.InferenceSession`. Raises DeployedError."""
    return parse_card(session.get_modelmeta().custom_metadata_map.get(CARD_KEY), where)


def read_card(path: Path) -> DeployedCard:
    """The card of an exported .onnx file, by ONNX Runtime, or of an OpenVINO .xml file.

    Raises DeployedError for a file that is not there, cannot be read or has no card.
    """
    path = Path(path)
    if not path.exists():
        raise DeployedError(f"{path}: no such file")
    if path.suffix == ".xml":
        return parse_card(_rt_info(path), str(path))
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base beside Exception
        raise DeployedError(f"{path} is not an ONNX model that can be run: {error}") from error
    return read_session_card(session, str(path))


def _rt_info(path: Path) -> str | None:
    """The value of our key in the `rt_info` at the end of an OpenVINO file."""
    from xml.etree import ElementTree

    try:
        found = ElementTree.parse(path).getroot().find(f"./rt_info/{CARD_KEY}")
    except ElementTree.ParseError as error:
        raise DeployedError(f"{path} is not an OpenVINO model: {error}") from error
    return None if found is None else found.get("value")


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in kind.__dataclass_fields__ if name in values}
