"""Labelling from and to storage that is not this machine's, and that does not always answer."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from lightfer.__main__ import run
from lightfer.errors import ArgumentError
from lightfer.inference.predict import shards
from tests.inference.predict.conftest import MODEL
from tests.inference.predict.test_shards import SETUP, THREADS, label_shards, plan, rows_of

SILENT = "AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28"
TABLE = "rows.parquet"


class Elsewhere:
    """Files of this machine, as of another storage; each time that one is opened, it raises the
    next of its `answers`, if that is an error.
    """

    def __init__(self) -> None:
        self.here, self.answers = fs.LocalFileSystem(), dict[str, list[OSError | None]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.here, name)

    def open_input_file(self, path: str) -> Any:
        return self._opened(self.here.open_input_file, path)

    def open_input_stream(self, path: str) -> Any:
        return self._opened(self.here.open_input_stream, path)

    def _opened(self, call: Any, path: str) -> Any:
        answers = self.answers.get(Path(path).name)
        error = answers.pop(0) if answers else None
        if isinstance(error, LaterError):
            return Failing(call(path), OSError(*error.args))
        if error:
            raise error
        return call(path)


class LaterError(OSError):
    """An answer to what is read once the file is open."""


class Failing:
    """An open file that cannot be read."""

    def __init__(self, file: Any, error: OSError) -> None:
        self.file, self.error = file, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Failing":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def read(self, size: int = -1) -> bytes:
        raise self.error


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    store, real = Elsewhere(), shards._remote

    def remote(uri: str) -> tuple[Any, str]:
        return (store, uri[6:]) if uri.startswith("far://") else real(uri)

    monkeypatch.setattr(shards, "_remote", remote)
    return store


@pytest.fixture
def folder(crops: Path, tmp_path: Path) -> Path:
    """Four pictures, and a Parquet file with two."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        shutil.copy(crops / f"0{i}.png", folder)
    rows = [(crops / "00.png").read_bytes()] * 2
    pq.write_table(pa.table({"image": rows}), folder / TABLE)
    return folder


def command(folder: Path, out: Path) -> list[str]:
    options = ["--crop", "--model", MODEL, "--runtime", "pytorch", "--out", str(out)]
    return ["predict", f"far://{folder}", "--executor", THREADS, "--workers", "1", *options]


@pytest.mark.parametrize("error", [OSError, LaterError])
@pytest.mark.parametrize(("name", "opened"), [("02.png", 0), (TABLE, 0), (TABLE, 1)])
def test_storage_that_does_not_answer_is_asked_again(
    elsewhere: Elsewhere,
    folder: Path,
    tmp_path: Path,
    name: str,
    opened: int,
    error: type[OSError],
    capsys,
):
    """It was an error row for good; of a Parquet file, for all of its rows."""
    elsewhere.answers[name] = [*[None] * opened, error(SILENT)]
    assert run(command(folder, tmp_path / "out")) == 2
    assert capsys.readouterr().err == (
        f"lightfer: far://{folder}/{name} cannot be read now ({SILENT}): give the same command "
        "again, which goes on, or leave it out\n"
    )
    assert run(command(folder, tmp_path / "out")) == 0
    assert len(rows_of(tmp_path / "out")) == 6


REFUSALS = {
    "not there": OSError(errno.ENOENT, "of the file"),
    "no permission": OSError(errno.EACCES, "of the file"),
    "S3": OSError("of the file: AWS Error ACCESS_DENIED during HeadObject operation: No body."),
    "Google": OSError("google::cloud::Status(PERMISSION_DENIED: of the file)"),
    "Azure": OSError("GetProperties of the file. Azure Error: [AuthorizationFailure] 403 This"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("opened", [0, 1])
def test_what_storage_refuses_is_a_row(
    elsewhere: Elsewhere, folder: Path, tmp_path: Path, opened: int, refusal: str
):
    """A storage's own words for it ended the command, each time it was given; and so did what was
    refused once the plan was made.
    """
    elsewhere.answers["02.png"] = [REFUSALS[refusal]]
    elsewhere.answers[TABLE] = [*[None] * opened, REFUSALS[refusal]]
    assert run(command(folder, tmp_path / "out")) == 1
    errors = {Path(row["item"]).name: row["error"] for row in rows_of(tmp_path / "out")}
    tables = {TABLE} if opened == 0 else {f"{TABLE}#0", f"{TABLE}#1"}
    assert {name for name, error in errors.items() if error} == {"02.png", *tables}
    assert all("of the file" in errors[name] for name in ("02.png", *tables))


@pytest.mark.parametrize("damage", ["footer", "pages"])
def test_a_damaged_file_in_storage_is_a_row(
    elsewhere: Elsewhere, folder: Path, tmp_path: Path, damage: str
):
    """Arrow's error was taken for storage that does not answer: the command never ended well."""
    data = bytearray((folder / TABLE).read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    first = footer if damage == "footer" else 4
    data[first : first + 100] = b"\xff" * 100
    (folder / TABLE).write_bytes(data)
    assert run(command(folder, tmp_path / "out")) == 1
    errors = {Path(row["item"]).name: row["error"] for row in rows_of(tmp_path / "out")}
    tables = {TABLE} if damage == "footer" else {f"{TABLE}#0", f"{TABLE}#1"}
    assert {name for name, error in errors.items() if error} == tables


def test_inputs_by_several_uris_are_one(elsewhere: Elsewhere, folder: Path):
    """Each URI counted as a storage of its own, and every input had two rows."""
    once = plan([f"far://{folder}"])
    assert plan([f"far://{folder}", f"far://{folder}/02.png", f"far://{folder}/{TABLE}"]) == once
    here = plan([str(folder)])
    assert plan([str(folder), (folder / "02.png").as_uri(), (folder / TABLE).as_uri()]) == here


def test_of_two_commands_at_once_one_labels(
    elsewhere: Elsewhere,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """Before the first part was there, both began, and the folder held labels of two networks."""
    (folder / TABLE).unlink()
    real, words = shards.label, [*command(folder, tmp_path)[:-1], f"far://{tmp_path}/out"]
    other = [{MODEL: "squeezenet1_1_bn"}.get(word, word) for word in words]
    codes = []

    def late(*told: Any) -> int:
        monkeypatch.setattr(shards, "label", real)
        codes.append(run(other))
        return real(*told)

    monkeypatch.setattr(shards, "label", late)
    assert run(words) == 2
    assert codes[0] == 0
    assert f"another command labels in far://{tmp_path}/out by now" in capsys.readouterr().err
    parts = [*(tmp_path / "out").glob("part-*")]
    models = {pq.read_metadata(part).metadata[b"model"] for part in parts}
    assert (len(parts), models) == (1, {b"squeezenet1_1_bn"})


def test_labels_lie_apart_from_inputs(elsewhere: Elsewhere, folder: Path):
    """All was passed over as labels of its own, with exit code 0."""
    for uri in (f"far://{folder}", folder.as_uri()):
        for given in (uri, f"{uri}/02.png"):
            with pytest.raises(ArgumentError, match="holds the input"):
                label_shards([given], uri, SETUP, THREADS, 1)
    with pytest.raises(ArgumentError, match="holds the input"):
        label_shards([str(folder)], folder.as_uri(), SETUP, THREADS, 1)
    assert plan([str(folder)], without=(elsewhere, str(folder))) == plan([str(folder)])
