"""The session of a queue, from the list to the pack.

Items are given to an executor in order of value, as many as there are workers; a teacher comes
before its students. A session ends when every item is finished or the budget is used up: then the
leases are taken away, so that the items stop between two batches, and what was made is packed,
within the budget. Epochs that were cut off are trained again next time.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import Literal

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from lightfer._files import write_bytes, write_text
from lightfer.train.sweep.executors import close_executor, open_executor
from lightfer.train.sweep.items import Item, in_order, next_item
from lightfer.train.sweep.pack import packed_files, write_pack
from lightfer.train.sweep.training import check_items, weights_of
from lightfer.train.sweep.work import Outcome, Place, lease_of, work

LOOK_S = 0.1
"""Between two looks at the histories of what runs."""
STOP_S = 2.0
"""Kept free at the end for stopping; what has not stopped after twice that is killed."""
PACK_BYTES_PER_S = 100e6
"""How fast packing is taken to be when time is kept free for it."""


@dataclass(frozen=True)
class Options:
    """How a session works."""

    folder: Path
    data: str
    device: str = "cpu"
    workers: int = 1  # items side by side
    threads: int | None = 1  # CPU threads of each; None: all
    budget_s: float | None = None  # None: until every item is finished
    pack: Path | None = None
    executor: str = "pool"


class Session(Struct, kw_only=True):
    """What a session did with its time; a line of `sessions.jsonl`. Times in seconds."""

    began: str
    device: str
    workers: int | None
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


@dataclass(frozen=True)
class Report:
    """What has become of an item, for whoever watches."""

    kind: Literal["begun", "epoch", "finished", "failed"]
    item: str
    epochs: int = 0  # that its history holds
    top1: float | None = None
    error: str = ""


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
    session = Session(
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        device=options.device,
        workers=options.workers,
        threads=options.threads,
        budget_s=options.budget_s,
    )
    with _alone_in(options.folder):
        for left_behind in options.folder.glob("*/.*.tmp"):  # by workers that were killed
            left_behind.unlink()
        for item in items:
            _same_item(item, options.folder)
        check_items(items, options.folder)
        queue = _Queue(items, options, session, begun, on_report)
        try:
            queue.run()
        finally:
            queue.stop()
            _close(session, items, options, begun)
    return session


class _Queue:
    """What runs, what is finished, what comes next."""

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
        self.running: dict[Future[Outcome], Item] = {}
        self.epochs: dict[str, int] = {}  # that the histories of what was begun held last
        self.at_start: dict[str, int] = {}  # when an item was last given to a worker
        self.began_at = time() - (monotonic() - begun)
        self.token = secrets.token_hex(8)
        self.place = Place(
            options.folder,
            options.data,
            options.device,
            options.threads,
            alone=options.workers == 1,
            token=self.token,
            until_s=None if options.budget_s is None else self.began_at + options.budget_s,
        )
        left = len(self.items) - len(self.finished)
        self.executor = (
            open_executor(options.executor, min(options.workers, left)) if left else None
        )

    def run(self) -> None:
        """Until nothing can be begun any more and nothing runs, or the time is over."""
        while True:
            self._submit()
            if not self.running:
                return
            left = self._left_s()
            if left is not None and left <= 0:
                return
            wait_s = LOOK_S if left is None else min(LOOK_S, left)
            ended, _ = wait(self.running, wait_s, FIRST_COMPLETED)
            self._look_at_histories()
            for future in ended:
                if future in self.running:  # where a pool broke, it has been emptied
                    self._hear(self.running.pop(future), future)

    def stop(self) -> None:
        """Take the leases of what still runs, and wait a little for it to stop."""
        now = time()
        for item in self.running.values():
            lease_of(self.options.folder, item.name).unlink(missing_ok=True)
            self.session.interrupted.append(item.name)
        ended, late = wait(self.running, 2 * STOP_S)
        self._look_at_histories()
        for future in ended:
            if future.exception() is None:
                outcome = future.result()
                self._note(self.running[future], outcome)
                self.session.lost_s += outcome.lost_s
        self.session.lost_s += sum(now - self._last_written(self.running[f]) for f in late)
        if self.executor is not None:
            close_executor(self.executor, 0.0 if late else STOP_S)

    def _submit(self) -> None:
        """Give workers what they can begin; the rest waits, so that its order can still change."""
        taken = {item.name for item in self.running.values()} | self.session.failed.keys()
        while self.executor and len(self.running) < self.options.workers:
            item = next_item(self.items, self.finished, taken)
            if item is None:
                return
            taken.add(item.name)
            folder = self.options.folder / item.name
            write_bytes(folder / "item.json", msgspec.json.encode(item) + b"\n")
            write_text(lease_of(self.options.folder, item.name), self.token)
            self.epochs[item.name] = self.at_start[item.name] = _epochs(folder)
            self.running[self.executor.submit(work, item, self.items, self.place)] = item
            self.on_report(Report("begun", item.name, self.epochs[item.name]))

    def _look_at_histories(self) -> None:
        """Tell of the epochs that were finished since the last look."""
        for item in [*self.running.values()]:
            now = _epochs(self.options.folder / item.name)
            for epoch in range(self.epochs[item.name], now):
                self.session.epochs += 1
                self.epochs[item.name] = epoch + 1
                self.on_report(Report("epoch", item.name, epoch + 1))

    def _hear(self, item: Item, future: Future[Outcome]) -> None:
        """What a worker returned, or that it is lost. Raises ValueError if no data can be read."""
        lease_of(self.options.folder, item.name).unlink(missing_ok=True)
        try:
            outcome = future.result()
        except BrokenExecutor:
            self._lost(item)
            return
        except Exception as error:  # of the executor: what `work` raises is in its outcome
            outcome = Outcome("failed", error=f"{type(error).__name__}: {error}")
        if outcome.kind == "unfit":
            raise ValueError(outcome.error)
        self._note(item, outcome)
        if outcome.kind == "finished":
            self.finished.add(item.name)
            self.session.finished[item.name] = outcome.top1
            self.on_report(Report("finished", item.name, top1=outcome.top1))
        elif outcome.kind == "stopped":  # by its own clock, or as somebody took its lease
            self.session.interrupted.append(item.name)
            self.session.lost_s += outcome.lost_s
            self._fail(item, "it was stopped: its time was over, or its lease was taken")
        else:
            self._fail(item, outcome.error)

    def _lost(self, item: Item) -> None:
        """A worker has died, and with it perhaps the executor: as long as an item gains epochs
        from one worker to the next, it is given to another.
        """
        others = [*self.running.values()]
        if self.executor is not None:
            close_executor(self.executor, STOP_S)
            self.running.clear()
            self.executor = open_executor(self.options.executor, self.options.workers)
        for one in (item, *others):
            if _epochs(self.options.folder / one.name) <= self.at_start[one.name]:
                self._fail(one, "the process that trained it died, and so did no epoch of it end")

    def _fail(self, item: Item, error: str) -> None:
        self.session.failed[item.name] = error
        self.on_report(Report("failed", item.name, error=error))

    def _note(self, item: Item, outcome: Outcome) -> None:
        """Keep what the times of an item were."""
        if outcome.first_batch_s is not None:
            self.session.first_batch_s[item.name] = outcome.first_batch_s
        if outcome.ready_s is not None and self.session.start_s is None:
            self.session.data_s = outcome.data_s
            self.session.start_s = outcome.ready_s - outcome.data_s - self.began_at

    def _left_s(self) -> float | None:
        """Time to train; None: no end."""
        options = self.options
        if options.budget_s is None:
            return None
        reserve_s = STOP_S
        if options.pack:
            files = packed_files(options.folder, self.items)
            reserve_s += sum((options.folder / f).stat().st_size for f in files) / PACK_BYTES_PER_S
        return self.begun + options.budget_s - reserve_s - monotonic()

    def _last_written(self, item: Item) -> float:
        history = self.options.folder / item.name / "history.jsonl"
        return max(self.began_at, history.stat().st_mtime if history.exists() else 0.0)


def _epochs(folder: Path) -> int:
    """That the history of an item holds."""
    try:
        return len((folder / "history.jsonl").read_bytes().splitlines())
    except FileNotFoundError:
        return 0


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One queue at a time in a folder. Raises ValueError if another one runs there."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "queue.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"a queue is running in {folder}: wait for it or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


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
