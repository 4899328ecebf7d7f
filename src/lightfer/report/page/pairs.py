"""Which rows of the page differ significantly: tables for its script, which tests nothing itself.

A table says of what it is (`of`) and of each pair whether it differs, as lines of bits in hex.
Intervals decide of pairs that stand in no table. All is as `lightfer.report.significance` has it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightfer.report.significance import (
    accuracies_differ,
    accuracies_differ_from,
    paired_accuracies,
    paired_times,
    times_differ,
)
from lightfer.results import Accuracy, Entry, Latency
from lightfer.results.select import Time, Times, scored_on, variant

Table = dict[str, Any]


class Pairs:
    """Tables of pairs of the entries of a results file.

    `places` are where their accuracies stand in `pool`. `tables` are those of accuracies, each once
    and of places in the pool: which pairs differ, and which from that of the line.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        times: Times,
        places: Sequence[int | None],
        pool: Sequence[Accuracy],
    ) -> None:
        self._entries, self._times, self._places, self._pool = entries, times, places, pool
        self.tables: list[Table] = []
        self._at: dict[tuple[int, ...], int] = {}  # where the table of some places stands

    def of(self, members: Sequence[int]) -> dict[str, Any]:
        """What decides among some rows: places in `tables`, and of each time tables of rows.

        Only rows are compared that were scored alike and did not fail.
        """
        scored: dict[tuple, list[int]] = {}
        for i in members:
            accuracy = self._entries[i].accuracy
            if accuracy and self._entries[i].error is None:
                scored.setdefault(scored_on(accuracy), []).append(i)
        accuracy, timed = [], {}
        for alike in scored.values():
            accuracy += self._of_accuracies(alike)
            for what, times in self._timed(alike).items():
                timed.setdefault(what, []).extend(_of_times(times))
        return {"rows": members, "accuracy": accuracy, "times": timed}

    def _of_accuracies(self, rows: Sequence[int]) -> list[int]:
        places = sorted({p for i in rows if (p := self._places[i]) is not None})
        found = []
        for group in paired_accuracies([self._pool[p] for p in places]):
            key = tuple(places[k] for k in group)
            if key not in self._at:
                self._at[key] = len(self.tables)
                some = tuple(self._pool[p] for p in key)
                table = {
                    "of": key,
                    "differ": _bits(accuracies_differ(some)),
                    "differFrom": _bits(accuracies_differ_from(some)),
                }
                self.tables.append(table)
            found.append(self._at[key])
        return found

    def _timed(self, rows: Sequence[int]) -> dict[str, dict[int, Time]]:
        """What was timed -> row -> its time."""
        found: dict[str, dict[int, Time]] = {}
        for i in rows:
            for latency in self._entries[i].latency:
                if time := self._times.of(self._entries[i], latency):
                    found.setdefault(timed_as(latency), {}).setdefault(i, time)
        return found


def _of_times(timed: dict[int, Time]) -> list[Table]:
    rows, times = list(timed), list(timed.values())
    return [
        {"of": [rows[k] for k in group], "differ": _bits(times_differ([times[k] for k in group]))}
        for group in paired_times(times)
    ]


def _bits(differ: NDArray[np.bool_]) -> list[str]:
    lines = np.packbits(np.pad(differ, ((0, 0), (-differ.shape[1] % 8, 0))), axis=1)
    return [line.tobytes().hex().lstrip("0") or "0" for line in lines]


def sets(entries: Sequence[Entry]) -> list[list[int]]:
    """Places of the entries that are compared with one another: each variant by itself, as `rank`
    does, and all variants of a machine together.
    """
    variants: dict[tuple, list[int]] = {}
    machines: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        variants.setdefault(variant(entry), []).append(i)
        machines.setdefault(entry.environment, []).append(i)
    found = {tuple(members): members for members in (*variants.values(), *machines.values())}
    return list(found.values())


def timed_as(latency: Latency) -> str:
    """What was timed, as the page names it."""
    return f"{latency.batch_size}" + ("" if latency.clock == "wall" else f" {latency.clock}")
