"""Pictures made worse, in six ways and three strengths each: what a net still reads of them.

After Hendrycks and Dietterich, 2019, https://arxiv.org/abs/1903.12261, with strengths for faces of
48 pixels: the weakest is hardly seen, the strongest still read by people. For scoring only; nothing
is trained or chosen on them.
"""

from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

STRENGTHS: dict[str, tuple[float, float, float]] = {
    "blur": (0.75, 1.25, 2.0),  # standard deviation of a Gaussian, in pixels of 48
    "noise": (8.0, 16.0, 32.0),  # standard deviation, in grey levels of 255
    "jpeg": (40, 20, 10),  # Pillow's quality
    "brightness": (32.0, 64.0, 96.0),  # grey levels that are added or taken, by chance
    "occlusion": (0.25, 0.375, 0.5),  # side of a square of the mean grey, over the image's
    "rotation": (10.0, 20.0, 30.0),  # degrees to the left or right, by chance
}


def corrupted(images: Tensor, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """uint8 (N, 1, S, S) -> (name, worse images of the same form), as "blur 1" to "blur 3".

    Equal seeds give equal images, whatever N is: image i has a random stream of its own.
    """
    for kind, strengths in STRENGTHS.items():
        for number, strength in enumerate(strengths, 1):
            worse = [
                _WAYS[kind](image[0].numpy(), strength, np.random.default_rng((seed, i)))
                for i, image in enumerate(images)
            ]
            yield f"{kind} {number}", torch.from_numpy(np.stack(worse))[:, None]


def _blur(image: np.ndarray, sigma: float, _: np.random.Generator) -> np.ndarray:
    radius = sigma * len(image) / 48
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return _levels(image + rng.normal(0, sigma, image.shape))


def _jpeg(image: np.ndarray, quality: float, _: np.random.Generator) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def _brightness(image: np.ndarray, levels: float, rng: np.random.Generator) -> np.ndarray:
    return _levels(image + levels * rng.choice((-1.0, 1.0)))


def _occlusion(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    side = round(share * len(image))
    y, x = rng.integers(0, len(image) - side + 1, 2)
    worse = image.copy()
    worse[y : y + side, x : x + side] = round(image.mean())
    return worse


def _rotation(image: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    angle, grey = degrees * rng.choice((-1.0, 1.0)), round(image.mean())
    return np.asarray(
        Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR, fillcolor=grey)
    )


def _levels(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


_WAYS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "brightness": _brightness,
    "occlusion": _occlusion,
    "rotation": _rotation,
}
