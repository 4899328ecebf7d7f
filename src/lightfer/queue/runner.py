"""The session of a queue: workers, the budget, what is reported.

A session ends when every item is finished or the budget is used up: then the workers are stopped
between two batches and what was made is packed, within the budget. Epochs that were cut off are
trained again next time.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from lightfer.files import write_bytes
from lightfer.queue.items import Item, in_order, next_item
from lightfer.queue.lock import locked
from lightfer.queue.pack import packed_files, write_pack
from lightfer.queue.training import check_items, weights_of
from lightfer.queue.worker import Place, Report, work

STOP_S = 2.0
"""Kept free at the end for stopping; a worker that has not stopped after twice that is killed."""
PACK_BYTES_PER_S = 100e6
"""How fast packing is taken to be when time is kept free for it."""


@dataclass(frozen=True)
class Options:
    """How a session works."""

    folder: Path
    data: str
    device: str = "cpu"
    workers: int = 1  # items side by side
    threads: int | None = 1  # CPU threads of each worker; None: all
    budget_s: float | None = None  # None: until every item is finished
    pack: Path | None = None


class Session(Struct, kw_only=True):
    """What a session did with its time; a line of `sessions.jsonl`. Times in seconds."""

    began: str
    device: str
    workers: int
    threads: int | None
    budget_s: float | None
    wall_s: float = 0.0
    start_s: float | None = None  # until the first worker could read data
    data_s: float | None = None  # reading the data, of the first worker
    first_batch_s: dict[str, float] = {}  # of every item: building, loading, compiling, one batch
    pack_s: float | None = None
    lost_s: float = 0.0  # spent on epochs that were cut off
    epochs: int = 0
    finished: dict[str, float | None] = {}  # name -> validation accuracy
    failed: dict[str, str] = {}  # name -> error
    interrupted: list[str] = []


def run_queue(
    items: Sequence[Item],
    options: Options,
    *,
    begun: float | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Session:
    """Train `items` in order of value within the budget, and write the session down.

    `begun` is the time of `monotonic` from which the budget counts. Raises ValueError before
    anything is trained if an item cannot begin, or another queue runs in this folder.
    """
    begun = monotonic() if begun is None else begun
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        device=options.device,
        workers=options.workers,
        threads=options.threads,
        budget_s=options.budget_s,
    )
    with locked(folder / "queue.lock"):
        with locked(folder / "workers.lock", wait_s=30):
            pass  # the workers of a queue that was killed are gone
        for item in items:
            _same_item(item, folder)
        check_items(items, folder)
        crew = _Crew(items, options, session, begun, on_report)
        try:
            crew.run()
        finally:
            crew.stop()
            _close(session, items, options, begun)
    return session


def _same_item(item: Item, folder: Path) -> None:
    """Raises ValueError if the item's folder was begun with another line of the list."""
    path = folder / item.name / "item.json"
    try:
        known = msgspec.json.decode(path.read_bytes(), type=Item)
    except FileNotFoundError:
        return
    now = msgspec.structs.replace(item, value=known.value)
    if now != known:
        changed = [n for n in Item.__struct_fields__ if getattr(now, n) != getattr(known, n)]
        raise ValueError(
            f"{path.parent} was begun with another {', '.join(changed)}: give the changed item "
            "another name"
        )


def _close(session: Session, items: Sequence[Item], options: Options, begun: float) -> None:
    """Pack, and add the session's line to `sessions.jsonl`."""
    path = options.folder / "sessions.jsonl"
    before = path.read_bytes() if path.exists() else b""
    session.wall_s = monotonic() - begun
    write_bytes(path, before + msgspec.json.encode(session) + b"\n")
    if options.pack:
        start = monotonic()
        write_pack(options.pack, options.folder, items)
        session.pack_s = monotonic() - start
        session.wall_s = monotonic() - begun
        write_bytes(path, before + msgspec.json.encode(session) + b"\n")


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    item: str = ""
    since: float = 0.0  # when its item, or the item's epoch, began


