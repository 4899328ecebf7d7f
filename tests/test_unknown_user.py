"""As a container's user whom the system does not know: no home, one folder, all else read-only.

This needs root, `unshare` and `setpriv`, and else is skipped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lightfer.data import Dataset
from lightfer.models.weights import load_checkpoint
from lightfer.results import read_results

MODEL = "shufflenet_v2_x0_5"
UNKNOWN = "12345"
INSIDE = f"""
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro /
cd "$1"
shift
exec setpriv --reuid {UNKNOWN} --regid {UNKNOWN} --clear-groups \
    --inh-caps +dac_read_search --ambient-caps +dac_read_search "$@"
"""
"""What may be read is not what is tried here: this installation may lie in the home of root."""


def as_unknown(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    known = ("HOME", "USER", "LOGNAME", "USERNAME", "TMPDIR", "LIGHTFER_CACHE", "XDG_CACHE_HOME")
    return subprocess.run(
        ["unshare", "--mount", "bash", "-c", INSIDE, "bash", str(place), *command],
        env={name: value for name, value in os.environ.items() if name not in known},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """The one folder, where every user may go."""
    if os.geteuid() or not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("needs root, unshare and setpriv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, int(UNKNOWN), int(UNKNOWN))
        if (tried := as_unknown(folder, "touch", "tried")).returncode:
            pytest.skip(f"no other user can be played here: {tried.stderr.strip()}")
        yield folder


def test_trains_measures_predicts_and_reports(
    place: Path, small_csv: Path, faces: Dataset, tmp_path: Path
):
    Image.fromarray(faces["test"].images[0, 0].numpy()).save(tmp_path / "face.png")
    assert as_unknown(place, "touch", str(tmp_path / "no")).returncode == 1
    for words in (
        f"train {MODEL} --data {small_csv} --threads 1 --epochs 1 --out run",
        f"bench run/{MODEL}.safetensors --data {small_csv} --threads 1 --quick --rounds 1 "
        "--batch-size 1 --out results.json",
        f"predict {tmp_path}/face.png --out lines.jsonl",
        "report results.json --html report.html",
    ):
        done = as_unknown(place, sys.executable, "-m", "lightfer", *words.split())
        assert done.returncode == 0, done.stderr
    assert load_checkpoint(place / "run" / f"{MODEL}.safetensors")[1].validation
    assert read_results(place / "results.json").entries[0].latency
    assert '"label":' in (place / "lines.jsonl").read_text()
    assert (place / "report.html").read_text().rstrip().endswith("</html>")
