"""A process that trains one item after the other, as the runner hands them out.

It starts and reads the data once. It ends when it is told to, and when its runner is gone.
"""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from lightfer.train.sweep.items import Item
from lightfer.train.sweep.lock import locked

if TYPE_CHECKING:
    from lightfer.data import Dataset

REPORT_S = 0.2
"""The least time between two reports of progress."""


@dataclass(frozen=True)
class Place:
    """Where and how all workers of a session work."""

    folder: Path
    data: str
    device: str
    threads: int | None
    alone: bool  # one worker: what a meter tells is its training's
    runner_pid: int
    started_s: float  # monotonic clock of the machine, when the worker was asked for


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker says of its item; `ready` and `unfit` are of the worker itself."""

    kind: Literal["ready", "unfit", "first batch", "batch", "epoch", "finished", "failed"]
    item: str = ""
    start_s: float = 0.0  # ready: from being asked for to being able to read the data
    data_s: float = 0.0  # ready: reading the data
    batch: tuple[int, int, int] = (0, 0, 0)  # epoch, batches done, batches of the epoch
    first_batch_s: float = 0.0  # from the item's begin: building, loading, compiling
    epoch: dict[str, Any] = {}  # see `lightfer.train.state.Epoch`
    top1: float | None = None  # finished: validation accuracy of the rounded weights
    error: str = ""


class _StopError(Exception):
    """The session's time is over."""


def work(connection: Connection, stop: Event, items: Sequence[Item], place: Place) -> None:
    """Train the `items` that `connection` names, until it names none or `stop` is set.

    Runs in a process of its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner gets it too, and stops us
    leave = _leave_if_alone(place.runner_pid)
    with locked(place.folder / "workers.lock", shared=True, wait_s=30):
        leave()
        try:
            dataset = _begin(connection, items, place)
        except Exception as error:
            connection.send(Report(kind="unfit", error=str(error)))
            return
        with suppress(EOFError, BrokenPipeError, _StopError):  # the runner is gone, or says stop
            while name := connection.recv():
                item = next(item for item in items if item.name == name)
                _train(item, items, dataset, place, _Reporter(connection, stop, item.name, leave))


def _begin(connection: Connection, items: Sequence[Item], place: Place) -> "Dataset":
    """Import what is heavy, read the data, say how long it took."""
    from lightfer.data import load
    from lightfer.measure.process import tune_process
    from lightfer.train.sweep import training

    assert training  # imported for its time
    tune_process(place.threads, place.device)
    begun = monotonic()
    needed = ("train", "validation", "test")
    if all(item.copies for item in items):
        needed = ("train", "validation")
    dataset = load(place.data, needed)
    data_s = monotonic() - begun
    connection.send(Report(kind="ready", start_s=begun - place.started_s, data_s=data_s))
    return dataset


def _train(
    item: Item, items: Sequence[Item], dataset: "Dataset", place: Place, report: "_Reporter"
) -> None:
    from lightfer.measure.energy import open_meters
    from lightfer.train.sweep.training import train_item

    meters = open_meters(place.device)[0] if place.alone else []
    try:
        card = train_item(
            item,
            items,
            dataset,
            place.folder,
            device=place.device,
            meters=meters,
            on_batch=report.batch,
            on_epoch=report.epoch,
        )
    except (_StopError, BrokenPipeError):
        raise
    except Exception as error:
        report.send("failed", error=f"{type(error).__name__}: {error}")
    else:
        report.send("finished", top1=card.validation.top1 if card.validation else None)
    finally:
        for meter in meters:
            meter.close()


def _leave_if_alone(runner_pid: int) -> Callable[[], None]:
    def leave() -> None:
        if os.getppid() != runner_pid:
            os._exit(1)

    return leave


class _Reporter:
    """Sends the progress of one item, not more often than somebody can read it."""

    def __init__(
        self, connection: Connection, stop: Event, item: str, leave: Callable[[], None]
    ) -> None:
        self.connection, self.stop, self.item, self.leave = connection, stop, item, leave
        self.begun = monotonic()
        self.last_s: float | None = None  # of the last report; None: no batch is done yet

    def send(self, kind: str, **fields: Any) -> None:
        self.connection.send(Report(kind=kind, item=self.item, **fields))  # pyright: ignore[reportArgumentType]

    def batch(self, epoch: int, done: int, of: int) -> None:
        """Called after every batch."""
        self.leave()
        if self.stop.is_set():
            raise _StopError
        now = monotonic()
        if self.last_s is None:
            self.send("first batch", first_batch_s=now - self.begun)
        if self.last_s is None or now - self.last_s > REPORT_S:
            self.last_s = now
            self.send("batch", batch=(epoch, done, of))

    def epoch(self, epoch: Any) -> None:
        """Called after every epoch, when its state is on disk."""
        self.send("epoch", epoch=msgspec.to_builtins(epoch))
