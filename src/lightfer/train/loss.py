"""What a training step minimises: the labels, or anything a caller computes from the same view."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy


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


def label_loss(targets: Tensor, smoothing: float = 0.0) -> Loss:
    """Cross-entropy with the targets of the train split, labels (M,) or shares of the classes
    (M, classes), as `Split.targets` has them; with both images' where they are mixed.
    """

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        own = cross_entropy(logits, targets[batch.indices], label_smoothing=smoothing)
        if batch.partners is None:
            return own
        other = cross_entropy(logits, targets[batch.partners], label_smoothing=smoothing)
        return batch.share * own + (1 - batch.share) * other

    return loss
