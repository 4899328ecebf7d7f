"""One queue at a time in a folder; a killed one's workers must be gone before the next begins.

The system lets go of these locks when their process ends, however it ends. Where there is no
`fcntl` (Windows), nothing is locked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep


@contextmanager
def locked(path: Path, *, shared: bool = False, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of the file `path`, which many may share or one has alone.

    Raises ValueError if another process still holds it after `wait_s`.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    until = monotonic() + wait_s
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if monotonic() >= until:
                    raise ValueError(
                        f"a queue is running in {path.parent}: wait for it or choose another --out"
                    ) from error
                sleep(0.05)
        yield
