"""Synthetic grey 48x48 faces with seven expressions, for tests and for a first try without data.

Drawn, not photographed: an oval with hair, brows, eyes, nose and mouth, whose shapes follow the
expression with a random strength. Identity (proportions, skin, hair), pose (shift, turn, size),
light from one side, blur, noise and sometimes an occluding bar vary, so that the classes overlap.
Accuracy on these faces says nothing about real ones.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lightfer.data.dataset import CLASSES, IMAGE_SIZE, Dataset, Split, SplitName

IMAGES_PER_SPLIT: Mapping[SplitName, int] = {"train": 7_000, "validation": 700, "test": 700}
BATCH = 500
STRENGTH = (0.25, 1.3)
"""Range of the factor from a resting face to the expressions below."""
RESTING_DEVIATION = 0.018
"""How far the resting shapes of different people lie apart, in the units of the expressions."""


class Expression(NamedTuple):
    """Displacement from a resting face, in half faces: numbers, or tensors (N, 1, 1) once drawn."""

    brow_height: Any  # positive: raised
    brow_slope: Any  # positive: the inner end is lowered (anger), negative: raised (sadness)
    eye_opening: Any
    mouth_curve: Any  # positive: the corners are up
    mouth_opening: Any
    mouth_width: Any
    nose_wrinkle: Any  # darkness of the folds beside the nose
    skew: Any  # one corner of the mouth, and one brow, higher than the other


# fmt: off
EXPRESSIONS = (  # in the order of CLASSES
    #          brow h  slope   eye    curve  open   width  nose  skew
    Expression(-0.060,  0.090, -0.015, -0.05, 0.01, -0.02, 0.25, 0.00),
    Expression(-0.040,  0.040, -0.035, -0.04, 0.03, -0.04, 0.85, 0.06),
    Expression( 0.050, -0.060,  0.045, -0.03, 0.06,  0.07, 0.05, 0.00),
    Expression( 0.010,  0.000, -0.020,  0.13, 0.05,  0.10, 0.20, 0.00),
    Expression( 0.000, -0.080, -0.030, -0.10, 0.00, -0.04, 0.05, 0.00),
    Expression( 0.090, -0.010,  0.055,  0.00, 0.15, -0.09, 0.00, 0.00),
    Expression( 0.000,  0.000,  0.000,  0.01, 0.00,  0.00, 0.05, 0.00),
)
# fmt: on


def synthetic_faces(
    images_per_split: Mapping[SplitName, int] = IMAGES_PER_SPLIT, seed: int = 0
) -> Dataset:
    """Draw every split from its own random stream; the same numbers and seed give equal faces."""
    splits: dict[SplitName, Split] = {
        name: _split(n, seed * 1000 + index)
        for index, (name, n) in enumerate(images_per_split.items())
    }
    return Dataset("synthetic", f"synthetic, seed {seed}", splits)


def _split(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(CLASSES), (n,), generator=generator)
    images = [_draw(batch, Dice(len(batch), generator)) for batch in labels.split(BATCH)]
    return Split(torch.cat(images), labels)


class Dice(NamedTuple):
    """Random numbers of shape (N, 1, 1), one per face."""

    n: int
    generator: torch.Generator

    def uniform(self, low: float, high: float) -> Tensor:
        return torch.rand(self.n, 1, 1, generator=self.generator) * (high - low) + low

    def normal(self, deviation: float) -> Tensor:
        return torch.randn(self.n, 1, 1, generator=self.generator) * deviation


class Face(NamedTuple):
    """Coordinates (N, 48, 48) in half faces from the middle, y down, and colours (N, 1, 1)."""

    x: Tensor
    y: Tensor
    skin: Tensor
    hair: Tensor
    dark: Tensor  # of lines and lips


def _draw(labels: Tensor, dice: Dice) -> Tensor:
    """Labels (N,) -> uint8 (N, 1, 48, 48)."""
    table = torch.tensor(EXPRESSIONS)[labels]  # (N, 8)
    resting = torch.randn(table.shape, generator=dice.generator) * RESTING_DEVIATION
    moved = table * dice.uniform(*STRENGTH).view(-1, 1) + resting
    expression = Expression(*moved.T.reshape(len(EXPRESSIONS[0]), -1, 1, 1))

    skin = dice.uniform(0.45, 0.85)
    face = Face(*_pose(dice), skin, dice.uniform(0.05, 0.4), skin * dice.uniform(0.2, 0.55))
    image = _head(face, dice)
    face = face._replace(x=face.x - dice.normal(0.12))  # a turned head: features move sideways
    image = _eyes_and_brows(image, face, expression, dice)
    image = _nose(image, face, expression, dice)
    image = _mouth(image, face, expression, dice)
    return _camera(image, dice)


def _pose(dice: Dice) -> tuple[Tensor, Tensor]:
    """Coordinates of every pixel, shifted, rolled by up to 17 degrees and resized."""
    axis = torch.linspace(-1, 1, IMAGE_SIZE)
    x, y = axis.view(1, 1, -1) + dice.normal(0.07), axis.view(1, -1, 1) + dice.normal(0.06)
    angle, zoom = dice.uniform(-0.3, 0.3), dice.uniform(0.95, 1.2)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    return x * cos - y * sin, x * sin + y * cos


def _head(face: Face, dice: Dice) -> Tensor:
    """Background, hair, oval, fringe."""
    x, y = face.x, face.y
    wide, high = dice.uniform(0.62, 0.78), dice.uniform(0.85, 1.0)
    image = dice.uniform(0.05, 0.9) + dice.normal(0.15) * x + dice.normal(0.15) * y
    image = _paint(image, face.hair, 1.12 - _radius(x, y + 0.08, wide * 1.1, high * 1.05), 0.08)
    oval = 1 - _radius(x, y, wide, high)
    image = _paint(image, face.skin, oval, 0.06)
    fringe = dice.uniform(-0.75, -0.45) - y + dice.normal(0.15) * x
    return _paint(image, face.hair, torch.minimum(oval, fringe), 0.05)


def _eyes_and_brows(image: Tensor, face: Face, expression: Expression, dice: Dice) -> Tensor:
    side = face.x.sign()
    x = face.x.abs() - dice.uniform(0.26, 0.34)  # from the middle of the eye, outwards
    eye_y = dice.uniform(-0.22, -0.12)
    y = face.y - eye_y
    opening = (dice.uniform(0.055, 0.085) + expression.eye_opening).clamp(min=0.012)
    image = _paint(image, face.skin * 0.3 + 0.65, 1 - _radius(x, y, 0.14, opening), 0.2)
    gaze = dice.normal(0.03) * side
    iris = 1 - _radius(x + gaze, y, 0.06, opening.clamp(max=0.07))
    image = _paint(image, face.dark * 0.4, iris, 0.3)
    lid = 1 - ((y + opening * (1 - (x / 0.15) ** 2)) / 0.03).abs()
    image = _paint(image, face.dark, torch.minimum(lid, 1 - x.abs() / 0.16), 0.5, 0.8)

    height = dice.uniform(0.14, 0.2) + expression.brow_height + expression.skew * side
    arch = 2.3 * x**2 - expression.brow_slope * x / 0.15
    brow = 1 - ((y + height - arch) / dice.uniform(0.03, 0.06)).abs()
    brow = torch.minimum(brow, (1 - x.abs() / 0.19) * 3)
    return _paint(image, face.hair * 0.6 + face.dark * 0.4, brow, 0.4, 0.9)


def _nose(image: Tensor, face: Face, expression: Expression, dice: Dice) -> Tensor:
    """Ridge, nostrils, and the folds from nose to mouth, which disgust deepens."""
    x, y = face.x, face.y - dice.uniform(0.16, 0.26)
    ridge = torch.minimum(1 - ((x + 0.05) / 0.05).abs(), 1 - ((y + 0.2) / 0.2).abs())
    image = _paint(image, face.skin * 0.7, ridge, 0.6, 0.5)
    image = _paint(image, face.dark, 1 - _radius(x.abs() - 0.07, y, 0.06, 0.03), 0.6, 0.6)
    fold = x.abs() - 0.16 - 0.45 * (y + 0.1)
    fold = torch.minimum(1 - (fold / 0.04).abs(), 1 - ((y - 0.05) / 0.22).abs())
    return _paint(image, face.dark, fold, 0.6, expression.nose_wrinkle.clamp(0, 1))


def _mouth(image: Tensor, face: Face, expression: Expression, dice: Dice) -> Tensor:
    """Lips along a parabola, the gap between them, sometimes teeth."""
    across = face.x / (dice.uniform(0.22, 0.3) + expression.mouth_width).clamp(min=0.1)
    within = (1 - across**2).clamp(min=0)
    middle = dice.uniform(0.46, 0.56) - expression.skew * across
    y = face.y - middle - expression.mouth_curve * (0.5 - across**2)
    opening = expression.mouth_opening.clamp(min=0.008)
    lips = (opening + dice.uniform(0.03, 0.06)) * within.sqrt() - y.abs()
    image = _paint(image, face.dark * 1.25, lips, 0.025, 0.9)
    gap = opening * within - y.abs()
    image = _paint(image, face.dark * 0.35, gap, 0.02)
    teeth = torch.minimum(gap, opening * 0.2 - y)
    shown = dice.uniform(-3, 3).clamp(0, 1) * (opening > 0.03)
    return _paint(image, torch.full_like(face.skin, 0.85), teeth, 0.02, shown)


def _camera(image: Tensor, dice: Dice) -> Tensor:
    """Light from a side, an occluding bar, exposure, blur, noise; (N, 48, 48) -> uint8."""
    axis = torch.linspace(-1, 1, IMAGE_SIZE)
    x, y = axis.view(1, 1, -1), axis.view(1, -1, 1)
    image = image * (1 + dice.normal(0.25) * x + dice.normal(0.15) * y)
    bar = x * dice.uniform(-1, 1) + y - dice.uniform(-1.2, 1.2)
    bar = 1 - (bar / dice.uniform(0.05, 0.2)).abs()
    image = _paint(image, dice.uniform(0, 1), bar, 0.2, (dice.uniform(0, 1) < 0.15).float())
    image = (image - 0.5) * dice.uniform(0.5, 1.2) + 0.5 + dice.normal(0.08)
    soft = avg_pool2d(image.unsqueeze(1), 3, 1, 1, count_include_pad=False)[:, 0]
    image = torch.lerp(image, soft, dice.uniform(0, 1))
    noise = torch.randn(image.shape, generator=dice.generator) * dice.uniform(0.01, 0.08)
    return ((image + noise).clamp(0, 1) * 255).round().to(torch.uint8).unsqueeze(1)


def _paint(
    image: Tensor, colour: Tensor, inside: Tensor, softness: float, opacity: Tensor | float = 1.0
) -> Tensor:
    """Mix `colour` in where `inside` is positive, with an edge `softness` wide."""
    return image + (colour - image) * (inside / softness + 0.5).clamp(0, 1) * opacity


def _radius(x: Tensor, y: Tensor, wide: Tensor | float, high: Tensor | float) -> Tensor:
    """1 on the ellipse with these half axes, less inside."""
    return ((x / wide) ** 2 + (y / high) ** 2).sqrt()
