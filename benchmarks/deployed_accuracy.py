"""Exported files beside PyTorch: logits on real faces, test accuracy, and what int8 costs.

    python benchmarks/deployed_accuracy.py --data DIR

Every shipped model is exported by `lightfer.inference.export`, as ONNX and OpenVINO in float32 and
int8, and each file is opened again. Stated: the largest difference of a logit from eager PyTorch on
the first 1,000 test images, a comparison of numbers that chooses nothing; top-1 on validation and
test; and the points lost. Each file is one line of JSON in `OUT/results.jsonl`, so an interrupted
run goes on where it was; other weights are measured anew, other code in another OUT only. Test is
scored by the one function that does, logged in `OUT/test_scorings.jsonl`.

Exit code 1 if a float32 file differs by 1e-4 or its test accuracy by 0.05 points, or if int8 costs
more than a point.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightfer._files import write_text
from lightfer.data import Dataset, load
from lightfer.data.dataset import normalize
from lightfer.data.ferplus import as_learned
from lightfer.inference.export import TARGETS, ExportConfig, export
from lightfer.inference.export.targets import as_prepared
from lightfer.measure.accuracy import measure_accuracy, predict_logits, score_test
from lightfer.measure.environment import code_version
from lightfer.measure.process import tune_process
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models

FACES = 1000
LARGEST_DIFFERENCE, LARGEST_CHANGE, LARGEST_LOSS = 1e-4, 0.05, 1.0  # logit, points, points
FILES = (("onnx", "float32"), ("openvino", "float32"), ("onnx", "int8"), ("openvino", "int8"))


def measure(key: str, target: str, precision: str, data: Dataset, out: Path) -> dict[str, Any]:
    """Export one file, whatever it loses, and compare it with PyTorch."""
    item = find_weights(key)
    assert item.card is not None
    data = as_learned(data, item.card.labels)
    path = out / f"{item.name}-{precision}{TARGETS[target].suffix}"
    config = ExportConfig(target, path, precision, allow_loss=100.0)
    log = out / "test_scorings.jsonl"
    done = export(item, config, data, test_log=log)
    run = as_prepared(TARGETS[target].open(path), done.card)
    model = item.build("cpu")
    scores, lost = done.card.accuracy, done.card.accuracy_lost
    if precision != "int8":
        scores = top1_of(run, f"{item.name}, {target}", item.sha256, data, log)
        own = top1_of(model, item.name, item.sha256, data, log)
        lost = {split: round((own[split] - scores[split]) * 100, 2) for split in own}
    with torch.inference_mode():
        x = normalize(data["test"].images[:FACES])
        expected = torch.cat([model(part) for part in x.split(100)])
        found = torch.cat([run(part) for part in x.split(100)])
    return {
        "model": item.name,
        "weights": item.sha256,
        "code": code_version(),
        "target": target,
        "precision": precision,
        "size_bytes": done.size_bytes,
        "difference": (found - expected).abs().max().item(),
        "logit": expected.abs().max().item(),
        "top1": scores,
        "lost_points": lost,
        "versions": done.card.versions,
    }


def top1_of(
    network: Callable[[Tensor], Tensor], name: str, sha256: str | None, data: Dataset, log: Path
) -> dict[str, float]:
    """Split -> top-1."""
    part = data["validation"]
    logits = predict_logits(network, part.images)
    validation = measure_accuracy(logits, part.labels, split="validation", label_source=data.name)
    test, _ = score_test(network, data, model_name=name, weights_sha256=sha256, log=log, views=())
    return {"validation": validation.top1, "test": test.top1}


def faults(row: dict[str, Any]) -> list[str]:
    """What does not hold for one file."""
    name = f"{row['model']} {row['target']} {row['precision']}"
    found = []
    test = row["lost_points"]["test"]
    if row["precision"] == "float32":
        if not row["difference"] < LARGEST_DIFFERENCE:
            found.append(f"{name}: a logit differs by {row['difference']:.1e}")
        if abs(test) > LARGEST_CHANGE:
            found.append(f"{name}: test accuracy differs by {test:.2f} points")
    elif test > LARGEST_LOSS:
        found.append(f"{name}: int8 costs {test:.2f} points")
    return found


def report(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = [
        "| Net | File | MB | Largest difference of a logit | Validation % | lost | Test % | lost |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [
            f"{row['top1'][split]:.2%}"[:-1] + f" | {row['lost_points'][split]:+.2f}"
            for split in ("validation", "test")
        ]
        lines.append(
            f"| {row['model']} | {row['target']} {row['precision']} "
            f"| {row['size_bytes'] / 1e6:.2f} | {row['difference']:.1e} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--models", nargs="+", default=list_models(pretrained=True))
    parser.add_argument("--out", type=Path, default=Path("out/deployed"))
    options = parser.parse_args()
    tune_process()
    data = load(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rows: list[dict[str, Any]] = []
    for key in options.models:
        item = find_weights(key)
        for target, precision in FILES:
            same = {"model": item.name, "weights": item.sha256}
            same |= {"target": target, "precision": precision}
            row = next((r for r in kept if same.items() <= r.items()), None)
            if row is None:
                print(f"{item.name}: {target} {precision}", file=sys.stderr)
                row = measure(key, target, precision, data, options.out)
                kept.append(row)
                write_text(path, "".join(json.dumps(r) + "\n" for r in kept))
            rows.append(row)
    table = report(rows)
    write_text(options.out / "results.md", table)
    print(f"{data.label}\n\n{table}")
    missed = [fault for row in rows for fault in faults(row)]
    print("\n".join(missed) or "every file is what it should be")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
