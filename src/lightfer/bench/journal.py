"""The unfinished benchmark run, on disk piece by piece, so that it can be continued."""

from pathlib import Path

import msgspec
from msgspec import Struct

from lightfer._files import write_bytes
from lightfer.results import Accuracy, EnergyBlock, Environment, Work


class Round(Struct, frozen=True, kw_only=True):
    """One visit to a model, in seconds; see `lightfer.measure.latency`."""

    single_s: tuple[float, ...]  # each pass of one image
    batch_s: tuple[float, ...]  # each pass of a full batch
    total_s: float  # all images, input preparation included
    model_s: float  # the share of the model in it
    events_s: tuple[float, ...] = ()  # each pass of one image between CUDA events
    yardstick_single_s: float  # of the yardstick, just before, by batch size
    yardstick_batch_s: float


class Pieces(Struct, frozen=True, kw_only=True):
    """What has been measured so far of one model in one runtime and precision."""

    params: int | None = None
    macs: int | None = None
    work: Work | None = None
    settings: dict[str, str | int] | None = None
    deployed_bytes: int | None = None
    logit_difference: float | None = None
    decoding_s: float | None = None
    scored: bool = False
    accuracy: Accuracy | None = None
    accuracy_other: tuple[Accuracy, ...] = ()
    accuracy_of: str | None = None
    rounds: tuple[Round, ...] = ()
    failed_rounds: dict[int, str] = {}  # by number, with the error: tried twice
    energy: dict[int, tuple[EnergyBlock, ...]] = {}  # batch size -> blocks
    error: str | None = None


class _Stored(Struct, frozen=True, kw_only=True):
    fingerprint: str
    environment: Environment
    pieces: dict[str, Pieces]


class Journal:
    """Pieces per model, runtime and precision, written to a file at every change.

    The file is `path`, and one left there by a run of the same fingerprint is continued, with its
    environment. Where another run, or anything else, lies there, it is `other` and stays as it is:
    this run's file has the beginning of its fingerprint in its name.
    """

    def __init__(self, path: Path, fingerprint: str, environment: Environment) -> None:
        self.path, self.other, self.fingerprint = path, None, fingerprint
        self.environment = environment
        self.pieces: dict[str, Pieces] = {}
        beside = path.with_name(f"{path.name}-{fingerprint[:8]}")
        for candidate in (path, beside):
            stored = _read(candidate)
            if stored is not None and stored.fingerprint == fingerprint:
                self.path = candidate
                self.environment, self.pieces = stored.environment, stored.pieces
                return
        if path.exists():
            self.path, self.other = beside, path

    def record(self, key: str, pieces: Pieces) -> None:
        """Keep the pieces of `key`, in memory and on disk."""
        self.pieces[key] = pieces
        stored = _Stored(
            fingerprint=self.fingerprint, environment=self.environment, pieces=self.pieces
        )
        write_bytes(self.path, msgspec.json.encode(stored))

    def remove(self) -> None:
        """Forget the run: its results are written."""
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> _Stored | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
