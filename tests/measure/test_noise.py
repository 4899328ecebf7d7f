"""The verdict on noise from counters of known meaning, and reading them from a drawn /proc."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lightfer.measure.noise import Snapshot, round_spread, snapshot, verdict

BEFORE = Snapshot(time_s=0, cores=2, busy_s=100, steal_s=5, own_s=10, load=0.1, throttle_events=7)
AFTER = replace(BEFORE, time_s=10, busy_s=116, own_s=26, load=1.6)  # 16 of 20 core seconds, ours


def test_quiet():
    found = verdict(BEFORE, AFTER, [[[1.0, 1.0], [1.05, 1.05]]])
    assert (found.verdict, found.reasons) == ("quiet", ())
    assert (found.other_cpu_share, found.steal_share, found.throttle_events) == (0, 0, 0)
    assert (found.seconds, found.load_before, found.load_after) == (10, 0.1, 1.6)
    assert found.round_spread == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({"own_s": 24.0}, "noisy", "other processes took 10% of the CPU time"),
        ({"own_s": 18.0}, "unusable", "other processes took 40% of the CPU time"),
        ({"steal_s": 6.0}, "noisy", "other virtual machines took 5% of the CPU time"),
        ({"steal_s": 9.0}, "unusable", "other virtual machines took 20% of the CPU time"),
        ({"throttle_events": 9}, "noisy", "2 thermal throttling events"),
        ({"governor": "powersave"}, "noisy", "the frequency governor is powersave"),
        ({"governor": "powersave", "driver": "intel_pstate"}, "quiet", None),
    ],
)
def test_each_reason(change: dict, expected: str, reason: str | None):
    found = verdict(BEFORE, replace(AFTER, **change))
    assert found.verdict == expected
    assert found.reasons == ((reason,) if reason else ())


def test_the_worst_reason_decides_and_all_are_named():
    found = verdict(BEFORE, replace(AFTER, own_s=24.0), [[[1.0], [1.5]]])
    assert found.verdict == "unusable"
    assert len(found.reasons) == 2


def test_unknown_is_none_and_the_spread_remains():
    nothing = Snapshot(time_s=0, cores=2)
    found = verdict(nothing, replace(nothing, time_s=1), [[[1.0], [1.2]]])
    assert (found.verdict, found.other_cpu_share, found.throttle_events) == ("noisy", None, None)
    assert verdict(nothing, nothing).verdict == "quiet"


def test_the_spread_is_of_quartiles_and_the_median_over_models():
    assert round_spread([[[1.0, 1.0, 9.0], [1.0, 1.0, 9.0]]]) == 0.0
    three = [[[1.0], [1.1]], [[1.0], [1.2]], [[1.0], [9.0]], [[1.0]]]
    assert round_spread(three) == pytest.approx(0.2)
    assert round_spread([]) is None


def test_one_disturbed_round_of_three_is_no_spread():
    assert round_spread([[[1.0], [9.0], [1.1]]]) == pytest.approx(0.1)


def test_a_round_beside_a_disturbed_yardstick_is_no_spread():
    """Seconds 1.0, 1.0, 1.1 beside 2.0, 1.0, 1.0: the first only seems twice as fast."""
    rounds, beside = [[[1.0], [1.0], [1.1]]], [[2.0, 1.0, 1.0]]
    assert round_spread(rounds, beside) == pytest.approx(0.1)


def test_a_machine_that_changes_its_speed_is_noisy_and_its_rounds_are_not():
    found = verdict(BEFORE, AFTER, [[[1.0], [1.4]], [[2.0], [2.8]]], [[3.0, 4.2], [3.0, 4.2]])
    assert (found.verdict, found.round_spread) == ("noisy", pytest.approx(0.0))
    assert found.reasons == ("the machine's own speed changed by 40%",)
    assert found.yardstick_spread == pytest.approx(0.4)


def test_counters_are_read_where_linux_keeps_them(tmp_path: Path):
    t = os.sysconf("SC_CLK_TCK")
    files = {
        "proc/stat": f"cpu  {10 * t} {t} {2 * t} 99 99 {t} {t} {3 * t} 0 0\ncpu0 1",
        "proc/loadavg": "1.25 0.5 0.1 1/100 1\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2\n",
        "sys/devices/system/cpu/cpu11/thermal_throttle/core_throttle_count": "3\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = snapshot(tmp_path)
    assert (found.busy_s, found.steal_s, found.load) == (15, 3, 1.25)
    assert found.cores == 1  # whose times these are, whatever PYTHON_CPU_COUNT says
    assert (found.governor, found.driver, found.throttle_events) == ("schedutil", None, 5)


def test_a_machine_that_shows_nothing(tmp_path: Path):
    found = snapshot(tmp_path)
    assert (found.busy_s, found.steal_s, found.load, found.governor) == (None, None, None, None)
    assert found.own_s is not None
