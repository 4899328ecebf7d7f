"""Recognising FER2013; oracle: the real data where they are, and sets with the official counts."""

from dataclasses import replace

import pytest
import torch

from lightfer.data import CLASSES, SPLITS, DataError, Dataset, Split, SplitName, official
from lightfer.data.official import CLASS_COUNTS, EXEMPT_ROWS, FIRST_ROW, ROWS, recognise
from lightfer.data.official import has_official_counts as check


def blank(counts: tuple[int, ...]) -> Split:
    labels = torch.arange(len(CLASSES)).repeat_interleave(torch.tensor(counts))
    return Split(torch.zeros(len(labels), 1, 48, 48, dtype=torch.uint8), labels)


def test_the_splits_follow_each_other():
    ends = [FIRST_ROW[name] + sum(CLASS_COUNTS[name]) for name in SPLITS]
    assert ends == [FIRST_ROW["validation"], FIRST_ROW["test"], ROWS]
    assert len(EXEMPT_ROWS) == len(set(EXEMPT_ROWS)) == 324


@pytest.mark.parametrize("name", SPLITS)
def test_counts_alone_prove_nothing(name: SplitName):
    split = blank(CLASS_COUNTS[name])
    assert check(name, split)
    assert recognise(name, split) == (split, "none")


def test_folder_order_instead_of_csv_order_is_refused():
    """Alphabetical folders put neutral fourth; the counts of the classes betray it."""
    counts = CLASS_COUNTS["test"]
    alphabetical = tuple(counts[CLASSES.index(name)] for name in sorted(CLASSES))
    with pytest.raises(DataError, match="class counts in another order"):
        check("test", blank(alphabetical))


def test_the_two_halves_of_kaggles_test_folder_are_refused():
    halves = zip(CLASS_COUNTS["validation"], CLASS_COUNTS["test"], strict=True)
    with pytest.raises(DataError, match=r"the 7,178 images .*do not tell them apart"):
        check("test", blank(tuple(map(sum, halves))))


def test_the_real_data_are_verified(real: Dataset):
    assert (real.name, real.verified, real.label) == ("fer2013", True, "FER2013")


def test_rows_are_filled_in_where_the_content_proves_them(real: Dataset):
    for name in SPLITS:
        found, verification = recognise(name, replace(real[name], rows=None))
        assert verification == "pixels and labels"
        assert found.rows is not None
        assert found.rows.tolist() == list(range(FIRST_ROW[name], FIRST_ROW[name] + len(found)))


def test_changed_pixels_leave_the_labels_verified(real: Dataset):
    images = real["test"].images.clone()
    images[0, 0, 0, 0] ^= 1
    assert recognise("test", replace(real["test"], images=images))[1] == "labels"


def test_two_exchanged_labels_are_noticed(real: Dataset):
    labels = real["test"].labels.clone()
    i, j = 0, int((labels != labels[0]).nonzero()[0])
    assert not {32_298 + i, 32_298 + j} & set(EXEMPT_ROWS)
    labels[i], labels[j] = labels[j].item(), labels[i].item()
    assert recognise("test", replace(real["test"], labels=labels))[1] == "none"


def test_numbers_from_0_in_each_split_are_no_rows(monkeypatch: pytest.MonkeyPatch):
    """The official data were called unverified."""
    split = blank(CLASS_COUNTS["validation"])
    rows = torch.arange(28_709, 28_709 + 3_589)
    kept = ~torch.isin(rows, torch.tensor(EXEMPT_ROWS))
    for hashes, content in (
        (official.PIXELS_SHA256, split.images[kept]),
        (official.LABELS_SHA256, split.labels[kept].to(torch.uint8)),
    ):
        monkeypatch.setitem(hashes, "validation", official._sha256(content))
    for first in (0, 1, 28_708, 28_709):
        found, verification = recognise("validation", replace(split, rows=rows - 28_709 + first))
        assert verification == "pixels and labels"
        assert found.rows is not None
        assert torch.equal(found.rows, rows)
    assert recognise("validation", replace(split, rows=rows.flip(0)))[1] == "none"