class _Crew:
    """The workers of a session, and what they work on."""

    def __init__(
        self,
        items: Sequence[Item],
        options: Options,
        session: Session,
        begun: float,
        on_report: Callable[[Report], None],
    ) -> None:
        self.items, self.options, self.session = in_order(items), options, session
        self.begun, self.on_report = begun, on_report
        self.finished = {i.name for i in items if weights_of(i, options.folder).exists()}
        self.taken: set[str] = set()  # running or failed
        self.context = multiprocessing.get_context("spawn")
        self.stopping = self.context.Event()
        self.workers: list[_Worker] = []

    def run(self) -> None:
        """Until nothing can be begun any more and nothing runs, or the time is over."""
        open_items = len(self.items) - len(self.finished)
        self.workers = [self._hire() for _ in range(min(self.options.workers, open_items))]
        while any(w.item for w in self.workers) or (self.workers and self._next()):
            left = self._left_s()
            if left is not None and left <= 0:
                return
            ready = wait([w.connection for w in self.workers], left)
            for worker in [w for w in self.workers if w.connection in ready]:
                self._hear(worker)

    def stop(self) -> None:
        """Stop what still runs, between two batches; kill what does not stop."""
        now = monotonic()
        self.stopping.set()
        for worker in self.workers:
            if worker.item:
                self.session.interrupted.append(worker.item)
                self.session.lost_s += now - worker.since
            with suppress(OSError):
                worker.connection.send("")
        for worker in self.workers:
            worker.process.join(max(0.0, now + 2 * STOP_S - monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()

    def _left_s(self) -> float | None:
        """Time to train; None: no end."""
        budget_s = self.options.budget_s
        if budget_s is None:
            return None
        reserve_s = STOP_S
        if self.options.pack:
            folder = self.options.folder
            files = packed_files(folder, self.items)
            reserve_s += sum((folder / f).stat().st_size for f in files) / PACK_BYTES_PER_S
        return self.begun + budget_s - reserve_s - monotonic()

    def _hire(self) -> _Worker:
        options = self.options
        place = Place(
            options.folder, options.data, options.device, options.threads, os.getpid(), monotonic()
        )
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=work, args=(theirs, self.stopping, self.items, place))
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _next(self) -> Item | None:
        return next_item(self.items, self.finished, self.taken)

    def _hear(self, worker: _Worker) -> None:
        """Take one report, and hand out items."""
        try:
            report: Report = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._bury(worker)
            return
        now, session = monotonic(), self.session
        match report.kind:
            case "ready":
                worker.ready = True
                if session.start_s is None:
                    session.start_s, session.data_s = report.start_s, report.data_s
            case "unfit":
                raise ValueError(report.error)
            case "first batch":
                session.first_batch_s[report.item] = report.first_batch_s
            case "epoch":
                session.epochs += 1
                worker.since = now
            case "finished":
                self.finished.add(report.item)
                session.finished[report.item] = report.top1
                worker.item = ""
            case "failed":
                session.failed[report.item] = report.error
                worker.item = ""
        self.on_report(report)
        self._hand_out()

    def _hand_out(self) -> None:
        for worker in self.workers:
            if worker.ready and not worker.item and (item := self._next()):
                path = self.options.folder / item.name / "item.json"
                write_bytes(path, msgspec.json.encode(item) + b"\n")
                worker.item, worker.since = item.name, monotonic()
                self.taken.add(item.name)
                worker.connection.send(item.name)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died; its item has failed, and another worker goes on with the next."""
        worker.process.join()
        text = f"the process that trained it died (exit code {worker.process.exitcode})"
        self.workers.remove(worker)
        if not worker.item:
            raise ValueError(text.replace("trained it", "should train"))
        self.session.failed[worker.item] = text
        self.on_report(Report(kind="failed", item=worker.item, error=text))
        if self._next():
            self.workers.append(self._hire())
