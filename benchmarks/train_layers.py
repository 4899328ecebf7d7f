"""How fast a step of training is on the CPU, as a ratio: this checkout against another one.

    git worktree add ../before 22b7587 && (cd ../before && python setup.py build_ext --inplace)
    python benchmarks/train_layers.py --before ../before --out benchmarks/measured/train_layers.json

Each network is trained by both with the recipe `equal` on the same synthetic faces, one thread, in
processes of their own that take turns in random order. A block is 60 steps, the first ten of which
do not count; its figure is images per second of the processor, so that other processes disturb it
little. A side's figure is the median over the blocks; the ratio is that of each pair of blocks.
Where the time of a step goes is told by PyTorch's profiler, which slows it, in one more process of
each side.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).parents[1]
MODELS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "shiftnet_b",
    "squeezenet1_1_bn",
    "vgg_slim",
)
WARM, STEPS, BATCH = 10, 60, 128
PARTS = {
    "1x1 convolutions": r"aten::(mm|addmm|bmm)$",
    "other convolutions": r"_Depthwise|convolution",
    "norms and activations": r"_NormAct|batch_norm|threshold_|clamp|hard|relu|sigmoid",
    "copies": r"aten::(copy_|cat)$",
    "all else": "",
}
"""Of a step, by the names that the profiler gives operations; the first that fits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--before", type=Path, required=True, help="another checkout, built")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args.models[0])))
        return
    rows = []
    for model in args.models:
        blocks: dict[Path, list[float]] = {args.before: [], ROOT: []}
        for _ in range(args.blocks):
            for side in random.sample(list(blocks), 2):
                blocks[side].append(_ask(side, "speed", model))
        before, now = blocks.values()
        ratios = [b / a for a, b in zip(before, now, strict=True)]
        row = {
            "model": model,
            "before": round(statistics.median(before)),
            "now": round(statistics.median(now)),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
            "parts_ms": [_ask(side, "parts", model) for side in blocks],
        }
        rows.append(row)
        print(
            f"{model:22} {row['before']:5} {row['now']:5} images/s, ratio {row['ratio']:.2f} "
            f"({row['ratios'][0]:.2f} to {row['ratios'][1]:.2f})",
            flush=True,
        )
    if args.out:
        from lightfer._files import write_text

        write_text(args.out, json.dumps({"blocks": args.blocks, "rows": rows}, indent=1) + "\n")


def _ask(side: Path, what: str, model: str) -> Any:
    command = [sys.executable, __file__, model, "--before", ".", "--side", what]
    environment = os.environ | {"PYTHONPATH": str(side / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _images_per_second(model: str) -> float:
    times: list[float] = []
    _train(model, STEPS, lambda: times.append(process_time()))
    return BATCH * (len(times) - WARM) / (times[-1] - times[WARM - 1])


def _parts(model: str) -> dict[str, float]:
    """Milliseconds of a step by `PARTS`."""
    from torch.profiler import ProfilerActivity, profile, schedule

    steps = STEPS // 3 - WARM
    watch = profile(
        activities=[ProfilerActivity.CPU], schedule=schedule(wait=WARM - 2, warmup=1, active=steps)
    )
    with watch:
        _train(model, STEPS // 3, watch.step)
    found = dict.fromkeys(PARTS, 0.0)
    for event in watch.key_averages():
        if not event.key.startswith("ProfilerStep"):
            part = next(part for part, names in PARTS.items() if re.search(names, event.key))
            found[part] += event.self_cpu_time_total / 1e3 / steps
    return {part: round(ms, 2) for part, ms in found.items()}


def _train(model: str, steps: int, on_batch: Callable[[], None]) -> None:
    import torch

    from lightfer.data import Split
    from lightfer.data.synthetic import synthetic_faces
    from lightfer.measure.process import tune_process
    from lightfer.models.registry import create_model
    from lightfer.train.loop import train
    from lightfer.train.recipes.equal import config_for

    tune_process(1)
    faces = synthetic_faces({"train": BATCH * steps // 10, "validation": 8}).splits
    images, labels = faces["train"].images, faces["train"].labels
    split = Split(images.repeat(10, *[1] * (images.ndim - 1)), labels.repeat(10))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train(
            create_model(model),
            split,
            faces["validation"],
            config_for(model, epochs=1, warmup_epochs=0.0),
            Path(folder),
            on_batch=lambda *_: on_batch(),
        )


SIDES = {"speed": _images_per_second, "parts": _parts}


if __name__ == "__main__":
    main()
