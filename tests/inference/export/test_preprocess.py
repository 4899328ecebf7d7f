"""What stands inside a graph before the network. Oracles: Pillow, and `normalize`."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightfer.data import Dataset
from lightfer.data.dataset import MEAN, STD, normalize
from lightfer.inference.export.preprocess import Preprocess, filter_matrix

SIZE = 48


def pixels(rgb: np.ndarray) -> np.ndarray:
    """What `Preprocess` makes of (N, H, W, 3), undone to pixels (N, 48, 48)."""
    x = Preprocess(MEAN, STD, SIZE, SIZE)(torch.from_numpy(rgb))
    assert x.shape == (len(rgb), 1, SIZE, SIZE)
    return ((x[:, 0] * STD + MEAN) * 255).numpy()


def test_a_grey_face_of_the_right_size_is_only_normalised(faces: Dataset):
    images = faces["test"].images
    rgb = images.squeeze(1).unsqueeze(3).expand(-1, -1, -1, 3)
    found = Preprocess(MEAN, STD, SIZE, SIZE)(rgb)
    torch.testing.assert_close(found, normalize(images), rtol=0, atol=1e-6)


def test_grey_is_pillows():
    """All of 48 x 48 random colours, the corners of the cube among them."""
    rgb = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    rgb[0, 0, :8] = [[255 * (i >> b & 1) for b in range(3)] for i in range(8)]
    expected = np.asarray(Image.fromarray(rgb[0]).convert("L"))
    np.testing.assert_allclose(pixels(rgb)[0], expected, atol=1e-2)


@pytest.mark.parametrize("size", [(96, 96), (97, 64), (20, 31), (300, 201), (1, 1), (48, 60)])
def test_resizing_is_pillows_to_one_level(size: tuple[int, int]):
    rgb = np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    bilinear = Image.Resampling.BILINEAR
    expected = [
        np.asarray(Image.fromarray(image).convert("L").resize((SIZE, SIZE), bilinear))
        for image in rgb
    ]
    difference = np.abs(pixels(rgb) - np.stack(expected))
    assert difference.max() < 1.01
    assert (difference > 0.5).mean() < 0.25


def test_the_filter_of_equal_sizes_is_the_identity_and_every_row_sums_to_one():
    assert torch.equal(filter_matrix(SIZE, SIZE), torch.eye(SIZE))
    for size in (1, 7, 49, 500):
        torch.testing.assert_close(filter_matrix(size, SIZE).sum(1), torch.ones(SIZE))
