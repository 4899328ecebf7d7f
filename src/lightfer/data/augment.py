"""Turning uint8 faces into network input: plainly for evaluation, at random for training.

Everything works on whole batches, on the device where the images are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

MEAN, STD = 0.508, 0.255
"""Mean and standard deviation of the pixels of the FER2013 train split, of full scale."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges from which each image of each batch draws its own values, uniformly."""

    flip: bool = True
    crop: int = 0  # pixels: a window of the image's own size, off centre by up to this many
    translate: float = 0.08  # of the side, each way
    scale: float = 0.12  # 1 - scale to 1 + scale
    rotate_degrees: float = 10.0
    contrast: float = 0.25  # 1 - contrast to 1 + contrast, about the image's own mean
    brightness: float = 0.15  # of full scale, each way
    erase: float = 0.0  # probability of one grey rectangle
    erase_area: float = 0.15  # of the image, at most


def normalize(images: Tensor) -> Tensor:
    """uint8 (N, 1, H, W) -> float32 (N, 1, H, W), mean 0 and deviation 1 over the train split."""
    return (images.float() / 255 - MEAN) / STD


def augment(images: Tensor, config: Augmentation, generator: torch.Generator) -> Tensor:
    """uint8 (N, 1, H, W) -> float32 (N, 1, H, W), normalised, each image changed in its own way."""
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(n, device=images.device).uniform_(low, high, generator=generator)

    x = images.float() / 255
    if config.crop:
        x = _crop(x, config.crop, generator)
    if config.rotate_degrees or config.scale or config.translate:
        x = _warp(x, config, draw)
    elif config.flip:
        x = torch.where((draw(-1, 1) < 0).view(n, 1, 1, 1), x.flip(3), x)

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


def _warp(x: Tensor, config: Augmentation, draw: Callable[[float, float], Tensor]) -> Tensor:
    """Rotate, scale, move and mirror in one resampling; mirror images fill the gaps."""
    n = len(x)
    angle = torch.deg2rad(draw(-config.rotate_degrees, config.rotate_degrees))
    zoom = 1 / draw(1 - config.scale, 1 + config.scale)
    mirror = draw(-1, 1).sign() if config.flip else torch.ones(n, device=x.device)
    shift_x, shift_y = (draw(-2 * config.translate, 2 * config.translate) for _ in range(2))
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], 1).view(n, 2, 3)
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def mix(images: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Mixup: each image (N, ...) with another of the batch, in one share drawn from Beta(alpha).

    Returns the mixed images, the index (N,) of each one's partner, and the share of its own. The
    share comes from torch's own generator, as dropout does.
    Zhang et al., 2018, https://arxiv.org/abs/1710.09412.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    partners = torch.randperm(len(images), generator=generator, device=images.device)
    return images.lerp(images[partners], 1 - share), partners, share


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
