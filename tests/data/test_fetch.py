"""Fetching, against stand-ins for `kagglehub`: a module here, and a local server where it exists.

The server speaks what kagglehub 1.0 asks of Kaggle; that test is skipped without kagglehub.
"""

import io
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from lightfer.data import DataError, Dataset, find
from lightfer.data.fetch import HANDLE, fetch
from tests.data.writers import kaggle_csv


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "cache"))
    for name in ("LIGHTFER_DATA", "KAGGLEHUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def kagglehub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("kagglehub")
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def test_what_was_fetched_is_found(kagglehub: ModuleType, faces: Dataset, tmp_path: Path):
    asked: list[str] = []

    def download(handle: str) -> str:
        asked.append(handle)
        return str(kaggle_csv(tmp_path, faces).parent)

    kagglehub.dataset_download = download  # type: ignore[attr-defined]
    assert find() is None
    assert fetch().sha256() == faces.sha256()
    assert (asked, find()) == ([HANDLE], str(tmp_path))


def test_what_lies_in_a_folder_of_any_name_is_found(
    kagglehub: ModuleType, faces: Dataset, tmp_path: Path, monkeypatch
):
    folder = tmp_path / os.fsdecode(b"d\xc3\xbc\xff")
    folder.mkdir()
    kagglehub.dataset_download = lambda handle: str(kaggle_csv(folder, faces).parent)  # type: ignore[attr-defined]
    assert fetch().sha256() == faces.sha256()
    assert find() == str(folder)


class OfflineError(OSError):
    pass


OfflineError.__name__ = "ConnectionError"


class UnauthenticatedError(Exception):
    pass


def answer(status: int) -> Exception:
    error = OSError(f"{status} Client Error")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OfflineError("Max retries exceeded"), "Kaggle cannot be reached .* Check the network"),
        (answer(403), r"Kaggle refused a/b \(403\)\. Create a token"),
        (UnauthenticatedError(), r"Kaggle refused a/b \(UnauthenticatedError\)\. Create a token"),
        (answer(404), r"Kaggle has no dataset a/b .*Check --handle"),
        (answer(503), r"Kaggle answered 503 for a/b\. Try again later"),
        (ValueError("Invalid dataset handle: a/b"), r"could not be downloaded \(ValueError: Inval"),
    ],
)
def test_a_failure_says_why_and_what_to_do(
    error: Exception, message: str, kagglehub: ModuleType, cache: Path
):
    def download(handle: str) -> str:
        raise error

    kagglehub.dataset_download = download  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=message) as caught:
        fetch("a/b")
    assert r"kaggle.com/datasets/a/b" in str(caught.value)
    assert not cache.exists()


def test_what_cannot_be_read_is_not_remembered(kagglehub: ModuleType, cache: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    kagglehub.dataset_download = lambda handle: str(tmp_path / "empty")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no data found"):
        fetch()
    assert find() is None


def test_without_kagglehub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"pip install 'lightfer\[kaggle\]'"):
        fetch()


@pytest.fixture
def kaggle_server(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], None]]:
    """A server in Kaggle's place on this machine; call it with the status it is to answer."""
    pytest.importorskip("kagglehub", reason="kagglehub is not installed")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(kaggle_csv(tmp_path, faces), "fer2013.csv")
    statuses = [200]

    class Kaggle(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            # What is left unread when a connection closes resets it, and may lose the answer.
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(statuses[-1])
            body = packed.getvalue() if statuses[-1] == 200 else b"{}"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    try:
        server = HTTPServer(("localhost", 7777), Kaggle)  # the port of kagglehub's TEST environment
    except OSError:
        pytest.skip("port 7777 is taken")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("HOME", str(tmp_path))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield statuses.append
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("default")
def test_the_real_kagglehub_downloads_into_the_cache(
    kaggle_server: Callable[[int], None], faces: Dataset, cache: Path
):
    assert fetch("owner/fer2013/versions/1").sha256() == faces.sha256()
    assert (find() or "").startswith(str(cache))
    kaggle_server(403)
    with pytest.raises(DataError, match="Kaggle refused"):
        fetch("owner/other/versions/1")
