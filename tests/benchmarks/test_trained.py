"""The table that several folders of trainings fill."""

from pathlib import Path

import msgspec
from benchmarks.trained import add_cards

from lightfer.models.weights import Card
from tests.models.test_weights import card


def test_a_table_keeps_what_it_has_and_replaces_the_same_net_and_seed(tmp_path: Path):
    table = tmp_path / "equal.jsonl"
    first = [msgspec.structs.replace(card("squeezenet1_0"), seed=seed) for seed in (2, 0)]
    assert add_cards(table, first) == first[::-1]
    again = msgspec.structs.replace(first[0], recipe="again")
    other = msgspec.structs.replace(card("mobilenet_v1"), seed=1)
    assert add_cards(table, [again, other]) == [other, first[1], again]
    lines = table.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Card) for line in lines] == [other, first[1], again]
