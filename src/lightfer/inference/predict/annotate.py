"""Boxes, labels and probabilities drawn on what was looked at, and where that is written."""

import os
from contextlib import ExitStack
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lightfer._files import atomic_path
from lightfer.data.pictures import SUFFIXES, WRITTEN
from lightfer.errors import ArgumentError
from lightfer.inference.predict.prediction import Prediction
from lightfer.inference.predict.predictor import Seen
from lightfer.inference.predict.sources import Item
from lightfer.inference.predict.video import (
    FALLBACK_RATE,
    VIDEO_SUFFIXES,
    VideoWriter,
    video_writer,
)

COLOUR, INK = (255, 176, 0), (0, 0, 0)  # amber with black letters, told apart by everybody
SMALLEST_SIDE = 256  # pixels; smaller pictures are enlarged first, so that letters fit,
LARGEST_SIDE = 4096  # but not beyond this: a line of pixels would fill the memory
FORMATS = (".jpg", ".jpeg", ".webp", ".png")  # others, and what is too large, are .png in a folder
LOSSY = ("JPEG", "WEBP", "AVIF")  # as Pillow calls them
VIDEOS = (".mp4", ".avi")  # others become .mp4 there
READ = SUFFIXES | VIDEO_SUFFIXES  # endings of what is taken from a folder


def annotated(picture: Image.Image, predictions: tuple[Prediction, ...]) -> Image.Image:
    """A copy in colour, with a frame around each face and its label and probability."""
    wanted = -(-SMALLEST_SIDE // min(picture.size))
    factor = max(1, min(wanted, LARGEST_SIDE // max(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    drawn = picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
    kept = ("icc_profile",) if picture.mode == "RGB" else ()  # all else was of the file
    drawn.info = {key: value for key, value in picture.info.items() if key in kept}
    draw = ImageDraw.Draw(drawn)
    for prediction in predictions:
        if prediction.label is None or prediction.probabilities is None:
            continue
        box = prediction.box or (0, 0, *picture.size)
        left, top, width, height = (value * factor for value in box)
        right, bottom = left + width - 1, top + height - 1
        draw.rectangle((left, top, right, bottom), outline=COLOUR, width=max(2, width // 100))
        share = round(100 * prediction.probabilities[prediction.label])
        _caption(draw, f"{prediction.label} {share} %", left, top, width, drawn.size)
    return drawn


def _caption(
    draw: ImageDraw.ImageDraw, text: str, left: int, top: int, width: int, size: tuple[int, int]
) -> None:
    """Above the box, or at the top of it where there is no room, and within the picture."""
    font = ImageFont.load_default(size=max(12, min(width // 7, size[1] // 12)))
    _, _, text_width, text_height = draw.textbbox((0, 0), text, font=font)
    pad = text_height // 4
    wide, high = text_width + 2 * pad, text_height + 2 * pad
    x = max(0, min(left, size[0] - wide))
    y = top - high if top >= high else max(0, top)
    draw.rectangle((x, y, x + wide, y + high), fill=COLOUR)
    draw.text((x + pad, y + pad), text, fill=INK, font=font)


class Annotator(ExitStack):
    """Writes annotated items to one file or into a folder; use it as a context manager.

    `target` is a file if it has the suffix of an image or a video, otherwise a folder, in which
    items keep the path that they had below the folder they came from. In a folder nothing is
    written over: a name that is taken gets a number, unless it is taken by just this picture or
    video, as where a command is run again.
    """

    def __init__(self, target: Path) -> None:
        """Raises ArgumentError for a form that is only read."""
        if target.suffix.lower() in SUFFIXES - WRITTEN:
            raise ArgumentError(f"--annotate {target}: this form is only read; name a .png or .jpg")
        super().__init__()
        self.target = target
        self.video: VideoWriter | None = None
        self.video_name: str | int | None = None

    def add(self, seen: Seen) -> None:
        """Draw on one picture and write it; an item without a picture is left out."""
        if seen.picture is None:
            return
        drawn = annotated(seen.picture, seen.predictions)
        if seen.item.frame is None:
            try:
                _save(drawn, *self._names(seen.item))
            except ArgumentError:  # too large for this form
                if is_file(self.target):
                    raise
                _save(drawn, *self._names(seen.item, ".png"))
            return
        begins = seen.item.frame == 0  # also of the same film, named twice
        if self.video is None or self.video_name != seen.item.name or begins:
            self.close()  # of the video before: the frames of one come one after the other
            path, taken = self._names(seen.item)
            writer = video_writer(path, seen.item.rate or FALLBACK_RATE, taken)
            self.video, self.video_name = self.enter_context(writer), seen.item.name
        self.video.write(drawn, seen.item.time_s)

    def _names(self, item: Item, form: str = "") -> tuple[Path, list[Path]]:
        """The first name that is free, and those that are taken; for a single file only that. A
        `form` stands in the place of that of the item.
        """
        if is_file(self.target):
            return self.target, []
        kinds, other = (FORMATS, ".png") if item.frame is None else (VIDEOS, ".mp4")
        path = self.target / (item.below or "array")
        given = path.suffix.lower()
        path = path.with_suffix(form or (given if given in kinds else other))
        free, taken = path, []
        stem = os.fsencode(path.stem)[:200].decode(errors="ignore")  # so that a number fits behind
        while free.exists():
            taken.append(free)
            free = path.with_stem(f"{stem}-{len(taken) + 1}")
        return free, taken


def is_file(target: Path) -> bool:
    """Whether the annotated picture or video is to be this file; otherwise it is a folder."""
    return target.suffix.lower() in READ


def _save(picture: Image.Image, path: Path, taken: list[Path]) -> None:
    suffix = path.suffix.lower()
    with atomic_path(path, taken) as temporary:
        kind = Image.registered_extensions()[suffix]
        quality = {"quality": 92} if kind in LOSSY else {}
        try:
            picture.convert("L" if suffix == ".pgm" else "RGB").save(temporary, kind, **quality)
        except Exception as error:  # Pillow raises ValueError, OverflowError, RuntimeError, OSError
            if isinstance(error, OSError) and error.errno is not None:  # of the file system
                raise
            size = f"{picture.width:,}x{picture.height:,} pixels"
            raise ArgumentError(
                f"{path} was not written: no {kind} of {size} ({error}); name a .png"
            ) from error
