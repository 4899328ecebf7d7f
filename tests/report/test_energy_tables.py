"""How energy is printed: interval and method with every figure, what went wrong below the table."""

from lightfer.measure.carbon import carbon_of
from lightfer.measure.energy import model_cpu_energy, unmeasured_energy
from lightfer.measure.energy.model import modelled_instead
from lightfer.report.cells import DASH, joules_each
from lightfer.report.exchange.flat import flat_rows
from lightfer.report.notes import carbon_notes, energy_notes
from lightfer.report.tables import markdown, row
from lightfer.results import Results
from lightfer.results.select import Times
from tests.results.measured_energy import measured_energy, warned
from tests.results.test_schema import ENVIRONMENT, entry


def test_a_measured_energy_has_its_interval_and_its_method():
    energy = measured_energy(0.002)
    assert joules_each(energy) == "2.00 [1.98, 2.02] (counter, batch 64)"
    one = entry(energy=energy, carbon=carbon_of(energy))
    assert row(one, Times(Results()))[-1] == "0.267 (counter, batch 64)"
    assert joules_each(measured_energy(0.002, spread=[1.0])) == "2.00 (counter, batch 64)"
    assert joules_each(measured_energy(0.002, method="log")).endswith("(log, batch 64)")
    assert joules_each(measured_energy(simulated=True)).endswith("(simulated, batch 64)")
    assert joules_each(model_cpu_energy(0.001, threads=1)) == "4.00 (modelled)"
    assert joules_each(unmeasured_energy()) == DASH
    assert joules_each(None) == DASH


def test_reasons_and_warnings_stand_below_once():
    asked = unmeasured_energy({"cpu": "only root may", "dram": "only root may", "gpu": "no GPU"})
    tried = modelled_instead(asked, model_cpu_energy(0.001, threads=1))
    entries = [
        entry("a", energy=tried),
        entry("b", energy=tried),
        entry("c", energy=warned(measured_energy(), "idle power differs")),
        entry("d", energy=model_cpu_energy(0.001, threads=1)),
    ]
    assert energy_notes(entries) == [
        "Energy: gpu not measured: no GPU",
        "Energy: cpu and dram not measured: only root may",
        "Energy: idle power differs (c, batch 64)",
    ]
    text = markdown(Results(environments={"e": ENVIRONMENT}, entries=tuple(entries)))
    assert text.count("only root may") == 1


def test_flat_rows_have_the_interval():
    (flat,) = flat_rows(
        Results(environments={"e": ENVIRONMENT}, entries=(entry(energy=measured_energy()),))
    )
    low, high = (
        flat["energy_gross_joules_per_image_low95"],
        flat["energy_gross_joules_per_image_high95"],
    )
    assert low < flat["energy_gross_joules_per_image"] < high
    assert flat["energy_blocks"] == 5
    assert flat["energy_gpu_method"] == "counter"
    assert flat["energy_simulated"] is False


def test_the_grid_and_others_stand_below_once():
    energy = measured_energy()
    entries = [entry(name, energy=energy, carbon=carbon_of(energy, pue=1.2)) for name in "ab"]
    assert carbon_notes(entries) == [
        "Emissions: grid world (481 g/kWh, 2023, location-based), PUE 1.2; "
        "elsewhere: SWE x 0.08, USA x 0.77, IND x 1.48"
    ]
    assert carbon_notes([entry()]) == []
