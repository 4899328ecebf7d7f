"""Encoded images of any size and colour -> grey squares, and folders of them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from lightfer.data.crop import CROP_SIDE, Box, face_crop
from lightfer.data.dataset import IMAGE_SIZE, DataError, Split
from lightfer.data.finder import default_finder, no_opencv
from lightfer.data.members import Member
from lightfer.data.names import USAGES
from lightfer.data.official import ROWS
from lightfer.data.pictures import PictureError, open_picture


def decode(data: bytes, where: str, size: int = IMAGE_SIZE, box: Box | None = None) -> np.ndarray:
    """Encoded image -> uint8 (size, size), grey, as `lightfer predict` prepares it.

    `box` is the face's, where the picture is no crop already. The rule is that of
    `lightfer.data.pictures` and `lightfer.data.crop`: a grey crop of the right size comes out
    unchanged. Raises DataError.
    """
    picture = _opened(data, where)
    if box and not _overlaps(picture, box):
        raise DataError(
            f"{where}: {picture.width}x{picture.height} pixels, and the face's box {tuple(box)} is "
            "outside of it, or far larger. Use the pictures in the size in which they were "
            "distributed"
        )
    return face_crop(picture, box, (size, size))


def _overlaps(picture: Image.Image, box: Box) -> bool:
    """What of the box lies outside is filled in, which of a wrong number would fill the memory."""
    inside = -box.width < box.x < picture.width and -box.height < box.y < picture.height
    return inside and max(box.width, box.height) <= 2 * max(picture.size)


def _opened(data: bytes, where: str) -> Image.Image:
    try:
        return open_picture(data)
    except PictureError as error:
        raise DataError(f"{where}: {error}") from error


def stack(images: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """N arrays (S, S) -> uint8 (N, 1, size, size), resized as `decode` does where S is another."""
    return torch.from_numpy(np.stack([resized(image, size) for image in images])).unsqueeze(1)


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Grey uint8 (S, S) -> (size, size)."""
    if pixels.shape == (size, size):
        return pixels
    return face_crop(Image.fromarray(pixels), None, (size, size))


def resized_split(split: Split, size: int) -> Split:
    """The split with images of `size` pixels a side, made of those that it has."""
    if split.images.shape[-1] == size:
        return split
    return replace(split, images=stack(list(split.images[:, 0].numpy()), size))


class Face(NamedTuple):
    """One picture of a data set, and what its files say of it."""

    member: Member
    label: int
    box: Box | None = None  # None: it is a crop already


def read_faces(faces: Sequence[Face], size: int) -> Split:
    """Decode one split, in this order. Raises DataError for a picture that cannot be used."""
    images = [decode(face.member.read(), face.member.where, size, face.box) for face in faces]
    return Split(stack(images, size), torch.tensor([face.label for face in faces]))


def framed(faces: Sequence[Face]) -> list[Face]:
    """The faces with the box of the largest one that OpenCV finds in each picture, as
    `lightfer predict` crops it; a small picture is a crop already.

    Raises DataError without OpenCV, and for a picture in which no face is found.
    """
    finder, boxed = default_finder(), []
    for face in faces:
        picture = _opened(face.member.read(), face.member.where)
        if max(picture.size) <= CROP_SIDE:
            boxed.append(face)
            continue
        if finder is None:
            raise DataError(
                f"{face.member.where}: finding the face in it needs OpenCV: {no_opencv()}"
            )
        found = finder(np.asarray(picture.convert("L")))
        if not found:
            raise DataError(
                f"{face.member.where}: no face found. Crop the pictures of this set, to at most "
                f"{CROP_SIDE} pixels, or leave this one out"
            )
        boxed.append(face._replace(box=found[0]))
    return boxed


def read_images(members: Sequence[Member], labels: Sequence[int], size: int) -> Split:
    """Decode one split. Ordered by the number in the file names where each has its own.

    The number is the line of the CSV where it can be (0 to 35,886); otherwise only an order.
    """
    numbers = [_number(member) for member in members]
    order = list(range(len(members)))
    numbered = None not in numbers and len(set(numbers)) == len(numbers)
    if numbered:
        order.sort(key=lambda i: numbers[i] or 0)
    images = [decode(members[i].read(), members[i].where, size) for i in order]
    rows = torch.tensor([numbers[i] or 0 for i in order]) if numbered else None
    if rows is not None and int(rows.max()) >= ROWS:
        rows = None
    return Split(stack(images, size), torch.tensor([labels[i] for i in order]), rows)


def _number(member: Member) -> int | None:
    """4 for `PublicTest_4.jpg`; None where no Usage stands before the number."""
    match = re.fullmatch(rf"(?:{'|'.join(USAGES)})_([0-9]{{1,12}})", member.stem.lower())
    return int(match[1]) if match else None
