"""The README: its table is that of results.json, its tree and its commands exist."""

import re
from pathlib import Path

import pytest
import typer.main

from lightfer.cli.main import app
from lightfer.cli.table import replace_block
from lightfer.report.figures import shown_trade_off
from lightfer.report.readme import block, shown
from lightfer.results import read_results

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_generated_from_the_published_results():
    results = read_results(ROOT / "results.json")
    assert len(results.entries) >= 6
    chosen = shown(results)
    assert chosen is not None
    figure = shown_trade_off(chosen.results, "docs/figures/trade-off.png", chosen.times)
    assert replace_block(README, block(chosen, figure)) == README, "run `make readme`"
    (runtime,) = {entry.runtime for entry in chosen.results.entries}
    assert re.findall(r"--runtime (\w+) +# the table above", README) == [runtime]


def test_it_is_read_in_five_minutes():
    assert len(README.splitlines()) <= 150


def test_every_path_of_the_tree_exists():
    tree = README.split("## Files")[1].split("```")[1]
    paths = re.findall(r"^( *)([\w/.]+)", tree, re.M)
    assert len(paths) > 15
    for indent, path in paths:
        assert (ROOT / ("src/lightfer" if indent else ".") / path).exists(), path


COMMANDS = sorted(set(re.findall(r"^(?:lightfer) (\w+(?: audit| fetch)?)", README, re.M)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str):
    group = typer.main.get_command(app)
    for name in command.split():
        group = group.commands[name]  # type: ignore[attr-defined]


def test_no_measured_number_stands_outside_the_generated_block():
    """No figure of the block is repeated outside, and no number there has a unit of measurement."""
    shown_block = README.split("<!-- results:begin -->")[1].split("<!-- results:end -->")[0]
    outside = README.replace(shown_block, "")
    figures = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", shown_block))
    assert len(figures) > 40
    assert figures & set(re.findall(r"\d+\.\d+", outside)) == set()
    assert re.findall(r"\d+\.\d+ ?(?:%|ms|mJ)|\d+(?:\.\d+)? ?(?:ms|mJ|FLOPs M)\b", outside) == []


def test_the_scores_of_the_test_split_are_written_down():
    """Every shipped accuracy has its line in the log beside results.json."""
    log = (ROOT / "test_scorings.jsonl").read_text()
    for entry in read_results(ROOT / "results.json").entries:
        if entry.accuracy and entry.accuracy.source == "measured":
            assert entry.weights is not None
            assert entry.weights in log
