"""A session of a queue, from the list to the pack, and its workers.

Workers are processes, wherever the executor puts them, that share the queue's folder. There
`session.json` holds a token for each item that somebody works at, and a number that changes every
second. When an item's token is another one, or none, or the number stands still, its worker stops
between two batches: docs/queue.md says what for.
"""

import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep
from typing import Literal

import msgspec
from torch import AcceleratorError

from lightfer._files import InUseError, alone, is_stream, write_bytes, write_text
from lightfer.data import load
from lightfer.executors import open_executor
from lightfer.measure.energy import training_meters
from lightfer.measure.process import tune_process
from lightfer.train.job import Job, run_job
from lightfer.train.sweep.items import Item, check_items, in_order, job_of, teachers_in, weights_of
from lightfer.train.sweep.pack import check_known, epochs_in, packed_files, write_pack

LOOK_S = 0.3  # between two looks at the histories of what runs, and of a worker at the session
STOP_S = 2.0  # kept free at the end for stopping; what has not stopped after twice that is killed
LOSSES = 3  # an item has failed after so many lost workers in a row without a new epoch
PACK_BYTES_PER_S = 100e6  # how fast packing is taken to be when time is kept free for it
BEAT_S = 1.0  # the most time between two of its signs of life
SILENT_S = 10.0  # without one for so long it is gone


@dataclass(frozen=True)
class Options:
    """How a session works."""

    folder: Path
    data: str
    device: str = "cpu"
    workers: int | None = 1  # items side by side; None: as many as the executor takes
    threads: int = 1  # CPU threads of each
    budget_s: float | None = None  # None: until every item is finished
    pack: Path | None = None
    executor: str = "pool"


class Session(msgspec.Struct, kw_only=True):
    """What a session did with its time; a line of `sessions.jsonl`. Times in seconds."""

    began: str
    device: str
    workers: int
    threads: int
    budget_s: float | None
    wall_s: float = 0.0
    pack_s: float | None = None
    lost_s: float = 0.0  # spent on epochs that were cut off, as far as their workers could tell
    epochs: int = 0
    finished: dict[str, float] = {}  # name -> validation accuracy
    failed: dict[str, str] = {}  # name -> error


class Leases(msgspec.Struct):
    """`session.json`: who works at what."""

    beat: int = 0
    tokens: dict[str, str] = {}  # item -> of the worker whose it is


@dataclass(frozen=True)
class Report:
    """What has become of an item: what a worker returns, and what whoever watches is told."""

    kind: Literal["begun", "epoch", "finished", "stopped", "failed"]
    item: str
    epochs: int = 0  # that its history holds
    top1: float = 0.0  # validation accuracy of the rounded weights
    error: str = ""
    lost_s: float = 0.0  # seconds of an epoch that was cut off


