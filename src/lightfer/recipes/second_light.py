"""draft"""

from typing import Any

from lightfer.train import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model.startswith("squeezenet"):
        changes = {"learning_rate": 3e-3, "dropout": 0.1, "precision": "bfloat16", **changes}
        if "_bn" not in model:
            changes = {"learning_rate": 1e-3, "initialise": "unit variance", **changes}
    return TrainConfig(seed=seed, **{"epochs": 24, **changes})
