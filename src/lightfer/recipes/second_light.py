"""draft"""

from typing import Any

from lightfer.train import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model.startswith("squeezenet") and "_bn" not in model:
        changes = {
            "epochs": 36,
            "learning_rate": 1e-3,
            "precision": "bfloat16",
            "initialise": "unit variance",
            "dropout": 0.1,
            **changes,
        }
    return TrainConfig(seed=seed, **changes)
