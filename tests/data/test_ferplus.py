"""FER+ votes; oracle: a file written here whose every vote is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightfer.data import DataError, Split
from lightfer.data.ferplus import CHOICES, agreement, majority_labels, read_votes

HEADER = "Usage,Image name," + ",".join(CHOICES)
NEUTRAL = [10, 0, 0, 0, 0, 0, 0, 0, 0, 0]
CASES = {  # votes of the first rows, their label by the rule, and by the top vote
    0: ([0, 0, 0, 0, 6, 4, 0, 0, 0, 0], 0, 0),  # anger
    1: ([0, 0, 0, 0, 0, 9, 1, 0, 0, 0], 1, 1),  # disgust
    2: ([0, 4, 0, 3, 0, 0, 0, 3, 0, 0], 3, 3),  # happiness, less than half of the votes
    3: ([0, 5, 0, 5, 0, 0, 0, 0, 0, 0], None, 3),  # a tie: the top vote is its first choice
    4: ([1, 0, 0, 0, 0, 0, 0, 9, 0, 0], None, 7),  # contempt
    5: ([1, 0, 0, 0, 0, 0, 0, 0, 9, 0], None, 7),  # unknown
    6: ([1, 0, 0, 0, 0, 0, 0, 0, 0, 9], None, 7),  # not a face
    7: (NEUTRAL, None, 6),  # without image name
    8: (NEUTRAL, 6, 6),
}


def lines() -> list[str]:
    usages = ["Training"] * 28_709 + ["PublicTest"] * 3_589 + ["PrivateTest"] * 3_589
    return [
        f"{usage},{'' if row == 7 else f'fer{row + 500:07}.png'},"
        + ",".join(map(str, CASES.get(row, (NEUTRAL,))[0]))
        for row, usage in enumerate(usages)
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ferplus") / "fer2013new.csv"
    path.write_text("\n".join([HEADER, *lines()]) + "\n")
    return path


def split_of(rows: list[int], labels: list[int]) -> Split:
    images = torch.zeros(len(rows), 1, 48, 48, dtype=torch.uint8)
    return Split(images, torch.tensor(labels), torch.tensor(rows))


def test_votes_are_joined_by_line_and_follow_the_rule(path: Path):
    rows = [8, *range(8)]
    labels, mask = majority_labels(split_of(rows, [0] * 9), read_votes(path))
    expected = [CASES[row][1] for row in rows]
    assert mask.tolist() == [label is not None for label in expected]
    assert labels.tolist() == [-1 if label is None else label for label in expected]


def test_agreement_counts_named_images_only(path: Path):
    right = [CASES[row][2] % 7 for row in range(9)]  # 7, no class, never equals a label
    assert agreement(split_of(list(range(9)), right), read_votes(path)) == pytest.approx(5 / 8)


def test_data_without_rows_cannot_be_joined(path: Path):
    with pytest.raises(DataError, match="do not tell each image's line"):
        majority_labels(replace(split_of([0], [0]), rows=None), read_votes(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_lines: all_lines[:-1], r"35,886 lines below the header, expected FER\+"),
        (lambda all_lines: [all_lines[0][:-1] + "x", *all_lines[1:]], r"line 2: votes"),
        (lambda all_lines: [all_lines[0] + ",1", *all_lines[1:]], r"line 2: 13 columns"),
        (lambda all_lines: all_lines[::-1], r"line 2: Usage 'PrivateTest' instead of"),
    ],
)
def test_a_wrong_file_is_named(change, message: str, tmp_path: Path):
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join([HEADER, *change(lines())]))
    with pytest.raises(DataError, match=message):
        read_votes(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n"])
def test_another_file_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "votes.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"github\.com/microsoft/FERPlus"):
        read_votes(tmp_path / "votes.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_votes(tmp_path / "missing.csv")
