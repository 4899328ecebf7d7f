"""OpenCV's cascade of frontal faces as the site has it: from its XML to compact JSON.

`python -m tests.report.cascade` writes the site's file anew; a test compares them.
"""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

import lightfer
from lightfer.data.finder import import_opencv

FOLDER = Path(lightfer.__file__).parent / "report" / "site" / "live"
NAME = "haarcascade_frontalface_alt2.xml"
THRESHOLD_EPS = np.float32(1e-5)  # that OpenCV takes from a stage's threshold as it reads it


def converted(xml: str) -> dict[str, Any]:
    """A tree's nodes and leaves are consecutive; `branches` are two a node: a node of the tree if
    above 0, else the leaf of that number, negated. Numbers are OpenCV's single precision.
    """
    (cascade,) = ElementTree.fromstring(xml)
    stages, branches, thresholds, leaves = [], [], [], []
    for stage in cascade.iterfind("stages/_"):
        trees = stage.findall("weakClassifiers/_")
        threshold = np.float32(stage.findtext("stageThreshold", "")) - THRESHOLD_EPS
        stages.append([len(trees), _short(threshold)])
        for tree in trees:
            for left, right, feature, limit in _rows(tree.findtext("internalNodes", ""), 4):
                assert int(feature) == len(thresholds)
                branches += [int(left), int(right)]
                thresholds.append(_short(np.float32(limit)))
            leaves += [_short(np.float32(leaf)) for leaf in tree.findtext("leafValues", "").split()]
    rectangles = [
        [[int(float(v)) for v in (rect.text or "").split()] for rect in feature.find("rects") or ()]
        for feature in cascade.iterfind("features/_")
    ]
    return {
        "source": f"OpenCV, {NAME}; its licence is in LICENSE",
        "side": int(cascade.findtext("width", "")),
        "stages": stages,
        "branches": branches,
        "thresholds": thresholds,
        "leaves": leaves,
        "rectangles": rectangles,
    }


def licence(xml: str) -> str:
    """The comment at the top, which allows this."""
    found = re.search(r"<!--(.*?)-->", xml, re.DOTALL)
    assert found is not None
    return found[1].strip("\n") + "\n"


def original() -> str:
    return Path(import_opencv().data.haarcascades, NAME).read_text()


def as_text(cascade: dict[str, Any]) -> str:
    return json.dumps(cascade, separators=(",", ":")) + "\n"


def _rows(text: str, width: int) -> list[list[str]]:
    values = text.split()
    return [values[i : i + width] for i in range(0, len(values), width)]


def _short(value: np.float32) -> float:
    return float(str(value))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "cascade.json").write_text(as_text(converted(original())))
    (FOLDER / "LICENSE").write_text(licence(original()))
