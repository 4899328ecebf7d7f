"""Other sets of the same images: to test on, to train on, and to set int8 by."""

from dataclasses import replace

import torch
from torch import Tensor

from lightfer.data.copies import image_groups, unflipped
from lightfer.data.dataset import Dataset, Split, concatenate

CALIBRATION_IMAGES = 512


def without_copies(dataset: Dataset) -> Tensor:
    """Mask (N,), bool, over the test split: images that occur in neither train nor validation.

    3,275 of FER2013's 3,589. Raises DataError where one of the three splits was not read.
    """
    for name in ("train", "validation"):
        dataset[name]
    groups = image_groups(dataset)
    elsewhere = torch.cat([groups["train"], groups["validation"]])
    return ~torch.isin(groups["test"], elsewhere)


def trained_without_copies(dataset: Dataset) -> Dataset:
    """`dataset`, its train split without the images, or mirror images, of validation and test.

    Of FER2013's 28,709 train images 28,006 stay. Raises DataError where a split was not read.
    """
    elsewhere = {*unflipped(dataset["validation"]), *unflipped(dataset["test"])}
    train = dataset["train"]
    new = torch.tensor([image not in elsewhere for image in unflipped(train)])
    return replace(dataset, splits={**dataset.splits, "train": train.where(new)})


def calibration_images(dataset: Dataset, count: int = CALIBRATION_IMAGES) -> Tensor:
    """`count` train images, or all if there are fewer, uint8 (N, 1, 48, 48): always the same ones.

    Raises DataError where the train split was not read.
    """
    images = dataset["train"].images
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
    return images[chosen]


def kaggle_test(dataset: Dataset) -> Split:
    """Validation and test together: the 7,178 images of the folder `test` in Kaggle's copy.

    Comparable with what was measured there, though models here were chosen on the first half.
    """
    return concatenate([dataset["validation"], dataset["test"]])
