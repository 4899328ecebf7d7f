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

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lightfer._files import read_bytes, read_json
from lightfer.errors import LightferError
from lightfer.models.contract import InputContract, fault_of

CARD_KEY = "lightfer"
INPUT, OUTPUT = "image", "logits"
UNSEALED = "0" * 64


@dataclass(frozen=True)
class ExportCard:
    """What a user must know about an exported file. None is unknown."""

    model: str
    classes: tuple[str, ...]  # in the order of the logits
    input: InputContract  # behind the preprocessing, as in the weight file's card
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
    sha256: str | None = None  # of the file(s) with zeros for these digits; None before 0.2

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def export_card(
    card: dict[str, Any], *, weights_sha256: str | None, code: str, **form: Any
) -> ExportCard:
    """Of a file made of a weight file, from the JSON of that one's card; `form` says what the file
    is: preprocess, precision, batch, quantisation, versions.

    A float32 file, which computes what the weights do, has their accuracy. That of an int8 file is
    unknown until it is measured. Raises KeyError or TypeError for what is no card.
    """
    same = form["precision"] == "float32"
    scores = {split: card.get(split) for split in ("validation", "test")}
    return ExportCard(
        model=card["model"],
        classes=_listed(card["classes"]),
        input=InputContract(**card["input"]),
        temperature=card.get("temperature"),
        accuracy={
            split: score["top1"] if same and score else None for split, score in scores.items()
        },
        accuracy_on=card["data_name"] if same else None,
        accuracy_lost=None,
        data_name=card["data_name"],
        data_sha256=card["data_sha256"],
        weights_sha256=weights_sha256,
        licence=card["license"],
        intended_use=card["intended_use"],
        not_intended_use=card["not_intended_use"],
        code=code,
        **form,
    )


class ExportedFileError(LightferError):
    """An exported file cannot be used; the message says which, why, and what to do."""


def parse_card(text: str | None, where: str) -> ExportCard:
    """The card from its JSON; keys of later versions are left out. Raises ExportedFileError."""
    if not text:
        raise ExportedFileError(f"{where} has no lightfer card: make it with `lightfer export`")
    try:
        found: dict[str, Any] = read_json(text)
        contract = InputContract(**_known(InputContract, found.pop("input")))
        classes = _listed(found.pop("classes"))
        card = ExportCard(input=contract, classes=classes, **_known(ExportCard, found))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ExportedFileError(f"{where}: its lightfer card is not valid: {error}") from error
    if fault := fault_of(contract, classes, card.temperature):
        raise ExportedFileError(f"{where}: its lightfer card cannot be right: {fault}")
    if card.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(card.sha256)):
        raise ExportedFileError(f"{where}: its lightfer card cannot be right: no sha256 in it")
    return card


def seal(path: Path, card: ExportCard) -> ExportCard:
    """The card with the checksum of a file that holds it with `UNSEALED`; the file gets it, too."""
    sealed = replace(card, sha256=_checksum(path, UNSEALED))
    path.write_bytes(path.read_bytes().replace(UNSEALED.encode(), str(sealed.sha256).encode()))
    return sealed


def check_seal(path: Path, card: ExportCard) -> None:
    """Raise ExportedFileError where the checksum is another, as of a file that was damaged."""
    if card.sha256 is not None and card.sha256 != _checksum(path, card.sha256):
        raise ExportedFileError(
            f"{path} is damaged: its checksum is not that of its content; export or get it again"
        )


def files_of(path: Path) -> list[Path]:
    """What an exported file is made of: one of OpenVINO has its weights beside it."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def _checksum(path: Path, stated: str) -> str:
    digest = hashlib.sha256()
    try:
        for file in files_of(path):
            digest.update(read_bytes(file).replace(stated.encode(), UNSEALED.encode()))
    except OSError as error:
        raise ExportedFileError(f"{file}: {error.strerror or error}") from error
    return digest.hexdigest()


def _listed(classes: Any) -> tuple[str, ...]:
    """Raises TypeError for a text, which would have a class a letter, and whatever is no list."""
    if not isinstance(classes, list | tuple):
        raise TypeError(f"classes are {classes!r:.40}, expected a list of names")
    return tuple(classes)


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in kind.__dataclass_fields__ if name in values}
