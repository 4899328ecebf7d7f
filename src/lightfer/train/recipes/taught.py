"""Taught: `equal`, longer, and with a teacher that is asked on the student's own view.

    lightfer train squeezenet1_1_bn --data DATA --threads 1 --recipe taught --teachers vgg_slim \\
        --view-cache runs/views

150 epochs for 60; every other setting is `equal`'s, so that the two tables differ in length and
teacher alone. `recipes/taught.toml` trains them all; students of one seed share the answers.
"""

from typing import Any

from lightfer.train.config import TrainConfig
from lightfer.train.recipes import equal

EPOCHS = 150


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    return equal.config_for(model, seed, **{"epochs": EPOCHS, **changes})
