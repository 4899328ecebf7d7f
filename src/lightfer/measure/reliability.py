"""How far confidences are from how often a network is right (Guo et al., 2017).

Images are put into equal-width bins of their largest probability. The expected calibration error is
the mean, over the images, of the gap between the confidence and the accuracy of their bin:
https://arxiv.org/abs/1706.04599.
"""

from statistics import mean, quantiles, stdev

import torch
from torch import Tensor

BINS = 15
RESAMPLED = 400


class Reliability:
    """Of logits (N, classes) and labels (N,)."""

    def __init__(self, logits: Tensor, labels: Tensor) -> None:
        confidence, predicted = logits.softmax(1).max(1)
        self.confidence = confidence.double()
        self.correct = (predicted == labels).double()
        self.bin = (confidence * BINS).long().clamp(max=BINS - 1)

    def bins(self) -> tuple[tuple[int, float, float], ...]:
        """Images, mean confidence and accuracy of each bin; zeros where it is empty."""
        images = torch.bincount(self.bin, minlength=BINS)
        sums = [torch.bincount(self.bin, x, BINS) for x in (self.confidence, self.correct)]
        confidence, accuracy = (x / images.clamp(min=1) for x in sums)
        return tuple(zip(images.tolist(), confidence.tolist(), accuracy.tolist(), strict=True))

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return _error(self.bin, self.correct - self.confidence)

    def interval(self) -> tuple[float, float]:
        """Of 95 %, always of the same draws.

        The error of a finite sample is too high, as gaps of either sign are added. The interval is
        that of a normal distribution about the error less its bias, with the standard deviation,
        both by bootstrap; it begins at zero where a network that is right as often as it says would
        not rarely (2.5 %) show such an error. How often it holds the true error:
        `benchmarks/calibration_interval.py`.
        """
        generator = torch.Generator().manual_seed(0)
        n, gaps = len(self.bin), self.correct - self.confidence
        resampled, honest = [], []
        for _ in range(RESAMPLED):
            drawn = torch.randint(n, (n,), generator=generator)
            resampled.append(_error(self.bin[drawn], gaps[drawn]))
            right = torch.rand(n, generator=generator) < self.confidence
            honest.append(_error(self.bin, right.double() - self.confidence))
        middle, spread = 2 * self.error - mean(resampled), stdev(resampled)
        low = middle - 1.96 * spread
        if self.error <= quantiles(honest, n=40)[-1]:
            low = 0.0
        return max(0.0, low), max(0.0, middle + 1.96 * spread)


def _error(bins: Tensor, gaps: Tensor) -> float:
    """Of the bins (N,) and gaps (N,) of a sample."""
    return float(torch.bincount(bins, gaps, BINS).abs().sum()) / len(bins)
