"""The flow: pictures -> faces -> batches -> probabilities, in order, on a pool of threads.

Each thread opens pictures and classifies batches, each batch on one core. Memory does not depend on
the number of pictures: the pool is never more than `WINDOW` pictures and a batch per thread ahead,
and a batch is closed when it has enough faces, or `MOST_PIXELS` of pictures that are kept.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from PIL import Image

from lightfer.data.crop import CROP_SIDE, Box, face_crop
from lightfer.data.finder import FaceFinder, default_finder, no_opencv
from lightfer.data.pictures import PictureError, as_pictures, open_picture
from lightfer.errors import ArgumentError
from lightfer.inference.predict.network import (
    DEFAULT_MODEL,
    Network,
    Note,
    load_network,
)
from lightfer.inference.predict.prediction import Prediction
from lightfer.inference.predict.sources import Item
from lightfer.measure.process import usable_cores

T = TypeVar("T")
R = TypeVar("R")
Faces = Literal["auto", "always", "never"]

BATCH = 64
WINDOW = 64  # pictures that are being looked at, wait to be, or wait for their batch
FRAME_WINDOW = 8  # the same of frames, which are in memory from the start, or of pictures kept
MOST_PIXELS = 32_000_000  # of pictures that are kept to be drawn on

NO_FACE = "no face found; if the image is a face crop, say so: --crop, in Python faces='never'"
NO_FINDER = (
    "OpenCV 4 and its cascades are not installed or cannot be imported, so every image is taken as "
    "a face crop"
)


@dataclass(frozen=True)
class Seen:
    """One item with its predictions: none for a video frame without a face."""

    item: Item
    predictions: tuple[Prediction, ...]
    picture: Image.Image | None = None  # upright, if pictures are kept


@dataclass(frozen=True)
class _Looked:
    """One item before its faces are classified."""

    item: Item
    crops: tuple[np.ndarray, ...] = ()
    boxes: tuple[Box | None, ...] = ()
    picture: Image.Image | None = None
    error: str | None = None


class Predictor:
    """Expressions of faces, from whatever holds them.

    `model` is a shipped model, a weight file, or an exported .onnx or .xml file; only the first
    two need torch, and those only once or in a runtime of torch. `runtime` is one of
    `lightfer.inference.backends`, None for the fastest that is there.

    `faces` says what a picture is: "never" a crop of one face, "always" a photograph in which
    faces are looked for, "auto" a crop if its longer side has at most 128 pixels, else a
    photograph. `finder` finds faces; None is OpenCV's cascade. Where OpenCV cannot be used,
    "auto" takes every picture for a crop, and `has_finder` is False; `note` is told this, and what
    else a person should know of the labels.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        runtime: str | None = None,
        *,
        faces: Faces = "auto",
        finder: FaceFinder | None = None,
        batch_size: int = BATCH,
        threads: int | None = None,
        note: Note = lambda text: None,
    ) -> None:
        if faces not in get_args(Faces):
            raise ArgumentError(f"faces is {faces!r}, expected one of {', '.join(get_args(Faces))}")
        threads = usable_cores() if threads is None else threads
        for name, number in (("batch_size", batch_size), ("threads", threads)):
            if not isinstance(number, Integral) or number < 1:
                raise ArgumentError(
                    f"{name} is {number!r}, expected at least 1, and a whole number"
                )
        self.faces, self.finder, self.batch_size = faces, finder, batch_size
        if finder is None and faces != "never":
            self.finder = default_finder()
        if self.finder is None and faces == "always":
            raise ArgumentError(f"faces='always' needs OpenCV: {no_opencv()}; or give a finder")
        self.workers = threads
        self.network: Network = load_network(
            model, runtime, batch_size=batch_size, threads=self.workers, note=note
        )
        if self.finder is None and faces == "auto":
            note(f"{NO_FINDER}: {no_opencv()}")
        if self.network.temperature is None:
            note(f"probabilities of {self.network.name} are not calibrated: it has no temperature")

    @property
    def has_finder(self) -> bool:
        return self.finder is not None

    def __call__(self, images: Any) -> list[Prediction]:
        """Predictions for images, in their order: one per face, the largest face first.

        `images` is one image or a sequence of paths, bytes, open files, PIL images, arrays (H, W)
        or (H, W, C) and tensors (C, H, W), or a batch of the latter in one array or tensor. Of an
        image without a face, or that cannot be used, the prediction has an `error` and no label.
        """
        pictures = as_pictures(images)
        items = [_item(index, picture) for index, picture in enumerate(pictures)]
        return [p for seen in self.stream(items) for p in seen.predictions]

    def stream(
        self, items: Iterable[Item], *, keep_pictures: bool = False, live: bool = False
    ) -> Iterator[Seen]:
        """Every item in its order, with its predictions; `live` does not wait for the next one."""
        look = partial(self._look, keep_picture=keep_pictures)
        if live:
            for item in items:
                yield from self._classify([look(item)])
            return

        def window(item: Item) -> int:
            return FRAME_WINDOW if keep_pictures or item.frame is not None else WINDOW

        pool = ThreadPoolExecutor(self.workers)
        try:
            looked = ahead(pool, look, items, window)
            batches = ahead(pool, self._classify, self._batches(looked), lambda batch: self.workers)
            for batch in batches:
                yield from batch
        finally:  # a read that does not return is not waited for
            pool.shutdown(wait=False, cancel_futures=True)

    def _batches(self, looked: Iterable[_Looked]) -> Iterator[list[_Looked]]:
        """Groups with about `batch_size` faces, and not too many items or pixels.

        The first have fewer, so that the first lines come soon.
        """
        batch: list[_Looked] = []
        faces = pixels = 0
        size = 1
        for one in looked:
            batch.append(one)
            faces += len(one.crops)
            pixels += one.picture.width * one.picture.height if one.picture else 0
            if max(faces, len(batch)) >= size or pixels > MOST_PIXELS:
                yield batch
                size = min(2 * size, self.batch_size)
                batch, faces, pixels = [], 0, 0
        if batch:
            yield batch

    def _look(self, item: Item, keep_picture: bool) -> _Looked:
        if item.error is not None:
            return _Looked(item, error=item.error)
        source, item = item.source, replace(item, source=None)  # so that pixels are not kept
        try:
            picture = open_picture(source)
            boxes = self._boxes(picture)
            crops = tuple(face_crop(picture, box, self.network.size) for box in boxes)
        except PictureError as error:
            return _Looked(item, error=str(error))
        missing = NO_FACE if not boxes and item.frame is None else None
        kept = picture if keep_picture else None
        return _Looked(item, crops, tuple(boxes), kept, missing)

    def _boxes(self, picture: Image.Image) -> list[Box] | list[None]:
        small = max(picture.size) <= CROP_SIDE
        if self.finder is None or self.faces == "never" or (self.faces == "auto" and small):
            return [None]
        grey = np.asarray(picture if picture.mode == "L" else picture.convert("L"))
        return _boxes_of(self.finder(grey), picture.size)

    def _classify(self, batch: list[_Looked]) -> list[Seen]:
        crops = [crop for looked in batch for crop in looked.crops]
        shares = [
            self.network.probabilities(np.stack(crops[i : i + self.batch_size]))
            for i in range(0, len(crops), self.batch_size)
        ]
        rows = iter(np.concatenate(shares)) if shares else iter(())
        seen = []
        for looked in batch:
            found = [self._prediction(looked.item, next(rows), box) for box in looked.boxes]
            if looked.error is not None:
                found = [self._prediction(looked.item, error=looked.error)]
            seen.append(Seen(looked.item, tuple(found), looked.picture))
        return seen

    def _prediction(
        self,
        item: Item,
        shares: np.ndarray | None = None,
        box: Box | None = None,
        error: str | None = None,
    ) -> Prediction:
        network = self.network
        where = {"item": item.name, "frame": item.frame, "time_s": item.time_s}
        if shares is None:
            return Prediction(model=network.name, error=error, **where)
        return Prediction(
            model=network.name,
            label=network.classes[int(shares.argmax())],
            probabilities=dict(zip(network.classes, map(float, shares), strict=True)),
            calibrated=network.temperature is not None,
            box=box,
            **where,
        )


