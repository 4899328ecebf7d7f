"""The benchmark's own parts with tiny settings, and its design on a simulated machine."""

from time import perf_counter, sleep

import numpy as np
import pytest
import torch
from benchmarks.aa_ab import ARMS, LEVEL, Slowed, allowances, interleaved, report, spread_of_runs
from torch import nn

from lightfer.results.stats import compare_paired, holm
from tests.report.test_compare import results, timed
from tests.results.test_schema import entry
from tests.results.test_stats import machine

ROUNDS = 40  # as by default


def family(rng: np.random.Generator, shares: list[float], **noise) -> list[float]:
    """Corrected p-values of one simulated repeat: every arm against the first."""
    arms = len(shares) + 1
    factors = machine(rng, ROUNDS * arms, **noise).reshape(ROUNDS, arms, -1)
    lots = np.argsort(rng.random((ROUNDS, arms)), axis=1)
    blocks = np.take_along_axis(factors, lots[:, :, None], axis=1)
    a = blocks[:, 0].tolist()
    rest = [(blocks[:, i + 1] * (1 + share)).tolist() for i, share in enumerate(shares)]
    return holm([compare_paired(a, b).p for b in rest])


@pytest.mark.parametrize("correlation", [0.0, 0.95])
def test_the_design_keeps_its_level_on_a_drifting_machine(correlation: float):
    """Simulated truth: two arms alike, beside two that differ; 1 % of 200 families, at 4 sigma."""
    rng = np.random.default_rng(1)
    shares = list(ARMS.values())
    alarms = sum(
        min(family(rng, shares, correlation=correlation, drift=0.1)[:2]) < LEVEL for _ in range(200)
    )
    assert alarms <= 2 + 4 * (200 * LEVEL) ** 0.5


def test_the_design_has_the_power_that_is_asked_for():
    """Simulated truth: blocks that drift by 3 %. 20 of 20 and at least 15 of 20, in one hundred."""
    rng = np.random.default_rng(2)
    found = np.array([family(rng, list(ARMS.values()), drift=0.03) for _ in range(100)]) < LEVEL
    assert found[:, 3].mean() == 1.0
    assert found[:, 2].mean() >= 0.85


def test_the_wrapper_returns_the_networks_result_and_counts():
    slowed, x = Slowed(nn.Identity()), torch.ones(1, 2)
    before = Slowed.passes
    assert torch.equal(slowed(x), x)
    assert Slowed.passes == before + 1


class Sleeps(nn.Module):
    def forward(self, x):
        sleep(0.01)
        return x


@pytest.mark.parametrize("delay", [{"delay_s": 0.005}, {"share": 0.5}])
def test_a_slowed_pass_takes_the_longer_time(delay: dict):
    slowed = Slowed(Sleeps(), **delay)
    start = perf_counter()
    slowed(torch.ones(1, 2))
    assert perf_counter() - start >= 0.015


def test_the_interleaved_part_measures_every_arm():
    (row,) = interleaved("mobilenet_v1_x0_25", 1, rounds=3, passes=2, say=lambda text: None)
    assert set(row["p_holm"]) == set(ARMS)
    assert row["delays_s"]["10 % slower"] == pytest.approx(0.1 * row["median_s"])
    assert {len(v) for v in row["medians_s"].values()} == {3}


def test_alarms_and_finds_are_counted_per_allowance():
    """One repeat: A alike, B 30 % slower. Without any allowance even 1 % is called a difference."""
    a = results(entry(latency=(timed(seed=1),)))
    again = results(entry(latency=(timed(0.00505, seed=2),)))
    b = results(entry(latency=(timed(0.0065, seed=3),)))
    rows = {row["run_to_run"]: row for row in allowances([(a, again, b)])}
    assert (rows[0.05]["alarms"], rows[0.05]["found"], rows[0.05]["refused"]) == (0, 1, 0)
    assert rows[0.0]["alarms"] == 1
    assert sum(row["in_use"] for row in rows.values()) == 1
    data = {
        "conditions": "here", "rounds": 3, "passes": 2, "repeats": 1, "seconds": 1.0,
        "interleaved": interleaved("mobilenet_v1_x0_25", 1, 3, 2, lambda text: None),
        "separate_runs": list(rows.values()), "spread_of_runs": spread_of_runs([(a, again, b)]),
    }  # fmt: skip
    assert "| 5% (in use) | 0 of 1 | 1 of 1 | 0 | 0 alarms, 1 found |" in report(data)
