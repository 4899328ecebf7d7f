"""How each claim of the thesis is tested on entries that may be compared with one another.

Every test returns its verdict and the figures that it rests on, in words. What is modelled from
time is never evidence on energy.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from lightfer.report.cells import bounded, energy_method, number
from lightfer.report.significance import accuracy_difference, times_differ
from lightfer.results import Accuracy, Entry
from lightfer.results.select import Times, over_nets, scored_alike
from lightfer.results.stats import Interval, rank_correlation

WITHIN_POINTS = 5.0  # "competitive": at most this far below the most accurate net
CLOSE_POINTS = 2.0  # "close to": at most this far below
EXPLAINED = 0.8  # share of the variance from which one figure predicts another
EQUAL_WORK = 1.5  # nets whose multiply-adds differ by at most this factor
MOST_NAMED = 8  # nets in a ranking in words
MODELLED = "energy here is modelled as time times an assumed power, no evidence beyond time"
UNKNOWN = "no energy is known here"
Verdict = Literal["supported", "contradicted", "undecided"]


def competitive(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """The best net of at most half the work against the most accurate net."""
    scored = _scored(entries)
    if not scored:
        return "undecided", "no accuracies with multiply-adds here"
    top, top_accuracy = max(scored, key=lambda pair: pair[1].top1)
    small = [(e, a) for e, a in scored if 2 * (e.macs or 0) <= (top.macs or 0)]
    if not small:
        figures = f"no net does at most half the work of the most accurate, {_net(top)}"
        return "undecided", figures
    best, accuracy = max(small, key=lambda pair: pair[1].top1)
    lost = accuracy_difference(accuracy, top_accuracy).interval
    figures = (
        f"{_net(best)} is {bounded(lost, '.1f', 100)} points below {_net(top)}; "
        f"all {len(small)} nets of at most half its work are "
        f"{_range([100 * (top_accuracy.top1 - a.top1) for _, a in small])} points below"
    )
    return _below(lost, WITHIN_POINTS / 100), figures


def close_to_v3(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """Nets of at most half of MobileNetV3's work against it."""
    scored = _scored(entries)
    baselines = [(e, a) for e, a in scored if e.family.startswith("mobilenet_v3")]
    if not baselines:
        return "undecided", "no MobileNetV3 with an accuracy here"
    if len(baselines) == len(scored):
        return "undecided", "no net beside MobileNetV3 here"
    base, base_accuracy = max(baselines, key=lambda pair: pair[1].top1)
    others = [(e, a) for e, a in scored if not e.family.startswith("mobilenet_v3")]
    fewer = [(e, a) for e, a in others if 2 * (e.macs or 0) <= (base.macs or 0)]
    if not fewer:
        least = min((e for e, _ in others), key=lambda e: e.macs or 0)
        figures = (
            f"none of {len(others)} nets does at most half the work of {_net(base)}; "
            f"the least is {_net(least)}"
        )
        return "undecided", figures
    gaps = [(e, accuracy_difference(a, base_accuracy).interval) for e, a in fewer]
    nearest, gap = min(gaps, key=lambda pair: pair[1].estimate)
    figures = (
        f"nearest of {len(fewer)} nets: {_net(nearest)}, {bounded(gap, '.1f', 100)} points below "
        f"{_net(base)}, {(base.macs or 0) / (nearest.macs or 1):.1f} times fewer"
    )
    verdicts = [_below(gap, CLOSE_POINTS / 100) for _, gap in gaps]
    if "supported" in verdicts:
        return "supported", figures
    return ("undecided" if "undecided" in verdicts else "contradicted"), figures


