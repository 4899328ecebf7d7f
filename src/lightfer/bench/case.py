"""One model in one runtime and precision: what it is, and how each of its figures is measured."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from math import isfinite
from pathlib import Path
from time import perf_counter
from types import NoneType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lightfer._files import in_utf8, plain_name
from lightfer.bench.journal import Round, Static, Timed
from lightfer.data.dataset import IMAGE_SIZE, Dataset, normalize
from lightfer.errors import ArgumentError
from lightfer.inference.backends import AGREES, Loaded, find_runtime
from lightfer.inference.onnx_from_weights import assembled
from lightfer.measure.energy.windows import Work as Pass
from lightfer.measure.latency import (
    Images,
    evenly_ranked,
    percentile,
    time_images,
    time_passes,
    time_passes_by_events,
    wait,
    without_gradients,
)
from lightfer.measure.process import (
    peak_memory,
    reset_peak_memory,
    torch_installed,
    without_collection,
)
from lightfer.measure.yardstick import Yardstick, of_passes
from lightfer.models.find import Weights
from lightfer.results import Accuracy, Counts, Protocol, published_counts

if TYPE_CHECKING:
    from lightfer.measure.accuracy import View
    from lightfer.measure.operations import Operations

EAGER, FULL = "pytorch", "float32"
REFERENCE = f"{EAGER}-{FULL}"  # the variant that others are compared with
PROTOCOL = 3  # version of what `visit_case` does: a change of it is a new one
PARTS = 2  # of the passes at one batch size, the yardstick before, between and after
YARDSTICK_SHARE = 0.05  # of a round's seconds, for each block of the yardstick
YARDSTICK_S = 0.05  # at least: shorter, its own noise is larger than what it takes out
MOST_KEPT = 200  # passes of a round in the file
ROTATING = 256  # images that are shown in turn


@dataclass(frozen=True)
class Case:
    """One model to measure, with its weights if it has any, in one runtime and precision."""

    weights: Weights
    runtime: str = EAGER
    precision: str = FULL

    @property
    def variant(self) -> str:
        """How it is computed, in one word."""
        return f"{self.runtime}-{self.precision}"

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        return self.weights.card.input.height if self.weights.card else IMAGE_SIZE

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (1, 1, self.size, self.size)

    @property
    def journal_key(self) -> str:
        return in_utf8(f"{self.weights.key} {self.variant}")


def load_case(case: Case, device: str, threads: int, data: Dataset | None = None) -> Loaded:
    """The model in its runtime, on `device`; int8 is calibrated on the train split of `data`.

    Without PyTorch it is not exported, but assembled as ONNX, and runs on arrays. Where the runtime
    does not say how long loading took, it is from the weight file on.

    Raises ValueError as `_check_stated` does, or if int8 has no train split to be calibrated on.
    """
    runtime = find_runtime(case.runtime, case.precision, device)
    start = perf_counter()
    set_to = {"threads": threads, "precision": case.precision}
    if runtime.open_onnx and not torch_installed():
        loaded = runtime.open_onnx(_assembled(case), case.input_shape, **set_to)
    else:
        model = case.weights.build(device)
        loaded = runtime.load(
            model, case.input_shape, **set_to, calibration=_calibration(case, data)
        )
    _check_stated(loaded, case, threads)
    return loaded if loaded.load_s else replace(loaded, load_s=perf_counter() - start)


def _check_stated(loaded: Loaded, case: Case, threads: int) -> None:
    """Raise ArgumentError where the runtime, which may be another package's, states what no results
    file can hold, or another precision or number of threads than was asked for.
    """
    for stated, kinds in (
        (loaded.settings, (str, int)),
        ({"load_s": loaded.load_s}, (float, int, NoneType)),
        ({"deployed_bytes": loaded.deployed_bytes}, (int, NoneType)),
    ):
        for name, value in stated.items():
            odd = isinstance(value, float) and not isfinite(value)
            if odd or type(value) not in kinds:  # `isinstance` takes bool for an int
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise ArgumentError(f"{case.runtime} states {name}: {value!r}, expected {expected}")
    used = loaded.settings.get("precision", case.precision)
    if used != case.precision:
        raise ArgumentError(f"{case.runtime} computes in {used} here, not in {case.precision}")
    used = loaded.settings.get("threads", threads)
    if str(used) != str(threads):
        raise ArgumentError(f"{case.runtime} computes with {used} threads here, not with {threads}")


def _assembled(case: Case) -> bytes:
    if case.precision == "int8":
        raise ArgumentError("int8 is calibrated with PyTorch, and torch is not installed")
    content = case.weights.path and assembled(case.weights.path)
    if not content:
        raise ArgumentError(
            f"{case.weights.key}: torch is not installed, and without it only nets of 48x48 images "
            "and seven classes are measured: pip install torch"
        )
    return content


def _calibration(case: Case, data: Dataset | None) -> Images | None:
    """Prepared train images, for int8."""
    if case.precision != "int8" or data is None or "train" not in data.splits:
        return None
    from lightfer.data.subsets import calibration_images

    return normalize(calibration_images(data))


@without_gradients()
def compared(
    case: Case, run: Loaded, images: Images, device: str
) -> "tuple[Operations | Counts, float | None]":
    """Operations, and the largest difference of a logit from eager float32; None of that itself.

    Without PyTorch the operations are the published ones, and nothing is compared.
    """
    if not torch_installed():
        return published_counts()[plain_name(case.weights.name)], None
    from lightfer.measure.operations import count_operations

    model = case.weights.build(device)
    counts = count_operations(model, case.input_shape)
    x = _prepare(_on(device, images))
    logits = run(x)
    if not logits.isfinite().all():
        raise ValueError(f"{case.variant} gives logits that are no numbers: nothing is measured")
    if case.variant == REFERENCE:
        return counts, None
    return counts, (logits - model(x)).abs().max().item()


def accuracy_of(
    case: Case,
    run: Loaded,
    data: Dataset | None,
    eager: Static | None,
    difference: float | None,
    views: "Sequence[View]",
    robustness: bool,
    also: Sequence[Dataset],
    test_log: Path,
) -> tuple[Accuracy | None, tuple[Accuracy, ...], str | None]:
    """Score the test split if there is one and weights, by the labels that the net learned, else
    quote the card, which speaks of float32; whose accuracy it is, if another variant's.

    `views` are those of eager PyTorch in float32; what others change shows in the single view.
    """
    agrees = case.precision == FULL and (difference or 0.0) <= AGREES
    if case.weights.card is None or (data is None and not agrees):
        return None, (), None
    if data is None:
        quoted = case.weights.card.test
        return quoted and msgspec.structs.replace(quoted, source="reference"), (), None
    if case.runtime != EAGER and agrees and eager and eager.accuracy:
        return eager.accuracy, eager.accuracy_other, REFERENCE
    from lightfer.data.ferplus import votes_beside
    from lightfer.measure.accuracy import check_scored, score_test

    check_scored(case.weights.card, case.weights.key)
    who = {
        "model_name": case.weights.name,
        "weights_sha256": case.weights.sha256,
        "variant": case.variant,
        "log": test_log,
    }
    accuracy, other = score_test(
        run,
        data,
        **who,
        labels=case.weights.card.labels,
        votes=votes_beside(data),
        views=views if case.variant == REFERENCE else (),
        corruptions=robustness and case.precision in (FULL, "int8"),  # bfloat16 is as float32
    )
    elsewhere = (score_test(run, of, **who, views=())[0] for of in also)
    return accuracy, (*other, *elsewhere), None


def visit_case(
    run: Loaded,
    yardstick: Yardstick,
    images: Images,
    device: str,
    protocol: Protocol,
) -> Round:
    """One visit: passes at each batch size beside the yardstick, then all images at the largest."""
    images, yardstick_s = _on(device, images), max(YARDSTICK_S, YARDSTICK_SHARE * protocol.seconds)
    reset_peak_memory(device)
    timed = []
    with without_collection():
        for size in protocol.batch_sizes:
            clocks = {"wall": time_passes, "cuda events": time_passes_by_events}
            for clock in clocks if device.startswith("cuda") and size == 1 else ["wall"]:
                effort = {
                    "seconds": protocol.seconds / PARTS,
                    "passes": -(-protocol.passes // (PARTS if size == 1 else 6 * PARTS)),
                    "warmup": protocol.warmup if size == 1 else -(-protocol.warmup // 5),
                }
                inputs = cycle(_inputs(images, size))
                taken: list[float] = []
                beside = yardstick.time(size, yardstick_s)
                for _ in range(PARTS):
                    taken += clocks[clock](run, inputs, **effort)
                    beside += yardstick.time(size, yardstick_s)
                timed.append(_timed(size, clock, taken, beside))
        total_s, model_s = time_images(run, images, _prepare, batch_size=protocol.batch_sizes[-1])
    memory, device_memory = peak_memory(device)
    return Round(
        timed=tuple(timed),
        total_s=total_s,
        model_s=model_s,
        peak_memory_bytes=memory,
        peak_device_memory_bytes=device_memory,
    )


def _timed(size: int, clock: str, taken: list[float], beside: list[float]) -> Timed:
    return Timed(
        batch_size=size,
        clock=clock,
        samples_s=evenly_ranked(taken, MOST_KEPT),
        passes=len(taken),
        seconds=sum(taken),
        p50_s=percentile(taken, 0.5),
        p90_s=percentile(taken, 0.9),
        p99_s=percentile(taken, 0.99),
        yardstick_s=of_passes(beside),
    )


def _inputs(images: Images, batch_size: int) -> list[Images]:
    """Batches of `ROTATING` images, or of one batch; of fewer images some twice."""
    count = max(batch_size, min(ROTATING, len(images)) // batch_size * batch_size)
    enough = this_many(images, count)
    return [_prepare(enough[i : i + batch_size]) for i in range(0, count, batch_size)]


def batch_work(run: Loaded, images: Images, *, device: str, batch_size: int) -> Pass:
    """One pass of one batch, from uint8 faces on the device to logits, finished when it returns."""
    batch = _on(device, this_many(images, batch_size))

    @without_gradients()
    def work() -> int:
        run(_prepare(batch))
        wait(batch)
        return batch_size

    return work


def _on(device: str, images: Images) -> Images:
    return images if isinstance(images, np.ndarray) else images.to(device)


def this_many(images: Images, count: int) -> Images:
    """The first `count` of them, going round."""
    return images[[i % len(images) for i in range(count)]]


def _prepare(images: Images) -> Images:
    x = normalize(images)
    if isinstance(x, np.ndarray):
        return x
    return x.contiguous(memory_format=sys.modules["torch"].channels_last)
