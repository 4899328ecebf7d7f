"""From energy to CO2-equivalents: one multiplication with a stated factor.

Emissions are proportional to energy, so they never rank models differently; they are given because
a reader asks for them, with the factor, its source and its year beside the figure.
"""

from lightfer.measure.energy import TEST_IMAGES
from lightfer.results import Carbon, Energy, GridIntensity

WORLD = GridIntensity(
    g_co2e_per_kwh=481.0,
    zone="world",
    year=2023,
    source="Our World in Data (Ember; Energy Institute): average, life cycle, by production",
)


def carbon_of(energy: Energy, intensity: GridIntensity = WORLD, pue: float = 1.0) -> Carbon:
    """Emissions of the gross energy; None where the energy is unknown."""
    kwh = energy.kwh_test_set
    grams = None if kwh is None else kwh * pue * intensity.g_co2e_per_kwh
    return Carbon(
        kg_co2e_test_set=None if grams is None else grams / 1000,
        g_co2e_per_1000_images=None if grams is None else grams / TEST_IMAGES * 1000,
        intensity=intensity,
        pue=pue,
    )
