"""Waiting for a quiet machine: rounds start only while the yardstick is about as fast as ever.

The best time of the yardstick, on this machine in this run, is what a quiet moment looks like. It
is known better the longer a run lasts, so whether a round was disturbed is decided at the end, and
such rounds are measured again. Time that is waited, and that of rounds measured again, is limited.
"""

from collections.abc import Callable, Container, Sequence
from time import monotonic, sleep

from lightfer.bench.case import Case
from lightfer.bench.journal import Journal, Round
from lightfer.results import Waiting

LIMIT = 1.05  # of its best time the yardstick takes while the machine is quiet
LOOKS = 30  # at the yardstick, before the first round of a runtime
BETWEEN_S = 1.0  # looks, while waiting


class Quiet:
    """Waits, and says which rounds count.

    `look(runtime)` is the time of the yardstick at this moment, `say(text)` tells what is waited
    for; `clock` and `pause` are those of the machine but in tests.
    """

    def __init__(
        self,
        minutes: float,
        look: Callable[[str], float],
        say: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self.minutes, self.look, self.say, self.clock, self.pause = minutes, look, say, clock, pause
        self.waited_s = self.again_s = 0.0
        self.gave_up = False
        self.failed: set[str] = set()  # cases whose repeated round failed: not tried once more
        self._best: dict[str, float] = {}

    def take_up(self, cases: Sequence[Case], journal: Journal, rounds: int) -> None:
        """Count what a run that was interrupted has waited, and measured again, by its journal."""
        for case in cases:
            pieces = journal.pieces[case.journal_key]
            again = pieces.rounds[rounds - len(pieces.failed_rounds) :]
            self.waited_s += sum(visit.waited_s for visit in pieces.rounds)
            self.again_s += sum(visit.watched.seconds for visit in again if visit.watched)

    @property
    def over(self) -> bool:
        """Whether nothing more is waited for or measured again."""
        return self.waited_s + self.again_s >= 60 * self.minutes

    def wait(self, runtime: str) -> None:
        """Return as soon as the machine is quiet, or the time for waiting is over."""
        start, before = self.clock(), self.waited_s
        if runtime not in self._best:
            self._best[runtime] = min(self.look(runtime) for _ in range(LOOKS))
        while not self.over:
            now = self.look(runtime)
            best = self._best[runtime] = min(now, self._best[runtime])
            if now <= LIMIT * best:
                break
            self.say(
                f"waiting for a quiet machine, {now / best - 1:.0%} slower than it can be: "
                f"{self.waited_s / 60:.1f} of {self.minutes:g} minutes"
            )
            self.pause(BETWEEN_S)
            self.look(runtime)  # a core that has slept is slow at first, whatever others do
            self.waited_s = before + self.clock() - start
        else:
            self.gave_up = True

    def settle(self, cases: Sequence[Case], journal: Journal, rounds: int) -> Waiting:
        """Of each case `rounds` stay in memory: a disturbed one gives its place to one that was
        measured again, so that the others still stand beside those of the same round of other
        nets. The file keeps them all. Returns what waiting brought.
        """
        best, repeated, disturbed = best_beside(cases, journal), 0, 0
        for case in cases:
            pieces = journal.pieces[case.journal_key]
            bad = [is_disturbed(case, visit, best) for visit in pieces.rounds]
            first = min(len(bad), rounds - len(pieces.failed_rounds))
            again = iter([i for i in range(first, len(bad)) if not bad[i]])
            kept = [next(again, i) if bad[i] else i for i in range(first)]
            repeated += len(bad) - len(kept)
            disturbed += sum(bad[i] for i in kept)
            pieces.rounds = [pieces.rounds[i] for i in kept]
        return Waiting(
            minutes=self.minutes,
            waited_s=self.waited_s,
            repeated=repeated,
            disturbed=disturbed,
            gave_up=self.gave_up,
        )


Best = dict[tuple[str, int], float]


def best_beside(cases: Sequence[Case], journal: Journal) -> Best:
    """The least time of the yardstick beside any round, by runtime and batch size."""
    best: Best = {}
    for case in cases:
        for timed in (t for r in journal.pieces[case.journal_key].rounds for t in r.timed):
            key = case.runtime, timed.batch_size
            best[key] = min(timed.yardstick_s, best.get(key, timed.yardstick_s))
    return best


def is_disturbed(case: Case, visit: Round, best: Best) -> bool:
    """Whether the yardstick beside it was slower than in a quiet moment, at any batch size."""
    return any(t.yardstick_s > LIMIT * best[case.runtime, t.batch_size] for t in visit.timed)


def missing(
    cases: Sequence[Case], journal: Journal, rounds: int, but: Container[str] = ()
) -> list[Case]:
    """Cases with a round that is to be measured again, `but` those of these keys of the journal."""
    best, found = best_beside(cases, journal), []
    for case in cases:
        pieces = journal.pieces[case.journal_key]
        if case.journal_key in but:
            continue
        good = sum(not is_disturbed(case, visit, best) for visit in pieces.rounds)
        if pieces.rounds and good < rounds - len(pieces.failed_rounds):
            found.append(case)
    return found
