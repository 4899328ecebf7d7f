"""Turning uint8 faces into network input: plainly for evaluation, at random for training.

Everything works on whole batches, on the device where the images are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from lightfer.data.dataset import MEAN, STD
from lightfer.errors import ArgumentError

Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Augmentation:
    """Ranges from which each image of each batch draws its own values, uniformly.

    An image is either warped (`translate`, `scale` and `rotate_degrees` in one resampling, which
    blurs it a little) or keeps its pixels and is moved by whole ones (`crop`), as sharp as the
    images that the network is tested on.
    """

    flip: bool = True
    crop: Annotated[int, Meta(ge=0, le=24)] = 0  # pixels, each way, of an image that is not warped
    translate: Annotated[float, Meta(ge=0, le=0.5)] = 0.08  # of the side, each way
    scale: Annotated[float, Meta(ge=0, le=0.9)] = 0.12  # 1 - scale to 1 + scale
    rotate_degrees: Annotated[float, Meta(ge=0, le=180)] = 10.0
    contrast: Share = 0.25  # 1 - contrast to 1 + contrast, about the image's own mean
    brightness: Share = 0.15  # of full scale, each way
    erase: Share = 0.0  # probability of one grey rectangle
    erase_area: Annotated[float, Meta(ge=0.02, le=0.9)] = 0.15  # of the image, at most
    warp: Share = 1.0  # probability

    def __post_init__(self) -> None:
        check(self)

    @property
    def warps(self) -> bool:
        """Whether any image is resampled."""
        return bool(self.warp and (self.rotate_degrees or self.scale or self.translate))


def check(settings: object) -> None:
    """Raises ValueError where a field of `settings` is not what its annotation says: of another
    type, out of its range, or none of its choices. True is no number.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ArgumentError(f"{name} is {value!r}, expected one of {', '.join(get_args(hint))}")
        plain = float(value) if isinstance(value, float) else value  # NumPy's are floats, too
        try:
            msgspec.convert(plain, hint)
        except msgspec.ValidationError as error:
            said = str(error).replace("Expected", "expected")
            raise ArgumentError(f"{name} is {value!r}: {said}") from error


def augment(images: Tensor, config: Augmentation, generator: torch.Generator) -> Tensor:
    """uint8 (N, 1, H, W) -> float32 (N, 1, H, W), normalised, each image changed in its own way."""
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(n, device=images.device).uniform_(low, high, generator=generator)

    x = images.float() / 255
    mirrored = (
        draw(0, 1) < 0.5 if config.flip else torch.zeros(n, dtype=torch.bool, device=x.device)
    )
    x = torch.where(mirrored.view(n, 1, 1, 1), x.flip(3), x)
    warped = draw(0, 1) < config.warp if config.warps else torch.zeros_like(mirrored)
    matrices = warp_matrices(config, draw)
    if config.crop:
        x = torch.where(warped.view(n, 1, 1, 1), x, _crop(x, config.crop, generator))
    if config.warps and warped.any():  # a small batch may have none
        x[warped] = _warp(x[warped], matrices[warped])

    mean = x.mean((1, 2, 3), keepdim=True)
    contrast = draw(1 - config.contrast, 1 + config.contrast).view(n, 1, 1, 1)
    brightness = draw(-config.brightness, config.brightness).view(n, 1, 1, 1)
    x = ((x - mean) * contrast + mean + brightness).clamp_(0, 1)
    x = (x - MEAN) / STD
    return _erase(x, config, draw) if config.erase else x


def _crop(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels, up to `most` each way; its mirror image fills the gap."""
    n, _, height, width = x.shape
    top, left = torch.randint(0, 2 * most + 1, (2, n, 1), device=x.device, generator=generator)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    image = torch.arange(n, device=x.device).view(n, 1, 1)
    padded = pad(x, (most, most, most, most), mode="reflect").squeeze(1)
    return padded[image, rows.view(n, height, 1), columns.view(n, 1, width)].unsqueeze(1)


def warp_matrices(config: Augmentation, draw: Callable[[float, float], Tensor]) -> Tensor:
    """One matrix (N, 2, 3) an image, from positions in the result to positions in the image, in
    half sides from the centre. `draw(low, high)` gives (N,) uniform values.
    """
    angle = torch.deg2rad(draw(-config.rotate_degrees, config.rotate_degrees))
    zoom = 1 / draw(1 - config.scale, 1 + config.scale)
    shift_x, shift_y = (draw(-2 * config.translate, 2 * config.translate) for _ in range(2))
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack([cos, -sin, shift_x, sin, cos, shift_y], 1).view(-1, 2, 3)


def _warp(x: Tensor, matrices: Tensor) -> Tensor:
    """Rotate, scale and move in one resampling; mirror images fill the gaps."""
    grid = affine_grid(matrices, list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def mix(images: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Mixup: `share` of each image (N, ...) and the rest of another of the batch.

    Returns the mixed images, the index (N,) of each one's partner, and the share.
    Zhang et al., 2018, https://arxiv.org/abs/1710.09412.
    """
    partners = torch.randperm(len(images), generator=generator, device=images.device)
    return images.lerp(images[partners], 1 - share), partners, share


def cut_mix(
    images: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """CutMix: a rectangle of each image (N, C, H, W) is taken from another of the batch.

    It has the image's proportions, about 1 - `share` of its area and a centre anywhere in it, so
    that it may be cut off at the border. Returns the mixed images, the index (N,) of each one's
    partner, and the share of its own pixels that each image kept.
    Yun et al., 2019, https://arxiv.org/abs/1905.04899.
    """
    device, (height, width) = images.device, images.shape[2:]
    partners = torch.randperm(len(images), generator=generator, device=device)
    y, x = torch.rand(2, generator=generator, device=device).tolist()
    half = (1 - share) ** 0.5 / 2
    top, bottom = (round(height * min(max(y + side, 0), 1)) for side in (-half, half))
    left, right = (round(width * min(max(x + side, 0), 1)) for side in (-half, half))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partners, :, top:bottom, left:right]
    return mixed, partners, 1 - (bottom - top) * (right - left) / (height * width)


def _erase(x: Tensor, config: Augmentation, draw: Callable[[float, float], Tensor]) -> Tensor:
    """Set one random rectangle to 0, the mean of the data, in a share `erase` of the images."""
    n, _, height, width = x.shape
    area = draw(0.02, config.erase_area) * height * width
    aspect = torch.exp(draw(-0.7, 0.7))  # 1:2 to 2:1
    h, w = (area * aspect).sqrt(), (area / aspect).sqrt()
    top, left = draw(0, 1) * (height - h), draw(0, 1) * (width - w)
    rows = torch.arange(height, device=x.device).view(1, -1, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, -1)
    inside = (rows >= top.view(n, 1, 1)) & (rows < (top + h).view(n, 1, 1))
    inside = inside & (columns >= left.view(n, 1, 1)) & (columns < (left + w).view(n, 1, 1))
    chosen = (draw(0, 1) < config.erase).view(n, 1, 1)
    return x.masked_fill((inside & chosen).unsqueeze(1), 0.0)
