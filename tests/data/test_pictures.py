"""Pictures of every kind against what they were made from; broken ones against their message."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from lightfer.data import pictures
from lightfer.data.pictures import (
    FORMATS,
    MAX_PIXELS,
    SUFFIXES,
    PictureError,
    as_pictures,
    not_read,
    open_picture,
)
from lightfer.inference.predict.sources import items_of

GREY = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def assert_is(source, pixels: np.ndarray, tolerance: int = 0) -> None:
    found = open_picture(source)
    assert found.mode == ("L" if pixels.ndim == 2 else "RGB")
    assert found.size == pixels.shape[1::-1]
    assert np.abs(np.asarray(found).astype(int) - pixels).max() <= tolerance


def with_alpha(pixels: np.ndarray) -> np.ndarray:
    """The left half opaque, the right half transparent."""
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[:, :10] = 255
    return np.dstack([pixels, alpha])


def on_white(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy() if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    pixels[:, 10:] = 255
    return pixels


SAME = {
    "grey": (encoded(Image.fromarray(GREY)), GREY),
    "colour": (encoded(Image.fromarray(RGB)), RGB),
    "16 bit": (encoded(Image.fromarray(GREY.astype(np.uint16) * 256 + 99)), GREY),
    "16 bit PGM, dark": (b"P5 20 12 65535\n" + GREY.astype(">u2").tobytes(), GREY * 0),
    "palette": (encoded(Image.fromarray(RGB).quantize(256)), RGB),
    "one bit": (encoded(Image.fromarray(GREY > 99)), (GREY > 99).astype(np.uint8) * 255),
    "grey, alpha": (encoded(Image.fromarray(with_alpha(GREY), "LA")), on_white(GREY)),
    "colour, alpha": (encoded(Image.fromarray(with_alpha(RGB))), on_white(RGB)),
    "floats": (encoded(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"), GREY),
    "CMYK": (encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB),
    "JPEG": (encoded(Image.fromarray(GREY), "JPEG", quality=100), GREY),
    "animated": (  # its first frame
        encoded(
            Image.fromarray(RGB), "GIF", save_all=True, append_images=[Image.new("RGB", (20, 12))]
        ),
        RGB,
    ),
    "PIL": (Image.fromarray(RGB), RGB),
    "array": (GREY, GREY),
    "array of floats": (RGB / 255, RGB),
    "array of int64": (GREY.astype(np.int64), GREY),
    "array, one channel": (GREY[:, :, None], GREY),
    "16 bits, the first byte the high one": (GREY.astype(">u2"), GREY * 0),
    "array of bool": (GREY > 99, (GREY > 99).astype(np.uint8) * 255),
    "array, alpha": (with_alpha(RGB), on_white(RGB)),
    "tensor": (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
    "tensor of floats": (torch.from_numpy(GREY)[None] / 255, GREY),
}


@pytest.mark.parametrize("kind", SAME)
def test_pixels_are_those_it_was_made_from(kind: str):
    source, pixels = SAME[kind]
    assert_is(source, pixels, tolerance=3 if kind in ("JPEG", "palette", "animated") else 0)


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.fromarray(np.repeat(np.array([[0, 1]], np.uint8), 4, axis=0), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    found = open_picture(encoded(image, transparency=1))
    assert found.getpixel((0, 0)) == (10, 20, 30)
    assert found.getpixel((1, 0)) == (255, 255, 255)


def test_a_picture_of_a_phone_is_read_where_the_plug_in_is_there():
    """A drawn face in colours, written as HEIC by `pillow_heif`."""
    pytest.importorskip("pi_heif", reason='needs pip install "lightfer[heic]"')
    path = Path(__file__).with_name("drawn.heic")
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        picture = open_picture(source)
        assert (picture.size, picture.mode) == ((96, 64), "RGB")
        assert np.asarray(picture).std() > 20
    assert not_read(".HEIC") is None


def test_without_it_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "UNREAD", frozenset((".heic", ".jxl")))
    assert 'pip install "lightfer[heic]"' in str(not_read(".heic"))
    assert "pip" not in str(not_read(".jxl"))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 3), (3, 2), (8, 1)])
def test_the_orientation_that_a_camera_writes_is_applied(orientation: int, turns: int):
    """`turns` quarter turns against the clock make it upright (EXIF 2.32, tag 274)."""
    exif = Image.Exif()
    exif[274] = orientation
    assert_is(encoded(Image.fromarray(RGB), exif=exif), np.rot90(RGB, turns))


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_applied_as_pillow_does(orientation: int):
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(RGB), exif=exif)
    assert_is(data, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


UNWRITABLE = struct.pack(
    ">2sHLH HHL4s HHLHH L", b"MM", 42, 8, 2, 256, 2, 4, b"abc", 274, 3, 1, 6, 0, 0
)
"""EXIF with a width that is text, which Pillow reads but cannot write, and the orientation 6."""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("exif", "turns"), [(b"not a TIFF", 0), (UNWRITABLE, 3)])
def test_of_exif_that_is_broken_what_can_be_read_counts(kind: str, exif: bytes, turns: int):
    """A good picture was called broken, and with it its data set."""
    data = encoded(Image.fromarray(RGB), kind, exif=b"Exif\0\0" + exif)
    without = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(RGB), kind))))
    upright = np.rot90(without, turns)
    assert_is(data, upright)
    assert_is(open_picture(data), upright)  # what was turned once is not turned again


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
BAD = {
    "text": (b"not an image", "not an image"),
    "empty": (b"", "not an image"),
    "truncated": (encoded(Image.fromarray(NOISE))[:2000], "broken image"),
    "truncated JPEG": (encoded(Image.fromarray(NOISE), "JPEG")[:900], "broken image"),
    "50,000 pixels wide": (png_of(50_000, 50_000), "pixels"),
    "a bit too large": (png_of(MAX_PIXELS // 100, 101), "at most 50,000,000"),
    "bomb": (png_of(2**31 - 1, 2**31 - 1), "pixels"),
    "floats beyond 1": (RGB.astype(float), "expected 0 to 1: scale them"),
    "not a number": (np.full((4, 4), np.nan), "expected 0 to 1"),
    "negative": (np.full((4, 4), -1), "expected 8 or 16 bits"),
    "five channels": (np.zeros((4, 4, 5), np.uint8), "expected (H, W) or (H, W, C)"),
    "no pixel": (np.zeros((0, 4), np.uint8), "expected (H, W)"),
    "strings": (np.array([["a"]]), "expected numbers"),
    "a list": ([[0, 1], [2, 3]], "list, expected a path, bytes, an open file, a PIL image"),
    "a file opened as text": (io.StringIO("a.png"), "opened as text, expected one opened with"),
    "a number in an array": (np.array(5), "shape (), expected (H, W)"),
    "nothing": (None, "NoneType, expected a path"),
    "missing": (Path("missing.png"), "No such file"),
    "folder": (Path(), "a folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_used_says_why(kind: str):
    source, message = BAD[kind]
    with pytest.raises(PictureError) as caught:
        open_picture(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Named:
    """As the entries of os.scandir."""

    def __fspath__(self) -> str:
        return "a.png"


@pytest.mark.parametrize(
    ("images", "count"),
    [
        ("a.png", 1),
        (Path("a.png"), 1),
        (["a.png", "b.png"], 2),
        (Image.new("L", (4, 4)), 1),
        (np.zeros((48, 48)), 1),
        (np.zeros((48, 48, 3)), 1),
        (np.zeros((5, 48, 48)), 5),
        (np.zeros((5, 48, 48, 3)), 5),
        (torch.zeros(48, 48), 1),
        (torch.zeros(3, 48, 48), 1),
        (torch.zeros(1, 48, 48), 1),
        (io.BytesIO(b"a\nb\nc"), 1),
        ([io.BytesIO(b"a"), "b.png"], 2),
        (bytearray(b"abc"), 1),
        (memoryview(b"abc"), 1),
        (Named(), 1),
        (torch.zeros(5, 1, 48, 48), 5),
        ((), 0),
        (None, 1),
        (5, 1),
        (np.array(5), 1),
        (np.array(["a.png", "b.png"]), 2),
    ],
)
def test_one_image_is_told_from_a_batch(images, count: int):
    assert len(as_pictures(images)) == count


@pytest.mark.parametrize("count", [5, 48])
def test_a_tensor_that_could_be_several_faces_is_refused(count: int):
    with pytest.raises(PictureError, match=rf"pass \({count}, 1, 48, 48\), by tensor.unsqueeze"):
        as_pictures(torch.zeros(count, 48, 48))


def test_an_open_file_is_a_picture(tmp_path: Path):
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        assert open_picture(file).getpixel((0, 0)) == 7
    content = (tmp_path / "a.png").read_bytes()
    for held in (io.BytesIO(content), bytearray(content), memoryview(content)):
        assert open_picture(held).size == (4, 4)


def test_a_tensor_of_any_floats_is_a_picture():
    for kind in (torch.bfloat16, torch.half, torch.float64):
        assert open_picture(torch.ones(4, 4, dtype=kind)).getpixel((0, 0)) == 255


def test_a_pipe_is_an_error_not_waited_for(tmp_path: Path):
    for name in ("pipe.png", "pipe.mp4"):
        os.mkfifo(tmp_path / name)
        for given in (tmp_path, tmp_path / name):
            (item,) = items_of([str(given)])
            assert item.error == "is no file but a pipe or device"
        (tmp_path / name).rename(tmp_path / f".{name}")
    with pytest.raises(PictureError, match="is no file but a pipe or device"):
        open_picture(tmp_path / ".pipe.png")


def test_every_ending_that_is_read_is_one_of_pillows_for_a_form_that_is_read():
    known = Image.registered_extensions()
    forms = {known[suffix] for suffix in SUFFIXES - {".heic", ".heif", ".hif"}}
    assert forms <= {*FORMATS, "MPO"}  # of JPEG
    assert {s for s, form in known.items() if form in ("JPEG", "PPM")} - {".pfm"} <= SUFFIXES
