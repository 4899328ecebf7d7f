"""The claims: each verdict is reached by data made for it, and modelled energy decides nothing."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lightfer.report.claims import MODELLED, explained_share
from lightfer.report.thesis import CLAIMS, Finding, findings
from lightfer.results import (
    Accuracy,
    Energy,
    EnergyComponent,
    EnergyComponents,
    EnergyTotal,
    Entry,
    Latency,
    Results,
    read_results,
)
from lightfer.results.stats import mcnemar
from tests.report.made_up import GRID
from tests.results.test_schema import ENVIRONMENT, entry

ROOT = Path(__file__).parents[2]
IMAGES = 4000


def net(family: str, macs: float, top1: float, ms: float, joules: float | None = None) -> Entry:
    """A model whose first `top1` of the images are right and whose rounds differ by 1 %."""
    from lightfer.results import Carbon

    right = round(top1 * IMAGES)
    accuracy = Accuracy(
        split="test", labels="fer2013", view="single", images=IMAGES, top1=right / IMAGES,
        ci95=(right / IMAGES - 0.015, right / IMAGES + 0.015),
        correct_hex=f"{((1 << right) - 1) << (IMAGES - right):0{IMAGES // 4}x}",
    )  # fmt: skip
    rounds = [[ms * 1e-3 * f] * 4 for f in (0.99, 1.0, 1.01)]
    carbon = Carbon(
        kg_co2e_test_set=None,
        g_co2e_per_1000_images=None if joules is None else joules / 3.6 * 0.4,
        intensity=GRID,
    )
    return msgspec.structs.replace(
        entry(f"{family}-net", macs=int(macs * 1e6), accuracy=accuracy, carbon=carbon),
        family=family,
        latency=(Latency.of(rounds, batch_size=1, threads=2),),
        energy=None if joules is None else metered(joules),
    )


def metered(joules: float, method: str = "counter") -> Energy:
    absent = EnergyComponent(joules_per_image=None, method="absent")
    cpu = EnergyComponent(joules_per_image=joules, method=method)  # type: ignore[arg-type]
    return Energy(
        components=EnergyComponents(gpu=absent, cpu=cpu, dram=absent),
        gross=EnergyTotal(joules_per_image=joules), net=None, kwh_test_set=None,
        ci95=(0.98 * joules, 1.02 * joules),
    )  # fmt: skip


def judged(key: str, *entries: Entry) -> Finding:
    results = Results(environments={"e": ENVIRONMENT}, entries=entries)
    return next(f for f in findings(results) if f.key == key)


def test_every_claim_has_a_rule_and_a_verdict_on_the_published_results():
    found = findings(read_results(ROOT / "results.json"))
    assert [f.key for f in found] == [c.key for c in CLAIMS]
    assert all(f.rule and f.source and f.cases[0].figures for f in found)
    assert sum("predecessor: “" in f.source for f in found) == 5


@pytest.mark.parametrize(
    ("small", "verdict"), [(0.69, "supported"), (0.655, "undecided"), (0.60, "contradicted")]
)
def test_competitive_is_judged_by_the_interval_of_the_difference(small: float, verdict: str):
    found = judged("competitive", net("big", 100, 0.70, 9), net("small", 40, small, 4))
    assert found.verdict == verdict
    # The figures are those of McNemar's interval on the same images.
    only = round(0.70 * IMAGES) - round(small * IMAGES)
    interval = mcnemar(0, only, IMAGES).interval
    assert f"{100 * interval.estimate:.1f} [{100 * interval.low:.1f}" in found.cases[0].figures


def test_competitive_needs_a_net_of_half_the_work():
    found = judged("competitive", net("big", 100, 0.70, 9), net("small", 60, 0.69, 4))
    assert found.verdict == "undecided"


@pytest.mark.parametrize(
    ("macs", "top1", "verdict"),
    [(1.9, 0.60, "supported"), (1.9, 0.50, "contradicted"), (3.0, 0.70, "undecided")],
)
def test_fewer_flops_than_mobilenet_v3(macs: float, top1: float, verdict: str):
    v3 = net("mobilenet_v3_small", 4, 0.60, 2)
    assert judged("fewer-flops", v3, net("other", macs, top1, 1)).verdict == verdict
    assert judged("fewer-flops", net("other", macs, top1, 1)).verdict == "undecided"


def test_macs_and_time_by_share_of_variance():
    exact = [net(f"f{i}", 2.0**i, 0.6, 0.01 * 2.0**i) for i in range(8)]
    assert judged("macs-time", *exact).verdict == "contradicted"  # they do predict it
    mixed = [net(f"f{i}", 2.0**i, 0.6, 1 + i % 2) for i in range(30)]
    assert judged("macs-time", *mixed).verdict == "supported"
    assert judged("macs-time", *exact[:3]).verdict == "undecided"


def test_explained_share_is_that_of_numpy_and_scipy():
    """Oracle: Pearson's r and its interval by Fisher's z as SciPy has it."""
    from scipy.stats import pearsonr

    random = np.random.default_rng(0)
    x = np.exp(random.normal(size=12))
    y = x**0.7 * np.exp(random.normal(size=12) / 3)
    share = explained_share(x.tolist(), y.tolist())
    oracle: Any = pearsonr(np.log(x), np.log(y))
    low, high = oracle.confidence_interval(0.95)
    assert share.estimate == pytest.approx(oracle.statistic**2)
    assert (share.low, share.high) == (pytest.approx(low**2), pytest.approx(high**2))
    sign = explained_share([1, 2, 3, 4, 5], [3, 1, 4, 1, 5])
    assert sign.low == 0.0  # the interval of r holds 0


@pytest.mark.parametrize(
    ("shift_ms", "verdict"), [(1.0, "supported"), (2.0, "undecided"), (3.0, "contradicted")]
)
def test_the_shift_net_against_nets_of_equal_work(shift_ms: float, verdict: str):
    entries = (
        net("shiftnet", 16, 0.6, shift_ms),
        net("mobilenet_v2", 17, 0.6, 2.0),
        net("tiny", 2, 0.6, 0.1),  # of other work: no rival
    )
    assert judged("shift", *entries).verdict == verdict


@pytest.mark.parametrize(
    ("joules", "verdict"), [(0.5, "supported"), (1.01, "undecided"), (2.0, "contradicted")]
)
def test_the_lowest_carbon_by_measured_energy(joules: float, verdict: str):
    entries = (net("shufflenet_v2", 8, 0.6, 1, joules), net("squeezenet", 20, 0.6, 1, 1.0))
    assert judged("carbon", *entries).verdict == verdict


def test_modelled_energy_is_never_evidence():
    entries = [net(f"f{i}", 2.0**i, 0.6, 1, 2.0**i) for i in range(8)]
    entries.append(net("shufflenet_v2", 0.5, 0.6, 1, 0.5))
    assert judged("macs-energy", *entries).verdict == "contradicted"
    assert judged("carbon", *entries).verdict == "supported"
    modelled = [
        msgspec.structs.replace(e, energy=metered(2.0**i, "modelled"))
        for i, e in enumerate(entries)
    ]
    for key in ("macs-energy", "carbon"):
        found = judged(key, *modelled)
        assert found.verdict == "undecided"
        assert MODELLED in found.cases[0].figures


def test_machines_that_disagree_leave_a_claim_undecided():
    slow, fast = net("shiftnet", 16, 0.6, 3), net("shiftnet", 16, 0.6, 1)
    rival = net("mobilenet_v2", 17, 0.6, 2)

    def on(machine: str, *entries: Entry) -> list[Entry]:
        return [msgspec.structs.replace(e, environment=machine) for e in entries]

    entries = (*on("e", slow, rival), *on("f", fast, rival))
    results = Results(environments={"e": ENVIRONMENT, "f": ENVIRONMENT}, entries=entries)
    found = next(f for f in findings(results) if f.key == "shift")
    assert [c.verdict for c in found.cases] == ["contradicted", "supported"]
    assert found.verdict == "undecided"


def test_no_work_at_all_explains_nothing():
    with pytest.raises(ValueError, match="has no logarithm"):
        explained_share([0, 1, 2, 3], [1, 2, 3, 4])


def test_nothing_known_and_failures_decide_nothing():
    failed = msgspec.structs.replace(net("shiftnet", 16, 0.6, 1), error="no")
    for entries in ((), (entry(),), (failed,)):
        assert {f.verdict for f in findings(Results(entries=entries))} == {"undecided"}
