"""From blocks to joules per image with an interval, gross and net.

Gross is what a block drew over its images; net is that without the block's own idle power, the mean
of before and after, over the block's time. Gross is what emissions follow from, net is what
compares models. The blocks are the sample: the interval is Student's t on their mean, the number of
blocks is decided from the first few alone (Stein, 1945), so that stopping does not narrow it.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median

from lightfer.measure.energy.model import NO_METER, absent, kwh_of_test_set
from lightfer.measure.energy.windows import EnergyPlan
from lightfer.results import (
    Component,
    CrossCheck,
    Energy,
    EnergyBlock,
    EnergyComponent,
    EnergyComponents,
    EnergyReading,
    EnergyTotal,
)
from lightfer.results.stats import two_stage_interval, two_stage_size

BAND = (0.9, 1.1)  # of the ratio of two meters; outside it there is an alarm
SHORT_S = 10.0
ENOUGH = 0.8  # of the blocks that a meter has to tell to be quoted
IDLE_DRIFT = 0.2  # relative, of idle power between before and after
NAMES: tuple[Component, ...] = ("gpu", "cpu", "dram")

Blocks = Sequence[EnergyBlock]


def enough_blocks(blocks: Blocks, plan: EnergyPlan) -> str | None:
    """Why no more blocks are needed, or None if some are."""
    if len(blocks) < plan.fewest_blocks:
        return None
    kept, complete, _ = _told(blocks)
    if not complete:
        return f"{len(blocks)} blocks: no meter has told enough of them"
    if len(kept) < plan.fewest_blocks and len(blocks) < plan.most_blocks:
        return None
    parts = [_gross(kept, readings)[: plan.fewest_blocks] for readings in complete.values()]
    first = [sum(values) for values in zip(*parts, strict=True)]
    if len(first) < 2:
        return f"{len(blocks)} blocks, the most; meters told {len(first)} of them"
    needed = two_stage_size(first, plan.half_width, plan.most_blocks)
    if len(kept) < needed and len(blocks) < plan.most_blocks:
        return None
    aim = f"{100 * plan.half_width:g} % half-width asked for {needed} from the first {len(first)}"
    return f"{len(blocks)} blocks: {aim}" + (", the most" if needed == plan.most_blocks else "")


def energy_of_blocks(
    blocks: Blocks,
    plan: EnergyPlan,
    *,
    batch_size: int,
    ticks: Mapping[str, float] | None = None,
    reasons: Mapping[Component, str] | None = None,
    worker: Component | None = None,
    clock_offset_s: float | None = None,
    simulated: bool = False,
) -> Energy:
    """Joules per image from the blocks of one model at one batch size.

    Of a component with several meters the first that has told every block is quoted, else the one
    that told most of them. A reading that failed costs its block, for all components, so that they
    can be added; a meter that told less than ENOUGH of the blocks has no figure. `reasons` say why
    a component has none. There is a total only with the `worker`, the component that does the work,
    where it is named, and never of memory alone.
    """
    kept, complete, failed = _told(blocks)
    parts = {}
    for name in NAMES:
        if name in complete:
            parts[name] = _component(kept, complete[name], plan, ticks or {})
            continue
        why = failed.get(name)
        method = "absent" if why is None else why.method
        reason = (why.reason if why else None) or (reasons or {}).get(name, NO_METER)
        parts[name] = absent(reason, method, why.source if why else None)
    whole = worker in complete if worker else complete.keys() != {"dram"}
    added = complete if whole else {}
    gross, ci95 = _mean([_gross(kept, r) for r in added.values()], plan)
    idle = [_net(kept, r) for r in added.values()]
    net, net_ci95 = _mean([values for values in idle if values] if all(idle) else [], plan)
    includes = tuple(added)
    check, lost = _cross_check(blocks), bool(complete) and len(kept) < len(blocks)
    return Energy(
        components=EnergyComponents(**parts),
        gross=None if gross is None else EnergyTotal(joules_per_image=gross, includes=includes),
        net=None if net is None else EnergyTotal(joules_per_image=net, includes=includes),
        kwh_test_set=kwh_of_test_set(gross),
        ci95=ci95,
        net_ci95=net_ci95,
        batch_size=batch_size,
        blocks=tuple(blocks),
        stopped=enough_blocks(blocks, plan) or f"{len(blocks)} blocks",
        cross_check=check,
        clock_offset_s=clock_offset_s,
        warnings=(
            *_warnings(blocks, list(complete.values()), net_ci95, check),
            *([f"meters told {len(kept)} of {len(blocks)} blocks"] if lost else []),
        ),
        simulated=simulated,
    )


def _told(
    blocks: Blocks,
) -> tuple[Blocks, dict[Component, list[EnergyReading]], dict[Component, EnergyReading]]:
    """The blocks that count; per component the readings of its quoted meter, one for each of them;
    and for a component without a figure a reading that failed.
    """
    quoted: dict[Component, dict[int, EnergyReading]] = {}
    failed: dict[Component, EnergyReading] = {}
    for name in NAMES:
        best: dict[int, EnergyReading] = {}
        for told, bad in _by_source(blocks, name):
            failed.setdefault(name, bad)
            best = told if len(told) > len(best) else best
        if best and len(best) >= ENOUGH * len(blocks):
            quoted[name] = best
    common = [i for i in range(len(blocks)) if all(i in told for told in quoted.values())]
    if not quoted or not common:
        return [], {}, failed
    complete: dict[Component, list[EnergyReading]] = {}
    for name, told in quoted.items():
        complete[name] = [told[i] for i in common]
    return [blocks[i] for i in common], complete, failed


def _by_source(
    blocks: Blocks, name: Component
) -> Iterator[tuple[dict[int, EnergyReading], EnergyReading]]:
    """Of each meter of a component its readings by block, and one that failed, or the first."""
    readings = [(i, r) for i, b in enumerate(blocks) for r in b.readings if r.component == name]
    for source in dict.fromkeys(r.source for _, r in readings):
        found = [(i, r) for i, r in readings if r.source == source]
        told = {i: reading for i, reading in found if reading.joules is not None}
        yield told, next((r for _, r in found if r.joules is None), found[0][1])


def _gross(blocks: Blocks, readings: Sequence[EnergyReading]) -> list[float]:
    """Joules per image of each block."""
    return [(r.joules or 0.0) / b.images for b, r in zip(blocks, readings, strict=True)]


def _net(blocks: Blocks, readings: Sequence[EnergyReading]) -> list[float] | None:
    """The same without idle power; None if that is unknown of any block."""
    values = []
    for block, reading in zip(blocks, readings, strict=True):
        idle_w = _idle_w(reading)
        if idle_w is None or reading.joules is None:
            return None
        seconds = block.work_s[1] - block.work_s[0]
        values.append((reading.joules - idle_w * seconds) / block.images)
    return values


def _idle_w(reading: EnergyReading) -> float | None:
    known = [w for w in reading.idle_w if w is not None]
    return fmean(known) if known else None


def _component(
    blocks: Blocks, readings: Sequence[EnergyReading], plan: EnergyPlan, ticks: Mapping[str, float]
) -> EnergyComponent:
    gross, ci95 = _mean([_gross(blocks, readings)], plan)
    net, net_ci95 = _mean([_net(blocks, readings) or []], plan)
    idle = [w for r in readings if (w := _idle_w(r)) is not None]
    return EnergyComponent(
        joules_per_image=gross,
        method=readings[0].method,
        net_joules_per_image=net,
        ci95=ci95,
        net_ci95=net_ci95,
        idle_w=median(idle) if idle else None,
        source=readings[0].source,
        tick_s=ticks.get(readings[0].source),
    )


def _mean(
    parts: Sequence[Sequence[float]], plan: EnergyPlan
) -> tuple[float | None, tuple[float, float] | None]:
    """Of the sum of the parts, block by block, with its interval, if there are two blocks."""
    totals = [sum(values) for values in zip(*parts, strict=True)]
    if len(totals) < 2:
        return next(iter(totals), None), None
    found = two_stage_interval(totals, plan.fewest_blocks)
    return found.estimate, (found.low, found.high)


def _cross_check(blocks: Blocks) -> CrossCheck | None:
    """The first component of which two meters told the same blocks, and enough of them."""
    for name in NAMES:
        every = [known for known, _ in _by_source(blocks, name)]
        told = [known for known in every if known and len(known) >= ENOUGH * len(blocks)]
        if len(told) < 2 or not (common := told[0].keys() & told[1].keys()):
            continue
        first, second = ([one[i] for i in sorted(common)] for one in told[:2])
        loaded = _ratio([r.joules for r in first], [r.joules for r in second])
        idle = _ratio([_idle_w(r) for r in first], [_idle_w(r) for r in second])
        alarm = any(r is not None and not BAND[0] <= r <= BAND[1] for r in (loaded, idle))
        sources = (first[0].source, second[0].source)
        return CrossCheck(
            component=name, sources=sources, ratio_loaded=loaded, ratio_idle=idle, alarm=alarm
        )
    return None


def _ratio(a: Sequence[float | None], b: Sequence[float | None]) -> float | None:
    known = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    below = sum(y for _, y in known)
    return sum(x for x, _ in known) / below if below else None


def _warnings(
    blocks: Blocks,
    readings: Sequence[Sequence[EnergyReading]],
    net_ci95: tuple[float, float] | None,
    check: CrossCheck | None,
) -> list[str]:
    found = []
    shortest = min((b.work_s[1] - b.work_s[0] for b in blocks), default=SHORT_S)
    if shortest < SHORT_S:
        found.append(f"windows of {shortest:.3g} s, shorter than {SHORT_S:g} s")
    if check and check.alarm:
        ratios = [f"{r:.2f}" for r in (check.ratio_loaded, check.ratio_idle) if r is not None]
        found.append(f"{' against '.join(check.sources)}: ratio {' loaded, '.join(ratios)} idle")
    if net_ci95 and net_ci95[0] <= 0:
        found.append("net energy is not told apart from 0")
    drifts = [
        abs(r.idle_w[1] / r.idle_w[0] - 1)
        for part in readings
        for r in part
        if r.idle_w[0] and r.idle_w[1] is not None
    ]
    if drifts and median(drifts) > IDLE_DRIFT:
        found.append(f"idle power differs by {100 * median(drifts):.0f} % before and after work")
    return found
