"""Comparing energies of two files: a ratio where both are measured alike, else the reason."""

import msgspec
import pytest

from lightfer.measure.energy import model_cpu_energy
from lightfer.report.changes import row
from lightfer.report.compare import NOTHING, REFUSED, compare_results
from tests.report.test_compare import changes, only, results
from tests.results.measured_energy import measured_energy
from tests.results.test_schema import entry


def test_a_model_that_takes_more_is_found_and_the_same_one_is_not():
    a = results(entry("m", energy=measured_energy(2.0)), entry("n", energy=measured_energy(1.0)))
    b = results(entry("m", energy=measured_energy(3.0)), entry("n", energy=measured_energy(1.0)))
    more, same = changes(compare_results(a, b), "energy")
    assert (more.verdict, same.verdict) == ("higher", NOTHING)
    assert (more.a, more.b) == (pytest.approx(2), pytest.approx(3))
    assert more.ratio == pytest.approx(1.5, rel=0.01)
    assert more.low is not None
    assert more.high is not None
    assert more.low < 1.5 < more.high
    assert "energy by counter" in more.note
    back, _ = changes(compare_results(b, a), "energy")
    assert back.verdict == "lower"
    cells = row(more)
    assert cells[1:4] == ("energy, energy per image, batch 64", "2000.000 mJ", "3000.000 mJ")


def test_energies_have_the_allowance_of_what_has_no_yardstick_beside_it():
    a, b = (results(entry("m", energy=measured_energy(j))) for j in (2.0, 2.5))
    assert only(compare_results(a, b), "energy").verdict == NOTHING
    relative = compare_results(a, b, run_to_run=0.05)
    assert only(relative, "energy").verdict == "higher"


def test_each_batch_size_is_compared_with_its_own():
    ours = entry("m", energy=measured_energy(2), energy_other=(measured_energy(9, batch_size=1),))
    theirs = entry("m", energy=measured_energy(2.0))
    batch, single = changes(compare_results(results(ours), results(theirs)), "energy")
    assert (batch.what, batch.verdict) == ("energy per image, batch 64", NOTHING)
    assert (single.verdict, single.note) == (REFUSED, "only the first file has it")


MODELLED = model_cpu_energy(0.1, threads=2, batch_size=64)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (MODELLED, MODELLED, "energy is modelled, not measured"),
        (measured_energy(), MODELLED, "energy is counter against modelled, not measured"),
        (measured_energy(simulated=True), measured_energy(), "counter, simulated against counter"),
        (measured_energy(), measured_energy(method="polled"), "gpu by counter against gpu by pol"),
        (measured_energy(), measured_energy(component="cpu"), "gpu by counter against cpu by cou"),
        (measured_energy(), measured_energy(spread=[1.0]), "one block shows no spread"),
    ],
)
def test_what_is_not_measured_alike_is_refused_with_the_reason(a, b, reason: str):
    found = compare_results(results(entry(energy=a)), results(entry(energy=b)))
    change = only(found, "energy")
    assert change.verdict == REFUSED
    assert reason in change.note
    assert change.p is None


def test_an_interval_without_its_blocks_is_refused_not_a_crash():
    """A file may hold the interval alone: `compare` ended with an error over it."""
    energy = msgspec.structs.replace(measured_energy(), blocks=())
    change = only(
        compare_results(results(entry(energy=energy)), results(entry(energy=energy))), "energy"
    )
    assert change.verdict == REFUSED
    assert "one block shows no spread" in change.note


def test_a_block_in_which_a_meter_did_not_move_is_refused_not_a_crash():
    still = measured_energy(spread=[0.0, 1.0, 1.0])
    for energies in ((still, measured_energy()), (measured_energy(), still)):
        a, b = (results(entry("m", energy=energy)) for energy in energies)
        found = only(compare_results(a, b), "energy")
        assert (found.verdict, found.ratio) == (REFUSED, None)
        assert found.note == "a block without any energy has no ratio: measure longer blocks"


def test_other_machines_are_refused_and_without_energy_nothing_is_said():
    a = results(entry(energy=measured_energy()))
    change = only(compare_results(a, results(entry(energy=measured_energy()), gpu="B")), "energy")
    assert change.note == "GPU None against B"
    assert changes(compare_results(results(entry()), results(entry())), "energy") == []


def test_the_energy_of_a_net_that_failed_is_refused():
    """Its times were refused, what was left of its blocks was compared."""
    good = entry("m", energy=measured_energy(2.0))
    failed = entry("m", energy=measured_energy(4.0), error="no memory")
    for a, b, which in ((good, failed, "second"), (failed, good, "first")):
        change = only(compare_results(results(a), results(b)), "energy")
        assert (change.verdict, change.p) == (REFUSED, None)
        assert change.note == f"the {which} file's net failed: no memory"
