"""Figures: the figures in them are those of the file, and the README's is up to date."""

import io
import re
import sys
from itertools import combinations
from pathlib import Path

import pytest

from lightfer.report import figures
from lightfer.report.exchange.latex import latex
from lightfer.report.readme import shown
from lightfer.results import Results, read_results
from tests.report.hostile import hostile
from tests.report.made_up import made_up
from tests.results.test_schema import ENVIRONMENT, entry

ROOT = Path(__file__).parents[2]


def test_every_figure_is_written_as_png_and_svg(tmp_path: Path):
    from PIL import Image

    written = figures.write_figures(made_up(5, 1), tmp_path)
    assert sorted(p.name for p in written) == sorted(
        f"{name}.{form}" for name in figures.FIGURES for form in ("png", "svg")
    )
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 900
        else:
            assert all(f"net_00{i}" in path.read_text() for i in range(5))


def test_a_long_list_of_instructions_makes_no_figure_wider(tmp_path: Path):
    """The README's was three fifths white, as the processor can do much."""
    import msgspec
    from PIL import Image

    made, widths = made_up(5, 1), []
    for able in ("", ", ".join(("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8") * 3)):
        machines = {
            key: msgspec.structs.replace(about, microarchitecture=able)
            for key, about in made.environments.items()
        }
        changed = msgspec.structs.replace(made, environments=machines)
        figures.write_figures(changed, tmp_path)
        with Image.open(tmp_path / "trade-off.png") as image:
            widths.append(image.width)
    assert widths[1] < 1.1 * widths[0]


def test_bars_hold_the_files_accuracies():
    made = made_up(3, 1)
    chart = figures.accuracy_bars(made)
    assert chart is not None
    values = chart.to_dict()["data"]["values"]
    expected = [100 * e.accuracy.top1 for e in made.entries if e.accuracy]
    assert [v["top1"] for v in values] == expected


def test_the_readme_figure_is_that_of_the_published_results():
    """By the chart that the PNG names, as pixels depend on the machine's fonts."""
    from PIL import Image

    chosen = shown(read_results(ROOT / "results.json"))
    assert chosen is not None
    chart = figures.trade_off(chosen.results, times=chosen.times)
    assert chart is not None
    with Image.open(ROOT / "docs" / "figures" / "trade-off.png") as image:
        assert image.info[figures.CHART_KEY] == figures.chart_id(chart), "run `make readme`"


def drawn_boxes(svg: Path, words: set[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Of each text among `words`: left, top, right, bottom as a renderer draws it."""
    import vl_convert
    from PIL import Image, ImageChops

    whole = svg.read_text()
    texts = re.findall(r"<text[^>]*>[^<]*</text>", whole)
    boxes = []

    def pixels(text: str) -> Image.Image:
        return Image.open(io.BytesIO(vl_convert.svg_to_png(text, scale=2))).convert("L")

    before = pixels(whole)
    for text in texts:
        if (name := re.sub(r"<[^>]*>", "", text)) in words:
            box = ImageChops.difference(before, pixels(whole.replace(text, ""))).getbbox()
            assert box is not None, f"{name} is not to be seen"
            boxes.append((name, box))
    return boxes


@pytest.mark.parametrize("batch_size", [1, 64])
def test_no_name_of_the_published_trade_off_covers_another(tmp_path: Path, batch_size: int):
    chosen = shown(read_results(ROOT / "results.json"))
    assert chosen is not None
    chart = figures.trade_off(chosen.results, batch_size, chosen.times)
    assert chart is not None
    names = {e.model for e in chosen.results.entries}
    boxes = drawn_boxes(figures.write_chart(chart, tmp_path / "chart.svg"), names)
    assert len(boxes) >= 7
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one} and {other}"


def test_another_figure_has_another_name():
    ids = {figures.chart_id(c) for s in (0, 1) if (c := figures.trade_off(made_up(3, 1, seed=s)))}
    assert len(ids) == 2


def test_the_last_digit_of_a_figure_which_processors_disagree_on_changes_no_name():
    altair = pytest.importorskip("altair")

    def name(*values: float) -> str:
        rows = altair.Data(values=[{"x": value} for value in values])
        points = altair.Chart(rows).mark_point().encode(x="x:Q")
        return figures.chart_id(points + points.transform_filter("datum.x > 0"))

    assert 0.1 + 0.2 != 0.3
    assert name(0.1 + 0.2, 5e-9) == name(0.3, 5e-9)
    assert len({name(0.3, 5e-9), name(0.3001, 5e-9), name(5e-9, 0.3)}) == 3


def test_nothing_to_draw_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.write_figures(Results(entries=(entry(),)), tmp_path)


def test_without_altair_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ValueError, match=r'pip install "lightfer\[report\]"'):
        figures.write_figures(made_up(2, 1), tmp_path)


def test_latex_has_a_row_per_model_and_no_command_of_a_file(tmp_path: Path):
    text = latex(made_up(4, 2))
    assert text.count(r"\begin{tabular}{lrrrrrrrr}") == 2
    assert len(re.findall(r"^    net\\_00\d &.*\\\\$", text, re.M)) == 8
    path = tmp_path / "hostile.json"
    hostile(path)
    evil = r"\input{x} % & # $ ^ ~ { }"
    shown = latex(Results(environments=read_results(path).environments, entries=(entry(evil),)))
    assert r"\input" not in shown
    from lightfer.report.exchange.latex import escaped

    assert escaped(evil).startswith(r"\textbackslash{}input\{x\} \% \& \# \$")
    assert "\n" not in escaped("a\nb\u2028c")


def test_a_row_of_latex_is_no_option_of_the_one_before():
    for name in ("[2pt] net", "* net"):
        text = latex(Results(environments={"e": ENVIRONMENT}, entries=(entry(name),)))
        assert rf"{{}}{name}" in text
