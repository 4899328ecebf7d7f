"""The workers of a session: who works on what, for how long, and what they report."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic

import msgspec

from lightfer._files import write_bytes
from lightfer.train.sweep.filling import Filling
from lightfer.train.sweep.items import Item, in_order, next_item
from lightfer.train.sweep.pack import packed_files
from lightfer.train.sweep.session import Options, Session
from lightfer.train.sweep.training import weights_of
from lightfer.train.sweep.worker import Place, Report, work

STOP_S = 2.0
"""Kept free at the end for stopping; a worker that has not stopped after twice that is killed."""
PACK_BYTES_PER_S = 100e6
"""How fast packing is taken to be when time is kept free for it."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    item: str = ""
    since: float = 0.0  # when its item, or the item's epoch, began


class Crew:
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
        self.filling = Filling() if options.workers is None else None

    def run(self) -> None:
        """Until nothing can be begun any more and nothing runs, or the time is over."""
        open_items = len(self.items) - len(self.finished)
        self.workers = [self._hire() for _ in range(min(self.options.workers or 1, open_items))]
        self.session.workers = len(self.workers)
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
            options.folder,
            options.data,
            options.device,
            options.threads,
            alone=options.workers == 1,
            runner_pid=os.getpid(),
            started_s=monotonic(),
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
                self._dismiss(worker, report.error)
            case "first batch":
                session.first_batch_s[report.item] = report.first_batch_s
            case "epoch":
                session.epochs += 1
                worker.since = now
                self._fill(report)
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

    def _fill(self, report: Report) -> None:
        """Add a worker if an epoch's time says that the device has room, and there is work."""
        running = {worker.item for worker in self.workers if worker.item}
        seconds = report.epoch["wall_s"]
        if self.filling and self.filling.add_after(report.item, seconds, running) and self._next():
            self.workers.append(self._hire())
            self.session.workers = len(self.workers)

    def _dismiss(self, worker: _Worker, reason: str) -> None:
        """A worker could not begin. Raises ValueError if it was the last."""
        self.workers.remove(worker)
        if not self.workers:
            raise ValueError(reason)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died; its item has failed, and another worker goes on with the next."""
        worker.process.join()
        text = f"the process that trained it died (exit code {worker.process.exitcode})"
        if not worker.item:
            self._dismiss(worker, "a process that should train died")
            return
        self.workers.remove(worker)
        self.session.failed[worker.item] = text
        self.on_report(Report(kind="failed", item=worker.item, error=text))
        if self._next():
            self.workers.append(self._hire())
