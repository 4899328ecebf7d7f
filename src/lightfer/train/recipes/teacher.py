"""Teacher: plain 3x3 convolutions, long, on wide views. The net that teaches, and the reference.

    lightfer train vgg_slim --data DATA --threads 2 --recipe teacher

Dense 3x3 convolutions train several times faster per multiply-add on a CPU than depthwise ones, so
a slim VGG is the cheapest accurate net there is on one. AdamW in batches of 128, bfloat16, 100
epochs, cosine after 3 epochs of warm-up; the averaged weights of the last epoch are kept. Half of
the images are warped, the others keep their pixels and are moved by whole ones. From epoch 55 on
the loss on validation rises: more regularisation has room.

Expected: top-1 on validation of seed 0; processor time of an AMD EPYC (AVX-512); energy is
modelled, 4 W per busy thread.

    model                validation %    cpu s   energy kJ
    vgg_slim                   71.05     8303       33.21
"""

from typing import Any

from lightfer.data.augment import Augmentation
from lightfer.train.config import TrainConfig

AUGMENTATION = Augmentation(
    crop=4,
    translate=0.1,
    scale=0.2,
    rotate_degrees=15.0,
    contrast=0.3,
    brightness=0.15,
    erase=0.5,
    erase_area=0.2,
    warp=0.5,
)


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    settings: dict[str, Any] = {
        "epochs": 100,
        "batch_size": 128,
        "learning_rate": 4e-3,
        "weight_decay": 0.05,
        "warmup_epochs": 3.0,
        "label_smoothing": 0.1,
        "ema_decay": 0.999,
        "keep": "final",
        "precision": "bfloat16",
        "augmentation": AUGMENTATION,
    }
    return TrainConfig(seed=seed, **{**settings, **changes})