def macs_and_time(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """How much of the time, one image and many, is explained by multiply-adds."""
    verdicts, texts = [], []
    for batch in _batches(entries):
        pairs = over_nets(entries, lambda e: e.macs, lambda e, size=batch: times.seconds(e, size))
        verdict, text = _explained([(macs, seconds / batch) for macs, seconds in pairs])
        verdicts.append(verdict)
        texts.append(f"batch {batch}: {text}")
    return agreed(verdicts), "; ".join(texts) or "no times here"


def macs_and_energy(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """How much of the measured energy is explained by multiply-adds."""
    measured, reason = _measured_energy(entries)
    if reason:
        return "undecided", reason
    joules = {e.id: j.estimate for e, j in measured}
    pairs = over_nets([e for e, _ in measured], lambda e: e.macs, lambda e: joules[e.id])
    return _explained(pairs)


def shift_is_fast(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """Shift nets against every net of about equal work, one image at a time."""
    timed = [(e, t) for e in entries if (t := times.at(e))]
    shifts = [i for i, (e, _) in enumerate(timed) if e.family.startswith("shift") and e.macs]
    if not shifts:
        return "undecided", "no shift net with times here"
    differ = times_differ([t for _, t in timed])
    verdicts, texts = [], []
    for i in shifts:
        shift, mine = timed[i][0], timed[i][1].estimate_s
        place = 1 + sum(t.estimate_s < mine for _, t in timed)
        text = f"{_net(shift)}: {1e3 * mine:.2f} ms, place {place} of {len(timed)} by time"
        rivals = [
            (j, e, t.estimate_s)
            for j, (e, t) in enumerate(timed)
            if not e.family.startswith("shift")
            and e.macs
            and 1 / EQUAL_WORK <= e.macs / (shift.macs or 1) <= EQUAL_WORK
        ]
        faster, slower = [], []
        for j, e, theirs in rivals:
            text += f"; {theirs / mine:.2f} times as fast as {_net(e)}"
            if differ[i, j]:
                (faster if mine < theirs else slower).append(e)
        if not rivals:
            text += f"; no other net within {EQUAL_WORK} times its work"
        texts.append(text)
        if slower:
            verdicts.append("contradicted")
        else:
            verdicts.append("supported" if rivals and len(faster) == len(rivals) else "undecided")
    verdict = verdicts[0] if len(set(verdicts)) == 1 else "undecided"
    return verdict, ". ".join(texts)


def lowest_carbon(entries: Sequence[Entry], times: Times) -> tuple[Verdict, str]:
    """The ranking by emissions, which is that by energy under one grid intensity."""
    grams = [(e, e.carbon.g_co2e_per_1000_images) for e in entries if e.carbon]
    known = sorted(((g, e.id, e) for e, g in grams if g is not None), key=lambda item: item[:2])
    if not known:
        return "undecided", UNKNOWN
    named = [f"{e.model} {number(g, '.3g', 1e3)}" for g, _, e in known]
    more = [f"and {len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    ranking = "g CO2e per million images, lowest first: " + ", ".join(named[:MOST_NAMED] + more)
    measured, reason = _measured_energy(entries)
    if reason:
        return "undecided", f"{reason}; {ranking}"
    claimed = [j for e, j in measured if e.family in ("shufflenet_v2", "mobilenet_v2")]
    others = [j for e, j in measured if e.family not in ("shufflenet_v2", "mobilenet_v2")]
    if not claimed or not others:
        return "undecided", f"only one side is here; {ranking}"
    best = min(claimed, key=lambda j: j.estimate)
    if all(best.high < j.low for j in others):
        return "supported", ranking
    if any(j.high < min(n.low for n in claimed) for j in others):
        return "contradicted", ranking
    return "undecided", ranking


def explained_share(x: Sequence[float], y: Sequence[float], level: float = 0.95) -> Interval:
    """r squared of log y on log x, of at least 4 pairs, with the interval of Fisher's z (1921).

    Raises ValueError for fewer pairs, or where one of the two does not vary.
    """
    import numpy as np
    from scipy.special import ndtri

    if len(x) < 4:
        raise ValueError(f"{len(x)} nets: at least 4 are needed")
    if min(np.ptp(x), np.ptp(y)) == 0:
        raise ValueError("one of the two figures is equal for all nets")
    if min(*x, *y) <= 0:
        raise ValueError("a net has 0 of one of the two figures, which has no logarithm")
    r = float(np.corrcoef(np.log(x), np.log(y))[0, 1])
    z, half = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), ndtri((1 + level) / 2)
    low, high = np.tanh(np.array([z - half / (len(x) - 3) ** 0.5, z + half / (len(x) - 3) ** 0.5]))
    bounds = sorted((float(low) ** 2, float(high) ** 2))
    return Interval(r * r, 0.0 if low < 0 < high else bounds[0], bounds[1], level)


def _explained(pairs: list[tuple[float, float]]) -> tuple[Verdict, str]:
    try:
        x, y = zip(*pairs, strict=True) if pairs else ((), ())
        share = explained_share(x, y)
        rank = rank_correlation(x, y).interval
    except ValueError as error:
        return "undecided", str(error)
    figures = (
        f"r² {bounded(share, '.2f')}, rank correlation {bounded(rank, '.2f')}, {len(pairs)} nets"
    )
    return _below(share, EXPLAINED), figures


def agreed(verdicts: Iterable[Verdict]) -> Verdict:
    """That of all that decided, where they agree."""
    decided = set(verdicts) - {"undecided"}
    return decided.pop() if len(decided) == 1 else "undecided"


def _below(found: Interval, limit: float) -> Verdict:
    """Supported if the whole interval is below the limit, contradicted if it is above."""
    if found.high < limit:
        return "supported"
    return "contradicted" if found.low > limit else "undecided"


def _measured_energy(entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Interval]], str]:
    """Energies in joules per image that a meter gave, or why there are none."""
    known = [e for e in entries if energy_method(e.energy)]
    if not known:
        return [], UNKNOWN
    if any(e.energy and e.energy.simulated for e in known):
        return [], "energy here is simulated, which is evidence of nothing"
    if not all(e.energy and e.energy.measured() for e in known):
        return [], MODELLED
    found = []
    for e in known:
        if e.energy and e.energy.gross and e.energy.gross.joules_per_image and e.energy.ci95:
            found.append((e, Interval(e.energy.gross.joules_per_image, *e.energy.ci95)))
    return found, "" if found else "energies have no intervals here"


def _scored(entries: Sequence[Entry]) -> list[tuple[Entry, Accuracy]]:
    """Nets with multiply-adds and an accuracy on the images that most of them were scored on."""
    return [(e, e.accuracy) for e in scored_alike(e for e in entries if e.macs) if e.accuracy]


def _batches(entries: Sequence[Entry]) -> list[int]:
    return sorted({t.batch_size for e in entries for t in e.latency if t.clock == "wall"})


def _net(entry: Entry) -> str:
    return f"{entry.model} ({number(entry.macs, '.1f', 2e-6)} M FLOPs)"


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
