"""The benchmark's judging on runs whose truth is known, and its design on a simulated machine."""

import sys
from pathlib import Path
from time import perf_counter, sleep

import msgspec
import numpy as np
import pytest
from benchmarks.aa_ab import (
    ARMS,
    bench,
    judge_interleaved,
    judge_separate,
    slowed,
    smallest_found,
    spread_of_runs,
)

from benchmarks import aa_ab
from lightfer.results import Latency, Results, write_results
from tests.results.test_schema import ENVIRONMENT, entry
from tests.results.test_stats import machine

ROUNDS = 24  # as by default


def run(shares: dict[str, float], seed: int, rounds: int, drift: float) -> Results:
    """One run of nets that take 1 ms and their shares, beside a yardstick of 2 ms, in the order of
    a lot; the machine drifts from block to block.
    """
    rng = np.random.default_rng(seed)
    factors = machine(rng, rounds * len(shares), drift=drift).reshape(rounds, len(shares), -1)
    lots = np.argsort(rng.random((rounds, len(shares))), axis=1)
    blocks = np.take_along_axis(factors, lots[:, :, None], axis=1)
    entries = []
    for i, (name, share) in enumerate(shares.items()):
        times = 1e-3 * (1 + share) * blocks[:, i]
        beside = 2e-3 * np.median(blocks[:, i], axis=1)
        timed = Latency.of(times.tolist(), 1, 2, yardstick_s=beside.tolist())
        entries.append(
            msgspec.structs.replace(entry(name), model=f"aa_ab:{name}", latency=(timed,))
        )
    environment = msgspec.structs.replace(ENVIRONMENT, yardstick="a net")
    return Results(environments={"e": environment}, entries=tuple(entries))


def test_what_differs_is_found_and_what_does_not_is_not():
    """Twenty simulated repeats, as the bars ask for, beside a perfect yardstick."""
    rows = [judge_interleaved(run(ARMS, seed, ROUNDS, drift=0.1)) for seed in range(20)]
    assert sum(row["false"] for row in rows) <= 3
    assert sum(row["found"]["slower_3"] for row in rows) >= 15
    assert sum(row["found"]["slower_10"] for row in rows) == 20
    assert sum(row["blocks"] for row in rows) == 20 * 4
    assert sum(row["false_blocks"] for row in rows) <= 8
    assert sum(row["found_blocks"] for row in rows) >= 40
    assert np.mean([row["ratio"]["slower_10"] for row in rows]) == pytest.approx(1.1, rel=0.02)


def test_separate_runs_are_judged_as_compare_does():
    def alone(share: float, seed: int) -> Results:
        return run({"alone": share}, seed, rounds=15, drift=0.1)

    runs = [
        (alone(0, 4 * i), {"a": alone(0.0, 4 * i + 1), "b15": alone(0.15, 4 * i + 2),
                           "b30": alone(0.3, 4 * i + 3)})
        for i in range(5)
    ]  # fmt: skip
    row = judge_separate(runs)
    assert (row["false"], row["b30"], row["refused"]) == (0, 5, 0)
    wide = judge_separate(runs, allowance=1.0)
    assert (wide["false"], wide["b15"], wide["b30"]) == (0, 0, 0)
    assert smallest_found(runs) in range(7, 20)  # 2 x sqrt(2) x 3 % of allowance, and the noise
    assert smallest_found(runs, allowance=1.0) is None
    raw, relative = spread_of_runs(runs)
    assert relative < raw  # the yardstick takes the drift out
    text = aa_ab.report([], {"pytorch": runs}, "here")
    assert "| pytorch | 3% (in use) | 0 of 5 |" in text
    assert "| all | 3% (in use) | 0 of 5 |" in text
    assert f"found in three of four: {smallest_found(runs)} %" in text


def test_a_slowed_pass_takes_the_longer_time_and_returns_the_result():
    def run(x):
        sleep(0.01)
        return x + 1

    start = perf_counter()
    assert slowed(run, 0.5)(1) == 2  # pyright: ignore[reportArgumentType]
    assert perf_counter() - start >= 0.015


def test_a_slowed_net_that_is_opened_again_is_as_slow(monkeypatch: pytest.MonkeyPatch):
    eager = aa_ab.RUNTIMES["pytorch"]
    monkeypatch.setitem(aa_ab.RUNTIMES, "pytorch", eager)
    said: list[float] = []
    monkeypatch.setattr(aa_ab, "slowed", lambda run, share: said.append(share) or run)
    aa_ab.slow_down("pytorch")
    net = aa_ab.slower_3()
    loaded = aa_ab.RUNTIMES["pytorch"].load(net, (1, 1, 48, 48), threads=1, precision="float32")
    assert loaded.reopen
    assert loaded.reopen().reopen
    assert said == [0.03, 0.03]


def test_a_run_that_is_there_is_not_made_again_and_that_of_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "executable", "/nowhere")  # no run can be made
    made = run({"alone": 0.0}, 0, 2, 0.1)
    write_results(tmp_path / "run.json", made)
    monkeypatch.setattr(aa_ab, "code_version", lambda: ENVIRONMENT.code)
    assert bench(tmp_path / "run.json", "pytorch", ["alone"]) == made
    monkeypatch.setattr(aa_ab, "code_version", lambda: "newer")
    with pytest.raises(SystemExit, match="not newer: give another --out"):
        bench(tmp_path / "run.json", "pytorch", ["alone"])
