"""Other test sets made of the same images, for comparison with what others publish."""

import torch
from torch import Tensor

from lightfer.data.copies import image_groups
from lightfer.data.dataset import Dataset, Split, concatenate


def without_copies(dataset: Dataset) -> Tensor:
    """Mask (N,), bool, over the test split: images that occur in neither train nor validation.

    3,275 of FER2013's 3,589. Raises DataError where one of the three splits was not read.
    """
    for name in ("train", "validation"):
        dataset[name]
    groups = image_groups(dataset)
    elsewhere = torch.cat([groups["train"], groups["validation"]])
    return ~torch.isin(groups["test"], elsewhere)


def kaggle_test(dataset: Dataset) -> Split:
    """Validation and test together: the 7,178 images of the folder `test` in Kaggle's copy.

    Comparable with what was measured there, though models here were chosen on the first half.
    """
    return concatenate([dataset["validation"], dataset["test"]])
