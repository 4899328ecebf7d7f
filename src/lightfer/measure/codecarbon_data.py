"""The tables that CodeCarbon ships, read as files: importing it looks for devices and prints."""

import csv
import json
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def codecarbon_version() -> str | None:
    """None if the package is not installed."""
    return version("codecarbon") if find_spec("codecarbon") else None


def rated_watts() -> dict[str, float]:
    """Processor -> rated power, without rows that are no number; empty without CodeCarbon."""
    path = _file("hardware/cpu_power.csv")
    if path is None:
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["Name"]: float(row["TDP"])
            for row in csv.DictReader(file)
            if re.fullmatch(r"\d+(\.\d+)?", row["TDP"])
        }


def grids() -> dict[str, dict[str, Any]]:
    """Country in three letters -> its grid, of which `carbon_intensity` is in gCO2e per kWh."""
    path = _file("private_infra/global_energy_mix.json")
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def _file(name: str) -> Path | None:
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    return path if path.exists() else None
