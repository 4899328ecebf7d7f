"""BoAmps reports are valid by Boavizta's own schemas, and say what the entry says."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.measure.carbon import carbon_of
from lightfer.measure.energy import model_cpu_energy
from lightfer.measure.energy.model import modelled_instead
from lightfer.report.exchange.boamps import reports
from lightfer.results import Accuracy, Results, write_results
from tests.results.measured_energy import measured_energy
from tests.results.test_schema import ENVIRONMENT, entry

SCHEMAS = Path(__file__).parent / "boamps"
ACCURACY = Accuracy(
    split="test", labels="fer2013", view="single", images=3589, top1=0.61, ci95=(0.59, 0.63)
)


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    files = [json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))]
    resources = [(f["id"], Resource(contents=f, specification=DRAFT4)) for f in files]
    registry: Registry = Registry().with_resources(resources)
    (report,) = [f for f in files if f["title"] == "report"]
    return jsonschema.Draft4Validator(report, registry=registry)


def results() -> Results:
    environment = msgspec.structs.replace(ENVIRONMENT, gpu="A GPU", memory_bytes=16_000_000_000)
    measured, modelled = measured_energy(2.0), model_cpu_energy(0.01, threads=2, batch_size=64)
    return Results(
        environments={"e": environment},
        entries=(
            entry(
                "a", energy=measured, energy_other=(measured_energy(3.0, batch_size=1),),
                params=2_500_000, accuracy=ACCURACY, carbon=carbon_of(measured),
            ),
            entry("b", energy=modelled, carbon=carbon_of(modelled)),
            entry("c"),
            entry("d", energy=measured_energy(simulated=True)),
        ),
    )  # fmt: skip


def test_every_report_is_valid(validator):
    found = dict(reports(results()))
    assert list(found) == ["e_a-b64.json", "e_a-b1.json", "e_b-b64.json"]  # none without energy
    for report in found.values():
        assert list(validator.iter_errors(report)) == []
    broken = json.loads(json.dumps(found["e_a-b64.json"]))
    broken["measures"][0]["powerConsumption"] = "much"
    broken["task"]["dataset"][0]["dataType"] = "faces"
    assert len(list(validator.iter_errors(broken))) == 2  # the references are followed


def test_a_report_says_what_the_entry_says():
    found = dict(reports(results()))
    report = found["e_a-b64.json"]
    (measure,) = report["measures"]
    assert measure["powerConsumption"] == pytest.approx(2.0 * 2500 / 3.6e6)
    assert measure["measurementDuration"] == 50
    assert measure["durationCalibrationMeasurement"] == 50
    assert measure["powerCalibrationMeasurement"] == pytest.approx(10 * 50 / 3.6e6)
    assert measure["gpuTrackingMode"] == "counter: meter"
    assert "cpuTrackingMode" not in measure
    assert report["task"]["nbRequest"] == 2500
    assert report["task"]["measuredAccuracy"] == 0.61
    assert report["task"]["algorithms"][0]["parametersNumber"] == pytest.approx(0.0025)
    assert report["environment"] == {"country": "world", "powerSourceCarbonIntensity": 481.0}
    assert report["quality"] == "medium"
    guess = found["e_b-b64.json"]
    assert guess["measures"][0]["measurementMethod"] == "lightfer modelled"
    assert guess["measures"][0]["powerConsumption"] == pytest.approx(0.08 * 3589 / 3.6e6)
    assert "quality" not in guess
    assert not any("shape" in part for part in report["task"]["dataset"])  # no file says it


def test_a_modelled_energy_is_not_of_the_blocks_of_a_meter_that_failed():
    """Their seconds stood beside the energy of the test set: a power that nothing had."""
    guess = modelled_instead(measured_energy(2.0), model_cpu_energy(0.01, threads=2))
    found = msgspec.structs.replace(results(), entries=(entry("a", energy=guess),))
    ((_, report),) = reports(found)
    assert report["task"]["nbRequest"] == 3589
    assert not {key for key in report["measures"][0] if "uration" in key}


def test_the_command_writes_one_file_per_report(tmp_path: Path):
    path = tmp_path / "results.json"
    write_results(path, results())
    done = CliRunner().invoke(app, ["table", str(path), "--boamps", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "3 reports written" in done.output
    written = {p.name: json.loads(p.read_text()) for p in (tmp_path / "out").iterdir()}
    assert written == dict(reports(results()))


def test_no_report_replaces_another():
    found = results()
    one = found.entries[0]
    models = ("net:a", "net.a", "NET/A", "net_a")
    entries = tuple(msgspec.structs.replace(one, model=model) for model in models)
    names = [name for name, _ in reports(msgspec.structs.replace(found, entries=entries))]
    assert (
        len({name.lower() for name in names})
        == len(names)
        == len(models) * len([*reports(msgspec.structs.replace(found, entries=(one,)))])
    )


def test_a_name_with_a_number_is_not_given_twice():
    """The report of `a.b-2` replaced that of the second entry which would be called a.b."""
    energy = msgspec.structs.replace(measured_energy(), batch_size=None)
    ids = ("a:b", "a.b", "a.b-2", "a.b-2-2")
    entries = (msgspec.structs.replace(entry("a", energy=energy), id=id) for id in ids)
    found = reports(msgspec.structs.replace(results(), entries=tuple(entries)))
    assert len({name for name, _ in found}) == len(ids)
