"""What 8 bits of a weight cost on this processor where 7 are enough.

    python benchmarks/int8_bits.py --data DIR

Every shipped net's int8 in ONNX Runtime and OpenVINO, with weights of 7 bits, as lightfer makes
it, and of 8, which overflow on x86 processors without VNNI; ONNX Runtime's also by its way that
does not overflow (`session.x64quantprecision`), which `lightfer predict` and `bench` take. Stated:
top-1 on validation, in percent, and the share of images that get float32's answer. Test is not
looked at.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nncf
import onnxruntime
import torch
from onnxruntime import quantization
from rich.progress import track
from runtimes import has_vnni
from torch import Tensor

from lightfer._files import write_text
from lightfer.data import Dataset, load
from lightfer.data.dataset import normalize
from lightfer.data.ferplus import as_learned
from lightfer.data.subsets import calibration_images
from lightfer.inference.backends import find_runtime
from lightfer.inference.session import onnx_options
from lightfer.measure.accuracy import measure_accuracy, predict_logits
from lightfer.measure.environment import code_version, describe_environment
from lightfer.measure.process import tune_process
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models

OUT = Path(__file__).parent / "measured" / "int8_bits.json"
SHAPE = (1, 1, 48, 48)


@contextmanager
def eight_bits() -> Iterator[None]:
    """Both quantisers by their defaults."""
    static, quantize = quantization.quantize_static, nncf.quantize

    def full(*given: Any, **options: Any) -> None:
        static(*given, **{**options, "reduce_range": False})

    def default(*given: Any, **options: Any) -> Any:
        return quantize(*given, **{**options, "advanced_parameters": None})

    with (
        patch.object(quantization, "quantize_static", full),
        patch.object(nncf, "quantize", default),
    ):
        yield


@contextmanager
def overflowing() -> Iterator[None]:
    """Sessions of ONNX Runtime by its defaults."""

    def plain(threads: int) -> onnxruntime.SessionOptions:
        options = onnx_options(threads)
        options.add_session_config_entry("session.x64quantprecision", "0")
        return options

    with patch("lightfer.inference.backends.onnxruntime.onnx_options", plain):
        yield


def measure(name: str, data: Dataset) -> dict[str, Any]:
    """One net's row."""
    weights = find_weights(name)
    data = as_learned(data, weights.card.labels if weights.card else "fer2013")
    part, model = data["validation"], weights.build("cpu")
    expected = predict_logits(model, part.images)

    def scored(run: Callable[[Tensor], Tensor]) -> dict[str, float]:
        logits = predict_logits(run, part.images)
        found = measure_accuracy(logits, part.labels, split="validation", label_source=data.name)
        same = (logits.argmax(1) == expected.argmax(1)).float().mean().item()
        return {"top1": round(100 * found.top1, 2), "as_float32": round(100 * same, 2)}

    def int8(runtime: str) -> dict[str, float]:
        calibration = normalize(calibration_images(data))
        load_net = find_runtime(runtime, "int8", "cpu").load
        options = {"threads": 1, "precision": "int8", "calibration": calibration}
        return scored(load_net(model, SHAPE, **options))

    row: dict[str, Any] = {"net": name, "float32": scored(model)["top1"]}
    for runtime in ("onnxruntime", "openvino"):
        row[f"{runtime}, 7 bits"] = int8(runtime)
        with eight_bits():
            if runtime == "onnxruntime":
                row["onnxruntime, 8 bits, without overflow"] = int8(runtime)
            with overflowing():
                row[f"{runtime}, 8 bits"] = int8(runtime)
    return row


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--models", nargs="+", default=list_models(pretrained=True))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    allocator = tune_process(1)
    data = load(options.data)
    here = describe_environment(data=None, allocator=allocator, device="cpu")
    rows = []
    for name in track(options.models, "nets"):
        rows.append(measure(name, data))
        print(rows[-1], flush=True)
        about = {"cpu": here.cpu, "vnni": has_vnni(), "code": code_version()}
        write_text(options.out, json.dumps({**about, "nets": rows}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
