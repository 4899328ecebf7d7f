"""Carbon against its closed form, CodeCarbon's tables, and a local server for Electricity Maps."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lightfer.measure.carbon import ELSEWHERE, WORLD, CarbonError, carbon_of, find_intensity
from lightfer.measure.energy import CpuModel, model_cpu_energy, unmeasured_energy
from lightfer.results import GridIntensity

KWH_PER_1000 = 1e-4
ENERGY = model_cpu_energy(0.036, threads=1, power=CpuModel(10.0, "given"))  # 0.36 J per image


def test_carbon_is_energy_times_pue_times_intensity():
    carbon = carbon_of(ENERGY)
    assert carbon.g_co2e_per_1000_images == pytest.approx(KWH_PER_1000 * WORLD.g_co2e_per_kwh)
    assert carbon.kg_co2e_test_set == pytest.approx(3.589e-4 * WORLD.g_co2e_per_kwh / 1000)
    assert carbon.pue == 1
    other = carbon_of(ENERGY, GridIntensity(g_co2e_per_kwh=50, zone="X", year=1, source="s"), 1.5)
    assert other.g_co2e_per_1000_images == pytest.approx(KWH_PER_1000 * 50 * 1.5)


def test_sensitivity_and_sci_are_of_the_same_energy():
    carbon = carbon_of(ENERGY, pue=1.2)
    grams = {e.intensity.zone: e.g_co2e_per_1000_images for e in carbon.sensitivity}
    assert grams == pytest.approx(
        {e.zone: KWH_PER_1000 * 1.2 * e.g_co2e_per_kwh for e in ELSEWHERE}
    )
    assert grams["IND"] / grams["SWE"] > 17  # type: ignore[operator]
    sci = carbon.sci
    assert sci is not None
    assert sci.energy_kwh is not None
    assert sci.g_co2e_per_1000_faces == pytest.approx(sci.energy_kwh * sci.intensity_g_co2e_per_kwh)
    assert sci.embodied_g_co2e is None


@pytest.mark.parametrize("energy", [unmeasured_energy(), model_cpu_energy(None, threads=2)])
def test_unknown_stays_unknown(energy):
    assert energy.kwh_test_set is None
    carbon = carbon_of(energy)
    assert (carbon.kg_co2e_test_set, carbon.g_co2e_per_1000_images) == (None, None)
    assert {e.g_co2e_per_1000_images for e in carbon.sensitivity} == {None}
    assert carbon.sci is not None
    assert carbon.sci.g_co2e_per_1000_faces is None


def test_zones_are_those_of_codecarbons_table_and_the_sensitivity_is_too():
    pytest.importorskip("codecarbon")
    for grid in ELSEWHERE:
        found = find_intensity(grid.zone)
        assert round(found.g_co2e_per_kwh, 1) == grid.g_co2e_per_kwh
        assert found.year == grid.year
    france = find_intensity("france")
    assert (france.zone, france.year, france.basis) == ("FRA", 2023, "location-based")
    assert france.g_co2e_per_kwh == pytest.approx(56.039)
    assert "CodeCarbon" in france.source
    assert "life cycle" in (france.kind or "")
    assert find_intensity("World") == WORLD
    assert find_intensity("FR") == find_intensity("france") == france
    with pytest.raises(CarbonError, match=r"no zone 'FRX'.*near it are FRA"):
        find_intensity("FRX")


class Answers(BaseHTTPRequestHandler):
    """Electricity Maps as it answers: one good key, one zone."""

    def do_GET(self):
        good = self.headers["auth-token"] == "good"
        if self.path != "/v3/carbon-intensity/latest?zone=FR&emissionFactorType=lifecycle":
            good = False
        answer = {"zone": "FR", "carbonIntensity": 62, "datetime": "2026-05-01T12:00:00.000Z"}
        odd = self.headers["auth-token"].partition("odd ")[2]
        if odd == "no HTTP":
            self.wfile.write(b"hello")
            return
        if odd:
            answer, good = {**answer, **json.loads(odd)}, True
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer if good else {"error": "bad token"}).encode())

    def log_message(self, format: str, *args) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("zone", ["FR", "FRA", "fra", "France"])
def test_electricity_maps_is_asked_with_a_key(server: str, zone: str):
    """It knows countries by two letters, our tables by three: either code will do for both."""
    found = find_intensity(zone, "good", server)
    assert (found.g_co2e_per_kwh, found.zone, found.year) == (62, "FR", 2026)
    assert found.source == "Electricity Maps, 2026-05-01T12:00:00.000Z"
    assert "by consumption" in (found.kind or "")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("bad", "401 .*bad token"),
        ('odd {"carbonIntensity": null}', "TypeError"),
        ('odd {"carbonIntensity": NaN}', "carbonIntensity is nan, expected 0 to 10,000"),
        ('odd {"carbonIntensity": -5}', "carbonIntensity is -5"),
        ('odd {"datetime": "yesterday"}', "yesterday"),
        ("odd no HTTP", "BadStatusLine"),
    ],
)
def test_an_answer_that_is_none_is_one_error(server: str, key: str, message: str):
    with pytest.raises(CarbonError, match=message):
        find_intensity("FR", key, server)


def test_a_zone_that_is_no_text_could_be_written_and_not_be_read(server: str):
    assert find_intensity("FR", 'odd {"zone": 5}', server).zone == "5"


def test_the_world_is_no_zone_of_the_service():
    assert find_intensity("world", "good", "http://127.0.0.1:9") == WORLD


def test_a_zone_within_a_country_is_passed_on(server: str):
    with pytest.raises(CarbonError, match="zone 'US-CAL-CISO'"):
        find_intensity("US-CAL-CISO", "good", server)


def test_no_service_is_one_error():
    with pytest.raises(CarbonError, match="Electricity Maps, zone 'FR'"):
        find_intensity("FR", "good", "http://127.0.0.1:9")


def test_without_codecarbon_a_zone_is_one_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lightfer.measure.carbon.grids", dict)
    with pytest.raises(CarbonError, match=r"no table of grids for zone 'FRA': pip install"):
        find_intensity("FRA")
