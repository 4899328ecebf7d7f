"""Teacher: `equal`, longer and on wider views, for plain convolutions: who teaches, the reference.

    lightfer train vgg_slim --data DATA --threads 2 --recipe teacher

100 epochs for 60, the net's own dropout, wider ranges and more erasing. Dense 3x3 convolutions
train faster per multiply-add on a CPU than depthwise ones; in the card's history the loss on
validation is lowest after epoch 51, so more regularisation has room.

Expected: top-1 on validation of seed 0; processor time of an AMD EPYC (AVX-512); energy is
modelled, 4 W per busy thread.

    model                validation %    cpu s   energy kJ
    vgg_slim                   71.05     8303       33.21
"""

from dataclasses import replace
from typing import Any

from lightfer.train.config import TrainConfig
from lightfer.train.recipes import equal

AUGMENTATION = replace(
    equal.AUGMENTATION,
    translate=0.1,
    scale=0.2,
    rotate_degrees=15.0,
    contrast=0.3,
    erase=0.5,
    erase_area=0.2,
)


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    own = {"epochs": 100, "dropout": None, "augmentation": AUGMENTATION}
    return equal.config_for(model, seed, **{**own, **changes})
