"""First light: one plain recipe for the six families on two CPU cores.

    lightfer train shufflenet_v2_x1_0 --data DATA --threads 1 --recipe first_light

AdamW, 36 epochs, cosine, label smoothing, averaged weights, mild augmentation, batch 64. The nets
with batch norm share one learning rate; SqueezeNet, which has none, needs a smaller one, and runs
in bfloat16 because its 3x3 convolutions gain from it. Learning rate, batch size and augmentation
were chosen on validation, from runs of 3 to 5 epochs of ShuffleNetV2 and SqueezeNet.

MobileNetV3-Small does not learn at that rate (40 % on validation after 12 epochs, then stopped); 30
epochs at 0.001 gave 55.67 %, a run with 0.002 was behind it at epoch 18 (51.7 % against 53.3 %) and
was stopped. Of the other weights that `third_light` replaced, MobileNetV2's had 61.21 %,
ShuffleNetV2's 61.30 % and ShiftNet-B's, which teach there, 63.75 %.

Expected: top-1 on validation of seed 0; time of one thread of an AMD EPYC (AVX-512), with the code
that the card names, before 1x1 and depthwise convolutions were made faster; energy is modelled, 5 W
per busy thread.

    model                validation %   time s   energy kJ
    squeezenet1_0               58.07     1406        7.03
"""

from typing import Any

from lightfer.train.config import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model.startswith("squeezenet") and "_bn" not in model:
        changes = {"learning_rate": 7e-4, "precision": "bfloat16", **changes}
    return TrainConfig(seed=seed, **changes)
