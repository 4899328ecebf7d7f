"""From an RGB photograph of a face to network input, in operations that every runtime has.

Grey is Pillow's "L" bit for bit; resizing is the bilinear filter with antialiasing of Pillow and of
`lightfer.data.images`, written as two products with a matrix, each rounded to whole numbers:
across, then down. Pillow may go down first, so a pixel differs by at most 1 of 255. Nothing is
cropped: a face that is not square is stretched.
"""

import torch
from torch import Tensor, nn

LUMA = (19595.0, 38470.0, 7471.0)  # of 65,536: ITU-R 601; sums stay below 2^24, exact in float32


class Preprocess(nn.Module):
    """uint8 RGB (N, H, W, 3) -> float32 (N, 1, height, width): (pixel / 255 - mean) / std, grey."""

    def __init__(self, mean: float, std: float, height: int, width: int) -> None:
        super().__init__()
        self.mean, self.std, self.height, self.width = mean, std, height, width
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor(LUMA))

    def forward(self, image: Tensor) -> Tensor:
        grey = (((image.float() * self.luma).sum(3) + 32768) / 65536).floor()
        rows = filter_matrix(grey.shape[1], self.height)
        columns = filter_matrix(grey.shape[2], self.width)
        across = (grey @ columns.T + 0.5).floor()
        pixels = (rows @ across + 0.5).floor()
        return ((pixels / 255 - self.mean) / self.std).unsqueeze(1)


def filter_matrix(size: int, target: int) -> Tensor:
    """(target, size): the share of each of `size` pixels in each of `target`; rows sum to 1.

    A triangle about each target pixel's centre, as wide as the step if that is more than a pixel.
    The identity where the sizes are equal.
    """
    position = torch.arange(size, dtype=torch.float32) + 0.5
    step = (position[-1] + 0.5) / target  # a tensor: the exporter need not know the size
    centre = (torch.arange(target, dtype=torch.float32) + 0.5) * step
    distance = (position - centre.unsqueeze(1)).abs() / step.clamp(min=1)
    weight = (1 - distance).clamp(min=0)
    return weight / weight.sum(1, keepdim=True)
