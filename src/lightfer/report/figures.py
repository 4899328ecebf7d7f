"""Figures for papers and the README: accuracy, the trade-off, and what a model costs.

Altair charts of one group of comparable entries (a machine, runtime and precision), written as PNG
and SVG by `write_figures`. Names stand beside their marks, in the colours of Okabe & Ito (2008),
which the colour-blind tell apart; at a column's width of 85 mm the text is 7 to 8 points.
Altair is imported where it is used.
"""

import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lightfer._files import atomic_path
from lightfer.errors import ArgumentError
from lightfer.report.cells import conditions, energy_basis, plain
from lightfer.report.rank import standings
from lightfer.results import Entry, Results
from lightfer.results.select import Times, by_variant, net_names, scored_alike

if TYPE_CHECKING:
    import altair

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#9AA0A6", "#222222"
FORMS = (".png", ".svg", ".pdf")
CHART_KEY = "chart"  # in a PNG's text
MISSING = 'figures need Altair and vl-convert: pip install "lightfer[report]"'
SIDES = (  # of a mark, for its name: alignment and shift, the nearest first
    *(("left", 7, -9), ("left", 7, 11), ("right", -7, -9), ("right", -7, 11)),
    *(("center", 0, -14), ("center", 0, 16), ("left", 7, -24), ("left", 7, 26)),
    *(("right", -7, -24), ("right", -7, 26), ("left", -20, -14), ("left", -20, 16)),
)
WIDTH, TALL, PIXELS_PER_UNIT = 340, 270, 3.0  # a column in points; PNG at 3 pixels for each
CHARACTERS = 76  # of a line above it


def write_figures(
    results: Results,
    folder: Path,
    on_step: Callable[[str, int, int], None] = lambda text, done, of: None,
) -> list[Path]:
    """Write every figure of the first group as PNG and SVG; returns the paths.

    Raises ValueError if Altair is not installed, or if no entry has a figure to draw.
    """
    drawn = {name: draw(results) for name, draw in FIGURES.items()}
    charts = {name: chart for name, chart in drawn.items() if chart is not None}
    if not charts:
        raise ArgumentError("nothing to draw: no entry has an accuracy, a time or a count")
    written = []
    for done, (name, chart) in enumerate(charts.items()):
        on_step(name, done, len(charts))
        written += [write_chart(chart, folder / f"{name}.{form}") for form in ("png", "svg")]
    return written


def write_chart(chart: "altair.TopLevelMixin", path: Path) -> Path:
    """Write one chart in the form that the name ends in, whole or not at all.

    A PNG has 64 colours, which is a fifth of the size, and names its chart (`chart_id`). Raises
    ArgumentError for the name of another form.
    """
    if path.suffix not in FORMS:
        raise ArgumentError(f"{path}: expected a figure to end in {', '.join(FORMS)}")
    with atomic_path(path) as temporary:
        if path.suffix != ".png":
            chart.save(str(temporary), format=path.suffix[1:])  # pyright: ignore[reportArgumentType]
            return path
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        chart.save(str(temporary), format="png", scale_factor=PIXELS_PER_UNIT)
        about = PngInfo()
        about.add_text(CHART_KEY, chart_id(chart))
        with Image.open(temporary) as image:
            small = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(temporary, "PNG", optimize=True, pnginfo=about)
    return path


def chart_id(chart: "altair.TopLevelMixin") -> str:
    """The same for charts of the same figures in the same form, on any machine: processors differ
    in the last digits of a logarithm.
    """
    with _altair().data_transformers.enable(consolidate_datasets=False):
        form = {key: value for key, value in chart.to_dict().items() if key != "$schema"}
    rounded = json.loads(json.dumps(form), parse_float=lambda text: f"{float(text):.6g}")
    return hashlib.sha256(json.dumps(rounded, sort_keys=True).encode()).hexdigest()


def group(results: Results) -> list[Entry]:
    """The entries that figures show: the largest group of one machine, runtime and precision."""
    alive = by_variant(e for e in results.entries if e.error is None)
    return max(alive.values(), key=len, default=[])


def accuracy_bars(results: Results) -> "altair.LayerChart | None":
    """Top-1 accuracy of every model with its 95 % interval, the highest first."""
    alt = _altair()
    scored = [(e, e.accuracy) for e in scored_alike(group(results)) if e.accuracy]
    if not scored:
        return None
    names = net_names([e for e, _ in scored])
    rows = [
        {
            "model": names[e.id],
            "top1": 100 * a.top1,
            "low": 100 * a.ci95[0],
            "high": 100 * a.ci95[1],
        }
        for e, a in scored
    ]
    base = alt.Chart(_values(rows)).encode(y=alt.Y("model:N", sort="-x", title=None))
    title = f"Top-1 accuracy, %, {scored[0][1].images:,} {scored[0][1].split} images"
    bars = base.mark_bar(color=BLUE, opacity=0.85, height={"band": 0.62}).encode(
        x=alt.X("top1:Q", title=title, scale=alt.Scale(domainMin=0))
    )
    spans = base.mark_rule(color=INK, strokeWidth=1.2).encode(x="low:Q", x2="high:Q")
    names = base.mark_text(align="left", dx=5, color=INK).encode(
        x="high:Q", text=alt.Text("top1:Q", format=".1f")
    )
    return _styled(bars + spans + names, height=26 * len(rows), results=results)