def _boxes_of(found: Any, size: tuple[int, int]) -> list[Box]:
    """What a finder gave, as whole pixels. Raises ArgumentError where that are no boxes which reach
    into a picture of this size (width, height).
    """
    try:
        boxes = [Box(*map(round, box)) for box in found]
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(
            f"the finder gives {found!r:.99}, expected a list of (x, y, width, height): {error}"
        ) from error
    for box in boxes:
        inside = -box.width < box.x < size[0] and -box.height < box.y < size[1]
        if not (inside and min(box[2:]) > 0 and max(box[2:]) <= 2 * max(size)):
            raise ArgumentError(
                f"the finder gives {box}, expected one in the picture of {size[0]}x{size[1]} pixels"
            )
    return boxes


def ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[T], R],
    items: Iterable[T],
    window: Callable[[T], int],
) -> Iterator[R]:
    """As `map`, in order, but by the pool, up to `window(item)` items ahead of what is taken.

    What is ready is given before another item is taken.
    """
    futures: deque[Future[R]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        while futures and (len(futures) > window(item) or futures[0].done()):
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()


def _item(index: int, picture: Any) -> Item:
    """A path is called by itself, anything else by its position."""
    name = str(picture) if isinstance(picture, str | Path) else index
    return Item(name, picture)
