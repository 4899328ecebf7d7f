"""Writing files so that a reader never sees half of one, and where files lie.

Standard library only.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, moved over it when the block ends without error.

    A killed process leaves the old file as it was; an error removes the temporary one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


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


def graph_file(name: str) -> Path:
    """Where the graph of an architecture is, or would be: ONNX without weights, gzip."""
    return Path(str(files("lightfer"))) / "graphs" / f"{name}.onnx.gz"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
