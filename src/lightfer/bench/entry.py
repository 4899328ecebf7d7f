"""From the records of one model to its entry in a results file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from lightfer._files import plain_name
from lightfer.bench.case import Case
from lightfer.bench.journal import Journal, Pieces, Round, Timed
from lightfer.bench.plan import BenchConfig, Meters
from lightfer.inference.backends import runtime_of
from lightfer.measure.carbon import carbon_of
from lightfer.measure.energy import (
    EnergyPlan,
    energy_of_blocks,
    model_cpu_energy,
    modelled_instead,
    training_cost,
    unmeasured_energy,
    with_deferred,
)
from lightfer.measure.environment import package_version
from lightfer.measure.latency import evenly_ranked
from lightfer.models.weights import Card
from lightfer.results import (
    Component,
    Counts,
    Energy,
    Entry,
    Latency,
    TrainingEnergy,
    published_counts,
)
from lightfer.results.select import Time

if TYPE_CHECKING:
    from lightfer.models.registry import Architecture


def entry_of(
    case: Case,
    journal: Journal,
    machine_key: str,
    environment_key: str,
    config: BenchConfig,
    images: int,
    decoding_s: float | None,
) -> Entry:
    """Put the pieces of one model together, but for its energy."""
    pieces, environment = journal.pieces[case.journal_key], journal.environment
    weights, card, arch = case.weights, case.weights.card, kind_of(case.weights.name)
    once = msgspec.structs.asdict(pieces.static) if pieces.static else {}
    settings = once.pop("settings", None)
    total = median(r.total_s for r in pieces.rounds) if pieces.rounds else None
    per_image = None if total is None else total / images
    model_s = median(r.model_s for r in pieces.rounds) if pieces.rounds else None
    decoded = None if total is None or decoding_s is None else total + decoding_s
    place = "" if config.device == "cpu" else f"@{config.device}"
    return Entry(
        id=f"{machine_key}/{weights.name}/{(weights.sha256 or 'random')[:8]}/{case.variant}{place}",
        environment=environment_key,
        model=weights.name,
        family=arch.family,
        device=config.device,
        runtime=case.runtime,
        precision=case.precision,
        output_stride=arch.output_stride,
        weights=weights.sha256,
        recipe=card.recipe if card else None,
        seed=card.seed if card else None,
        **once,
        flops=2 * once["macs"] if once else None,
        runtime_version=package_version(runtime_of(case.runtime).package),
        runtime_settings=settings,
        latency=tuple(latencies(pieces.rounds, environment.threads)),
        inference_total_s=total,
        inference_rounds_s=tuple(r.total_s for r in pieces.rounds) or None,
        inference_per_image_s=per_image,
        inference_images=images,
        inference_batch_size=config.batch_size,
        inference_model_s=model_s,
        inference_with_decoding_s=decoded,
        inference_with_decoding_per_image_s=None if decoded is None else decoded / images,
        peak_memory_bytes=_most(r.peak_memory_bytes for r in pieces.rounds),
        peak_device_memory_bytes=_most(r.peak_device_memory_bytes for r in pieces.rounds),
        error=pieces.error or _failed_rounds(pieces, config.rounds),
    )


def with_energy(
    entry: Entry,
    case: Case,
    journal: Journal,
    config: BenchConfig,
    all_images: Time | None,
    meters: Meters,
    ticks: Mapping[str, float],
) -> Entry:
    """The same with what the meters say, or else, on a CPU, what is modelled from the time of all
    images as it is quoted; and what follows from it.
    """
    energies = energies_of(
        journal.pieces[case.journal_key],
        config.energy or EnergyPlan(),
        meters,
        ticks,
        None if config.device == "cpu" else "gpu",
    )
    energy = energies.pop(config.batch_size, None) or unmeasured_energy(meters.reasons)
    if energy.gross is None and config.device == "cpu":
        modelled = model_cpu_energy(
            all_images and all_images.estimate_s / (entry.inference_images or 1),
            journal.environment.threads,
            config.cpu_model,
            batch_size=config.batch_size,
        )
        energy = modelled_instead(energy, modelled)
    carbon = carbon_of(energy, config.intensity, config.pue)
    spent = spent_on_training(case.weights.card)
    return msgspec.structs.replace(
        entry,
        energy=energy,
        energy_other=tuple(energies.values()),
        carbon=carbon,
        training=spent and training_cost(spent, energy, carbon),
    )


def kind_of(name: str) -> "Architecture | Counts":
    """What knows a model's family and output stride; that of a shipped net needs no PyTorch."""
    if known := published_counts().get(plain_name(name)):
        return known
    from lightfer.models.registry import architecture

    return architecture(name)


def latencies(rounds: Sequence[Round], threads: int) -> Iterator[Latency]:
    """What the rounds say of each batch size and clock, of each round equally many passes."""
    cells: dict[tuple[int, str], list[Timed]] = {}
    for timed in (timed for visit in rounds for timed in visit.timed):
        cells.setdefault((timed.batch_size, timed.clock), []).append(timed)
    for (size, clock), visits in cells.items():
        kept = min(len(timed.samples_s) for timed in visits)
        samples = [evenly_ranked(timed.samples_s, kept) for timed in visits]
        beside = [timed.yardstick_s for timed in visits]
        passes = tuple(timed.passes for timed in visits)
        yield msgspec.structs.replace(
            Latency.of(samples, size, threads, clock, beside),
            passes=passes,
            p50_s=tuple(timed.p50_s for timed in visits),
            p90_s=tuple(timed.p90_s for timed in visits),
            p99_s=tuple(timed.p99_s for timed in visits),
            images_per_s=size * sum(passes) / sum(timed.seconds for timed in visits),
        )


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _failed_rounds(pieces: Pieces, rounds: int) -> str | None:
    """What is wrong with the times of a model of which not every round could be measured."""
    if not pieces.failed_rounds:
        return None
    errors = "; ".join(dict.fromkeys(pieces.failed_rounds))
    return f"{len(pieces.failed_rounds)} of {rounds} rounds failed twice: {errors}"


def energies_of(
    pieces: Pieces,
    plan: EnergyPlan,
    meters: Meters,
    ticks: Mapping[str, float],
    worker: Component | None,
) -> dict[int, Energy]:
    """Batch size -> energy, of one case; figures that no meter told are None in it."""
    return {
        size: energy_of_blocks(
            [with_deferred(block, meters.meters) for block in blocks],
            plan,
            batch_size=size,
            ticks=ticks,
            reasons=meters.reasons,
            worker=worker,
            clock_offset_s=meters.clock_offset_s,
            simulated=any(meter.simulated for meter in meters.meters),
        )
        for size, blocks in pieces.energy.items()
    }


def spent_on_training(card: Card | None) -> TrainingEnergy | None:
    """What a card says that its training cost; None without a card."""
    if card is None:
        return None
    cost = card.training
    if cost is None or cost.energy_j is None:
        reason = (cost and cost.energy_reason) or "the weights' card does not tell it"
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
        reason=cost.energy_reason,
    )
