"""Whatever a user has as an image -> an upright picture of mode L or RGB, or one clear error.

Standard library, NumPy and Pillow only: data sets and `lightfer predict` are read by this one rule.

Of an animated image only the first frame is taken: a film is a video file. Transparent pixels lie
on white. 16 bits become 8 by their upper half; floats must lie between 0 and 1.
"""

import io
import os
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from lightfer._files import never_ends
from lightfer.errors import LightferError

AVIF = features.check("avif")
HEIF = next(filter(find_spec, ("pi_heif", "pillow_heif")), None)  # Pillow's plug-in, if installed
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "GIF", "TIFF")
FORMATS += ("AVIF",) if AVIF else ()
WRITTEN = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".pgm", ".ppm", ".gif", ".tif", ".tiff")
    + ((".avif",) if AVIF else ())
)
SUFFIXES = WRITTEN | frozenset((".jpe", ".mpo", ".pbm", ".pnm"))
SUFFIXES |= frozenset((".heic", ".heif", ".hif") if HEIF else ())
RAW = frozenset((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"))  # of cameras
UNREAD = RAW | frozenset((".avif", ".heic", ".heif", ".hif", ".jp2", ".jxl", ".psd")) - SUFFIXES
"""Pictures by their names, of forms that are not read: nobody should think that they were."""

PATHS, BYTES = (str, os.PathLike), (bytes, bytearray, memoryview)
NO_FILE = "is no file but a pipe or device"
MAX_PIXELS = 50_000_000
MAX_BYTES = 256 << 20
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF's orientation; 1 is upright."""
SAY_TURN = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow keeps it


class PictureError(LightferError, ValueError):
    """One item cannot be used; the message says why and what to do."""


def not_read(suffix: str) -> str | None:
    """Why a picture of this ending is not read; None for one that is read, or is no picture."""
    if suffix.lower() not in UNREAD:
        return None
    heif = (
        ', or: pip install "lightfer[heic]"' if suffix.lower() in (".heic", ".heif", ".hif") else ""
    )
    return f"pictures of the form {suffix.lower()} are not read. Convert it to PNG or JPEG{heif}"


def open_picture(source: Any) -> Image.Image:
    """A path, bytes, open file, PIL image, array or tensor of a picture -> mode L or RGB, upright.

    Arrays are (H, W), (H, W, C), tensors (H, W) or (C, H, W), of 1 to 4 channels: grey, grey and
    alpha, RGB, RGBA. Raises PictureError.
    """
    try:
        if isinstance(source, Image.Image):
            return _upright(source)
        if isinstance(source, (*PATHS, *BYTES)):
            return _decoded(source)
        if isinstance(source, io.TextIOBase):
            raise PictureError("a file opened as text, expected one opened with 'rb'")
        if hasattr(source, "read"):
            return _decoded(source.read(MAX_BYTES + 1))
        if not hasattr(source, "shape"):
            raise PictureError(
                f"{type(source).__name__}, expected a path, bytes, an open file, a PIL image, an "
                "array or a tensor"
            )
        return _upright(_from_array(source))
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError("too large for this machine's memory. Make it smaller") from error
    # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, IndexError and others.
    except Exception as error:
        raise PictureError(_reason(error)) from error


def as_pictures(images: Any) -> list[Any]:
    """One image, a sequence of them or a batch in one array -> a list with one image each.

    A batch is (N, H, W) or (N, H, W, C) as an array, (N, C, H, W) as a tensor. An array (A, B, C)
    with C of 1 to 4, and a tensor (C, A, B), is one image. Raises PictureError for a tensor of
    three axes with more channels: whether a few grey faces are meant or one in colour could not be
    told by its shape, so it is refused whatever their number.
    """
    if isinstance(images, (*PATHS, *BYTES, Image.Image)) or hasattr(images, "read"):
        return [images]
    if not hasattr(images, "shape"):
        several = hasattr(images, "__iter__") or hasattr(images, "__getitem__")
        return list(images) if several else [images]
    shape = tuple(images.shape)
    if _is_tensor(images):
        if len(shape) == 3 and not 1 <= shape[0] <= 4:
            raise PictureError(
                f"a tensor of shape {shape}, expected (C, H, W) with C from 1 to 4, or a batch "
                f"(N, C, H, W): pass {(shape[0], 1, *shape[1:])}, by tensor.unsqueeze(1)"
            )
        return [images] if len(shape) <= 3 else list(images)
    single = len(shape) in (0, 2) or (len(shape) == 3 and 1 <= shape[-1] <= 4)
    return [images] if single else list(images)


def _decoded(source: Any) -> Image.Image:
    if isinstance(source, PATHS):
        path = Path(source)
        if path.is_dir():
            raise PictureError("a folder, expected an image. Pass it to `lightfer predict`")
        if never_ends(path):
            raise PictureError(NO_FILE)
        if (size := path.stat().st_size) > MAX_BYTES:
            raise PictureError(f"{size:,} bytes, at most {MAX_BYTES:,} are read. Make it smaller")
        source = path.read_bytes()
    if len(source) > MAX_BYTES:
        raise PictureError(f"more than {MAX_BYTES:,} bytes. Make it smaller")
    formats = FORMATS
    if HEIF and source[4:8] == b"ftyp":  # as such a file begins
        import_module(HEIF).register_heif_opener()
        formats += ("HEIF",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about files that it then reads
        with Image.open(io.BytesIO(source), formats=formats) as image:
            return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    """Checked before the pixels are decoded: the size that the header states may be a bomb."""
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(
            f"{image.width:,}x{image.height:,} pixels, at most {MAX_PIXELS:,} are decoded. "
            "Make it smaller"
        )
    if min(image.size) < 1:
        raise PictureError(f"{image.width}x{image.height} pixels: an empty image")
    image.load()
    if image.format == "PPM" and image.mode == "I":  # of 16 bits, whatever its brightest pixel is
        image = image.convert("I;16")
    return _eight_bits(_turned(image))


def _turned(image: Image.Image) -> Image.Image:
    """A copy, turned as EXIF says. Where that cannot be read it is upright, as in any viewer."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # SyntaxError, struct.error, ValueError and others
        turn = None
    if turn is None:
        return image.copy()
    turned = image.transpose(turn)
    for name in SAY_TURN:
        turned.info.pop(name, None)
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_scaled(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    image.info.pop("icc_profile", None)  # of the colours it had
    return image


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any type -> uint8."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if not np.issubdtype(pixels.dtype, np.number) or np.iscomplexobj(pixels):
        raise PictureError(f"pixels of type {pixels.dtype}, expected numbers")
    low, high = float(pixels.min()), float(pixels.max())
    if np.issubdtype(pixels.dtype, np.floating):
        if not (low >= 0 and high <= 1):
            raise PictureError(f"floats from {low:g} to {high:g}, expected 0 to 1: scale them")
        return np.round(pixels * 255).astype(np.uint8)
    sixteen = pixels.dtype.newbyteorder("=") == np.uint16
    most = 255 if high <= 255 and not sixteen else 65_535
    if low < 0 or high > most:
        raise PictureError(f"pixels from {low:g} to {high:g}, expected 8 or 16 bits: scale them")
    return (pixels // (256 if most > 255 else 1)).astype(np.uint8)


def _from_array(array: Any) -> Image.Image:
    tensor = _is_tensor(array)
    if tensor:
        array = array.detach().cpu()
        array = array.float() if array.is_floating_point() else array  # NumPy has no bfloat16
    pixels = np.asarray(array)
    if pixels.ndim == 3 and tensor:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.size == 0 or not (
        pixels.ndim == 2 or (pixels.ndim == 3 and 2 <= pixels.shape[2] <= 4)
    ):
        wanted = "(H, W) or (C, H, W)" if tensor else "(H, W) or (H, W, C)"
        raise PictureError(f"shape {tuple(array.shape)}, expected {wanted}, C from 1 to 4")
    return Image.fromarray(np.ascontiguousarray(_scaled(pixels)))


def _is_tensor(image: Any) -> bool:
    """Known by its method, as torch may not be installed."""
    return hasattr(image, "detach")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or none of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels, in a file that would unpack to them: not decoded"
    return f"broken image ({str(error) or type(error).__name__}). Replace it"
