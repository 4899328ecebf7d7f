"""What a training step minimises: the labels, or anything a caller computes from the same view."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightfer.train.config import TrainConfig


@dataclass(frozen=True)
class Batch:
    """What the network was shown.

    `images` (N, 1, H, W), float32, are augmented, normalised and, with mixup, mixed; `indices` (N,)
    are those of the train split. Where images were mixed, image i is `share` of `indices[i]` and
    `1 - share` of `partners[i]`.
    """

    indices: Tensor
    images: Tensor
    partners: Tensor | None = None
    share: float = 1.0
    epoch: int = 0  # from 1 on in a training

    def of(self, values: Tensor) -> Tensor:
        """Values of the train images (M, ...) -> those of the batch (N, ...), mixed as these are.

        For class probabilities, for example of teachers.
        """
        if self.partners is None:
            return values[self.indices]
        return self.share * values[self.indices] + (1 - self.share) * values[self.partners]


Loss = Callable[[Tensor, Batch], Tensor]
"""From float32 logits (N, classes) and their batch to the mean loss. Same inputs, same result."""


def label_loss(targets: Tensor, config: TrainConfig) -> Loss:
    """The loss with the targets of the train split, labels (M,) or shares of the classes
    (M, classes), as `Split.targets` has them; with both images' where they are mixed.

    It is cross-entropy, with a class that is drawn anew in every epoch where `config.target` is
    "drawn"; for "multi-target" it is -log of the largest probability of a class with a share
    (Barsoum et al., 2016, https://arxiv.org/abs/1608.01041; its 0.001 for the other classes too).
    """

    def of(logits: Tensor, indices: Tensor, epoch: int) -> Tensor:
        if targets.ndim == 1 or config.target == "distribution":
            return cross_entropy(logits, targets[indices], label_smoothing=config.label_smoothing)
        if config.target == "multi-target":
            weights = (targets[indices] > 0).float().clamp(min=1e-3)
            return -(logits.log_softmax(1) + weights.log()).max(1).values.mean()
        generator = torch.Generator(targets.device).manual_seed(config.seed * 100_003 + epoch)
        drawn = torch.multinomial(targets, 1, generator=generator)[indices, 0]
        return cross_entropy(logits, drawn, label_smoothing=config.label_smoothing)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        own = of(logits, batch.indices, batch.epoch)
        if batch.partners is None:
            return own
        other = of(logits, batch.partners, batch.epoch)
        return batch.share * own + (1 - batch.share) * other

    return loss
