"""Third light: longer, in larger batches, and taught by the two best nets of first light.

    lightfer teach mobilenet_v1 shiftnet_b --data DATA --out soft.safetensors
    lightfer train shufflenet_v2_x1_0 --data DATA --threads 1 --recipe third_light \\
        --soft-labels soft.safetensors

As `second_light`, but in batches of 128 and for 50 to 100 epochs. The nets with batch norm learn at
root two times the rate that they had in half the batch. The teachers are the shipped weights of
MobileNetV1 and ShiftNet-B, 65.4 % on validation together; how much they count is
`lightfer.distill.Distillation`. Neither rate nor length was compared with others, but for
MobileNetV3-Small's rate.
"""

from typing import Any

from lightfer.train import TrainConfig


def config_for(model: str, seed: int = 0, **changes: Any) -> TrainConfig:
    """The settings for a model of the zoo, with single fields changed."""
    if model == "shufflenet_v2_x0_5":
        changes = {"epochs": 50, **changes}
    if model.startswith("mobilenet_v2"):
        changes = {"epochs": 60, **changes}
    if model.startswith("mobilenet_v3"):
        changes = {"learning_rate": 2.5e-3, "dropout": 0.0, "epochs": 100, **changes}
    if model.startswith("squeezenet"):
        changes = {"learning_rate": 4e-3, "dropout": 0.1, **changes}
        if "_bn" not in model:
            changes = {"learning_rate": 1.4e-3, "initialise": "unit variance", **changes}
    own = {"epochs": 80, "batch_size": 128, "learning_rate": 5.6e-3, "precision": "bfloat16"}
    return TrainConfig(seed=seed, **{**own, **changes})
