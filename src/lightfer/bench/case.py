"""One model in one runtime and precision: what it is, and how each of its figures is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from lightfer.bench.journal import Pieces, Round
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
from lightfer.measure.yardstick import NET, time_yardstick
from lightfer.models.registry import Weights
from lightfer.models.weights import Card
from lightfer.results import EnergyBlock, Teaching, TrainingEnergy, WeightCard, Work

EAGER, FULL = "pytorch", "float32"
INPUT_SHAPE = (1, 1, IMAGE_SIZE, IMAGE_SIZE)


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


def public_card(card: Card) -> WeightCard:
    """The card of a weight file as it stands in a results file."""
    validation = card.validation and msgspec.structs.replace(
        card.validation, per_class=None, confusion=None, correct_hex=None
    )
    return WeightCard(
        model=card.model,
        recipe=card.recipe,
        settings=card.config,
        seed=card.seed,
        epochs=card.epochs,
        epoch=card.epoch,
        training_s=card.training_s,
        trained_on=card.trained_on,
        chosen_on=card.chosen_on,
        data=card.data_name,
        code=card.code,
        license=card.license,
        intended_use=card.intended_use,
        not_intended_use=card.not_intended_use,
        validation=validation,
        history=msgspec.to_builtins(card.history),
        training_energy=card.training and msgspec.to_builtins(card.training),
        distillation=msgspec.convert(card.distillation, Teaching | None),
    )


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


def spent_on_training(card: Card | None) -> TrainingEnergy | None:
    """What a card says that its training cost; None without a card."""
    if card is None:
        return None
    cost = card.training
    if cost is None or cost.energy_j is None:
        reason = "the weights' card does not tell it"
        return TrainingEnergy(seconds=card.training_s, joules=None, method="absent", reason=reason)
    modelled = cost.watts_per_thread is not None
    return TrainingEnergy(
        seconds=card.training_s,
        joules=cost.energy_j,
        method=cost.energy_method,
        includes=("cpu",) if modelled else cost.energy_includes,
        source="processor time x power of a busy thread" if modelled else cost.energy_source,
        model={"watts_per_thread": cost.watts_per_thread, "cpu_s": cost.cpu_s}
        if cost.watts_per_thread is not None
        else None,
    )


@torch.inference_mode()
def size_case(
    case: Case, run: Loaded, images: Tensor, *, device: str, batch_size: int, decode: bool
) -> Pieces:
    """Count operations, compare logits with eager PyTorch, if `decode`, time that of images."""
    model = case.weights.build(device)
    counts = count_operations(model, INPUT_SHAPE)
    difference = None
    if case.variant != f"{EAGER}-{FULL}":
        x = _prepare(images[:batch_size].to(device))
        difference = (run(x) - model(x)).abs().max().item()
    return Pieces(
        params=counts.params,
        macs=counts.macs,
        work=_work(counts),
        settings=run.settings,
        deployed_bytes=run.deployed_bytes,
        logit_difference=difference,
        decoding_s=time_decoding(images) if decode else None,
    )


def score_case(
    case: Case,
    run: Loaded,
    pieces: Pieces,
    data: Dataset | None,
    test_log: Path,
    eager: Pieces | None,
    views: Sequence[View],
) -> Pieces:
    """Score the test split if there is one and weights, else quote the card.

    `views` are those of eager PyTorch in float32; what other ways change shows in the single view.

    `eager` is what was measured of the same model and precision in eager PyTorch. A card speaks of
    float32.
    """
    pieces = msgspec.structs.replace(pieces, scored=True)
    agrees = case.precision == FULL and (pieces.logit_difference or 0.0) <= AGREES
    if case.weights.card is None or (data is None and not agrees):
        return pieces
    if data is None:
        quoted = case.weights.card.test
        reference = quoted and msgspec.structs.replace(quoted, source="reference")
        return msgspec.structs.replace(pieces, accuracy=reference)
    if case.runtime != EAGER and agrees and eager and eager.accuracy:
        return msgspec.structs.replace(
            pieces,
            accuracy=eager.accuracy,
            accuracy_other=eager.accuracy_other,
            accuracy_of=f"{EAGER}-{FULL}",
        )
    accuracy, other = score_test(
        run,
        data,
        model_name=case.weights.name,
        weights_sha256=case.weights.sha256,
        log=test_log,
        votes=votes_beside(data),
        views=views if case.variant == f"{EAGER}-{FULL}" else (),
    )
    return msgspec.structs.replace(pieces, accuracy=accuracy, accuracy_other=other)


def load_yardstick(device: str, threads: int) -> Loaded:
    """The net that is timed beside every model, see `measure/yardstick.py`."""
    model = Weights(NET, NET).build(device)
    eager = find_runtime(EAGER, FULL, device)
    return eager.load(model, INPUT_SHAPE, threads=threads, precision=FULL)


def visit_case(
    run: Loaded,
    yardstick: Loaded,
    images: Tensor,
    *,
    device: str,
    passes: int,
    batch_size: int,
    warmup: int,
) -> Round:
    """One visit: passes of a single image, then all images in batches; before each the yardstick.

    Its blocks are as long as the model's of a single image, and a sixth of that for batches.
    """
    images = images.to(device)
    single, batch = _prepare(images[:1]), _prepare(images[:batch_size])
    yardstick_single_s = time_yardstick(yardstick, single, passes=passes)
    options = {"passes": passes, "warmup": warmup}
    single_s = time_passes(run, single, **options)
    events_s = time_passes_by_events(run, single, **options) if images.is_cuda else []
    yardstick_batch_s = time_yardstick(yardstick, batch, passes=passes // 6)
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


def _work(counts: Operations) -> Work:
    return Work(**{name: getattr(counts, name) for name in Work.__struct_fields__})
