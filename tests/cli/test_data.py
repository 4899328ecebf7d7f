"""`lightfer data`; oracle: the files written here, and the audit called directly."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from lightfer.cli.console import load_data
from lightfer.cli.data import app
from lightfer.data import DataError, Dataset, load
from lightfer.data.audit import audit
from lightfer.errors import ArgumentError
from tests.data.test_ferplus import HEADER, lines
from tests.data.writers import kaggle_csv


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_audit_as_json_is_the_audit(faces: Dataset, tmp_path: Path):
    path = kaggle_csv(tmp_path, faces)
    assert json.loads(run("audit", "--data", str(path), "--json")) == asdict(audit(load(path)))


def test_audit_as_table_shows_every_count(faces: Dataset, tmp_path: Path):
    shown = run("audit", "--data", str(kaggle_csv(tmp_path, faces)))
    for text in ("unverified data", "surprise", "equal to a train image", "192 distinct"):
        assert text in shown


def test_a_strangers_file_beside_the_data_does_not_steer_the_terminal(
    faces: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture
):
    kaggle_csv(tmp_path, faces)
    (tmp_path / "\x1b[2J\n.csv").touch()
    load_data(str(tmp_path), needed=())
    CliRunner().invoke(app, ["audit", "--data", str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"; also found \x1b[2J .csv, not used")
    assert line.removeprefix("data: ") == load(tmp_path).description


def test_audit_finds_votes_beside_real_data_only(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIGHTFER_DATA", str(kaggle_csv(tmp_path, faces)))
    (tmp_path / "fer2013new.csv").write_text("not read, because the data are not FER2013")
    assert "FER+" not in run("audit")
    with pytest.raises(DataError, match=r"fer2013new\.csv, line 1"):
        run("audit", "--ferplus", str(tmp_path / "fer2013new.csv"))


def test_votes_are_not_joined_to_lines_that_nothing_proves(faces: Dataset, tmp_path: Path):
    """As where a line was removed: shares by the votes of the image before were printed."""
    (tmp_path / "votes.csv").write_text("\n".join([HEADER, *lines()]) + "\n")
    data = str(kaggle_csv(tmp_path, faces))
    with pytest.raises(DataError, match=r"do not tell each image's line of fer2013\.csv"):
        run("audit", "--data", data, "--ferplus", str(tmp_path / "votes.csv"))


def test_audit_without_data_says_where_they_are_looked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LIGHTFER_DATA", raising=False)
    with pytest.raises(ArgumentError, match=r"--data PATH .*set LIGHTFER_DATA, or run"):
        run("audit")


def test_fetch_reports_what_it_left_in_the_cache(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = ModuleType("kagglehub")
    module.dataset_download = lambda handle: str(kaggle_csv(tmp_path, faces))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "cache"))
    assert "192 images (96 train, 48 validation, 48 test)" in run("fetch").replace("\n", "")
    assert "192 distinct" in run("audit")
