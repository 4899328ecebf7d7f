"""One item of a queue in a process of its own, wherever an executor puts it.

It reads the list's folder, which it shares with whoever asked for it, and says all it has to say
there and in what it returns. A lease in the item's folder says whose the item is: when another
token stands there, or none, it stops between two batches. So a session stops its items by taking
their leases away, and a worker that was given up for dead writes nothing over its successor.
"""

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Literal

from lightfer.train.sweep.items import Item

if TYPE_CHECKING:
    from lightfer.data import Dataset

CHECK_S = 0.2
"""The least time between two looks at the lease and the clock."""


@dataclass(frozen=True)
class Place:
    """Where and how all items of a session are trained; plain values, to be sent anywhere."""

    folder: Path
    data: str
    device: str
    threads: int | None
    alone: bool  # one item at a time: what a meter tells is its training's
    token: str  # of the session, in the leases
    until_s: float | None  # time(): the end, whatever becomes of the session


@dataclass(frozen=True)
class Outcome:
    """How the training of an item ended. Times in seconds."""

    kind: Literal["finished", "stopped", "failed", "unfit"]  # unfit: the data cannot be read
    top1: float | None = None  # validation accuracy of the rounded weights
    error: str = ""
    ready_s: float | None = None  # time(), when the data had been read
    data_s: float = 0.0  # reading the data
    first_batch_s: float | None = None  # building, loading, compiling, one batch
    lost_s: float = 0.0  # of an epoch that was cut off


class _StopError(Exception):
    """The item is no longer this process's, or its time is over."""


def begin_worker(parent: int) -> None:
    """For a process of a pool: leave ctrl-c to the session, and go when the session is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            sleep(CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def lease_of(folder: Path, name: str) -> Path:
    """The file that says whose an item is."""
    return folder / name / ".lease"


def work(item: Item, items: Sequence[Item], place: Place) -> Outcome:
    """Train `item` from where it stopped; every error of its own is an outcome."""
    from lightfer.measure.energy import open_meters
    from lightfer.measure.process import tune_process
    from lightfer.train.sweep.training import train_item

    tune_process(place.threads, place.device)
    begun = monotonic()
    try:
        data = _read(place.data, any(not item.copies for item in items))
    except Exception as error:
        return Outcome("unfit", error=str(error))
    watch = _Watch(lease_of(place.folder, item.name), place, monotonic())
    told = Outcome("finished", ready_s=time(), data_s=monotonic() - begun)
    meters = open_meters(place.device)[0] if place.alone else []
    try:
        card = train_item(
            item,
            items,
            data,
            place.folder,
            device=place.device,
            meters=meters,
            on_batch=watch.batch,
            on_epoch=watch.epoch,
        )
    except _StopError:
        told = replace(told, kind="stopped", lost_s=monotonic() - watch.since)
    except Exception as error:
        told = replace(told, kind="failed", error=f"{type(error).__name__}: {error}")
    else:
        told = replace(told, top1=card.validation.top1 if card.validation else None)
    finally:
        for meter in meters:
            meter.close()
    return replace(told, first_batch_s=watch.first_batch_s)


@lru_cache(maxsize=1)
def _read(source: str, with_test: bool) -> "Dataset":
    """Once for all items of a process; of test only the pixels are looked at, for copies."""
    from lightfer.data import load

    return load(source, ("train", "validation", *(("test",) if with_test else ())))


class _Watch:
    """Sees that the item is still ours, and how long things take."""

    def __init__(self, lease: Path, place: Place, begun: float) -> None:
        self.lease, self.place, self.begun = lease, place, begun
        self.since, self.looked = begun, 0.0  # when the running epoch began; the last look
        self.first_batch_s: float | None = None

    def batch(self, epoch: int, done: int, of: int) -> None:
        """Called after every batch."""
        now = monotonic()
        if self.first_batch_s is None:
            self.first_batch_s = now - self.begun
        if now - self.looked < CHECK_S:
            return
        self.looked = now
        late = self.place.until_s is not None and time() > self.place.until_s
        try:
            ours = self.lease.read_text() == self.place.token
        except OSError:
            ours = False
        if late or not ours:
            raise _StopError

    def epoch(self, _: object) -> None:
        """Called after every epoch, when its state is on disk."""
        self.since = monotonic()
