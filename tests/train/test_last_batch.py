"""The last batch of an epoch may be small: it is learned from, or refused before the first."""

from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
import torch
from torch import nn

from lightfer.data import Dataset
from lightfer.data.augment import augment
from lightfer.data.dataset import Split
from lightfer.errors import ArgumentError
from lightfer.models.registry import create_model
from lightfer.train.loop import train
from lightfer.train.recipes import equal, find_recipe


def test_whether_an_image_is_warped_changes_no_other(faces: Dataset):
    """A batch without a warped one used to raise."""
    images = faces["train"].images[:16]
    never, half, always = (
        augment(images, replace(equal.AUGMENTATION, warp=warp), torch.Generator().manual_seed(0))
        for warp in (1e-9, 0.5, 1.0)
    )
    kept = [mixed.equal(plain) for mixed, plain in zip(half, never, strict=True)]
    assert 3 < sum(kept) < 13
    for i in range(16):
        torch.testing.assert_close(half[i], never[i] if kept[i] else always[i])


@pytest.mark.parametrize("left", [1, 2, 3])
@pytest.mark.parametrize("recipe", ["first_light", "equal", "teacher"])
def test_a_small_last_batch_is_learned_from(faces: Dataset, tmp_path: Path, recipe: str, left: int):
    torch.manual_seed(0)
    images = faces["train"].where(torch.arange(96) < 8 + left)
    config = find_recipe(recipe).config_for("shiftnet_b", epochs=6, batch_size=8, warmup_epochs=1.0)
    history = train(tiny(), images, faces["validation"], config, tmp_path).history
    assert all(isfinite(epoch.train_loss) for epoch in history)


def tiny() -> nn.Module:
    """With a batch norm on a map of more than one pixel."""
    convolution = nn.Conv2d(1, 4, 3, 16)
    return nn.Sequential(
        convolution, nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7)
    )


@pytest.mark.parametrize("batch_size", [1, 5])
def test_one_image_for_a_norm_of_one_pixel_is_refused_before_the_first_epoch(
    faces: Dataset, tmp_path: Path, batch_size: int
):
    """At 32 pixels a side the nets of output stride 32 end at one pixel."""
    train_split, validation = (
        Split(faces[name].images[..., 8:40, 8:40], faces[name].labels)
        for name in ("train", "validation")
    )
    net, config = create_model("mobilenet_v1_x0_25"), equal.config_for("mobilenet_v1_x0_25")
    config = replace(config, batch_size=batch_size)
    with pytest.raises(ArgumentError, match=f"batches of {batch_size} leave one .* another batch"):
        train(net, train_split, validation, config, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_a_split_without_images_is_refused(faces: Dataset, tmp_path: Path, empty: str):
    """As where all images are of one fold, or have no majority of votes."""
    splits = {name: faces[name] for name in ("train", "validation")}
    splits[empty] = splits[empty].where(torch.zeros(len(splits[empty]), dtype=torch.bool))
    with pytest.raises(ArgumentError, match=f"no image of {empty} is left"):
        train(
            tiny(), splits["train"], splits["validation"], equal.config_for("shiftnet_b"), tmp_path
        )
