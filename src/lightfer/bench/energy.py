"""Energy of every case: blocks of all of them in random order, round after round.

A block is a window of work between two idle ones (`lightfer.measure.energy.windows`). Each case
gets as many as its first ones ask for, so the rounds thin out. Each block goes to the journal.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from torch import Tensor

from lightfer.bench.case import Case, energy_block
from lightfer.bench.journal import Journal, Pieces
from lightfer.inference.backends import Loaded
from lightfer.measure.energy import (
    EnergyPlan,
    Meter,
    energy_of_blocks,
    enough_blocks,
    measure_ticks,
    slowest,
    with_deferred,
)
from lightfer.results import Component, Energy, EnergyBlock

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Meters:
    """The meters that are read, in order of preference, and why a component has none."""

    meters: Sequence[Meter] = ()
    reasons: Mapping[Component, str] = field(default_factory=dict)
    clock_offset_s: float | None = None  # of a power log, if there is one


NO_METERS = Meters()


def measure_energy(
    cases: Sequence[Case],
    batch_sizes: Sequence[int],
    plan: EnergyPlan,
    meters: Sequence[Meter],
    *,
    load: Callable[[Case], Loaded],
    images: Tensor,
    device: str,
    seed: int,
    journal: Journal,
    on_step: OnStep,
    on_block: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Measure what the journal does not hold yet; returns the tick of each counter, in seconds.

    `on_block()` is called after each block. A case that fails keeps its error in the journal,
    and the others go on.
    """
    ticks = measure_ticks(meters)
    align_to = slowest(meters, ticks)

    def block_of(case: Case, size: int) -> EnergyBlock:
        return energy_block(
            load(case),
            images,
            meters,
            device=device,
            batch_size=size,
            plan=plan,
            align_to=align_to,
        )

    open_now = [(case, size) for case in cases for size in batch_sizes]
    done = 0
    for number in range(plan.most_blocks):
        open_now_cases = [
            (case, size)
            for case, size in open_now
            if _wants_more(journal.pieces[case.journal_key], size, number, plan)
        ]
        order = random.Random(f"{seed} energy {number}").sample(open_now_cases, len(open_now_cases))
        for i, (case, size) in enumerate(order):
            text = f"energy at batch {size}, block {number + 1}"
            left = len(order) - i + len(open_now) * max(0, plan.fewest_blocks - number - 1)
            on_step(f"{case.weights.name}, {case.variant}: {text}", done, done + left)
            done += 1
            pieces = journal.pieces[case.journal_key]
            if pieces.error:
                continue
            journal.record(case.journal_key, _with_block(pieces, case, size, block_of))
            on_block()
    return ticks


def _with_block(
    pieces: Pieces, case: Case, size: int, block_of: Callable[[Case, int], EnergyBlock]
) -> Pieces:
    """The pieces with one more block, or with the error that there was instead."""
    try:
        blocks = (*pieces.energy.get(size, ()), block_of(case, size))
    except Exception as error:  # one model's failure must not lose the others
        return msgspec.structs.replace(pieces, error=f"{type(error).__name__}: {error}")
    return msgspec.structs.replace(pieces, energy={**pieces.energy, size: blocks})


def energies_of(
    pieces: Pieces, plan: EnergyPlan, meters: Meters, ticks: Mapping[str, float]
) -> dict[int, Energy]:
    """Batch size -> energy, of one case; figures that no meter told are None in it."""
    return {
        size: energy_of_blocks(
            [with_deferred(block, meters.meters) for block in blocks],
            plan,
            batch_size=size,
            ticks=ticks,
            reasons=meters.reasons,
            clock_offset_s=meters.clock_offset_s,
            simulated=any(meter.simulated for meter in meters.meters),
        )
        for size, blocks in pieces.energy.items()
    }


def _wants_more(pieces: Pieces, size: int, number: int, plan: EnergyPlan) -> bool:
    """Whether round `number` measures it: it has no error, not this round's block, nor enough.

    What a power log will say is not known yet: with a log alone the fewest blocks are taken.
    """
    blocks = pieces.energy.get(size, ())
    return not pieces.error and len(blocks) <= number and enough_blocks(blocks, plan) is None
