"""Energy of every subject: blocks of all of them in random order, round after round.

A block is a window of work between two idle ones (`lightfer.measure.energy.windows`). Each subject
gets as many as its first ones ask for, so the rounds thin out. Each block goes to the journal.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from torch import Tensor

from lightfer.journal import Journal, Pieces
from lightfer.measure.energy import (
    EnergyPlan,
    Meter,
    energy_of_blocks,
    enough_blocks,
    measure_ticks,
    slowest,
    with_deferred,
)
from lightfer.results import Component, Energy
from lightfer.runtimes import Loaded
from lightfer.subject import Subject, energy_block

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Meters:
    """The meters that are read, in order of preference, and why a component has none."""

    meters: Sequence[Meter] = ()
    reasons: Mapping[Component, str] = field(default_factory=dict)
    clock_offset_s: float | None = None  # of a power log, if there is one


NO_METERS = Meters()


def measure_energy(
    subjects: Sequence[Subject],
    batch_sizes: Sequence[int],
    plan: EnergyPlan,
    meters: Sequence[Meter],
    *,
    load: Callable[[Subject], Loaded],
    images: Tensor,
    device: str,
    seed: int,
    journal: Journal,
    on_step: OnStep,
    on_block: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Measure what the journal does not hold yet; returns the tick of each counter, in seconds.

    `on_block()` is called after each block. A subject that fails keeps its error in the journal,
    and the others go on.
    """
    ticks = measure_ticks(meters)
    align_to = slowest(meters, ticks)
    cases = [(subject, size) for subject in subjects for size in batch_sizes]
    done = 0
    for number in range(plan.most_blocks):
        open_cases = [
            (subject, size)
            for subject, size in cases
            if _wants_more(journal.pieces[subject.journal_key], size, number, plan, meters)
        ]
        order = random.Random(f"{seed} energy {number}").sample(open_cases, len(open_cases))
        for i, (subject, size) in enumerate(order):
            text = f"energy at batch {size}, block {number + 1}"
            left = len(order) - i + len(cases) * max(0, plan.fewest_blocks - number - 1)
            on_step(f"{subject.name}, {subject.way}: {text}", done, done + left)
            done += 1
            pieces = journal.pieces[subject.journal_key]
            if pieces.error:
                continue
            try:
                block = energy_block(
                    load(subject),
                    images,
                    meters,
                    device=device,
                    batch_size=size,
                    plan=plan,
                    align_to=align_to,
                )
                blocks = {**pieces.energy, size: (*pieces.energy.get(size, ()), block)}
                pieces = msgspec.structs.replace(pieces, energy=blocks)
            except Exception as error:  # one model's failure must not lose the others
                message = f"{type(error).__name__}: {error}"
                pieces = msgspec.structs.replace(pieces, error=message)
            journal.record(subject.journal_key, pieces)
            on_block()
    return ticks


def energies_of(
    pieces: Pieces, plan: EnergyPlan, meters: Meters, ticks: Mapping[str, float]
) -> dict[int, Energy]:
    """Batch size -> energy, of one subject; figures that no meter told are None in it."""
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


def _wants_more(
    pieces: Pieces, size: int, number: int, plan: EnergyPlan, meters: Sequence[Meter]
) -> bool:
    """Whether round `number` measures it: it has no error, not this round's block, nor enough."""
    blocks = [with_deferred(block, meters) for block in pieces.energy.get(size, ())]
    return not pieces.error and len(blocks) <= number and enough_blocks(blocks, plan) is None
