"""The unfinished benchmark run on disk, a line a step, so that it can be continued.

Lines of a checksum and JSON: the run's fingerprint and environment first, then what each step
measured, as it was measured. A line is only ever added, so a stop costs at most the step that it
fell into.
"""

import os
import zlib
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from lightfer._files import OutputError, check_keys, write_bytes
from lightfer.errors import ArgumentError
from lightfer.measure.noise import Watched
from lightfer.results import Accuracy, EnergyBlock, Environment, Work

Kind = Literal["static", "round", "energy"]
Part = TypeVar("Part", bound=Struct)


class Static(Struct, frozen=True, kw_only=True, tag="static"):
    """What is measured once of a model in one runtime and precision: size and accuracy."""

    params: int
    macs: int
    work: Work
    settings: dict[str, str | int]
    deployed_bytes: int | None = None
    logit_difference: float | None = None
    load_s: float | None = None
    accuracy: Accuracy | None = None
    accuracy_other: tuple[Accuracy, ...] = ()
    accuracy_of: str | None = None


class Timed(Struct, frozen=True, kw_only=True):
    """The passes of one batch size in one round, in seconds; see `Latency`."""

    batch_size: int
    clock: str
    samples_s: tuple[float, ...]  # of all passes the evenly ranked ones that are kept
    passes: int  # all that were timed
    seconds: float  # all of them together
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    yardstick_s: float


class Round(Struct, frozen=True, kw_only=True, tag="round"):
    """One visit to a model."""

    timed: tuple[Timed, ...]  # each batch size
    total_s: float  # all images, input preparation included
    model_s: float  # the share of the model in it
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None
    watched: Watched | None = None
    waited_s: float = 0.0  # before it, for a quiet machine


class Block(Struct, frozen=True, kw_only=True, tag="energy"):
    """One block of energy at one batch size."""

    batch_size: int
    block: EnergyBlock


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """A step that gave an error instead; a round was tried twice."""

    kind: Kind
    error: str


Record = Static | Round | Block | Failed


@dataclass
class Pieces:
    """The records of one model in one runtime and precision."""

    static: Static | None = None
    rounds: list[Round] = field(default_factory=list)
    failed_rounds: list[str] = field(default_factory=list)
    energy: dict[int, list[EnergyBlock]] = field(default_factory=lambda: defaultdict(list))
    error: str | None = None  # that ended its measurement

    def add(self, record: Record) -> None:
        """Take in the next record."""
        match record:
            case Static():
                self.static = record
            case Round():
                self.rounds.append(record)
            case Block():
                self.energy[record.batch_size].append(record.block)
            case Failed(kind="round"):
                self.failed_rounds.append(record.error)
            case Failed():
                self.error = record.error


class _Head(Struct, frozen=True, kw_only=True):
    fingerprint: str
    environment: Environment


class _Line(Struct, frozen=True, kw_only=True):
    case: str
    record: Record


class Journal:
    """Records per model, runtime and precision, written to a file one by one.

    The file is `path`, and one left there by a run of the same fingerprint is continued, with its
    environment. Where another run, or anything else, lies there, it is `other` and stays as it is:
    this run's file has the beginning of its fingerprint in its name. So it has where another
    process is at work at `path`; a third such process is refused by an ArgumentError.
    """

    def __init__(self, path: Path, fingerprint: str, environment: Environment) -> None:
        self.path, self.other = path, None
        self.head = _Head(fingerprint=fingerprint, environment=environment)
        self.pieces: dict[str, Pieces] = defaultdict(Pieces)
        beside = path.with_name(f"{path.name}-{fingerprint[:8]}")
        locks = {place: lock for place in (path, beside) if (lock := _lock(place)) is not None}
        known = next((place for place in locks if self._continue(place)), None)
        new = [place for place in locks if place == beside or _free(place)]
        if known is None and not new:
            raise ArgumentError(f"{path} is in use by other processes: wait, or use another --out")
        self.path = known or new[0]
        self.other = path if path in locks and self.path == beside and not _free(path) else None
        if known is None:
            self.path.unlink(missing_ok=True)  # of this name, yet not this run: damaged
        self._lock = locks.pop(self.path)  # held as long as this object lives
        for lock in locks.values():
            _unlock(lock)

    @property
    def environment(self) -> Environment:
        return self.head.environment

    def append(self, case: str, record: Record) -> None:
        """Keep a record of `case`, in memory and on disk."""
        self.pieces[case].add(record)
        try:
            if not self.path.exists():
                write_bytes(self.path, _sealed(self.head))  # half of it would be nobody's run
            with self.path.open("ab") as file:
                file.write(_sealed(_Line(case=case, record=record)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = getattr(error.__cause__ or error, "strerror", None) or error
            raise OutputError(
                f"{self.path} was not written: {reason}; mend that, and the same command goes on"
            ) from error

    def remove(self) -> None:
        """Forget the run: its results are written."""
        self.path.unlink(missing_ok=True)
        _unlock(self._lock)

    def _continue(self, path: Path) -> bool:
        """Take in what `path` holds, if it is this run's; from a damaged line on it is cut off."""
        if not path.is_file():
            return False
        lines = path.read_bytes().splitlines(keepends=True)
        head = _opened(lines[0], _Head) if lines else None
        if head is None or head.fingerprint != self.head.fingerprint:
            return False
        self.path, self.head = path, head
        whole = len(lines[0])
        for line in lines[1:]:
            if (known := _opened(line, _Line)) is None:
                break
            self.pieces[known.case].add(known.record)
            whole += len(line)
        os.truncate(path, whole)
        return True


def _free(path: Path) -> bool:
    """Whether nothing lies there: a file without a byte is what a stop of the machine may leave."""
    return not path.exists() or (path.is_file() and not path.stat().st_size)


def _lock(path: Path) -> FileLock | None:
    """Held by this process from now on; None where another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _unlock(lock: FileLock) -> None:
    with suppress(PermissionError):  # of Windows, where an open file stays
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _sealed(record: Struct) -> bytes:
    """A line of the file."""
    text = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _opened(line: bytes, kind: type[Part]) -> Part | None:
    """What `_sealed` was given; None where the line is torn or damaged, or was not made by it."""
    text = line[9:-1]
    if line != b"%08x %b\n" % (zlib.crc32(text), text):
        return None
    try:
        check_keys(text)
        return msgspec.json.decode(text, type=kind)
    except ValueError:
        return None
