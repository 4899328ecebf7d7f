"""The face-crop contract, against slices and Pillow's own resizing."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from lightfer.data.crop import SCALE, Box, face_crop

PIXELS = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)
SIZE = (48, 48)


def test_a_crop_of_the_right_size_is_left_alone():
    crop = PICTURE.crop((0, 0, 48, 48))
    assert (face_crop(crop, None, SIZE) == PIXELS[:48, :48]).all()


def test_the_margin_is_four_percent_about_the_middle_of_the_box():
    """A box of 48 pixels at 0.96 of the side gives a square of 50, one pixel more on each side."""
    assert round(48 * SCALE) == 50
    found = face_crop(PICTURE, Box(30, 40, 48, 48), (50, 50))
    assert (found == PIXELS[39:89, 29:79]).all()


def test_an_oblong_box_gives_the_square_of_its_longer_side():
    found = face_crop(PICTURE, Box(36, 40, 36, 48), (50, 50))
    assert (found == PIXELS[39:89, 29:79]).all()


def test_outside_the_picture_is_its_edge():
    found = face_crop(PICTURE, Box(-10, -10, 48, 48), (50, 50))
    assert (found[11:, 11:] == PIXELS[:39, :39]).all()
    assert (found[:11, 11:] == PIXELS[0, :39]).all()
    assert (found[11:, :11] == PIXELS[:39, :1]).all()
    found = face_crop(PICTURE, Box(140, 100, 48, 48), (50, 50))
    assert (found[21:, :21] == PIXELS[-1, 139:]).all()


@pytest.mark.parametrize("side", [96, 1000])
def test_shrinking_is_antialiased(side: int):
    """The oracle is torch's antialiased bilinear resizing."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side), dtype=np.uint8)
    found = face_crop(Image.fromarray(pixels), None, SIZE)
    x = torch.from_numpy(pixels)[None, None].float()
    expected = interpolate(x, SIZE, mode="bilinear", antialias=True, align_corners=False)[0, 0]
    assert np.abs(found - expected.numpy()).max() <= 1


def test_colour_becomes_luma():
    red = Image.new("RGB", (48, 48), (200, 0, 0))
    assert np.unique(face_crop(red, None, SIZE)).tolist() == [round(0.299 * 200)]


def test_a_crop_that_is_not_square_loses_its_ends():
    assert (face_crop(PICTURE, None, (120, 120)) == PIXELS[:, 20:140]).all()


def test_a_tiny_crop_is_enlarged():
    assert face_crop(PICTURE.crop((0, 0, 20, 20)), None, SIZE).shape == SIZE
    assert face_crop(PICTURE.crop((0, 0, 1, 1)), None, SIZE).shape == SIZE
