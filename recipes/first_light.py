"""First light: a plain recipe for the six families on two CPU cores.

    python recipes/first_light.py --data DATA shufflenet_v2_x1_0 squeezenet1_0

AdamW, 36 epochs, cosine, label smoothing, averaged weights, mild augmentation, batch 64. The nets
with batch norm share one learning rate; SqueezeNet, which has none, needs a smaller one, and runs
in bfloat16 because its 3x3 convolutions gain from it and depthwise ones lose. The recipe was chosen
on validation, from runs of 3 to 5 epochs of two nets. Reads the train and validation splits only.
"""

import argparse
from pathlib import Path

from lightfer.data import load
from lightfer.models import RACE, ZOO
from lightfer.process import tune_process
from lightfer.train import TrainConfig, train

SPECIAL = {"squeezenet1_0": {"learning_rate": 7e-4, "precision": "bfloat16"}}


def config_for(model: str, seed: int = 0) -> TrainConfig:
    return TrainConfig(seed=seed, **SPECIAL.get(model, {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=RACE)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    tune_process(threads=args.threads)
    data = load(args.data, splits=("train", "validation"))
    import torch

    for name in args.models:
        config = config_for(name, args.seed)
        torch.manual_seed(config.seed)
        model = ZOO[name]()
        run_dir = args.runs / f"{name}-first_light-seed{args.seed}"
        train(
            model,
            data["train"],
            data["validation"],
            config,
            run_dir,
            on_epoch=lambda e, n=name: print(n, e, flush=True),
        )


if __name__ == "__main__":
    main()
