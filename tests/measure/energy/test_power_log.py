"""A log as nvidia-smi writes it, against its trapezoid; and each way in which it may be wrong."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from lightfer.measure.energy import MeterError
from lightfer.measure.energy.log import PowerLog, read_power_log
from lightfer.measure.energy.protocol import Mark

START = datetime(2026, 5, 1, 12, 0, 0).timestamp()
HEADER = "timestamp, power.draw [W]"


def rows(count: int = 600, step_s: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Times and power of a run: idle, a ramp, a load that goes on and off."""
    times = START + step_s * np.arange(count)
    seconds = times - START
    load = np.where(seconds < 10, 40, np.minimum(40 + 8 * (seconds - 10), 200))
    return times, load + 15 * (np.sin(3 * seconds) > 0)


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]


def log_text(times, watts, header: str = HEADER, unit: str = " W") -> str:
    lines = [f"{stamp(t)}, {w:.2f}{unit}" for t, w in zip(times, watts, strict=True)]
    return "\n".join([header, *lines]) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "power.csv"


@pytest.mark.parametrize(("start", "end"), [(0, 59.9), (12.34, 43.21), (9.0, 11.0), (30.02, 30.07)])
def test_the_energy_is_the_trapezoid_of_the_log(path: Path, start: float, end: float):
    times, watts = rows()
    path.write_text(log_text(times, watts))
    found = PowerLog(path).joules(Mark(START + start), Mark(START + end))
    inner = times[(times > START + start) & (times < START + end)]
    grid = np.concatenate(([START + start], inner, [START + end]))
    assert found == pytest.approx(np.trapezoid(np.interp(grid, times, watts), grid), rel=0.005)


def test_the_clock_offset_is_the_logs_clock_minus_this_one(path: Path):
    times, watts = rows()
    path.write_text(log_text(times + 7200, watts))
    with pytest.raises(MeterError, match=r"clock offset \+0 s; --clock-offset changes it"):
        PowerLog(path).joules(Mark(START + 5), Mark(START + 50))
    found = PowerLog(path, clock_offset_s=7200).joules(Mark(START + 5), Mark(START + 50))
    path.write_text(log_text(times, watts))
    assert found == pytest.approx(PowerLog(path).joules(Mark(START + 5), Mark(START + 50)))


def test_a_log_that_grows_is_read_again(path: Path):
    times, watts = rows(600)
    path.write_text(log_text(times[:100], watts[:100]))
    meter = PowerLog(path)
    window = Mark(START + 20), Mark(START + 40)
    with pytest.raises(MeterError, match=r"cover 9\.9 s, from -20\.0 s of the window's start"):
        meter.joules(*window)
    path.write_text(log_text(times, watts))
    assert meter.joules(*window) > 0


def test_a_last_line_that_is_still_being_written_is_left_out(path: Path):
    times, watts = rows(50)
    path.write_text(log_text(times, watts) + "2026/05/01 12:0")
    assert len(read_power_log(path)[0]) == 50


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_powershell_writes_is_read(path: Path, encoding: str):
    times, watts = rows(20)
    path.write_bytes(log_text(times, watts).replace("\n", "\r\n").encode(encoding))
    assert read_power_log(path)[1] == pytest.approx(list(watts), abs=0.01)


def test_without_units_and_with_other_columns(path: Path):
    times, watts = rows(20)
    lines = [f"0, {stamp(t)}, {w:.2f}, 40" for t, w in zip(times, watts, strict=True)]
    header = "index, timestamp, power.draw.instant [W], temperature.gpu"
    path.write_text("\n".join([header, *lines]) + "\n")
    assert read_power_log(path)[1] == pytest.approx(list(watts), abs=0.01)


GOOD = log_text(*rows(20))
ROW = f"{stamp(START + 2)}, 40.00 W\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found 0 samples"),
        (HEADER + "\n" + ROW, "found 1 samples"),
        (GOOD.replace(HEADER, "timestamp, utilization.gpu [%]"), "found the columns"),
        (GOOD.replace(HEADER, "time;power"), "found the columns"),
        (GOOD.replace(HEADER + "\n", ""), "no line of column names"),
        (GOOD.replace("[W]", "[mW]"), "found power in mW, expected W"),
        (GOOD.replace(".00 W", ",00 W"), "line 2: found 3 fields, expected 2: numbers with a dec"),
        (GOOD.replace(" W", " kW"), "line 2: found '40.00 kW'"),
        (GOOD.replace("40.00 W", "[N/A]", 1), "line 2: the GPU does not tell its power"),
        (GOOD.replace("2026/05/01", "01.05.2026"), "line 2: found '01.05.2026 12:00:00.000'"),
        (GOOD + ROW + ROW, "line 23: its time is not after that of the line before: several GPUs"),
        (GOOD + f"{stamp(START + 30)}, 40.00 W\n", "line 22: no sample for 28.1 s"),
        (GOOD + f"{stamp(START + 2.6)}, 40.00 W\n", "line 22: no sample for 0.7 s"),
        (GOOD + "gone\n", "line 22: found 1 fields, expected 2"),
    ],
)
def test_each_fault_gives_one_clear_error(path: Path, text: str, message: str):
    path.write_text(text)
    with pytest.raises(MeterError) as error:
        PowerLog(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_no_text(path: Path):
    with pytest.raises(MeterError, match="No such file"):
        PowerLog(path)
    path.write_bytes(b"\x80\x81\x82\n" * 5)
    with pytest.raises(MeterError, match="is not text"):
        PowerLog(path)
