"""The list: what it expands to, in which order, and what is wrong with it."""

from pathlib import Path

import pytest

from lightfer.train.sweep.items import Item, in_order, next_item, read_list

LIST = """
[[item]]
model = "shufflenet_v2_x0_5"
name = "student"
seed = 3
value = 5
teachers = ["teacher", "shiftnet_b"]
settings = { epochs = 2 }

[[item]]
model = "mobilenet_v1_x0_25"

[[item]]
model = "mobilenet_v1"
name = "teacher"
folds = 3
value = 0.5
"""


def listed(tmp_path: Path, text: str) -> tuple[Item, ...]:
    path = tmp_path / "list.toml"
    path.write_text(text)
    return read_list(path)


def test_a_line_with_folds_is_an_item_for_each_and_their_student_names_all(tmp_path: Path):
    items = listed(tmp_path, LIST)
    assert [item.name for item in items] == [
        "student",
        "mobilenet_v1_x0_25-seed0",
        "teacher-fold0",
        "teacher-fold1",
        "teacher-fold2",
    ]
    folds = tuple(f"teacher-fold{i}" for i in range(3))
    assert items[0].teachers == (*folds, "shiftnet_b")
    assert [item.fold for item in items[2:]] == ["0/3", "1/3", "2/3"]
    assert (items[0].settings, items[0].seed) == ({"epochs": 2}, 3)


def test_teachers_come_before_their_student_and_have_its_value(tmp_path: Path):
    items = in_order(listed(tmp_path, LIST))
    finished, order = set(), []
    while item := next_item(items, finished, ()):
        finished.add(item.name)
        order.append(item.name)
    assert order == [
        "teacher-fold0",
        "teacher-fold1",
        "teacher-fold2",
        "student",
        "mobilenet_v1_x0_25-seed0",
    ]


def test_what_waits_for_a_running_teacher_lets_others_go_first(tmp_path: Path):
    items = in_order(listed(tmp_path, LIST))
    running = {f"teacher-fold{i}" for i in range(3)}
    found = next_item(items, (), running)
    assert found is not None
    assert found.name == "mobilenet_v1_x0_25-seed0"
    assert next_item(items, (), running | {found.name}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[item]]\nmodel = 3", "list.toml: Expected `str`, got `int`.*item"),
        ('[[item]]\nmodel = "m"\nepochs = 3', "unknown field `epochs`"),
        ("[[item]]\n", "missing required field `model`"),
        ("item = ", "list.toml: Invalid"),
        ('[[item]]\nmodel = "m"\n[[item]]\nmodel = "m"', "two items are called m-seed0"),
        ('[[item]]\nmodel = "m"\nname = "../m"', "cannot be the name"),
        ('[[item]]\nmodel = "m"\nfold = "3/3"', "fold 3/3 does not exist"),
        ('[[item]]\nmodel = "m"\nfolds = 1', "fold 0/1 does not exist"),
        (
            '[[item]]\nmodel = "m"\nname = "a"\nteachers = ["b"]\n'
            '[[item]]\nmodel = "m"\nname = "b"\nteachers = ["a"]',
            "a, b are each other's teachers",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, text)


def test_no_list(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        read_list(tmp_path / "none.toml")
