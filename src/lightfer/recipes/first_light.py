"""First light: one plain recipe for the six families on two CPU cores.

    lightfer train shufflenet_v2_x1_0 --data DATA --threads 1

AdamW, 36 epochs, cosine, label smoothing, averaged weights, mild augmentation, batch 64. The nets
with batch norm share one learning rate; SqueezeNet, which has none, needs a smaller one, and runs
in bfloat16 because its 3x3 convolutions gain from it. Learning rate, batch size and augmentation
were chosen on validation, from runs of 3 to 5 epochs of ShuffleNetV2 and SqueezeNet.

MobileNetV3-Small does not learn at that rate (40 % on validation after 12 epochs, then stopped).
Its shipped weights were made by

    lightfer train mobilenet_v3_small --data DATA --threads 1 --epochs 30 --learning-rate 0.001

after a run with 0.002, which was behind it on validation at epoch 18 (51.7 % against 53.3 %), was
stopped. Each card holds the settings, the time and the validation accuracy of its own run.

Expected: top-1 on validation of seed 0; time of one thread of an AMD EPYC (AVX-512), with the code
that the card names, before 1x1 and depthwise convolutions were made faster; energy is modelled, 5 W
per busy thread.

    model                validation %   time s   energy kJ
    mobilenet_v1                64.64     2638       13.19
    mobilenet_v2                61.21     2966       14.83
    mobilenet_v3_small          55.67      989        4.94
    shufflenet_v2_x1_0          61.30     1585        7.92
    squeezenet1_0               58.07     1406        7.03
    shiftnet_b                  63.75     2284       11.42
"""

from typing import Any

from lightfer.train import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model.startswith("squeezenet") and "_bn" not in model:
        changes = {"learning_rate": 7e-4, "precision": "bfloat16", **changes}
    return TrainConfig(seed=seed, **changes)
