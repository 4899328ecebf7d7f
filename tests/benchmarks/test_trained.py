"""The table that several folders of trainings fill."""

from pathlib import Path

import msgspec
from benchmarks.trained import add_cards

from lightfer.models.weights import Card
from tests.models.test_weights import card


def test_a_table_keeps_what_it_has_and_replaces_the_same_net_recipe_and_seed(tmp_path: Path):
    table = tmp_path / "equal.jsonl"
    first = [msgspec.structs.replace(card("squeezenet1_0"), seed=seed) for seed in (2, 0)]
    assert add_cards(table, first) == first[::-1]
    again = msgspec.structs.replace(first[0], epochs=first[0].epochs + 1)
    taught = msgspec.structs.replace(first[0], recipe="taught")
    other = msgspec.structs.replace(card("mobilenet_v1"), seed=1)
    rows = sorted([other, first[1], again, taught], key=lambda c: (c.model, c.recipe, c.seed))
    assert add_cards(table, [again, other, taught]) == rows
    lines = table.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Card) for line in lines] == rows
