"""Oracle: populations whose calibration error is known, and samples of them."""

import pytest
import torch

from lightfer.measure.reliability import BINS, Reliability


def sample(gap: float, seed: int, images: int = 2000) -> Reliability:
    """A network that is right less often than it says, by `gap`."""
    generator = torch.Generator().manual_seed(seed)
    confidence = 0.5 + 0.45 * torch.rand(images, generator=generator)
    wrong = torch.rand(images, generator=generator) >= confidence - gap
    logits = torch.stack([confidence, 1 - confidence], 1).log()
    return Reliability(logits, wrong.long())


@pytest.mark.parametrize("gap", [0.0, 0.08])
def test_the_interval_holds_the_true_error(gap: float):
    found = [sample(gap, seed).interval() for seed in range(20)]
    assert sum(low <= gap <= high for low, high in found) >= 16
    assert all(0.005 < high - low < 0.06 for low, high in found)
    above_zero = sum(low > 0 for low, _ in found)
    assert above_zero == 20 if gap else above_zero <= 2


def test_the_bins_tell_the_error():
    about = sample(0.1, 1)
    bins = about.bins()
    assert len(bins) == BINS
    assert sum(images for images, _, _ in bins) == 2000
    error = sum(n * abs(accuracy - confidence) for n, confidence, accuracy in bins) / 2000
    assert about.error == pytest.approx(error)
    assert bins[0] == (0, 0.0, 0.0)


def test_the_same_images_have_the_same_interval():
    assert sample(0.03, 5).interval() == sample(0.03, 5).interval()
