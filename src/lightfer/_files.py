"""Writing files so that a reader never sees half of one, and where files lie.

Standard library only.
"""

import errno
import hashlib
import os
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STREAMS = (1, 2)  # file descriptors of standard output and standard error


class OutputError(OSError):
    """A file cannot be written; the message says which, why, and what to do."""


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM): what is half written is removed on the way out."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, moved over it when the block ends without error.

    A killed process leaves the old file as it was; an error removes the temporary one. A link
    stays, and what it leads to is replaced; a device or a pipe gets what was written, at the end.
    Raises OutputError as `check_writable`, and where there is no space.
    """
    check_writable(path)
    stream = is_stream(path)
    target = Path(os.path.realpath(path))
    if not stream:
        target.parent.mkdir(parents=True, exist_ok=True)
    folder = None if stream else target.parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if stream:
            with temporary.open("rb") as source, open_stream(path) as file:
                shutil.copyfileobj(source, file)
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(_mode(target))  # mkstemp makes private files
        temporary.replace(target)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OutputError(
            f"{path} was not written: {os.strerror(error.errno)}; free some space, or choose "
            "another place"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Raise OutputError if it is known already that `path` cannot be written; makes nothing.

    With `folder`, `path` is to be a folder that files are written into.
    """
    if os.path.lexists(path) and not folder:
        _check_existing(path)
        if is_stream(path):
            return
    place = Path(os.path.realpath(path))
    place = place if folder else place.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise OutputError(f"{path} cannot be written: {place} is a file, expected a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path} cannot be written: no permission to write in {place}; choose another place"
        )


def _check_existing(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return  # a link to what is not there yet
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder, expected a file: give the name of a file in it")
    if not mode & 0o222 or not (_standard(path) or os.access(path, os.W_OK)):
        raise OutputError(
            f"{path} is read-only: choose another file, or make it writable (chmod u+w)"
        )


def is_stream(path: Path) -> bool:
    """Whether `path` is there and is written into, not replaced: a device, a pipe, an output."""
    if not path.exists() or path.is_dir():
        return False
    return not path.is_file() or bool(_standard(path))


def open_stream(path: Path) -> BinaryIO:
    """Open what `is_stream` is true of, to write into it."""
    standard = _standard(path)
    return os.fdopen(os.dup(standard), "wb") if standard else path.open("wb")


def _standard(path: Path) -> int | None:
    """Which of this process's outputs `path` is, if any."""
    for descriptor in _STREAMS:
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
    return None


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, else those of any new file."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()


def end_on_sigterm() -> None:
    """From now on SIGTERM raises Terminated in this process; its children end as they did.

    Outside the main thread, which alone can be told of signals, nothing changes.
    """
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """LIGHTFER_CACHE, else `lightfer` in XDG_CACHE_HOME or `~/.cache`. It may not exist yet."""
    if folder := os.environ.get("LIGHTFER_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lightfer"


def file_name(model: str) -> str:
    """The name of a model as a part of a file's: `package.module:Net` has no colon there."""
    return model.replace(":", ".")


def shipped(name: str) -> Path | None:
    """The weight file of a model that comes with the package, or None."""
    path = Path(str(files("lightfer"))) / "weights" / f"{name}.safetensors"
    return path if path.exists() else None


def published_results() -> Path:
    """The published results file: in an installed package beside it, else that of the checkout."""
    package = Path(str(files("lightfer")))
    inside = package / "results.json"
    return inside if inside.exists() else package.parents[1] / "results.json"


def graph_file(name: str) -> Path:
    """Where the graph of an architecture is, or would be: ONNX without weights, gzip."""
    return Path(str(files("lightfer"))) / "graphs" / f"{name}.onnx.gz"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
