"""What those need who carry the project on: targets with a text, pages whose paths exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[0].split()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_text(target: str):
    assert re.search(rf"^{target}:[^#\n]* ## \S", MAKEFILE, re.M)


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_without_a_target_lists_them_all():
    done = subprocess.run(
        ["make", "--silent", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"^make (\w+) +\S", done.stdout, re.M) == TARGETS
