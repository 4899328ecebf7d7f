"""The table of benchmarks/README.md is of the files in measured/."""

from pathlib import Path

from benchmarks import figures
from lightfer.cli.table import replace_block

PAGE = Path(__file__).parents[2] / "benchmarks/README.md"


def test_the_table_is_made_from_what_was_measured():
    page = PAGE.read_text(encoding="utf-8")
    assert replace_block(page, figures.block()) == page, "run python -m benchmarks.figures"


def test_every_command_of_the_table_is_there_and_what_falls_short_is_bold():
    rows = list(figures.rows())
    for command, *_ in rows:
        assert (PAGE.parent / command.split()[0]).is_file()
    assert figures.least(1.0, 2.0, ".1f") == ("**1.0**", "2")
    assert figures.least(2.0, 2.0, ".1f") == ("2.0", "2")
    assert figures.most(2.0, 1.0, ".1f") == ("**2.0**", "1")
    assert figures.least(2.0, None, ".1f") == ("2.0", "")


def test_a_ratio_of_the_table_is_that_of_its_file():
    """The best of two runtimes, read here from the text of the file."""
    text = (PAGE.parent / "measured/runtimes.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| shufflenet_v2_x1_0 |")]
    ratios = [line.split("|")[5].strip() for line in lines if "float32" in line]
    (figure,) = [row for row in figures.runtimes() if row[1].startswith("shufflenet_v2_x1_0: open")]
    assert float(figure[2]) == round(max(map(float, ratios)), 1)
