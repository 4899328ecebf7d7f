"""One model in one runtime and precision: what it is, and how each of its figures is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from lightfer.bench.journal import Round, Static
from lightfer.data.augment import normalize
from lightfer.data.dataset import IMAGE_SIZE, Dataset
from lightfer.data.ferplus import votes_beside
from lightfer.data.subsets import calibration_images
from lightfer.inference.backends import AGREES, Loaded, find_runtime
from lightfer.measure.accuracy import View, score_test
from lightfer.measure.energy import EnergyPlan, Meter, measure_block
from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.windows import Work as Pass
from lightfer.measure.latency import (
    time_decoding,
    time_images,
    time_passes,
    time_passes_by_events,
    wait,
)
from lightfer.measure.operations import Operations, count_operations
from lightfer.measure.yardstick import Yardstick, of_passes
from lightfer.models.registry import Weights
from lightfer.results import Accuracy, EnergyBlock, Work

EAGER, FULL = "pytorch", "float32"
REFERENCE = f"{EAGER}-{FULL}"  # the variant that others are compared with
INPUT_SHAPE = (1, 1, IMAGE_SIZE, IMAGE_SIZE)
YARDSTICK_S = 0.1  # of the yardstick before each block


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
    def journal_key(self) -> str:
        return f"{self.weights.key} {self.variant}"


def load_case(case: Case, device: str, threads: int, data: Dataset | None = None) -> Loaded:
    """The model in its runtime, on `device`; int8 is calibrated on the train split of `data`.

    Raises ValueError if the runtime says that it computes in another precision than was asked for,
    or if int8 has no train split to be calibrated on.
    """
    runtime = find_runtime(case.runtime, case.precision, device)
    model = case.weights.build(device)
    calibration = None
    if case.precision == "int8" and data and "train" in data.splits:
        calibration = normalize(calibration_images(data))
    loaded = runtime.load(
        model, INPUT_SHAPE, threads=threads, precision=case.precision, calibration=calibration
    )
    used = loaded.settings.get("precision", case.precision)
    if used != case.precision:
        raise ValueError(f"{case.runtime} computes in {used} here, not in {case.precision}")
    return loaded


def measure_once(
    case: Case,
    run: Loaded,
    images: Tensor,
    data: Dataset | None,
    eager: Static | None,
    *,
    device: str,
    batch_size: int,
    views: Sequence[View],
    test_log: Path,
) -> Static:
    """Size, operations, the logits compared with eager PyTorch's, and accuracy.

    `eager` is what was measured of the same model and precision in eager PyTorch. With `data` the
    decoding of `images` is timed.
    """
    counts, difference = _compare(case, run, images[:batch_size], device)
    accuracy, other, of = _accuracy(case, run, data, eager, difference, views, test_log)
    return Static(
        params=counts.params,
        macs=counts.macs,
        work=Work(**{name: getattr(counts, name) for name in Work.__struct_fields__}),
        settings=run.settings,
        deployed_bytes=run.deployed_bytes,
        logit_difference=difference,
        decoding_s=None if data is None else time_decoding(images),
        accuracy=accuracy,
        accuracy_other=other,
        accuracy_of=of,
    )


@torch.inference_mode()
def _compare(
    case: Case, run: Loaded, images: Tensor, device: str
) -> tuple[Operations, float | None]:
    """Operations, and the largest difference of a logit from eager float32; None of that itself."""
    model = case.weights.build(device)
    counts = count_operations(model, INPUT_SHAPE)
    if case.variant == REFERENCE:
        return counts, None
    x = _prepare(images.to(device))
    return counts, (run(x) - model(x)).abs().max().item()


def _accuracy(
    case: Case,
    run: Loaded,
    data: Dataset | None,
    eager: Static | None,
    difference: float | None,
    views: Sequence[View],
    test_log: Path,
) -> tuple[Accuracy | None, tuple[Accuracy, ...], str | None]:
    """Score the test split if there is one and weights, else quote the card, which speaks of
    float32; whose accuracy it is, if another variant's.

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
    accuracy, other = score_test(
        run,
        data,
        model_name=case.weights.name,
        weights_sha256=case.weights.sha256,
        log=test_log,
        votes=votes_beside(data),
        views=views if case.variant == REFERENCE else (),
    )
    return accuracy, other, None


def visit_case(
    run: Loaded,
    yardstick: Yardstick,
    images: Tensor,
    *,
    device: str,
    passes: int,
    batch_size: int,
    warmup: int,
) -> Round:
    """Passes of a single image, then all images in batches; before each the yardstick."""
    images = images.to(device)
    single = _prepare(images[:1])
    yardstick_single_s = of_passes(yardstick.time(1, YARDSTICK_S))
    options = {"passes": passes, "warmup": warmup}
    single_s = time_passes(run, single, **options)
    events_s = time_passes_by_events(run, single, **options) if images.is_cuda else []
    yardstick_batch_s = of_passes(yardstick.time(batch_size, YARDSTICK_S))
    total_s, batch_s, model_s = time_images(
        run, images, _prepare, batch_size=batch_size, warmup=warmup
    )
    return Round(
        single_s=tuple(single_s),
        batch_s=tuple(batch_s),
        total_s=total_s,
        model_s=model_s,
        events_s=tuple(events_s),
        yardstick_single_s=yardstick_single_s,
        yardstick_batch_s=yardstick_batch_s,
    )


def energy_block(
    run: Loaded,
    images: Tensor,
    meters: Sequence[Meter],
    *,
    device: str,
    batch_size: int,
    plan: EnergyPlan,
    align_to: CounterMeter | None,
) -> EnergyBlock:
    """One block of energy, as `plan` has it."""
    work = batch_work(run, images, device=device, batch_size=batch_size)
    idle_s = plan.idle_share * plan.seconds
    return measure_block(work, meters, plan.seconds, idle_s=idle_s, align_to=align_to)


def batch_work(run: Loaded, images: Tensor, *, device: str, batch_size: int) -> Pass:
    """One pass of one batch, from uint8 faces on the device to logits, finished when it returns."""
    repeats = -(-batch_size // len(images))
    batch = images.repeat(repeats, 1, 1, 1)[:batch_size].to(device)

    @torch.inference_mode()
    def work() -> int:
        run(_prepare(batch))
        wait(batch.device)
        return batch_size

    return work


def _prepare(images: Tensor) -> Tensor:
    return normalize(images).contiguous(memory_format=torch.channels_last)
