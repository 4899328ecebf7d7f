"""A power log that another program writes: `nvidia-smi --query-gpu=timestamp,power.draw
--format=csv -i 0 -lms 100 > power.csv`.

Its times are local times without a zone. They are taken for this machine's; `clock_offset_s`, the
log's clock minus this machine's, is for a log of another clock or zone.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import median

from lightfer._files import check_input
from lightfer.measure.energy.power import integrate
from lightfer.measure.energy.protocol import Mark, MeterError, now
from lightfer.results import Component, Method

HOW = (
    "write it with `LC_ALL=C nvidia-smi --query-gpu=timestamp,power.draw --format=csv -i 0 "
    "-lms 100 > power.csv`"
)
GAP_STEPS, GAP_S = 3, 0.5  # a gap is longer than both: three usual steps, half a second


class PowerLog:
    """The energy of a GPU from a log of its power; asked after the run, when it is complete."""

    deferred = True
    simulated = False
    component: Component = "gpu"
    method: Method = "log"

    def __init__(self, path: Path, clock_offset_s: float = 0.0) -> None:
        self.path, self.clock_offset_s = path, clock_offset_s
        self.source = f"power log {path.name}"
        self._size = -1  # of the file when it was last read
        self._times_s: list[float] = []
        self._watts: list[float] = []
        self._fault: MeterError | None = None
        self._read_again(float("inf"))

    def _read_again(self, until_s: float) -> None:
        """Read what was added, if the samples do not reach `until_s` yet. As `read_power_log`."""
        size = self.path.stat().st_size if self.path.exists() else 0
        reached = bool(self._times_s) and self._times_s[-1] >= until_s
        if not reached and size != self._size:
            self._size, self._fault = size, None
            try:
                times_s, self._watts = read_power_log(self.path)
                self._times_s = [t - self.clock_offset_s for t in times_s]
            except MeterError as error:
                self._fault = error
        if self._fault:
            raise self._fault

    def mark(self) -> Mark:
        return Mark(now())

    def joules(self, start: Mark, end: Mark) -> float:
        self._read_again(end.time_s)
        try:
            return integrate(
                self._times_s,
                self._watts,
                start.time_s,
                end.time_s,
                longest_gap_s=_longest_gap_s(self._times_s),
                source=self.source,
            )
        except MeterError as error:
            offset = f"clock offset {self.clock_offset_s:+g} s"
            raise MeterError(f"{error} ({offset}; --clock-offset changes it)") from error

    def close(self) -> None:
        pass


def read_power_log(path: Path) -> tuple[list[float], list[float]]:
    """Times in seconds since 1970, and watts.

    Raises MeterError, naming the line, for a file that is not such a log: other columns or units,
    decimal commas, several GPUs, times that go back, gaps. A last line that is still being written
    is left out.
    """
    lines = _lines(path)
    if not lines or len(lines) < 3:
        raise MeterError(f"{path}: found {max(len(lines) - 1, 0)} samples, expected more; {HOW}")
    columns = [name.strip() for name in lines[0].split(",")]
    time_at, power_at = _columns(path, lines[0], columns)
    times_s: list[float] = []
    watts: list[float] = []
    for number, line in enumerate(lines[1:], 2):
        where = f"{path}, line {number}"
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(columns):
            hint = ": numbers with a decimal comma?" if len(fields) > len(columns) else ""
            raise MeterError(
                f"{where}: found {len(fields)} fields, expected {len(columns)}{hint}; {HOW}"
            )
        times_s.append(_time(where, fields[time_at]))
        watts.append(_watts(where, fields[power_at], columns[power_at]))
        if len(times_s) > 1 and times_s[-1] <= times_s[-2]:
            raise MeterError(
                f"{where}: its time is not after that of the line before: several GPUs, or a clock "
                f"that was set; {HOW}"
            )
    _no_gap(path, times_s)
    return times_s, watts


def _lines(path: Path) -> list[str]:
    check_input(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeterError(f"{path}: {error.strerror}") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise MeterError(f"{path} is not text; {HOW}") from error
    whole = text if text.endswith("\n") else text[: text.rfind("\n") + 1]
    return [line for line in whole.splitlines() if line.strip()]


def _columns(path: Path, header: str, names: Sequence[str]) -> tuple[int, int]:
    if re.match(r"\s*\d{4}/", header):
        raise MeterError(f"{path} has no line of column names; {HOW}")
    times = [i for i, name in enumerate(names) if name == "timestamp"]
    powers = [i for i, name in enumerate(names) if name.startswith("power.draw")]
    if len(times) != 1 or len(powers) != 1:
        raise MeterError(
            f"{path}: found the columns {header!r}, expected 'timestamp, power.draw [W]'; {HOW}"
        )
    unit = re.search(r"\[(.*)\]", names[powers[0]])
    if unit and unit[1] != "W":
        raise MeterError(f"{path}: found power in {unit[1]}, expected W; {HOW}")
    return times[0], powers[0]


def _time(where: str, text: str) -> float:
    try:
        return datetime.strptime(text, "%Y/%m/%d %H:%M:%S.%f").timestamp()
    except ValueError as error:
        message = f"{where}: found {text!r}, expected a time such as 2026/01/31 12:00:00.123; {HOW}"
        raise MeterError(message) from error


def _watts(where: str, text: str, column: str) -> float:
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(?: W)?", text)
    if number and isfinite(watts := float(number[1])):
        return watts
    if text.startswith("["):
        raise MeterError(f"{where}: the GPU does not tell its power: {text}")
    raise MeterError(f"{where}: found {text!r} for {column}, expected such as '35.21 W'; {HOW}")


def _longest_gap_s(times_s: Sequence[float]) -> float:
    usual = median(b - a for a, b in pairwise(times_s))
    return max(GAP_STEPS * usual, GAP_S)


def _no_gap(path: Path, times_s: Sequence[float]) -> None:
    longest = _longest_gap_s(times_s)
    for number, (a, b) in enumerate(pairwise(times_s), 3):
        if b - a > longest:
            raise MeterError(
                f"{path}, line {number}: no sample for {b - a:.1f} s, expected one every "
                f"{longest / GAP_STEPS:.2f} s: cut the file there, or log again"
            )
