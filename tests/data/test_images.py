"""Decoding; oracle: Pillow's own pixels, or images with one known grey."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lightfer.data import DataError
from lightfer.data.crop import Box, face_crop
from lightfer.data.images import decode
from lightfer.data.pictures import open_picture

GREY = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_lossless_grey_48x48_is_unchanged(kind: str, options: dict):
    np.testing.assert_array_equal(decode(encode(Image.fromarray(GREY), kind, **options), ""), GREY)


def test_jpeg_is_as_pillow_decodes_it():
    data = encode(Image.fromarray(GREY), "JPEG", quality=95)
    np.testing.assert_array_equal(decode(data, ""), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("size", [(48, 48), (200, 100), (7, 9)])
def test_every_mode_and_size_gives_grey_48x48(mode: str, size: tuple[int, int]):
    kind = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    found = decode(encode(Image.new("RGB", size, (255, 255, 255)).convert(mode), kind), "")
    assert (found.shape, found.dtype, int(found.min())) == ((48, 48), np.uint8, 255)


def test_the_middle_square_is_kept():
    image = Image.new("L", (144, 48), 0)
    image.paste(200, (48, 0, 96, 48))
    assert decode(encode(image), "").min() == 200


def png_of(width: int, height: int) -> bytes:
    """A PNG of one pixel whose header claims another size."""
    data = bytearray(encode(Image.new("L", (1, 1))))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"x\.png: not an image"),
        (b"GIF89a", r"x\.png: (broken|not an) image"),
        (b"no image", r"x\.png: not an image, or none of PNG, JPEG"),
        (encode(Image.fromarray(GREY))[:-200], r"x\.png: broken image"),
        (png_of(48, 48), r"x\.png: broken image"),
        (png_of(20_000, 20_000), r"x\.png: .*more than|x\.png: 20,000x20,000 pixels"),
        (png_of(9_000, 9_000), r"x\.png: 9,000x9,000 pixels, at most 50,000,000"),
    ],
)
def test_what_cannot_be_decoded_is_named(data: bytes, message: str):
    with pytest.raises(DataError, match=message):
        decode(data, "x.png")


PICTURES = {
    "transparent": (Image.new("RGBA", (48, 48), (0, 0, 0, 0)), 255),
    "16 bits": (Image.fromarray(np.full((48, 48), 51_456, np.uint16)), 201),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_training_sees_a_picture_as_predict_does(picture: tuple[Image.Image, int]):
    """Transparent pixels lie on white; until 0.1.0 they were black here and white there."""
    data = encode(picture[0])
    assert (decode(data, "") == picture[1]).all()
    np.testing.assert_array_equal(decode(data, ""), face_crop(open_picture(data), None, (48, 48)))


def test_a_box_is_cropped_as_predict_crops_it():
    image = Image.new("L", (200, 100), 0)
    image.paste(200, (100, 20, 160, 80))
    assert decode(encode(image), "", 64, Box(104, 24, 52, 52)).shape == (64, 64)
    assert (decode(encode(image), "", 64, Box(104, 24, 52, 52)) == 200).all()
