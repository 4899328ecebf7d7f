"""The list: what it expands to, in which order, and what is wrong with it."""

from pathlib import Path

import pytest

from lightfer.train.sweep.items import Item, check_items, in_order, read_list

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


def test_folds_without_a_name_are_teachers_by_the_name_that_they_get(tmp_path: Path):
    """One fold by its name is that one, not all."""
    line = '[[item]]\nmodel = "m"\n'
    one = f'{line}name = "one"\nteachers = ["m-seed0-fold0"]\n'
    both = f'{line}name = "both"\nteachers = ["m-seed0"]\n'
    items = {item.name: item for item in listed(tmp_path, f"{line}folds = 2\n{one}{both}")}
    assert items["one"].teachers == ("m-seed0-fold0",)
    assert items["both"].teachers == ("m-seed0-fold0", "m-seed0-fold1")


def test_teachers_have_the_value_of_their_student(tmp_path: Path):
    names = [item.name for item in in_order(listed(tmp_path, LIST))]
    assert set(names[:4]) == {"student", *(f"teacher-fold{i}" for i in range(3))}
    assert names[4] == "mobilenet_v1_x0_25-seed0"


def test_a_chain_of_teachers_has_the_value_of_its_last_student(tmp_path: Path):
    chain = [
        f'[[item]]\nmodel = "m"\nname = "{name}"\nteachers = [{teacher}]\nvalue = {value}'
        for name, teacher, value in (("b", '"a"', 1), ("c", '"b"', 3), ("a", "", 1), ("x", "", 2))
    ]
    names = [item.name for item in in_order(listed(tmp_path, "\n".join(chain)))]
    assert (names[-1], set(names[:3])) == ("x", {"a", "b", "c"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[item]]\nmodel = 3", "list.toml: Expected `str`, got `int`.*item"),
        ('[[item]]\nmodel = "m"\nepochs = 3', "unknown field `epochs`"),
        ("[[item]]\n", "missing required field `model`"),
        ("item = ", "list.toml: Invalid"),
        ("", r"list.toml: .*expected a list of \[\[item\]\]s in TOML, .* or a pack"),
        ('{"a": 1}', r"list.toml: .*expected a list of \[\[item\]\]s in TOML, .* or a pack"),
        ('[[item]]\nmodel = "m"\n[[item]]\nmodel = "m"', "two items are called m-seed0"),
        ('[[item]]\nmodel = "m"\nname = "../m"', "cannot be the name"),
        ('[[item]]\nmodel = "m"\nname = ".s"', "'.s' cannot be the name .* no dot in front"),
        ('[[item]]\nmodel = "m"\nfold = "3/3"', "fold 3/3 does not exist"),
        ('[[item]]\nmodel = "m"\nfolds = 1', "fold 0/1 does not exist"),
        ('[[item]]\nmodel = "m"\nfolds = 0', "fold 0/0 does not exist"),
        ('[[item]]\nmodel = "m"\nfolds = 1000000000', "fold 0/1000000000 does not exist"),
        ('[[item]]\nmodel = "m"\nvalue = nan', "m-seed0: value is nan, expected a finite number"),
        ('[[item]]\nmodel = "m"\nvalue = -inf', "m-seed0: value is -inf, expected a finite number"),
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


def test_the_recipe_taught_is_with_a_teacher(tmp_path: Path):
    """It trained without one, for as long, and no word told it."""
    alone = '[[item]]\nmodel = "mobilenet_v1"\nrecipe = "taught"\n'
    with pytest.raises(ValueError, match="mobilenet_v1-seed0: the recipe taught is with a teacher"):
        check_items(listed(tmp_path, alone), tmp_path / "queue")
    check_items(listed(tmp_path, f'{alone}teachers = ["vgg_slim"]\n'), tmp_path / "queue")


def test_no_list(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        read_list(tmp_path / "none.toml")
