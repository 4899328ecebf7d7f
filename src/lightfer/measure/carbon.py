"""From energy to CO2-equivalents: one multiplication with a stated factor, never a measurement.

Emissions are proportional to energy, so they never rank models differently; they are given because
a reader asks for them, with the factor, its source, year and kind beside the figure, and with the
same energy on other grids, which differ by a factor of 17. Location-based: what the grid of a place
emits on average, whatever contracts are held. Made hardware (embodied emissions) is left out.
"""

import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from http.client import HTTPException

from lightfer._files import read_json
from lightfer.errors import LightferError
from lightfer.measure.codecarbon_data import codecarbon_version, grids
from lightfer.results import (
    TEST_IMAGES,
    Carbon,
    CarbonElsewhere,
    Energy,
    GridIntensity,
    SoftwareCarbonIntensity,
)

MOST = 10_000  # grams per kWh, that any grid could emit
OWID = "Our World in Data (Ember; Energy Institute)"
KIND = "average of a year, life cycle, by production"
WORLD = GridIntensity(g_co2e_per_kwh=481.0, zone="world", year=2023, source=OWID, kind=KIND)
ELSEWHERE = tuple(
    GridIntensity(g_co2e_per_kwh=grams, zone=zone, year=2023, source=OWID, kind=KIND)
    for zone, grams in (("SWE", 40.7), ("USA", 369.5), ("IND", 713.4))
)
ELECTRICITY_MAPS = "https://api.electricitymaps.com"
BOUNDARY = (
    "use of the components whose energy is in the total, on one machine; without its making, "
    "network, storage and training"
)


class CarbonError(LightferError):
    """A grid intensity cannot be had; the message says why and what to do."""


def carbon_of(energy: Energy, intensity: GridIntensity = WORLD, pue: float = 1.0) -> Carbon:
    """Emissions of the gross energy; None where the energy is unknown.

    `pue` is the power usage effectiveness of the building: 1 for a machine on a desk.
    """
    kwh = None if energy.kwh_test_set is None else energy.kwh_test_set * pue
    per_1000 = None if kwh is None else kwh / TEST_IMAGES * 1000

    def grams(kwh: float | None, grid: GridIntensity) -> float | None:
        return None if kwh is None else kwh * grid.g_co2e_per_kwh

    total, each = grams(kwh, intensity), grams(per_1000, intensity)
    return Carbon(
        kg_co2e_test_set=None if total is None else total / 1000,
        g_co2e_per_1000_images=each,
        intensity=intensity,
        pue=pue,
        sensitivity=tuple(
            CarbonElsewhere(intensity=grid, g_co2e_per_1000_images=grams(per_1000, grid))
            for grid in ELSEWHERE
        ),
        sci=SoftwareCarbonIntensity(
            g_co2e_per_1000_faces=each,
            energy_kwh=per_1000,
            intensity_g_co2e_per_kwh=intensity.g_co2e_per_kwh,
            embodied_g_co2e=None,
            boundary=BOUNDARY,
        ),
    )


def find_intensity(zone: str, key: str | None = None, url: str = ELECTRICITY_MAPS) -> GridIntensity:
    """The grid of a zone: from Electricity Maps with a `key`, else from CodeCarbon's tables.

    A country is known by two or three letters or by its name; the service has zones within
    countries too, such as DE or US-CAL-CISO. The world is this package's own figure. Raises
    CarbonError if the zone is not known, the service does not answer, or CodeCarbon is not
    installed.
    """
    if zone.lower() == WORLD.zone:
        return WORLD
    return _ask_electricity_maps(zone, key, url) if key else _look_up(zone)


def _codes(zone: str) -> tuple[str, str] | None:
    """Two and three letters of a country (ISO 3166-1); None where it is none, or not known here."""
    try:
        from pycountry import countries
    except ModuleNotFoundError:  # it comes with CodeCarbon
        return None
    try:
        found = countries.lookup(zone)
    except LookupError:
        return None
    return found.alpha_2, found.alpha_3


def _look_up(zone: str) -> GridIntensity:
    table = grids()
    if not table:
        raise CarbonError(
            f'no table of grids for zone {zone!r}: pip install "lightfer[energy]", or give the '
            "figure with --intensity"
        )
    country = _codes(zone)
    for code, row in table.items():
        if (
            code in (zone.upper(), country and country[1])
            or zone.lower() == row["country_name"].lower()
        ):
            return GridIntensity(
                g_co2e_per_kwh=row["carbon_intensity"],
                zone=code,
                year=row["year"],
                source=f"{OWID}, as in CodeCarbon {codecarbon_version()}",
                kind=KIND,
            )
    near = sorted(code for code in table if code.startswith(zone[:2].upper()))
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise CarbonError(
        f"there is no zone {zone!r}: expected one of {len(table)} countries by their code, such as "
        f"FRA or FR, a country's name, or world{hint}"
    )


def _ask_electricity_maps(zone: str, key: str, url: str) -> GridIntensity:
    country = _codes(zone)
    asked = country[0] if country else zone.upper()
    query = urllib.parse.urlencode({"zone": asked, "emissionFactorType": "lifecycle"})
    request = urllib.request.Request(
        f"{url}/v3/carbon-intensity/latest?{query}", headers={"auth-token": key}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = read_json(answer.read())
        grams, moment = float(found["carbonIntensity"]), found["datetime"]
        if not 0 <= grams <= MOST:
            raise ValueError(f"carbonIntensity is {grams}, expected 0 to {MOST:,} g/kWh")
        year = datetime.fromisoformat(moment).year
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:200]
        error.close()
        raise CarbonError(f"Electricity Maps, zone {zone!r}: {error.code} {text}") from error
    except (*(OSError, HTTPException), *(KeyError, TypeError, ValueError, RecursionError)) as error:
        raise CarbonError(f"Electricity Maps, zone {zone!r}: {error!r}") from error
    estimated = ", estimated" if found.get("isEstimated") else ""
    return GridIntensity(
        g_co2e_per_kwh=grams,
        zone=str(found.get("zone", zone)),
        year=year,
        source=f"Electricity Maps, {moment}",
        kind=f"average of an hour, life cycle, by consumption (flow-traced){estimated}",
    )
