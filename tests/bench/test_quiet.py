"""Waiting for a quiet machine, on a machine whose speed is known."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from lightfer.bench import run as benchmark
from lightfer.bench.quiet import LOOKS, Quiet
from lightfer.cli.main import app
from lightfer.measure.noise import Snapshot, Watched, advanced, verdict, watch
from lightfer.results import Results, Waiting, read_results
from lightfer.results.validate import violations
from tests.bench.test_protocol import TINY
from tests.bench.test_run import run

pytestmark = pytest.mark.usefixtures("brief")


class Machine:
    """Its yardstick takes 1 ms, 40 % more in the given seconds; pauses are all that takes time."""

    def __init__(self, *busy: tuple[float, float]) -> None:
        self.busy, self.now, self.said = busy, 0.0, []

    def look(self, runtime: str) -> float:
        return 1.4e-3 if any(start <= self.now < end for start, end in self.busy) else 1e-3

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def quiet(self, minutes: float) -> Quiet:
        return Quiet(minutes, self.look, self.said.append, lambda: self.now, self.pause)


class Sleepy(Machine):
    """Its first look after a pause is slow, too."""

    asleep = False

    def look(self, runtime: str) -> float:
        seconds = 1.4e-3 if self.asleep else super().look(runtime)
        self.asleep = False
        return seconds

    def pause(self, seconds: float) -> None:
        super().pause(seconds)
        self.asleep = True


def test_a_round_starts_when_the_machine_is_quiet_again():
    machine = Machine((1, 31))
    quiet = machine.quiet(minutes=2)
    quiet.wait("pytorch")
    assert machine.now == 0
    machine.now = 1
    quiet.wait("pytorch")
    assert 31 <= machine.now <= 32
    assert quiet.waited_s == pytest.approx(30, abs=1)
    assert not quiet.gave_up
    assert "40% slower than it can be" in machine.said[-1]


def test_a_core_that_slept_while_waiting_is_no_disturbance():
    machine = Sleepy((1, 1.5))
    quiet = machine.quiet(minutes=2)
    quiet.wait("pytorch")
    machine.now = 1
    quiet.wait("pytorch")
    assert machine.now == 2
    assert not quiet.gave_up


def test_it_gives_up_after_the_minutes_in_all():
    machine = Machine((1, 1e9))
    quiet = machine.quiet(minutes=0.5)
    quiet.wait("pytorch")
    machine.now = 1
    quiet.wait("pytorch")
    assert (machine.now, quiet.gave_up, quiet.over) == (31, True, True)
    quiet.wait("pytorch")
    assert machine.now == 31


def test_each_runtime_has_its_own_best():
    seen = []
    quiet = Quiet(1.0, lambda name: seen.append(name) or {"a": 1.0, "b": 9.0}[name], print)
    quiet.wait("a")
    quiet.wait("b")
    assert (seen.count("a"), seen.count("b")) == (LOOKS + 1, LOOKS + 1)


@pytest.fixture
def yardsticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the yardstick takes beside each round from now on, then 1 s; nothing else is slow."""
    monkeypatch.setattr("lightfer.bench.run.QUICK_IMAGES", 8)
    left: list[float] = []
    visit = benchmark.visit_case

    def beside(*arguments, **options):
        found, seconds = visit(*arguments, **options), left.pop(0) if left else 1.0
        timed = [msgspec.structs.replace(t, yardstick_s=seconds) for t in found.timed]
        return msgspec.structs.replace(found, timed=tuple(timed))

    monkeypatch.setattr(benchmark, "visit_case", beside)
    monkeypatch.setattr(benchmark._Bench, "look", lambda self, runtime: 1.0)
    return left


def waiting(results: Results) -> Waiting:
    (environment,) = results.environments.values()
    assert environment.protocol is not None
    assert environment.protocol.waiting is not None
    return environment.protocol.waiting


def test_disturbed_rounds_are_measured_again_and_counted(yardsticks: list[float], tmp_path: Path):
    yardsticks += [1.2, 1.04, 1.0, 1.3]  # the third round is disturbed twice
    results = run(replace(TINY, rounds=3, wait_quiet=5.0), None, tmp_path)
    (entry,) = results.entries
    found = waiting(results)
    assert (found.repeated, found.disturbed, found.gave_up) == (2, 0, False)
    assert all(max(t.yardstick_s or [9]) <= 1.05 for t in entry.latency)
    assert [t.rounds for t in entry.latency] == [3, 3]
    records = (tmp_path / "journal").read_text().splitlines()
    assert len(records) == 1 + 1 + 5  # what was disturbed stays in the journal


def test_rounds_that_stay_disturbed_are_said_to_be(yardsticks: list[float], tmp_path: Path):
    yardsticks += [1.0, *[1.5] * 1000]
    results = run(replace(TINY, wait_quiet=0.01), None, tmp_path)  # 0.6 s
    found = waiting(results)
    assert found.disturbed == 1
    assert found.repeated >= 1
    assert [t.rounds for e in results.entries for t in e.latency] == [2, 2]


def test_a_run_that_was_stopped_while_repeating_goes_on(yardsticks: list[float], tmp_path: Path):
    config = replace(TINY, wait_quiet=5.0)
    yardsticks += [1.0, 1.5, 1.5, 1.0]

    def stop(text: str, done: int, of: int) -> None:
        if "again" in text and len(yardsticks) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, None, tmp_path, on_step=stop)
    assert len((tmp_path / "journal").read_text().splitlines()) == 1 + 1 + 3
    steps: list[str] = []
    found = waiting(run(config, None, tmp_path, on_step=lambda text, *_: steps.append(text)))
    assert len([text for text in steps if "again" in text]) == 1
    assert (found.repeated, found.disturbed) == (2, 0)


