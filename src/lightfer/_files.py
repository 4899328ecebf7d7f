"""Writing files so that a reader never sees half of one, and where files lie.

Standard library only.
"""

import filecmp
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

from lightfer.errors import FULL, MAKE_SPACE, ArgumentError, LightferError

_STREAMS = (1, 2)  # file descriptors of standard output and standard error
_OF_SYSTEM = {Path("/proc"), Path("/sys")}  # where root may write, and yet make no file
_GIVEN = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
PACKAGE = Path(__file__).parent
STDOUT = Path("-")
"""Standard output, wherever a file to write is asked for."""
LARGE = 100_000
"""Bytes of a JSON text, from which on it is worth while to import a faster reader of it."""
stop_asked = Event()
"""Set once the process is asked to stop: an error that comes then may stand in the stop's place."""
_unfinished: set[Path] = set()
_searched: set[Path] = set()


class OutputError(LightferError, OSError):
    """A file cannot be written; the message says which, why, and what to do."""


class InputError(LightferError, OSError):
    """A file cannot be read; the message says which, why, and what to do."""


class InUseError(ArgumentError):
    """Another process is where only one may be; the message says which, and what to do."""


@contextmanager
def atomic_path(path: Path, known: Collection[Path] = ()) -> Iterator[Path]:
    """Yield a path of that name in a temporary folder beside `path`, moved over it when the block
    ends without error. Where one of the files `known` is the same already, nothing is written.

    A killed process leaves the old file as it was; an error removes the temporary folder, and the
    next process that writes here removes that of a killed one. A link stays, and what it leads to
    is replaced; a device or a pipe gets what was written, at the end. Raises OutputError as
    `check_writable`, and where there is no space.
    """
    check_writable(path)
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="lightfer-") as folder:
            temporary = Path(folder) / (path.name.strip("-") or "stdout")
            temporary.touch()
            yield temporary
            with temporary.open("rb") as source, open_stream(path) as file:
                shutil.copyfileobj(source, file)
        return
    target = Path(os.path.realpath(path))
    folder = target.with_name(f"{_prefix()}{secrets.token_hex(6)}")
    temporary = folder / path.name
    lock = None
    _unfinished.add(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        folder.mkdir(mode=0o700)
        lock = _locked(folder, wait=True)
        temporary.touch()
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(0o600)  # some writers make a file of their own, perhaps a read-only one,
        with temporary.open("rb+") as file:  # and Windows syncs what is open for writing alone
            os.fsync(file.fileno())
        if not any(filecmp.cmp(other, temporary, shallow=False) for other in known):
            temporary.chmod(stat.S_IMODE(mode))
            temporary.replace(target)
    except Exception as error:
        number = getattr(error, "errno", None)
        if told := re.search(r"\(os error (\d+)\)", str(error)):  # of Rust, which writes weights
            number = int(told[1])
        ours = (str(folder), str(temporary))
        if number not in FULL and getattr(error, "filename", None) not in ours:
            raise
        assert number is not None
        do = MAKE_SPACE if number in FULL else "choose another"
        raise OutputError(f"{path} was not written: {os.strerror(number)}; {do}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        _unfinished.discard(folder)


def remove_unfinished() -> None:
    """Remove what a stop left of files that were being written; no more are written after it."""
    for folder in [*_unfinished]:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """Remove the temporary folders of killed processes, once in a process: those whose lock is
    free. An empty one may be so new that it has no lock yet.
    """
    if place in _searched:
        return
    _searched.add(place)
    for folder in place.glob(f"{_prefix()}*"):
        lock = _locked(folder, wait=False)
        if lock is not None:
            if any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path, *, wait: bool) -> int | None:
    """The descriptor that holds a lock on a folder until it is closed or the process ends; None if
    another holds it, or where there are no such locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


@cache
def _prefix() -> str:
    """Of temporary folders: the locks of another machine, or before a start, say nothing here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = platform.node()
    return f".lightfer-{hashlib.sha256(boot.encode()).hexdigest()[:8]}-"


def output_file(text: str | Path) -> Path:
    """The path of a file to write, as it was typed. Raises OutputError where that is the name of a
    folder, as `x.json/`, of which `Path` makes the file `x.json`.
    """
    if str(text).endswith(("/", "/.", os.sep, f"{os.sep}.")):
        raise OutputError(f"{text} is the name of a folder, expected a file: name a file in it")
    return Path(text)


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Raise OutputError if it is known already that `path` cannot be written; makes nothing.

    With `folder`, `path` is to be a folder that files are written into.
    """
    if path == STDOUT and folder:
        raise OutputError("- is standard output, expected a folder: give its name")
    if path == STDOUT:
        return
    if os.path.lexists(path) and not folder:
        _check_existing(path)
        if is_stream(path):
            return
    place = Path(os.path.realpath(path))
    place = place if folder else place.parent
    while not place.exists():
        if place.is_symlink():  # that is none of those which `realpath` can follow
            raise OutputError(f"{path} cannot be written: {place} is a link that leads nowhere")
        place = place.parent
    if not place.is_dir():
        raise OutputError(f"{path} cannot be written: {place} is a file, expected a folder")
    if {place, *place.parents} & _OF_SYSTEM:
        raise OutputError(
            f"{path} cannot be written: {place} is the system's, no place for files; choose another"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path} cannot be written: no permission to write in {place}; choose another place"
        )


def check_outputs(
    outputs: Iterable[Path | None],
    inputs: Iterable[str | Path | None] = (),
    read: Collection[str] = (),
) -> None:
    """As `check_writable`, for all files that a command is to write and that are named.

    Raises OutputError also where one is an input, `inputs` as they were typed, is named twice, or
    lies in a folder that is an input and has one of the endings `read` that are read there.
    """
    taken: dict[Path, str] = {}
    for given in map(str, filter(None, inputs)):
        for part in filter(None, {given, given.rpartition("=")[2], given.rpartition(":")[2]}):
            place = Path(os.path.realpath(part))  # of NET=FILE and NAME:PATH, too
            taken[place] = "is an input, too"
            if place.suffix == ".xml":  # of OpenVINO
                taken[place.with_suffix(".bin")] = "belongs to an input"
    places = [*taken]
    for path in filter(None, outputs):
        check_writable(path)
        if is_stream(path) and path != STDOUT:
            continue
        target = path if path == STDOUT else Path(os.path.realpath(path))
        reason = taken.get(target)
        if reason is None and {path.suffix.lower(), target.suffix.lower()} & {*read}:
            inside = (place for place in places if _holds(place, target))
            reason = next((f"lies among the files of {folder}" for folder in inside), None)
        if reason:
            raise OutputError(f"{path} {reason}: choose another file to write")
        taken[target] = "is to be written twice"


def _holds(folder: Path, target: Path) -> bool:
    """Whether a file lies in a folder, or a link there leads to it."""
    if target.is_relative_to(folder):
        return True
    return target.exists() and any(
        target.is_relative_to(os.path.realpath(Path(root, name)))
        for root, folders, names in os.walk(folder)
        for name in (*folders, *names)
        if os.path.islink(Path(root, name))  # noqa: PTH114 (that of Path raises in a closed folder)
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
    if path == STDOUT:
        return True
    if not path.exists() or path.is_dir():
        return False
    return not path.is_file() or bool(_standard(path))


def open_stream(path: Path) -> BinaryIO:
    """Open what `is_stream` is true of, to write into it."""
    standard = _standard(path)
    return os.fdopen(os.dup(standard), "wb") if standard else path.open("wb")


def _standard(path: Path) -> int | None:
    """Which of this process's outputs `path` is, if any."""
    if path == STDOUT:
        return 1
    for descriptor in _STREAMS:
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
    return None


def never_ends(path: str | Path) -> bool:
    """Whether `path` names a pipe or device, which may be waited for, or read, for ever. One that
    the process was given open, as /dev/stdin or a shell's <(command), is meant and does not count.
    """
    if os.path.isfile(path):  # noqa: PTH113 - as nearly all are: one look at the disk, not three
        return False
    path = Path(path)
    if str(path).startswith(_GIVEN):
        return False
    return path.exists() and not path.is_file() and not path.is_dir()


def check_input(path: str | Path) -> None:
    """Raise InputError where `path` is one of those that `never_ends`, which is named, not opened,
    a folder, or no name that a file can have.
    """
    if "\0" in str(path):
        raise InputError(f"{path} has a zero byte in it, expected the name of a file: correct it")
    try:
        is_folder, is_endless = Path(path).is_dir(), never_ends(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if is_folder:
        raise InputError(f"{path} is a folder, expected a file: give the name of a file in it")
    if is_endless:
        raise InputError(
            f"{path} is a pipe or device, expected a file: name a file (of pipes only those given "
            "open are read, as /dev/stdin or <(command))"
        )


def is_utf8(path: str | Path) -> bool:
    """Whether a name is UTF-8: Linux does not ask for it, but OpenCV (which crashes at others),
    ONNX Runtime and Arrow do.
    """
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def in_utf8(text: str) -> str:
    """A text with the names in it that are not UTF-8 as escapes, for what cannot hold them."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def read_bytes(path: str | Path) -> bytes:
    """The content of a file of the user's. Raises InputError as `check_input`, and OSError."""
    check_input(path)
    return Path(path).read_bytes()


def read_text(path: Path) -> str:
    """The text of a file of the user's in UTF-8, line ends as they are.

    Raises ArgumentError for another encoding, InputError as `check_input`, and OSError.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{path} is not text in UTF-8: {error}; save it as UTF-8") from error


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text; all JSON from outside is read by this or after `check_keys`.

    Raises ValueError for what is no JSON, and where `check_keys` does.
    """
    return json.loads(text, object_pairs_hook=_once)


def check_keys(text: str | bytes) -> None:
    """Raise ValueError where a key stands twice in one object: readers differ in which they take.

    Objects are not kept, so a large file takes little memory.
    """
    if len(text) < LARGE or not _none_is_dropped(text):
        json.loads(text, object_pairs_hook=lambda pairs: _once(pairs) and None)


def _none_is_dropped(text: str | bytes) -> bool:
    """Whether a reader that keeps one of two equal keys keeps every colon, and so every key; False
    where that proves nothing. Faster than a look at each key in Python.
    """
    import msgspec

    if isinstance(text, str):
        text = text.encode(errors="surrogatepass")
    if b"\\" in text:  # it may stand for a colon or a quotation mark
        return False
    try:
        kept = 0
        for name, value in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items():
            kept += 1 + name.count(":")
            parts = [value]
            if memoryview(value)[:1] == b"[":  # as thousands of entries, each on its own
                parts = msgspec.json.decode(value, type=list[msgspec.Raw])
            for part in parts:
                kept += msgspec.json.encode(msgspec.json.decode(part)).count(b":")
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return kept == text.count(b":")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(
            f"the key {twice!r} stands twice in one object, and which one is meant nobody can "
            "tell: take one out, or get the file again"
        )
    return found


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """The block in one process at a time, by a lock on the file `path`.

    Raises InUseError, which names `what` and the process that is in it, for any other.
    """
    from filelock import FileLock, Timeout

    Path(os.path.realpath(path.parent)).mkdir(parents=True, exist_ok=True)  # a link to nothing yet
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = "unknown"
        # Windows locks the content, too; and without flock the file goes with its holder.
        with suppress(OSError, UnicodeError):
            holder = (path.read_text().split() or [holder])[0]
        raise InUseError(
            f"{what} is in use by process {holder}: wait for it, or choose another --out"
        ) from error
    try:
        with suppress(PermissionError):
            if path.read_text().split()[:1] != [str(os.getpid())]:  # as filelock writes it, and
                path.write_text(f"{os.getpid()}\n")  # more, where a system has no such locks
        yield
    finally:
        lock.release()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, whole or not at all, also where other processes do so; behind a last
    line that does not end, as editors leave it, on a line of its own.
    """
    data = line.encode() + b"\n"
    if is_stream(path):
        with open_stream(path) as stream:
            stream.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        before = file.tell()
        if before:
            file.seek(-1, os.SEEK_END)
            data = b"\n" * (file.read(1) != b"\n") + data
        try:
            while data:  # after a part of it the next raises what was in the way
                data = data[file.write(data) :]
        except OSError as error:
            file.truncate(before)
            if error.errno not in FULL:
                raise
            raise OutputError(f"{path} was not written: {error.strerror}; {MAKE_SPACE}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """LIGHTFER_CACHE, else `lightfer` in XDG_CACHE_HOME or `~/.cache`. It may not exist yet.

    Where there is no home, it is a place that nothing can be written to: nothing is cached.
    """
    if folder := os.environ.get("LIGHTFER_CACHE"):
        return in_home(folder)
    base = in_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.devnull if base.parts[:1] == ("~",) else base, "lightfer")


def in_home(path: str | Path) -> Path:
    """`path` with a `~` in front replaced by the home, if there is one."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (that of Path raises where there is none)


def file_name(model: str) -> str:
    """The name of a model as a part of a file's: `package.module:Net` has no colon there."""
    return model.replace(":", ".")


def shipped(name: str) -> Path | None:
    """The weight file of a model that comes with the package, or None."""
    path = PACKAGE / "weights" / f"{name}.safetensors"
    return path if re.fullmatch(r"\w{1,99}", name) and path.exists() else None


def published_results() -> Path:
    """The published results file: in an installed package beside it, else that of the checkout."""
    inside = PACKAGE / "results.json"
    return inside if inside.exists() else PACKAGE.parents[1] / "results.json"


def plain_name(name: str) -> str:
    """A network's name without that of the labels it was trained on."""
    return re.sub("_ferplus8?$", "", name)


def graph_file(name: str) -> Path:
    """Where the graph of an architecture is, or would be: ONNX without weights, gzip."""
    return PACKAGE / "graphs" / f"{plain_name(name)}.onnx.gz"
