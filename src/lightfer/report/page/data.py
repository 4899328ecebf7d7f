"""What the page holds: a results file, or several, as compact JSON.

Accuracies, which are long, tables of which differ, and cards stand once each and are pointed at.
Every string goes into the page as data; the page shows strings as text only.
"""

import json
from typing import Any

import msgspec

from lightfer.report.cells import energy_basis, noise_reasons
from lightfer.report.choose import RULE, stored_bytes
from lightfer.report.page.pairs import Pairs, sets, timed_as
from lightfer.results import Accuracy, Entry, Environment, Results
from lightfer.results.select import Times, mean_corrupted_top1
from lightfer.results.stats import Interval

AS_IT_IS = ("model", "family", "device", "runtime", "precision", "weights", "recipe")
STORED_AS = "weights and buffers in float32"
DIGITS = 6  # of every figure: more than any chart or cell shows
_Pool = dict[Accuracy, int]  # each once -> its place
Triple = list[float | None]  # value and the bounds of its 95 % interval


def page_data(results: Results, times: Times | None = None) -> dict[str, Any]:
    """Everything that the page shows, in the form that its scripts read."""
    times = times or Times(results)
    pool: _Pool = {}
    others: _Pool = {}
    keys = list(dict.fromkeys([*results.environments, *(e.environment for e in results.entries)]))
    machines = {key: i for i, key in enumerate(keys)}
    rows = [_row(e, machines[e.environment], times, pool, others) for e in results.entries]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    pairs = Pairs(results.entries, times, [row["accuracy"] for row in rows], list(pool))
    return {
        "rule": RULE,
        "machines": [
            {"id": key, "about": about and msgspec.to_builtins(_with_reasons(about))}
            for key in keys
            for about in [results.environments.get(key)]
        ],
        "sets": [pairs.of(members) for members in sets(results.entries)],
        "accuracyTables": pairs.tables,
        "columns": columns,
        "rows": [[row[key] for key in columns] for row in rows],
        "accuracies": [_accuracy(a, details=True) for a in pool],
        "otherAccuracies": [_accuracy(a, details=False) for a in others],
        "cards": {
            key: _shortened(msgspec.to_builtins(card)) for key, card in results.cards.items()
        },
    }


def _with_reasons(about: Environment) -> Environment:
    if about.noise is None:
        return about
    noise = msgspec.structs.replace(about.noise, reasons=noise_reasons(about))
    return msgspec.structs.replace(about, noise=noise)


def as_script(data: dict[str, Any]) -> str:
    """JSON that may stand between script tags: no tag, comment or line end of HTML or JavaScript.

    `<`, `>`, `&`, U+2028 and U+2029 become escapes, which JSON reads as the same characters.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A file may hold half of a surrogate pair, which is no text that UTF-8 can write.
    return text.encode("utf-8", "replace").decode()


def _row(entry: Entry, machine: int, timed: Times, pool: _Pool, others: _Pool) -> dict[str, Any]:
    times, raw = {}, {}
    for latency in entry.latency:
        found, key = timed.of(entry, latency), timed_as(latency)
        if found is None or key in times:
            continue
        times[key] = _each(found.interval, found.estimate_s, latency.batch_size)
        if found.corrected:
            raw[key] = _each(found.raw, found.raw_s, latency.batch_size)
    energy = entry.energy
    stored_as = "what this runtime loads" if entry.deployed_bytes else STORED_AS
    return {
        "machine": machine,
        **{name: getattr(entry, name) for name in AS_IT_IS},
        "params": entry.params,
        "macs": entry.macs,
        "stored": stored_bytes(entry),
        "storedAs": stored_as,
        "activation": entry.work.peak_activation_bytes if entry.work else None,
        "accuracy": entry.accuracy and pool.setdefault(entry.accuracy, len(pool)),
        "others": [
            others.setdefault(a, len(others)) for a in entry.accuracy_other if not a.corruption
        ],
        "corrupted": _rounded(mean_corrupted_top1(entry)),
        "times": times,
        "raw": raw,
        "testSet": _all_images(entry, timed),
        "images": entry.inference_images,
        "batch": entry.inference_batch_size,
        "energy": energy and energy.gross and _triple(energy.gross.joules_per_image, energy.ci95),
        "net": energy and energy.net and _triple(energy.net.joules_per_image, energy.net_ci95),
        "warnings": list(energy.warnings) if energy else [],
        "repaid": _rounded(entry.training.images_until_repaid) if entry.training else None,
        "method": energy_basis(energy),
        "carbon": _grams(entry),
        "grid": _grid(entry),
        "error": entry.error,
    }


def _grams(entry: Entry) -> Triple | None:
    """Emissions of 1,000 images, with the interval of the energy that they are a multiple of."""
    energy = entry.energy
    grams = entry.carbon and entry.carbon.g_co2e_per_1000_images
    joules = energy and energy.gross and energy.gross.joules_per_image
    if grams is None or not joules or energy is None or energy.ci95 is None:
        return _triple(grams)
    low, high = energy.ci95
    return _triple(grams, (grams * low / joules, grams * high / joules))


def _all_images(entry: Entry, times: Times) -> Triple | None:
    """Seconds of all images; raw, of which files before 0.2.0 hold no rounds."""
    found = times.all_images(entry)
    if found is None:
        return _triple(entry.inference_total_s)
    return _each(found.interval, found.estimate_s, 1)


def _each(interval: Interval | None, seconds: float, images: int) -> Triple | None:
    """Seconds per image."""
    if interval is None:
        return _triple(seconds / images)
    return _triple(interval.estimate / images, (interval.low / images, interval.high / images))


def _grid(entry: Entry) -> str | None:
    """The grid intensity that emissions assume, in words."""
    if entry.carbon is None or entry.carbon.g_co2e_per_1000_images is None:
        return None
    grid = entry.carbon.intensity
    return f"{grid.g_co2e_per_kwh:g} g/kWh, {grid.zone} {grid.year or ''}".strip()


def _accuracy(accuracy: Accuracy, details: bool) -> dict[str, Any]:
    scores = accuracy.per_class or ()
    figures = {
        **{name: getattr(accuracy, name) for name in ("split", "labels", "view", "images")},
        "top1": _triple(accuracy.top1, accuracy.ci95),
        "f1": _rounded(accuracy.macro_f1),
        "ece": _rounded(accuracy.ece),
        "eceBounds": accuracy.ece_ci95 and [_rounded(x) for x in accuracy.ece_ci95],
        "surest": _rounded(accuracy.top1_at_80_coverage),
        "source": accuracy.source,
        "data": accuracy.data_sha256 and accuracy.data_sha256[:12],
    }
    classes = [
        [s.name, s.images, _rounded(s.precision), _rounded(s.recall), _rounded(s.f1)]
        for s in scores
    ]
    return figures | ({"classes": classes, "confusion": accuracy.confusion} if details else {})


def _triple(value: float | None, bounds: tuple[float, float] | None = None) -> Triple | None:
    low, high = bounds or (None, None)
    return None if value is None else [_rounded(x) for x in (value, low, high)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _shortened(value: Any) -> Any:
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return [_shortened(item) for item in value] if isinstance(value, list | tuple) else value
