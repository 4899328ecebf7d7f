"""Entries as BoAmps reports, the exchange format for the energy of AI tasks (Boavizta).

Data model 1.1.0, schema of 2026-04-08 (github.com/Boavizta/BoAmps, commit 3bfefec, CC BY 4.0). One
report per entry and batch size whose energy is known: the classification of the images of its
blocks, or of the test set where it is modelled. What the format asks for and a results file does
not say is left out, never filled in.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from lightfer._files import file_name
from lightfer.results import TEST_IMAGES, Energy, EnergyBlock, Entry, Environment, Results

VERSION = "1.1.0"
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/3bfefec/model"
QUANTIZATION = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
PUBLISHED = uuid.UUID("7d5f0e0c-6a3b-5a86-9a33-0c8d6c5f1a11")  # names are hashed within it


def reports(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and report of each entry and batch size with a known energy.

    Where two names would be one, as of `a:b` and `a.b`, the second has a number.
    """
    taken: set[str] = set()
    for entry in results.entries:
        environment = results.environments.get(entry.environment)
        for energy in (entry.energy, *entry.energy_other):
            known = energy and energy.gross and energy.gross.joules_per_image is not None
            if energy is not None and known and environment and not energy.simulated:
                size = f"-b{energy.batch_size}" if energy.batch_size else ""
                first = name = f"{file_name(entry.id).replace('/', '_')}{size}"
                again = 1
                while name.lower() in taken:
                    again += 1
                    name = f"{first}-{again}"
                taken.add(name.lower())
                yield f"{name}.json", _report(entry, energy, environment)


def _report(entry: Entry, energy: Energy, environment: Environment) -> dict[str, Any]:
    grid = entry.carbon and entry.carbon.intensity
    return _known(
        {
            "header": {
                "formatVersion": VERSION,
                "formatVersionSpecificationUri": SPECIFICATION,
                "reportId": str(uuid.uuid5(PUBLISHED, f"{entry.id} {energy.batch_size}")),
                "reportDatetime": _moment(environment.started),
                "reportStatus": "final",
            },
            "task": _task(entry, energy, environment),
            "measures": [_measure(energy, environment)],
            "system": {"os": environment.system},
            "software": {"language": "python", "version": environment.python},
            "infrastructure": {"infraType": "other", "components": _components(environment)},
            "environment": grid
            and {"country": grid.zone, "powerSourceCarbonIntensity": grid.g_co2e_per_kwh},
            "quality": "medium" if energy.measured() and energy.ci95 else None,
        }
    )


def _task(entry: Entry, energy: Energy, environment: Environment) -> dict[str, Any]:
    measured = entry.accuracy and entry.accuracy.source == "measured"
    size = energy.batch_size or entry.inference_batch_size
    return {
        "taskStage": "inference",
        "taskFamily": "image classification",
        "nbRequest": _images(energy),
        "algorithms": [
            {
                "algorithmType": "cnn",
                "algorithmName": entry.model,
                "parametersNumber": None if entry.params is None else entry.params / 1e9,
                "framework": entry.runtime,
                "frameworkVersion": entry.runtime_version,
                "quantization": QUANTIZATION.get(entry.precision, entry.precision),
            }
        ],
        "dataset": [
            {
                "dataUsage": "input",
                "dataType": "image",
                "dataQuantity": 1,
                "source": "public" if environment.data and environment.data.verified else "other",
            },
            {"dataUsage": "output", "dataType": "other", "dataQuantity": 1},
        ],
        "measuredAccuracy": entry.accuracy.top1 if entry.accuracy and measured else None,
        "taskDescription": f"facial expression recognition, batch size {size or 'unknown'}",
    }


def _measure(energy: Energy, environment: Environment) -> dict[str, Any]:
    gross = energy.gross.joules_per_image if energy.gross else None
    blocks = _blocks(energy)
    seconds = sum(b.work_s[1] - b.work_s[0] for b in blocks)
    idle = sum(part.idle_w or 0.0 for part in energy.included().values())
    idle_s = sum(end - start for b in blocks for start, end in (b.idle_before_s, b.idle_after_s))
    parts = energy.components
    return {
        "measurementMethod": f"lightfer {energy.method()}",
        "version": environment.versions.get("lightfer"),
        "cpuTrackingMode": _mode(parts.cpu.method, parts.cpu.source),
        "gpuTrackingMode": _mode(parts.gpu.method, parts.gpu.source),
        "powerCalibrationMeasurement": idle * idle_s / 3.6e6 if idle and idle_s else None,
        "durationCalibrationMeasurement": idle_s if idle and idle_s else None,
        "powerConsumption": None if gross is None else gross * _images(energy) / 3.6e6,
        "measurementDuration": seconds or None,
        "measurementDateTime": _moment(environment.started),
    }


def _mode(method: str, source: str | None) -> str | None:
    if method == "absent":
        return None
    return f"{method}: {source}" if source else method


def _images(energy: Energy) -> int:
    """What the energy of the report was spent on."""
    return sum(block.images for block in _blocks(energy)) or TEST_IMAGES


def _blocks(energy: Energy) -> tuple[EnergyBlock, ...]:
    """Those that the energy of the report is of: none where it is modelled."""
    return energy.blocks if energy.measured() else ()


def _components(environment: Environment) -> list[dict[str, Any]]:
    memory = environment.memory_bytes
    parts: list[dict[str, Any]] = [
        {"componentType": "cpu", "componentName": environment.cpu, "nbComponent": 1}
    ]
    if environment.gpu:
        parts.append({"componentType": "gpu", "componentName": environment.gpu, "nbComponent": 1})
    if memory:
        parts.append({"componentType": "ram", "nbComponent": 1, "memorySize": memory / 1e9})
    return parts


def _moment(started: str) -> str:
    """ISO 8601 to the format's `YYYY-MM-DD HH:MM:SS`."""
    return started[:19].replace("T", " ")


def _known(value: Any) -> Any:
    """Without what is None, at any depth."""
    if isinstance(value, dict):
        return {k: _known(v) for k, v in value.items() if v is not None}
    return [_known(v) for v in value] if isinstance(value, list) else value
