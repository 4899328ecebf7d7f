"""One item of a queue in a process of its own, wherever an executor puts it.

It shares the queue's folder with its session. `session.json` there holds a token for each item that
somebody works at, and a number that changes every second. When an item's token is another one, or
none, or the number stands still, its worker stops between two batches. So a session stops its items
by taking their tokens away, a worker that was given up for dead writes nothing over its successor,
and none outlives its session, on whichever machine that was.
"""

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

import msgspec

from lightfer.data.dataset import SplitName
from lightfer.train.job import Job

if TYPE_CHECKING:
    from lightfer.data import Dataset

CHECK_S = 0.3  # the least time between two looks at the session
BEAT_S = 1.0  # the most time between two of its signs of life
SILENT_S = 10.0  # without one for so long it is gone


@dataclass(frozen=True)
class Options:
    """How a session works."""

    folder: Path
    data: str
    device: str = "cpu"
    workers: int | None = 1  # items side by side; None: as many as the executor takes
    threads: int | None = 1  # CPU threads of each; None: all
    budget_s: float | None = None  # None: until every item is finished
    pack: Path | None = None
    executor: str = "pool"


class Leases(msgspec.Struct):
    """`session.json`: who works at what."""

    beat: int = 0
    tokens: dict[str, str] = {}  # item -> of the worker whose it is


@dataclass(frozen=True)
class Outcome:
    """How the training of an item ended."""

    kind: Literal["finished", "stopped", "failed"] = "stopped"
    top1: float | None = None  # validation accuracy of the rounded weights
    error: str = "it was stopped again and again: its session seemed gone"
    lost_s: float = 0.0  # seconds of an epoch that was cut off


class _StopError(Exception):
    """The item is no longer this process's."""


def work(name: str, job: Job, token: str, options: Options) -> Outcome:
    """Train `job` as item `name` from where it stopped; what goes wrong is an outcome.

    Raises what reading the data raises. After an error of a GPU, which leaves nothing there that
    works, the process ends: the item goes on in another one.
    """
    from torch import AcceleratorError

    from lightfer.measure.energy import open_meters
    from lightfer.measure.process import tune_process
    from lightfer.train.job import run_job

    tune_process(options.threads, options.device)
    data = _read(options.data, job.splits, job.size)
    watch = _Watch(name, token, options.folder)
    # What a meter tells is a training's if there is no other one.
    meters = open_meters(options.device)[0] if options.workers == 1 else []
    views = options.folder / "views"  # what students of the same seed and recipe share
    given = {"device": options.device, "meters": meters, "view_cache": views}
    try:
        _, card = run_job(
            job, data, options.folder / name, **given, on_batch=watch.batch, on_epoch=watch.epoch
        )
    except _StopError:
        return Outcome("stopped", lost_s=monotonic() - watch.since)
    except AcceleratorError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    except Exception as error:
        return Outcome("failed", error=f"{type(error).__name__}: {error}")
    finally:
        for meter in meters:
            meter.close()
    return Outcome("finished", card.validation.top1 if card.validation else None)


@lru_cache(maxsize=2)
def _read(source: str, splits: tuple[SplitName, ...], size: int) -> "Dataset":
    """Once for all items of a process; of test only the pixels are looked at, for copies."""
    from lightfer.data import load

    return load(source, splits, size)


class _Watch:
    """Sees that the item is still ours."""

    def __init__(self, name: str, token: str, folder: Path) -> None:
        self.name, self.token, self.path = name, token, folder / "session.json"
        self.since = self.changed = monotonic()  # the epoch began; the session gave a sign of life
        self.looked, self.beat = 0.0, 0

    def batch(self, epoch: int, done: int, of: int) -> None:
        """Called after every batch."""
        now = monotonic()
        if now - self.looked < CHECK_S:
            return
        self.looked = now
        try:
            leases = msgspec.json.decode(self.path.read_bytes(), type=Leases)
        except FileNotFoundError:
            leases = Leases()
        except (OSError, ValueError):  # storage that is not there, or not whole, for a moment
            leases = Leases(self.beat, {self.name: self.token})
        if leases.beat != self.beat:
            self.beat, self.changed = leases.beat, now
        if leases.tokens.get(self.name) != self.token or now - self.changed > SILENT_S:
            raise _StopError

    def epoch(self, _: object) -> None:
        """Called after every epoch, when its state is on disk."""
        self.since = monotonic()
