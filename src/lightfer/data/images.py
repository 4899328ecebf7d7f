"""Encoded images of any size and colour -> grey squares, and folders of them."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from lightfer.data.crop import Box, face_crop
from lightfer.data.dataset import IMAGE_SIZE, DataError, Split
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
    try:
        return face_crop(open_picture(data), box, (size, size))
    except PictureError as error:
        raise DataError(f"{where}: {error}") from error


def stack(images: Sequence[np.ndarray]) -> torch.Tensor:
    """N arrays (48, 48) -> uint8 (N, 1, 48, 48)."""
    return torch.from_numpy(np.stack(images).reshape(-1, 1, IMAGE_SIZE, IMAGE_SIZE))


def read_images(members: Sequence[Member], labels: Sequence[int]) -> Split:
    """Decode one split. Ordered by the number in the file names where each has its own.

    The number is the line of the CSV where it can be (0 to 35,886); otherwise only an order.
    """
    numbers = [_number(member) for member in members]
    order = list(range(len(members)))
    numbered = None not in numbers and len(set(numbers)) == len(numbers)
    if numbered:
        order.sort(key=lambda i: numbers[i] or 0)
    images = [decode(members[i].read(), members[i].where) for i in order]
    rows = torch.tensor([numbers[i] or 0 for i in order]) if numbered else None
    if rows is not None and int(rows.max()) >= ROWS:
        rows = None
    return Split(stack(images), torch.tensor([labels[i] for i in order]), rows)


def _number(member: Member) -> int | None:
    """4 for `PublicTest_4.jpg`; None where no Usage stands before the number."""
    match = re.fullmatch(rf"(?:{'|'.join(USAGES)})_([0-9]{{1,12}})", member.stem.lower())
    return int(match[1]) if match else None