def run_queue(
    items: Sequence[Item],
    options: Options,
    *,
    text: str = "",
    begun: float | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Session:
    """Train `items` in order of value within the budget, and write the session down.

    `text` is the list, for the folder to keep; `begun` is the time of `monotonic` from which the
    budget counts. Raises ValueError before anything is trained or written if an item cannot begin,
    another queue runs in this folder or it holds items of another list, PackError if the pack that
    is there holds more than it, or an item that the list lacks.
    """
    begun = monotonic() if begun is None else begun
    source, folder = Path(options.data), options.folder.absolute()
    data = str(source.absolute()) if source.exists() else options.data
    options = replace(options, folder=folder, data=data)  # workers may have other working folders
    with alone(folder / "queue.lock", f"the queue in {folder}"):
        check_items(items, folder)
        if options.pack and options.pack.exists() and not is_stream(options.pack):
            check_known(options.pack, folder, {item.name for item in items})
        queue = _Queue(items, options, begun, on_report)
        try:
            if text:
                write_text(folder / "queue.toml", text)
            queue.run()
        finally:
            queue.close()
    return queue.session


class _Queue:
    """What runs, what is finished, what comes next."""

    def __init__(
        self,
        items: Sequence[Item],
        options: Options,
        begun: float,
        on_report: Callable[[Report], None],
    ) -> None:
        self.items, self.folder = items, options.folder
        self.begun, self.on_report = begun, on_report
        self.teachers = teachers_in(items)
        self.finished = {i.name for i in items if weights_of(i, self.folder).exists()}
        self.waiting = [item for item in in_order(items) if item.name not in self.finished]
        self.running: dict[Future[Report], Item] = {}
        self.epochs: dict[str, int] = {}  # that the histories of what runs held last
        self.losses: Counter[str] = Counter()  # of workers since the last epoch
        self.leases, self.beaten = Leases(), 0.0
        self.executor, slots = Executor(), 0
        if self.waiting:
            gpus = int(options.device.startswith("cuda"))
            self.executor, slots = open_executor(
                options.executor, self.folder, options.workers, options.threads, gpus
            )
        self.workers = min(slots, len(self.waiting))
        self.options = replace(options, workers=self.workers)
        self.session = Session(
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            device=options.device,
            workers=self.workers,
            threads=options.threads,
            budget_s=options.budget_s,
        )

    def run(self) -> None:
        """Until nothing can be begun any more and nothing runs, or the time is over."""
        while True:
            ready = [i for i in self.waiting if self.teachers[i.name] <= self.finished]
            for item in ready[: self.workers - len(self.running)]:
                self.waiting.remove(item)
                self._begin(item)
            left = self._left_s()
            if not self.running or left <= 0:
                return
            ended, _ = wait(self.running, min(LOOK_S, left), FIRST_COMPLETED)
            if monotonic() - self.beaten > BEAT_S:
                self._beat()
            self._look()
            for future in ended:
                self._hear(self.running.pop(future), future)

    def close(self) -> None:
        """Take the leases of what still runs, and wait a little for it to stop; then pack, and add
        the session's line to `sessions.jsonl`.
        """
        self.leases.tokens.clear()
        self.losses.clear()  # to be stopped is none
        self._beat()
        ended, _ = wait(self.running, 2 * STOP_S)
        self._look()
        for future in ended:
            self._hear(self.running[future], future)
        self.executor.shutdown(wait=False, cancel_futures=True)
        path, session = self.folder / "sessions.jsonl", self.session
        before = path.read_bytes() if path.exists() else b""
        session.wall_s = monotonic() - self.begun
        write_bytes(path, before + msgspec.json.encode(session) + b"\n")
        if self.options.pack:  # the line goes into it, too
            write_pack(self.options.pack, self.folder, self.items)
            session.pack_s = monotonic() - self.begun - session.wall_s
            session.wall_s += session.pack_s
            write_bytes(path, before + msgspec.json.encode(session) + b"\n")

    def _begin(self, item: Item) -> None:
        """Give it to a worker: first it is written down whose it is."""
        name = item.name
        line = {**msgspec.to_builtins(item), "recipe": item.recipe}  # defaults change
        write_bytes(self.folder / name / "item.json", msgspec.json.encode(line) + b"\n")
        token = self.leases.tokens[name] = secrets.token_hex(8)
        self._beat()
        self.epochs[name] = epochs_in(self.folder / name)
        job = job_of(item, self.items, self.folder)
        self.running[self.executor.submit(work, name, job, token, self.options)] = item
        self.on_report(Report("begun", name, self.epochs[name]))

    def _beat(self) -> None:
        """Write down whose what is, with a sign of life."""
        self.leases.beat += 1
        write_bytes(self.folder / "session.json", msgspec.json.encode(self.leases))
        self.beaten = monotonic()

    def _look(self) -> None:
        """Tell of the epochs that were finished since the last look."""
        for item in self.running.values():
            name = item.name
            for epoch in range(self.epochs[name] + 1, epochs_in(self.folder / name) + 1):
                self.session.epochs += 1
                self.epochs[name], self.losses[name] = epoch, 0
                self.on_report(Report("epoch", name, epoch))

    def _hear(self, item: Item, future: Future[Report]) -> None:
        """Write down what has become of an item, or that its worker is lost, which sends it back;
        tell of it if it has ended.
        """
        name = item.name
        self.leases.tokens.pop(name, None)
        try:
            told = future.result()
        except Exception as error:  # whatever an executor makes of a lost worker
            told = Report("stopped", name, error=f"the process that trained it died ({error})")
        self.session.lost_s += told.lost_s
        self.losses[name] += 1
        if told.kind == "stopped" and self.losses[name] < LOSSES:
            self.waiting.insert(0, item)
            return
        if told.kind == "finished":
            self.finished.add(name)
            self.session.finished[name] = told.top1
        else:
            told = replace(told, kind="failed")
            self.session.failed[name] = told.error
        self.on_report(told)

    def _left_s(self) -> float:
        """Time to train."""
        if self.options.budget_s is None:
            return float("inf")
        files = packed_files(self.folder, self.items) if self.options.pack else ()
        pack_s = sum(file.stat().st_size for file in files) / PACK_BYTES_PER_S
        return self.begun + self.options.budget_s - STOP_S - pack_s - monotonic()


class _StopError(Exception):
    """The item is no longer this process's."""


def work(name: str, job: Job, token: str, options: Options) -> Report:
    """Train `job` as item `name` from where it stopped; what goes wrong is in the report.

    After an error of a GPU, which leaves nothing there that works, the process ends: the item goes
    on in another one.
    """
    tune_process(options.threads, options.device)
    watch = _Watch(name, token, options.folder)
    sole = options.workers == 1  # then what a meter tells is this training's
    try:
        data = _read(options.data, job.splits, job.size)
        with training_meters(options.device) if sole else nullcontext([]) as meters:
            _, card = run_job(
                job,
                data,
                options.folder / name,
                view_cache=options.folder / "views",  # of students of the same seed and recipe
                device=options.device,
                meters=meters,
                on_batch=watch.batch,
                on_epoch=watch.epoch,
            )
    except _StopError:
        gone = "it was stopped again and again: its session seemed gone"
        return Report("stopped", name, error=gone, lost_s=monotonic() - watch.since)
    except InUseError as error:
        sleep(SILENT_S / (LOSSES - 1))  # a worker that was given up for dead has gone by the last
        return Report("stopped", name, error=str(error))
    except AcceleratorError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    except Exception as error:
        return Report("failed", name, error=f"{type(error).__name__}: {error}")
    assert card.validation
    return Report("finished", name, top1=card.validation.top1)


_read = lru_cache(maxsize=2)(load)  # once for all items of a process


class _Watch:
    """Sees that the item is still ours."""

    def __init__(self, name: str, token: str, folder: Path) -> None:
        self.name, self.token, self.path = name, token, folder / "session.json"
        self.since = self.changed = monotonic()  # the epoch began; the session gave a sign of life
        self.looked, self.beat = 0.0, 0

    def batch(self, epoch: int, done: int, of: int) -> None:
        """Called after every batch."""
        now = monotonic()
        if now - self.looked < LOOK_S:
            return
        self.looked = now
        with suppress(OSError, ValueError):  # storage that is not there, or not whole, for a moment
            leases = msgspec.json.decode(self.path.read_bytes(), type=Leases)
            if leases.tokens.get(self.name) != self.token:
                raise _StopError
            if leases.beat != self.beat:
                self.beat, self.changed = leases.beat, now
        if now - self.changed > SILENT_S:
            raise _StopError

    def epoch(self, _: object) -> None:
        """Called after every epoch, when its state is on disk."""
        self.since = monotonic()
