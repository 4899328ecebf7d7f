"""Worse images: how far from the good ones at each strength, and that seeds repeat them."""

import numpy as np
import torch

from lightfer.data import Dataset
from lightfer.data.corruptions import STRENGTHS, corrupted


def kinds(images: torch.Tensor, seed: int = 0) -> dict[str, np.ndarray]:
    return {name: worse.numpy()[:, 0] for name, worse in corrupted(images, seed)}


def test_every_kind_has_three_strengths_each_farther_off(faces: Dataset):
    images = faces["test"].images
    found, clean = kinds(images), images.numpy()[:, 0].astype(float)
    assert list(found) == [f"{kind} {i}" for kind in STRENGTHS for i in (1, 2, 3)]
    for kind in STRENGTHS:
        worse = [found[f"{kind} {i}"] for i in (1, 2, 3)]
        assert all(w.dtype == np.uint8 and w.shape == clean.shape for w in worse)
        off = [np.abs(w - clean).mean() for w in worse]
        assert 0 < off[0] < off[1] < off[2], kind


def test_an_image_is_made_worse_alike_whatever_stands_beside_it(faces: Dataset):
    images = faces["test"].images
    whole, part = kinds(images), kinds(images[:5])
    for name in whole:
        assert (whole[name][:5] == part[name]).all(), name
    assert any((whole[name] != worse).any() for name, worse in kinds(images, seed=1).items())


def test_strengths_are_what_they_say():
    """On a grey image: noise has its deviation, brightness its step, the square its side."""
    grey = torch.full((64, 1, 48, 48), 128, dtype=torch.uint8)
    found = kinds(grey)
    for i, sigma in enumerate(STRENGTHS["noise"], 1):
        noise = found[f"noise {i}"].astype(float) - 128
        assert abs(noise.mean()) < 0.2
        assert abs(noise.std() - sigma) < 0.1
    for i, levels in enumerate(STRENGTHS["brightness"], 1):
        steps = found[f"brightness {i}"].astype(float) - 128
        assert set(np.unique(steps)) == {-levels, levels}
    ramp = torch.arange(48, dtype=torch.uint8).repeat(64, 1, 48, 1) * 5
    for i, share in enumerate(STRENGTHS["occlusion"], 1):
        covered = (kinds(ramp)[f"occlusion {i}"] != ramp.numpy()[:, 0]).sum((1, 2))
        side = round(48 * share)
        assert side * (side - 1) <= covered.min() <= covered.max() <= side**2


def test_a_blur_is_that_of_its_deviation():
    """A bright point becomes a Gaussian: its second moment is the deviation squared."""
    point = torch.zeros(1, 1, 48, 48, dtype=torch.uint8)
    point[0, 0, 22:26, 22:26] = 255
    spread = np.arange(48) - 23.5
    own = np.square(spread[22:26]).mean()
    for i, sigma in enumerate(STRENGTHS["blur"], 1):
        row = kinds(point)[f"blur {i}"][0].astype(float).sum(0)
        moment = (row * spread**2).sum() / row.sum() - own
        assert abs(moment**0.5 - sigma) < 0.2 * sigma
