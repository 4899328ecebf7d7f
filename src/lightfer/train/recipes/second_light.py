"""Second light: the same processor time, better spent.

    lightfer train squeezenet1_1_bn --data DATA --threads 1 --recipe second_light

As `first_light`, but in bfloat16 (1x1 convolutions as matrix products, depthwise ones in float32),
24 epochs, and by family:

  - SqueezeNet, with batch norm: less dropout before the last convolution, and the nets learn at
    four times the rate. Without batch norm: convolutions start with outputs of deviation 1.
  - MobileNetV3-Small: no dropout.

Rates of the nets with batch norm and of MobileNetV3-Small were not compared with others. The rest
was chosen on validation, from runs of 5 epochs with seed 0. SqueezeNet 1.0, top-1 on validation
after 5 epochs: 44.9 % with the bias of the last convolution starting at 3, 46.2 % with deviation 1
and dropout 0.1 in addition, 43.4 % with deviation 1, dropout 0.5 and the rate 0.002.
MobileNetV3-Small: 42.8 % with the rate 0.001, 41.7 % with 0.004 and batch norm momentum 0.1, 39.7 %
with 0.003, momentum 0.1 and larger depthwise start values.

The first weights of SqueezeNet 1.1 with batch norm had 61.10 % on validation, after 716 s of one
thread of an AMD EPYC (AVX-512) that others were using too. `third_light` replaced them.
"""

from typing import Any

from lightfer.train.config import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model.startswith("mobilenet_v3"):
        changes = {"learning_rate": 1.2e-3, "dropout": 0.0, "epochs": 14, **changes}
    if model.startswith("squeezenet"):
        changes = {"learning_rate": 3e-3, "dropout": 0.1, **changes}
        if "_bn" not in model:
            changes = {"learning_rate": 1e-3, "initialise": "unit variance", **changes}
    return TrainConfig(seed=seed, **{"epochs": 24, "precision": "bfloat16", **changes})
