"""Prediction where lightfer is installed without its dependencies.

Twice: in this interpreter with everything else blocked, and for real, in a fresh environment with
the wheel, ONNX Runtime, NumPy and Pillow and nothing else; there `lightfer bench` is tried, too,
with the packages that the documentation names for it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from lightfer.data import CLASSES
from tests.conftest import ROOT

ABSENT = ("torch", "torchvision", "typer", "rich", "msgspec", "safetensors", "scipy", "pyarrow",
          "cv2", "onnx", "onnxscript", "openvino")  # fmt: skip
BLOCK = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {ABSENT} else real(name, *rest)
"""
PYTHON = """
import json, sys
from lightfer import Predictor
(found,) = Predictor(sys.argv[1], runtime="onnxruntime")([sys.argv[2]])
print(json.dumps([found.label, found.probabilities, found.box]))
"""


def run(*command: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def check_both_ways(
    python: Sequence[object], command: Sequence[object], exported: Path, image: Path
):
    label, probabilities, box = json.loads(run(*python, exported, image).stdout)
    done = run(*command, "predict", image, "--model", exported)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["label"], line["box"], box) == (label, None, None)
    assert label in CLASSES
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert "cannot be imported, so every image is taken as a face crop" in done.stderr


def test_with_everything_else_blocked(exported: Path, crops: Path):
    python = [sys.executable, "-c", BLOCK + PYTHON]
    command = [sys.executable, "-c", BLOCK + "from lightfer.__main__ import main; main()"]
    check_both_ways(python, command, exported, crops / "00.png")


def test_a_shipped_model_by_its_name_with_everything_else_blocked(crops: Path):
    command = [sys.executable, "-c", BLOCK + "from lightfer.__main__ import main; main()"]
    done = run(*command, "predict", crops / "00.png", "--model", "mobilenet_v1")
    assert json.loads(done.stdout)["label"] in CLASSES


def test_what_needs_more_says_so(crops: Path):
    command = [sys.executable, "-c", BLOCK + "from lightfer.__main__ import main; main()"]
    assert "typer is not installed; without it only" in run(*command, "models", code=2).stderr
    for arguments in (("--runtime", "pytorch"), ("--model", "mobilenet_v2_x1_4")):
        done = run(*command, "predict", crops, *arguments, code=2)
        assert "torch" in done.stderr or "neither a shipped model" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_nothing_heavy_is_imported_with_an_exported_file(exported: Path, crops: Path):
    code = (
        "import sys; from lightfer.__main__ import main\n"
        f"sys.argv = ['lightfer', 'predict', {str(crops / '00.png')!r}, '--model', "
        f"{str(exported)!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code)\n"
        "print(sorted({'torch', 'typer', 'rich', 'msgspec', 'scipy'} & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", code).stdout.splitlines()[-2:] == ["0", "[]"]


def setuptools() -> int:
    """The first number of its version here; 0 without it."""
    try:
        return int(version("setuptools").partition(".")[0])
    except PackageNotFoundError:
        return 0


def test_in_a_fresh_environment(exported: Path, crops: Path, tmp_path: Path):
    """pip install --no-deps lightfer, and onnxruntime, NumPy and Pillow."""
    source = tmp_path / "source"  # a copy, as building leaves files behind
    shutil.copytree(ROOT / "src", source / "src")
    names = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "results.json")
    for name in names:
        shutil.copy2(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    here = ["--no-build-isolation"] if setuptools() >= 77 else []  # else pip gets one, as asked
    try:
        run(*pip, "wheel", "--no-deps", *here, "--wheel-dir", tmp_path, source)
        venv.create(tmp_path / "venv", with_pip=False)
        folder = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip += ["--python", folder / "python", "install", "--no-compile"]
        pip += ["--constraint", ROOT / "constraints.txt"]
        run(*pip, "onnxruntime", "numpy", "pillow")
    except AssertionError as error:
        if "No matching distribution" in str(error) or "Could not find a version" in str(error):
            pytest.skip("pip reaches no index")
        raise
    run(*pip, "--no-deps", *tmp_path.glob("lightfer-*.whl"))
    python, command = folder / "python", folder / "lightfer"
    check_both_ways([python, "-c", PYTHON], [command], exported, crops / "00.png")
    assert "No module named 'torch'" in run(python, "-c", "import torch", code=1).stderr
    lines = re.findall(
        r"^pip install (.*onnxruntime.*)$", (ROOT / "docs/index.md").read_text(), re.M
    )
    run(*pip, *lines[0].split())
    options = ("--quick", "--rounds", "2", "--batch-size", "1", "--out", tmp_path / "r.json")
    assert "(onnxruntime float32)" in run(command, "bench", "squeezenet1_1_bn", *options).stdout
    for reader in ("validate", "rank", "choose"):
        run(command, reader, tmp_path / "r.json")