def trade_off(
    results: Results, batch_size: int = 1, times: Times | None = None
) -> "altair.LayerChart | None":
    """Accuracy against time with intervals; the Pareto front as stairs, ties as rings.

    `times` are those of the whole file, where `results` are a part of it.
    """
    alt = _altair()
    found = standings(group(results), times or Times(results), batch_size)
    if not found:
        return None
    rows = [
        {
            "model": s.model, "status": s.status,
            "ms": 1e3 * time.estimate, "fast": 1e3 * time.low, "slow": 1e3 * time.high,
            "top1": 100 * s.top1.estimate, "low": 100 * s.top1.low, "high": 100 * s.top1.high,
        }
        for s in found
        for time in [s.latency_s]
    ]  # fmt: skip
    is_corrected = any(s.corrected for s in found)
    across, up = _place_names(rows)
    each = "one image" if batch_size == 1 else f"{batch_size} images"
    x = alt.X(
        "ms:Q",
        title=f"Time of {each}, ms{', corrected' if is_corrected else ''}",
        scale=alt.Scale(type="log", nice=False, domain=across),
    )
    y = alt.Y("top1:Q", title="Top-1 accuracy, %", scale=alt.Scale(nice=False, domain=up))
    base = alt.Chart(_values(rows))
    stairs = base.transform_filter("datum.status === 'front'").mark_line(
        interpolate="step-after", color=BLUE, strokeWidth=1, opacity=0.6
    )
    color = alt.Color(
        "status:N", title=None, legend=alt.Legend(orient="top"),
        scale=alt.Scale(domain=["front", "tied", "dominated"], range=[BLUE, ORANGE, GREY]),
    )  # fmt: skip
    shape = alt.Shape("status:N", title=None, scale=alt.Scale(
        domain=["front", "tied", "dominated"], range=["circle", "diamond", "square"]))  # fmt: skip
    names = [
        base.transform_filter(f"datum.side === {i}")
        .mark_text(align=align, dx=dx, dy=dy, color=INK)
        .encode(x=x, y=y, text="model:N")
        for i, (align, dx, dy) in enumerate(SIDES)
    ]
    layers = (
        base.mark_rule(color=GREY).encode(x="fast:Q", x2="slow:Q", y=y)
        + base.mark_rule(color=GREY).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
        + stairs.encode(x=x, y=y)
        + base.mark_point(filled=True, size=55, opacity=1).encode(
            x=x, y=y, color=color, shape=shape
        )
        + alt.layer(*names)
    )
    return _styled(layers, height=TALL, results=results)


def shown_trade_off(results: Results, address: str, times: Times) -> str:
    """A line of Markdown that shows the trade-off at `address`, with its figures in words."""
    named = ", ".join(
        f"{s.model} {100 * s.top1.estimate:.1f} % "
        f"at {1e3 * s.latency_s.estimate:.2f} ms ({s.status})"
        for s in standings(group(results), times)
    )
    words = f"Top-1 accuracy against the time of one image, fastest first: {named}"
    words = re.sub(r"[][]", r"\\\g<0>", plain(words))  # one alone would end the text
    return f"![{words}]({address})\n"


def costs(results: Results) -> "altair.VConcatChart | altair.HConcatChart | None":
    """FLOPs, parameters and emissions of every model, side by side; unknown is left out."""
    alt = _altair()
    entries = group(results)
    bases = sorted({b for e in entries if (b := energy_basis(e.energy))})
    panels = (
        ("FLOPs of one image, M", lambda e: e.flops and e.flops / 1e6, ".0f"),
        ("Parameters, M", lambda e: e.params and e.params / 1e6, ".2f"),
        (
            ["g CO2e per million images", *(f"({basis})" for basis in bases)],
            lambda e: (g := e.carbon and e.carbon.g_co2e_per_1000_images) and 1e3 * g,
            ".2f",
        ),
    )
    models = net_names(entries)
    order = [models[e.id] for e in sorted(entries, key=lambda e: e.macs or 0)]
    charts = []
    for title, value, form in panels:
        known = [(models[e.id], v) for e in entries if (v := value(e)) is not None]
        rows = [{"model": model, "value": v} for model, v in known]
        if not rows:
            continue
        y = alt.Y("model:N", sort=order, title=None, axis=None if charts else alt.Axis())
        base = alt.Chart(_values(rows), width=120, height=22 * len(order)).encode(y=y)
        x = alt.X("value:Q", title=title, axis=alt.Axis(tickCount=3))
        bars = base.mark_bar(color=BLUE, opacity=0.85, height={"band": 0.62}).encode(x=x)
        names = base.mark_text(align="left", dx=4, color=INK).encode(
            x=x, text=alt.Text("value:Q", format=form)
        )
        charts.append(bars + names)
    return (
        _styled(alt.hconcat(*charts, spacing=26), height=None, results=results) if charts else None
    )


