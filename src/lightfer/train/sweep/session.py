"""What a session is asked to do, and what it did with its time."""

from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct


@dataclass(frozen=True)
class Options:
    """How a session works."""

    folder: Path
    data: str
    device: str = "cpu"
    workers: int | None = 1  # items side by side; None: as many as fill the device
    threads: int | None = 1  # CPU threads of each worker; None: all
    budget_s: float | None = None  # None: until every item is finished
    pack: Path | None = None


class Session(Struct, kw_only=True):
    """What a session did with its time; a line of `sessions.jsonl`. Times in seconds."""

    began: str
    device: str
    workers: int | None  # the most at one time
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
