"""Energy of every subject: blocks of all of them in random order, round after round.

A block is a window of work between two idle ones (`lightfer.measure.energy.windows`). Each subject
gets as many as its first ones ask for, so the rounds thin out. Each block goes to the journal.
"""

import random
from collections.abc import Callable, Sequence

import msgspec
from torch import Tensor

from lightfer.journal import Journal, Pieces
from lightfer.measure.energy import (
    EnergyPlan,
    Meter,
    enough_blocks,
    measure_ticks,
    slowest,
    with_deferred,
)
from lightfer.runtimes import Loaded
from lightfer.subject import Subject, energy_block

OnStep = Callable[[str, int, int], None]


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
                    seconds=plan.seconds,
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


def _wants_more(
    pieces: Pieces, size: int, number: int, plan: EnergyPlan, meters: Sequence[Meter]
) -> bool:
    """Whether round `number` measures it: it has no error, not this round's block, nor enough."""
    blocks = [with_deferred(block, meters) for block in pieces.energy.get(size, ())]
    return not pieces.error and len(blocks) <= number and enough_blocks(blocks, plan) is None
