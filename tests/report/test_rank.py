"""Ranking the models of one run, on entries whose order is known."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.measure.energy import model_cpu_energy
from lightfer.report.rank import correlations, energy_correlations, standings
from lightfer.report.readme import finding, shown
from lightfer.results import Accuracy, Entry, Latency, Results, Work, write_results
from lightfer.results.select import Times
from tests.results.measured_energy import measured_energy
from tests.results.test_schema import ENVIRONMENT, entry


def measured(name: str, seconds: float, top1: float, **fields):
    """Three rounds that differ by 1 %, an accuracy within 0.02."""
    rounds = [[seconds * f] * 5 for f in (0.99, 1.0, 1.01)]
    accuracy = Accuracy(
        split="test", labels="fer2013", view="single", images=100, top1=top1,
        ci95=(top1 - 0.02, top1 + 0.02),
    )  # fmt: skip
    return entry(name, latency=(Latency.of(rounds, 1, 2),), accuracy=accuracy, **fields)


def times(entries: list[Entry]) -> Times:
    return Times(Results(environments={"e": ENVIRONMENT}, entries=tuple(entries)))


ENTRIES = [
    measured("slow", 0.009, 0.50, macs=40, params=3),
    measured("fast", 0.001, 0.60, macs=10, params=9),
    measured("near", 0.00101, 0.595, macs=20, params=1),
    measured("good", 0.004, 0.70, macs=30, params=2),
]


def test_the_front_has_ties_and_the_fastest_is_first():
    assert [(p.model, p.status) for p in standings(ENTRIES, times(ENTRIES))] == [
        ("fast", "front"),
        ("near", "tied"),
        ("good", "front"),
        ("slow", "dominated"),
    ]
    others = [entry(), measured("other", 1, 0.5)]
    assert standings(others, times(others), batch_size=8) == []


def test_what_failed_has_no_place(tmp_path: Path):
    """It stood there, and might be the front, where page, choice and README left it out."""
    failed = replace(measured("broken", 0.0005, 0.8), error="round 3: no memory")
    known = [*ENTRIES, failed]
    assert standings(known, times(known)) == standings(ENTRIES, times(ENTRIES))
    path = tmp_path / "r.json"
    write_results(path, Results(environments={"e": ENVIRONMENT}, entries=tuple(known)))
    text = CliRunner().invoke(app, ["rank", str(path)], catch_exceptions=False).stdout
    assert "failed, not ranked: broken" in text
    assert text.count("broken") == 1


def test_what_was_scored_by_other_labels_has_no_place_and_is_no_other_net():
    other = measured("fast_ferplus", 0.0011, 0.85, macs=10, params=9)
    assert other.accuracy
    other = replace(other, accuracy=replace(other.accuracy, labels="fer+"))
    known = [*ENTRIES, other]
    places = standings(ENTRIES, times(ENTRIES))
    assert standings(known, times(known)) == places
    assert standings([other, *ENTRIES], times(known)) == places
    assert correlations([*ENTRIES[1:], other], times(known)) == {}  # three nets, not four


def test_correlations_with_time_need_four_models():
    """MACs grow with time in all four: rho is 1; with parameters it is -0.2 by hand."""
    found = correlations(ENTRIES, times(ENTRIES))
    assert found["macs"].interval.estimate == pytest.approx(1.0)
    assert found["macs"].interval.low < 0.5
    assert found["params"].interval.estimate == pytest.approx(-0.2)
    assert correlations(ENTRIES[:3], times(ENTRIES)) == {}


@pytest.mark.parametrize(("seconds", "macs"), [(0.001, 0), (0.0, 7)])
def test_what_is_equal_for_all_has_no_rank(seconds: float, macs: int):
    """It was a traceback of `rank`, and of the block of a README."""
    entries = [
        measured(name, seconds or 0.001 * (i + 1), 0.5, macs=macs or i + 1, flops=2 * (macs or i))
        for i, name in enumerate("abcd")
    ]
    found = Results(environments={"e": ENVIRONMENT}, entries=tuple(entries))
    assert correlations(entries, times(entries)) == {}
    about = shown(found)
    assert about is not None
    assert not any("rank correlation" in line for line in finding(about))


def test_counts_of_the_work_are_found_too():
    """Bytes grow with time in all four but for the last two, swapped: rho is 0.8."""
    work = dict.fromkeys(Work.__struct_fields__, 1) | {"uncounted": ()}
    entries = [
        measured(f"m{i}", 0.001 * (i + 1), 0.5, work=Work(**{**work, "bytes_fused": size}))
        for i, size in enumerate((10, 20, 40, 30))
    ]
    assert correlations(entries, times(entries))["bytes_fused"].interval.estimate == pytest.approx(
        0.8
    )


def test_the_command(tmp_path: Path):
    path = tmp_path / "r.json"
    assert ENTRIES[0].accuracy
    accuracy = replace(ENTRIES[0].accuracy, labels="fer+")
    known = (*ENTRIES, replace(measured("voted", 0.002, 0.8), accuracy=accuracy))
    write_results(path, Results(environments={"e": ENVIRONMENT}, entries=known))
    text = CliRunner().invoke(app, ["rank", str(path)], catch_exceptions=False).stdout
    assert "tied" in text
    assert "macs with time: rho 1.00" in text
    assert "scored on other images or labels, not ranked: voted" in text
    (group,) = json.loads(
        CliRunner().invoke(app, ["rank", str(path), "--json"], catch_exceptions=False).stdout
    )
    assert [p["model"] for p in group["places"]] == ["fast", "near", "good", "slow"]


def with_energy(*joules: float, **options) -> list:
    return [
        measured(e.model, e.latency[0].median_s, 0.5, macs=e.macs, params=e.params,
                 energy=measured_energy(j, batch_size=1, **options))
        for e, j in zip(ENTRIES, joules, strict=True)
    ]  # fmt: skip


def test_correlations_with_measured_energy():
    """Energy grows with time (9, 1, 1.01, 4 ms) in all four; with parameters rho is -0.2."""
    entries = with_energy(4.0, 1.0, 2.0, 3.0)
    found, refused = energy_correlations(entries, times(entries), batch_size=1)
    assert refused is None
    assert found["latency"].interval.estimate == pytest.approx(1.0)
    assert found["latency"].interval.low < 0.5
    assert found["macs"].interval.estimate == pytest.approx(1.0)
    assert found["params"].interval.estimate == pytest.approx(-0.2)


def test_modelled_simulated_and_other_energy_is_refused():
    modelled = [measured("m", 1.0, 0.5, energy=model_cpu_energy(1.0, threads=1))] * 4
    found, refused = energy_correlations(modelled, times(modelled), batch_size=1)
    assert found == {}
    assert refused == "energy here is modelled: measured at batch 1 for 0 models, needs 4"
    simulated = with_energy(4.0, 1.0, 2.0, 3.0, simulated=True)
    assert energy_correlations(simulated, times(simulated), 1)[0] == {}
    entries = with_energy(4.0, 1.0, 2.0, 3.0)
    assert energy_correlations(entries, times(entries), batch_size=64)[0] == {}
    assert energy_correlations(ENTRIES, times(ENTRIES), 1) == (
        {}, "no energy is known: measured at batch 1 for 0 models, needs 4"
    )  # fmt: skip


def test_rank_prints_the_correlation_with_energy_or_why_there_is_none(tmp_path: Path):
    path = tmp_path / "results.json"
    for entries, text in (
        (with_energy(4.0, 1.0, 2.0, 3.0), "latency with energy per image: rho 1.00"),
        (ENTRIES, "no correlation with energy: no energy is known"),
    ):
        write_results(path, Results(environments={"e": ENVIRONMENT}, entries=tuple(entries)))
        assert text in CliRunner().invoke(app, ["rank", str(path)]).output
