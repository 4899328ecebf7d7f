"""lightfer: an honest benchmark of lightweight CNNs for facial emotion recognition."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightfer.errors import LightferError
    from lightfer.inference.predict import Prediction, Predictor
    from lightfer.models.registry import create_model, list_models
    from lightfer.results import Results, read_results

    __version__: str

__all__ = [
    "LightferError",
    "Prediction",
    "Predictor",
    "Results",
    "create_model",
    "list_models",
    "read_results",
]

# Else newer builds of ONNX Runtime collect telemetry, in threads beside what is timed.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "LightferError": "lightfer.errors",
    "Prediction": "lightfer.inference.predict",
    "Predictor": "lightfer.inference.predict",
    "Results": "lightfer.results",
    "create_model": "lightfer.models.registry",
    "list_models": "lightfer.models.registry",
    "read_results": "lightfer.results",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `lightfer --help` does not load torch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lightfer")
    if name not in _HOMES:
        raise AttributeError(f"module 'lightfer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
