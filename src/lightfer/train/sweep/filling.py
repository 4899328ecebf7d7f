"""How many items side by side fill a device, found by watching how long their epochs take.

Where n workers become n + 1 and every epoch takes s times as long, the device does
(n + 1) / (n * s) times the work. Another worker is added while that is more than `WORTH`.
"""

from statistics import fmean

WORTH = 1.1
"""The least gain in throughput for which another worker is added."""


class Filling:
    """Told of every epoch, it says when to add a worker."""

    def __init__(self) -> None:
        self.workers = 1
        self.full = False
        self._before: dict[str, float] = {}  # item -> seconds per epoch with one worker less
        self._now: dict[str, float] = {}
        self._begun: set[str] = set()  # items that have ended an epoch since the last change

    def add_after(self, item: str, epoch_s: float, running: set[str]) -> bool:
        """Whether to add a worker, now that `item` has ended an epoch of `epoch_s` seconds beside
        the other `running` items.

        The first epoch of an item after a change is not counted: half of it was before, or it
        compiled.
        """
        if self.full or len(running) < self.workers:
            return False
        if item not in self._begun:
            self._begun.add(item)
            return False
        self._now[item] = epoch_s
        if not running <= self._now.keys():
            return False
        if self.workers > 1 and self._gain() < WORTH:
            self.full = True
            return False
        self.workers += 1
        self._before, self._now, self._begun = self._now, {}, set()
        return True

    def _gain(self) -> float:
        """Throughput now / before; 0 if no item was there before and is now."""
        both = self._before.keys() & self._now.keys()
        if not both:
            return 0.0
        slowdown = fmean(self._now[item] / self._before[item] for item in both)
        return self.workers / ((self.workers - 1) * slowdown)
