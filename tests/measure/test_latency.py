"""Timing against models that sleep a known time, and clocks that step by a known amount."""

import time
from itertools import cycle

import numpy
import pytest
import torch
from torch import nn

from lightfer.measure import latency
from lightfer.measure.latency import (
    evenly_ranked,
    percentile,
    time_decoding,
    time_images,
    time_passes,
    time_passes_by_events,
    warm_up,
)


class Sleeper(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.sizes = seconds, []

    def forward(self, x):
        self.sizes.append(len(x))
        assert not torch.is_grad_enabled()
        assert not self.training
        time.sleep(self.seconds)
        return x


def test_every_pass_is_kept_and_takes_at_least_the_sleep():
    model = Sleeper(0.005)
    samples = time_passes(model, torch.zeros(1, 1, 48, 48), passes=20, warmup=3)
    assert len(samples) == 20
    assert len(model.sizes) >= 20 + 2 * 3
    assert min(samples) >= 0.005


def test_all_images_are_classified_once():
    model = Sleeper(0.002)
    images = torch.zeros(10, 1, 48, 48, dtype=torch.uint8)
    total, inside = time_images(model, images, lambda x: x.float(), batch_size=4)
    assert model.sizes == [4, 2, 4, 4, 2]  # one of both sizes before, then the images
    assert total >= inside >= 3 * 0.002


def test_passes_go_on_until_they_have_lasted_and_the_images_rotate():
    model, seen = Sleeper(0.005), []
    inputs = cycle([torch.full((1,), float(i)) for i in range(3)])

    def run(x):
        seen.append(x.item())
        return model(x)

    model.eval()
    samples = time_passes(run, inputs, passes=2, warmup=0, seconds=0.1)
    assert 0.1 <= sum(samples) < 0.1 + 2 * max(samples)
    assert seen[:4] == [1.0, 2.0, 0.0, 1.0]


def test_thinned_passes_keep_the_distribution():
    samples = numpy.random.default_rng(0).permutation(1000) * 1e-6
    kept = evenly_ranked(samples.tolist(), 200)
    assert len(kept) == 200
    assert list(kept) == sorted(kept)
    for q in (0.25, 0.5, 0.9):
        assert numpy.quantile(kept, q) == pytest.approx(numpy.quantile(samples, q), rel=0.02)
    assert evenly_ranked([3e-9, 1e-9], 200) == (3e-9, 1e-9)
    assert evenly_ranked([0.1234567891234], 1) == (0.123456789,)  # the clock's nanoseconds


@pytest.fixture
def passes_take(monkeypatch: pytest.MonkeyPatch):
    """A clock by which the passes take the given seconds, the last one for ever."""

    def install(*seconds: float) -> None:
        left = list(seconds)
        monkeypatch.setattr(
            latency, "_timed", lambda run, x: left.pop(0) if len(left) > 1 else left[0]
        )

    return install


def test_warm_up_ends_when_two_groups_agree(passes_take):
    passes_take(9.0, 9.0, 4.0, 4.0, 2.0, 2.0, 2.09, 2.09, 1.0)
    assert warm_up(lambda x: x, torch.zeros(1), group=2) == 8


def test_warm_up_of_an_unsteady_machine_ends_at_the_cap(passes_take):
    passes_take(*(float(i % 2 + 1) for i in range(100)))
    assert warm_up(lambda x: x, torch.zeros(1), group=1, max_groups=7) == 7


def test_a_percentile_needs_ten_samples_beyond_it():
    samples = [float(i) for i in range(1000)]
    assert percentile(samples, 0.99) == pytest.approx(989.01)
    assert percentile(samples[:100], 0.9) == pytest.approx(89.1)
    assert percentile(samples[:999], 0.99) is None
    assert percentile(samples[:99], 0.9) is None
    assert percentile(samples[:19], 0.5) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile(samples, 99)


def test_decoding_takes_time():
    assert time_decoding(torch.zeros(5, 1, 48, 48, dtype=torch.uint8)) > 0


def test_cuda_events_are_milliseconds(monkeypatch: pytest.MonkeyPatch):
    """A queue whose clock steps by 3 ms at every pass."""
    clock = [0.0]

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at_ms = clock[0]

        def synchronize(self) -> None:
            pass

        def elapsed_time(self, end: "Event") -> float:
            return end.at_ms - self.at_ms

    def run(x):
        clock[0] += 3.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    samples = time_passes_by_events(run, torch.zeros(1), passes=4, warmup=1)
    assert samples == pytest.approx([0.003] * 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_wall_time_holds_the_time_between_events():
    model = nn.Conv2d(64, 64, 3, padding=1).cuda()
    x = torch.randn(64, 64, 56, 56, device="cuda")
    wall = time_passes(model, x, passes=30, warmup=5)
    events = time_passes_by_events(model, x, passes=30, warmup=5)
    assert 0 < min(events) <= sorted(wall)[15] * 1.1