@pytest.mark.usefixtures("yardsticks")
def test_the_command_says_what_waiting_brought(tmp_path: Path):
    out = tmp_path / "results.json"
    options = ["--data", "none", "--quick", "--rounds", "1", "--batch-size", "1", "--passes", "1"]
    arguments = ["bench", TINY.models[0], *options, "--wait-quiet", "2", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "of 2 minutes for a quiet machine; disturbed rounds measured again: 0" in done.output
    assert waiting(read_results(out)).minutes == 2
    assert violations(json.loads(out.read_text())) == []


def test_the_verdict_is_on_what_was_measured_not_on_the_time_between():
    start = Snapshot(time_s=0, cores=2, busy_s=0, steal_s=0, own_s=0, throttle_events=0)
    busy = replace(start, time_s=100, busy_s=200, own_s=20)  # others had nine tenths of it
    round_ = replace(busy, time_s=110, busy_s=220, own_s=40)  # and none of these ten seconds
    assert verdict(start, round_).verdict == "unusable"
    found = verdict(start, advanced(start, round_, [watch(busy, round_)]))
    assert (found.verdict, found.other_cpu_share, found.seconds) == ("quiet", 0, 10)


@pytest.mark.usefixtures("yardsticks")
def test_what_others_do_while_accuracy_is_measured_disturbs_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    second = Watched(seconds=1, busy_s=None, steal_s=None, own_s=None, throttle_events=None)
    monkeypatch.setattr(benchmark, "watch", lambda before, after: second)
    (environment,) = run(TINY, None, tmp_path).environments.values()
    assert environment.noise is not None
    assert environment.noise.seconds == len(TINY.models) * TINY.rounds  # and none of size, accuracy


def test_a_new_round_takes_the_place_of_the_disturbed_one(yardsticks: list[float], tmp_path: Path):
    """Rounds of two nets are compared each with that of the same number."""
    yardsticks += [1.01, 1.5, 1.02, 1.03]
    results = run(replace(TINY, rounds=3, wait_quiet=5.0), None, tmp_path)
    (entry,) = results.entries
    assert [t.yardstick_s for t in entry.latency] == [(1.01, 1.03, 1.02)] * 2


def test_rounds_that_were_repeated_are_settled_without_the_option_too(
    yardsticks: list[float], tmp_path: Path
):
    yardsticks += [1.0, 1.5, 1.5, 1.0]

    def stop(text: str, done: int, of: int) -> None:
        if "again" in text and len(yardsticks) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(replace(TINY, wait_quiet=5.0), None, tmp_path, on_step=stop)
    results = run(TINY, None, tmp_path)
    (entry,) = results.entries
    assert [t.rounds for t in entry.latency] == [2, 2]
    assert (waiting(results).repeated, waiting(results).disturbed) == (1, 1)
    assert not waiting(results).gave_up  # nothing was waited for


def test_so_they_are_beside_a_round_that_failed(
    yardsticks: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With its failure there were no more rounds than asked for: a disturbed one counted."""
    visit, calls = benchmark.visit_case, []

    def fails_once(*arguments, **options):
        calls.append(1)
        if len(calls) in (2, 3):  # the second round, which is tried twice
            raise RuntimeError("no memory")
        return visit(*arguments, **options)

    monkeypatch.setattr(benchmark, "visit_case", fails_once)
    yardsticks += [1.0, 1.5, 1.0]
    config = replace(TINY, rounds=3)
    run(replace(config, wait_quiet=5.0), None, tmp_path)  # its journal stays, with all rounds
    results = run(config, None, tmp_path)
    (entry,) = results.entries
    assert [t.yardstick_s for t in entry.latency] == [(1.0, 1.0)] * 2
    assert (waiting(results).repeated, waiting(results).disturbed) == (1, 0)


def test_what_was_waited_before_a_stop_counts(yardsticks: list[float], tmp_path: Path, monkeypatch):
    yardsticks += [1.5, 1.0, 1.0]

    def slow_wait(self: Quiet, runtime: str) -> None:
        self.waited_s += 7.0

    def stop(text: str, done: int, of: int) -> None:
        if "again" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(Quiet, "wait", slow_wait)
    config = replace(TINY, wait_quiet=5.0)
    with pytest.raises(KeyboardInterrupt):
        run(config, None, tmp_path, on_step=stop)
    found = waiting(run(config, None, tmp_path))
    assert (found.waited_s, found.repeated) == (21.0, 1)


def test_a_repeat_that_fails_costs_nothing_that_was_measured(
    yardsticks: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    yardsticks += [1.0, 1.5]
    visit, calls = benchmark.visit_case, []

    def fails_later(*arguments, **options):
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("no memory")
        return visit(*arguments, **options)

    monkeypatch.setattr(benchmark, "visit_case", fails_later)
    results = run(replace(TINY, wait_quiet=5.0), None, tmp_path)
    (entry,) = results.entries
    assert entry.error is None
    assert [t.rounds for t in entry.latency] == [2, 2]
    assert (waiting(results).repeated, waiting(results).disturbed) == (0, 1)
