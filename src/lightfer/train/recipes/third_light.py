"""Third light: longer, in larger batches, and taught by the two best nets of first light.

    git show 539dd80:src/lightfer/weights/shiftnet_b.safetensors > shiftnet_b.safetensors
    lightfer teach mobilenet_v1 shiftnet_b.safetensors --data DATA --out soft.safetensors
    lightfer train shufflenet_v2_x1_0 --data DATA --threads 1 --recipe third_light \\
        --soft-labels soft.safetensors

As `second_light`, but in batches of 128 and for 40 to 100 epochs, by what two cores could do in an
hour and a half; the averaged weights of the last epoch are kept. The nets with batch norm learn at
root two times the rate that they had in half the batch. The teachers are MobileNetV1's weights and
the first ones of ShiftNet-B, 65.4 % on validation together; how much they count is
`lightfer.train.distill.Distillation`. Neither rate nor length was compared with others, but for
MobileNetV3-Small's rate: after 4 epochs 45.1 % on validation with 0.0025, 43.8 % with 0.005, 43.7 %
with 0.0012.

No shipped file is of it any more: all its nets do better by `taught`. Their first files by it had
61.10 (MobileNetV3-Small) and 63.89 % (ShuffleNetV2 1.0x) on validation.
"""

from typing import Any

from lightfer.train.config import TrainConfig

EPOCHS = {"mobilenet_v2": 50, "mobilenet_v3_small": 100, "shiftnet_b": 40, "squeezenet1_1_bn": 60}


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    own = {"epochs": EPOCHS.get(model, 80), "batch_size": 128, "precision": "bfloat16"}
    own |= {"learning_rate": 5.6e-3, "keep": "final"}
    if model.startswith("mobilenet_v3"):
        own |= {"learning_rate": 2.5e-3, "dropout": 0.0}
    if model.startswith("squeezenet"):
        own |= {"learning_rate": 4e-3, "dropout": 0.1}
        if "_bn" not in model:
            own |= {"learning_rate": 1.4e-3, "initialise": "unit variance"}
    return TrainConfig(seed=seed, **{**own, **changes})