FIGURES: dict[str, Callable[[Results], Any]] = {
    "accuracy": accuracy_bars,
    "trade-off": trade_off,
    "costs": costs,
}


def _place_names(rows: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Give every row the `side` of its mark on which its name covers least, in place.

    Names are placed one after the other, given where the others stand, until none moves any more;
    of several orders the best is kept. Returns the domains of both axes, in ms and percent.
    """
    fast, slow = min(r["fast"] for r in rows), max(r["slow"] for r in rows)
    margin = (slow / fast) ** 0.06 if slow > fast else 1.1
    across = [fast / margin, slow * margin]
    up = [min(r["low"] for r in rows) - 1, max(r["high"] for r in rows) + 1]
    wide, tall = math.log(across[1] / across[0]), up[1] - up[0]

    def at(ms: float, top1: float) -> tuple[float, float]:
        return math.log(ms / across[0]) / wide * WIDTH, (up[1] - top1) / tall * TALL

    spots = [at(r["ms"], r["top1"]) for r in rows]
    own = [
        (_line(at(r["fast"], r["top1"]), at(r["slow"], r["top1"])),
         _line(at(r["ms"], r["high"]), at(r["ms"], r["low"])))
        for r in rows
    ]  # fmt: skip
    fixed = [(4.0, (x - 5, y - 5, x + 5, y + 5)) for x, y in spots]
    fixed += [(1.0, line) for lines in own for line in lines]
    stairs = (at(r["ms"], r["top1"]) for r in rows if r["status"] == "front")
    for (x, y), (right, up_there) in pairwise(stairs):
        fixed += [
            (1.0, _line((x, y), (right, y))),
            (1.0, _line((right, up_there), (right, y))),
        ]
    options = [
        [_box(r["model"], x, y, *side) for side in SIDES]
        for r, (x, y) in zip(rows, spots, strict=True)
    ]
    alone = [
        [
            sum(weight * _overlap(box, taken) for weight, taken in fixed)
            - 0.5 * sum(_overlap(box, line) for line in lines)  # its own is plain to see
            + 8 * (box[0] < 0 or box[2] > WIDTH + 8 or box[1] < 0 or box[3] > TALL)
            + side / 100
            for side, box in enumerate(boxes)
        ]
        for boxes, lines in zip(options, own, strict=True)
    ]

    def cost(i: int, side: int, sides: list[int]) -> float:
        others = (options[j][s] for j, s in enumerate(sides) if j != i)
        return alone[i][side] + sum(4 * _overlap(options[i][side], other) for other in others)

    best = (math.inf, [0] * len(rows))
    for seed in range(20):
        order = random.Random(seed).sample(range(len(rows)), len(rows))
        sides = [0] * len(rows)
        for _ in range(10):
            before = list(sides)
            for i in order:
                sides[i] = min(range(len(SIDES)), key=lambda side, i=i: cost(i, side, sides))
            if sides == before:
                break
        best = min(best, (sum(cost(i, side, sides) for i, side in enumerate(sides)), sides))
    for row, side in zip(rows, best[1], strict=True):
        row["side"] = side
    return across, up


Box = tuple[float, float, float, float]  # left, top, right and bottom, in points


def _box(name: str, x: float, y: float, align: str, dx: float, dy: float) -> Box:
    """Of a name beside the mark at (x, y)."""
    wide = 5.6 * len(name)
    start = x + dx - {"left": 0.0, "center": wide / 2, "right": wide}[align]
    return start, y + dy - 6, start + wide, y + dy + 6


def _line(start: tuple[float, float], end: tuple[float, float]) -> Box:
    """Of an upright or level line from its left or upper end to the other."""
    return start[0] - 1, start[1] - 1, end[0] + 1, end[1] + 1


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _altair() -> Any:
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ArgumentError(MISSING) from error
    return altair


def _values(rows: Sequence[dict[str, Any]]) -> Any:
    """Rows inside the chart itself, without a data frame."""
    return _altair().Data(values=list(rows))


def _styled(chart: Any, height: int | None, results: Results) -> Any:
    """One look for all: white, no frame, the conditions under the title."""
    if height is not None:
        chart = chart.properties(width=WIDTH, height=height)
    entries = group(results)
    about = results.environments.get(entries[0].environment) if entries else None
    if about:
        where = conditions(about).split(", allocator")[0]
        way = f"{entries[0].runtime} {entries[0].precision}"
        title = f"{where}; {way}; {about.started[:10]}"
        if about.noise and about.noise.verdict != "quiet":
            title += f"; {about.noise.verdict}"
        chart = chart.properties(title=wrap(title, CHARACTERS))
    return (
        chart.configure(background="white", font="Helvetica, Arial, Liberation Sans, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=10.5, titleFontSize=10.5, titleFontWeight="normal",
                        gridColor="#E8EAED", domainColor=GREY, tickColor=GREY, labelLimit=240)
        .configure_text(fontSize=10.5)
        .configure_legend(labelFontSize=10.5)
        .configure_title(fontSize=10, color="#5F6368", fontWeight="normal", anchor="start")
    )  # fmt: skip
