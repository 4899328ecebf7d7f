"""The card inside an exported file: written, read, refused; and read without torch."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from lightfer.inference.card import (
    ExportCard,
    ExportedFileError,
    InputContract,
    parse_card,
)
from lightfer.inference.session import read_card

CARD = ExportCard(
    model="mobilenet_v2",
    classes=("angry", "happy"),
    input=InputContract(mean=0.508, std=0.255, crop="tight"),
    preprocess=False,
    precision="int8",
    batch=None,
    temperature=1.25,
    accuracy={"test": 0.6, "validation": None},
    accuracy_lost={"test": 0.4},
    quantisation={"calibration_images": 512},
    data_name="fer2013",
    data_sha256={"train": "ab"},
    weights_sha256=None,
    licence="research",
    intended_use="research",
    not_intended_use="deciding about people",
    code="abc",
    versions={"onnx": "1"},
)


def test_a_card_comes_back_and_later_keys_are_left_out():
    later = {**json.loads(CARD.to_json()), "of_a_later_version": 1}
    later["input"]["colour"] = "grey"
    assert parse_card(json.dumps(later), "here") == CARD


@pytest.mark.parametrize("classes", ["abcdefg", {"angry": 0, "happy": 1}, 7, None])
def test_classes_are_a_list(classes):
    """Of a text each letter was a class."""
    with pytest.raises(ExportedFileError, match=r"classes are .*, expected a list of names"):
        parse_card(json.dumps({**json.loads(CARD.to_json()), "classes": classes}), "net.onnx")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"input": {}, "classes": []}'])
def test_what_is_no_card_is_named(text: str | None):
    with pytest.raises(ExportedFileError, match=r"net\.onnx"):
        parse_card(text, "net.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": float("nan")}, "temperature is nan, expected a number"),
        ({"temperature": -1.0}, "temperature is -1.0, expected 0.01 to 100"),
        ({"temperature": 1e-300}, "temperature is 1e-300, expected 0.01 to 100"),
        ({"temperature": True}, "temperature is True, expected a number"),
        ({"input": {"std": 0.0}}, "std is 0.0, expected 0.001 to 1"),
        ({"input": {"std": 65}}, "std is 65, expected 0.001 to 1"),
        ({"input": {"mean": 129.5}}, "mean is 129.5, expected 0 to 1"),
        ({"input": {"mean": "grey"}}, "mean is 'grey', expected a number"),
        ({"input": {"height": 0}}, "height is 0, expected a whole number"),
        ({"input": {"channels": 1.5}}, "channels is 1.5"),
        ({"classes": ["angry"]}, "expected different names"),
        ({"classes": ["angry", "angry"]}, "expected different names"),
        ({"sha256": ""}, "no sha256"),
        ({"sha256": 7}, "no sha256"),
    ],
    ids=str,
)
def test_a_card_that_cannot_be_right_is_refused(change, message: str):
    told = json.loads(CARD.to_json())
    told["input"] |= change.get("input", {})
    rest = {name: value for name, value in change.items() if name != "input"}
    with pytest.raises(ExportedFileError, match=f"net.onnx.*cannot be right: .*{message}"):
        parse_card(json.dumps({**told, **rest}), "net.onnx")


def test_files_that_are_no_models(tmp_path: Path):
    for suffix in (".onnx", ".xml"):
        path = tmp_path / f"net{suffix}"
        with pytest.raises(ExportedFileError, match="no such file"):
            read_card(path)
        path.write_text("nothing")
        if suffix == ".onnx":
            pytest.importorskip("onnxruntime")
        with pytest.raises(ExportedFileError, match=f"net{suffix}"):
            read_card(path)
    path.write_text("<net/>")
    with pytest.raises(ExportedFileError, match="no lightfer card"):
        read_card(path)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, lightfer.inference.card; print({'torch', 'msgspec', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_card_is_plain_json():
    assert json.loads(CARD.to_json())["classes"] == list(asdict(CARD)["classes"])
