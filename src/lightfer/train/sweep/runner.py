"""The session of a queue, from the list to the pack.

A session ends when every item is finished or the budget is used up: then the workers are stopped
between two batches and what was made is packed, within the budget. Epochs that were cut off are
trained again next time.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec

from lightfer._files import write_bytes
from lightfer.train.sweep.crew import Crew
from lightfer.train.sweep.items import Item
from lightfer.train.sweep.lock import locked
from lightfer.train.sweep.pack import write_pack
from lightfer.train.sweep.session import Options, Session
from lightfer.train.sweep.training import check_items
from lightfer.train.sweep.worker import Report


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
            for left_behind in folder.glob("*/.*.tmp"):  # by workers that were killed
                left_behind.unlink()
        for item in items:
            _same_item(item, folder)
        check_items(items, folder)
        crew = Crew(items, options, session, begun, on_report)
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
