"""Encoded images of any size and colour -> grey 48x48, and folders of them."""

import io
import re
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError, features

from lightfer.data.dataset import IMAGE_SIZE, DataError, Split
from lightfer.data.members import Member
from lightfer.data.names import USAGES
from lightfer.data.official import ROWS

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".pgm", ".ppm", ".gif", ".tif", ".tiff")
    + ((".avif",) if features.check("avif") else ())
)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "GIF", "TIFF")
FORMATS += ("AVIF",) if features.check("avif") else ()
MAX_PIXELS = 50_000_000


def decode(data: bytes, where: str) -> np.ndarray:
    """Encoded image -> uint8 (48, 48). A grey 48x48 image comes out unchanged.

    Colour becomes luma (ITU-R 601), the orientation written by a camera is applied, and of other
    sizes the largest centred square is resized with antialiasing (bilinear). Raises DataError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about files that it then reads
            return _decode(data)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except MemoryError:
        raise
    # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, IndexError and others.
    except Exception as error:
        found = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            found = "unknown format" if data else "empty"
        raise DataError(
            f"{where}: broken image ({found}), expected one of {', '.join(FORMATS)}. "
            "Replace or remove it"
        ) from error


def _decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"image of {width}x{height} pixels, at most {MAX_PIXELS:,} are decoded. "
                "Make it smaller or remove it"
            )
        if image.mode.startswith(("I", "F")):
            raise DataError(f"image of mode {image.mode}, expected 8 bits. Convert it to 8 bits")
        image.load()
        grey = ImageOps.exif_transpose(image).convert("L")
    if grey.size != (IMAGE_SIZE, IMAGE_SIZE):
        grey = ImageOps.fit(grey, (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(grey)


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
