"""Timing against a model that sleeps a known time."""

import time

import torch
from torch import nn

from lightfer.measure.latency import time_images, time_passes


class Sleeper(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.sizes = seconds, []

    def forward(self, x):
        self.sizes.append(len(x))
        assert not torch.is_grad_enabled()
        time.sleep(self.seconds)
        return x


def test_every_pass_is_kept_and_takes_at_least_the_sleep():
    model = Sleeper(0.005)
    samples = time_passes(model, torch.zeros(1, 1, 48, 48), passes=20, warmup=3)
    assert len(samples) == 20
    assert len(model.sizes) == 23
    assert min(samples) >= 0.005


def test_all_images_are_classified_once_and_only_full_batches_are_samples():
    model = Sleeper(0.002)
    images = torch.zeros(10, 1, 48, 48, dtype=torch.uint8)
    total, passes = time_images(model, images, lambda x: x.float(), batch_size=4, warmup=2)
    assert model.sizes == [4, 4, 4, 4, 2]
    assert len(passes) == 2
    assert total >= 3 * 0.002
