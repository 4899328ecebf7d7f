"""Taught: `equal`, longer, and with a teacher that is asked on the student's own view.

    lightfer train squeezenet1_1_bn --data DATA --threads 1 --recipe taught --teachers vgg_slim \\
        --view-cache runs/views

150 epochs for 60; every other setting is `equal`'s, so that the two tables differ in length and
teacher alone. `recipes/taught.toml` trains them all; students of one seed share the answers.

Expected: top-1 on validation of seed 0 of the shipped nets; processor time of one thread of an AMD
EPYC (AVX-512) beside other work, without the teacher's training; energy is modelled, 4 W per busy
thread.

    model                validation %    cpu s   energy kJ
    squeezenet1_1_bn           66.76     5403       21.61
    mobilenet_v2               68.93     4493       17.97
    shiftnet_b                 68.18     4161       16.64
    shufflenet_v2_x1_0         67.07     2614       10.45
    mobilenet_v3_small         65.03     2442        9.77
    mobilenet_v1               69.46     3839       15.36
"""

from typing import Any

from lightfer.train.config import TrainConfig
from lightfer.train.recipes import equal

EPOCHS = 150


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    return equal.config_for(model, seed, **{"epochs": EPOCHS, **changes})
