"""Equal: one recipe, one length for every network, no teacher: a comparison of architectures.

    lightfer train squeezenet1_1_bn --data DATA --threads 1 --recipe equal --seed 0

AdamW in batches of 128, bfloat16, 60 epochs, cosine after 3 epochs of warm-up; the averaged weights
of the last epoch are kept. Half of the images are warped, the others keep their pixels and are
moved by whole ones, since evaluation images are not resampled either. Each choice is compared with
others on validation in `docs/recipe.md`.

Two kinds of network do not learn well with these settings and have their own, below: SqueezeNet
without batch norm, and MobileNetV3-Small, whose rate was compared with others for `third_light`.

What it reaches, and its cost: `docs/equal.md`.
"""

from typing import Any

from lightfer.data.augment import Augmentation
from lightfer.train.config import TrainConfig

AUGMENTATION = Augmentation(
    crop=4,
    translate=0.05,
    scale=0.08,
    rotate_degrees=12.0,
    contrast=0.25,
    brightness=0.15,
    erase=0.25,
    erase_area=0.15,
    warp=0.5,
)


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    settings: dict[str, Any] = {
        "epochs": 60,
        "batch_size": 128,
        "learning_rate": 4e-3,
        "weight_decay": 0.05,
        "warmup_epochs": 3.0,
        "label_smoothing": 0.1,
        "ema_decay": 0.999,
        "keep": "final",
        "dropout": 0.1,
        "precision": "bfloat16",
        "augmentation": AUGMENTATION,
    }
    if model.startswith("mobilenet_v3"):
        settings |= {"learning_rate": 2.5e-3}
    if model.startswith("squeezenet") and "_bn" not in model:
        settings |= {"learning_rate": 1.4e-3, "initialise": "unit variance"}
    return TrainConfig(seed=seed, **{**settings, **changes})
