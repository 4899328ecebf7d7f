"""The contract between a picture and the network: which part of it becomes the face.

FER2013's faces are boxes of OpenCV's Haar cascade, corrected by hand. Found again by the same
cascade (`haarcascade_frontalface_alt2`, 400 images of its train split, drawn at four times their
size), the box has 0.96 of the image's side in the median, and its middle is the image's within
0.01. So a face is cropped as a square of `SCALE` times the longer side of its box, about the same
middle. There is no alignment: eyes are not rotated to a line, as FER2013's are not.

What a square has outside the picture is filled with the nearest pixels of its edge. Colour becomes
luma (ITU-R 601). Sizes change with antialiasing (bilinear, its support widened when shrinking), as
in the data's own preparation and in exported graphs. A picture that is a crop already is cut to its
largest centred square.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

SCALE = 1 / 0.96
"""Side of the crop in sides of a Haar box."""
CROP_SIDE = 128
"""Pixels: a picture whose longer side is no longer is taken for a crop, where nothing is said."""


class Box(NamedTuple):
    """A rectangle in pixels of the upright picture, from its top left corner."""

    x: int
    y: int
    width: int
    height: int


def face_crop(picture: Image.Image, box: Box | None, size: tuple[int, int]) -> np.ndarray:
    """A picture of mode L or RGB -> uint8 (height, width), grey; `size` is (height, width).

    `box` is a face's as a finder gives it, or None for a picture that is a crop already.
    """
    x, y, side = _square(picture, box)
    region = (x, y, x + side, y + side)
    inside = (max(x, 0), max(y, 0), min(x + side, picture.width), min(y + side, picture.height))
    part = picture if inside == (0, 0, *picture.size) else picture.crop(inside)
    grey = part if part.mode == "L" else part.convert("L")
    if region != inside:
        margins = [abs(a - b) for a, b in zip(region, inside, strict=True)]
        left, top, right, bottom = margins
        padded = np.pad(np.asarray(grey), ((top, bottom), (left, right)), mode="edge")
        grey = Image.fromarray(padded)
    height, width = size
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grey)


def _square(picture: Image.Image, box: Box | None) -> tuple[int, int, int]:
    """Left, top and side of what becomes the crop; may reach out of the picture."""
    if box is None:
        side = min(picture.size)
        return (picture.width - side) // 2, (picture.height - side) // 2, side
    side = max(1, round(max(box.width, box.height) * SCALE))
    left = round(box.x + box.width / 2 - side / 2)
    top = round(box.y + box.height / 2 - side / 2)
    return left, top, side
