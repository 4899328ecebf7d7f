"""An exported file, called as a network is: with prepared images."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lightfer.inference.card import ExportCard

Call = Callable[[np.ndarray], np.ndarray]


def as_prepared(call: Call, card: ExportCard) -> Callable[[Tensor], Tensor]:
    """From the call of an opened file to float32 (N, C, H, W), any N -> logits (N, classes).

    A file that prepares its input gets the pixels that it was prepared from, which are whole
    numbers; a file of a fixed batch size gets as many calls as it takes, the last filled with 0.
    """

    def run(x: Tensor) -> Tensor:
        image = _pixels(x, card) if card.preprocess else x.contiguous()
        size = card.batch or len(image)
        filled = torch.cat([image, image.new_zeros(-len(image) % size, *image.shape[1:])])
        logits = [torch.from_numpy(np.array(call(part.numpy()))) for part in filled.split(size)]
        return torch.cat(logits)[: len(image)]

    return run


def _pixels(x: Tensor, card: ExportCard) -> Tensor:
    """float32 (N, 1, H, W) -> uint8 RGB (N, H, W, 3)."""
    grey = ((x * card.input.std + card.input.mean) * 255).round().to(torch.uint8)
    return grey.squeeze(1).unsqueeze(3).expand(-1, -1, -1, 3).contiguous()
