"""Fast convolutions in training: gradients are torch's own, the C one in double precision."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from lightfer.train import depthwise
from lightfer.train.convolutions import fast_convolutions
from lightfer.train.depthwise import weight_gradient

needs_library = pytest.mark.skipif(depthwise._LIBRARY is None, reason="no C compiler when built")


@needs_library
@pytest.mark.parametrize("channels", [1, 15, 16, 40, 130])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (2, 3, 1, 1),
        (2, 5, 1, 2),
        (3, 5, 2, 2),
        (6, 3, 2, 1),
        (7, 3, 2, 0),
        (5, 7, 1, 3),
        (9, 1, 1, 0),
    ],
)
def test_the_gradient_is_torchs(channels: int, size: int, kernel: int, stride: int, padding: int):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, channels, size, size + 1, generator=generator)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator, dtype=torch.float64)
    y = conv2d(x.double(), weight.requires_grad_(), None, stride, padding, groups=channels)
    gradient = torch.randn(y.shape, generator=generator)
    y.backward(gradient.double())
    assert weight.grad is not None
    torch.testing.assert_close(
        weight_gradient(x, gradient, kernel, stride, padding), weight.grad.float()
    )


@needs_library
def test_the_number_of_threads_changes_no_bit():
    x, gradient = torch.randn(8, 100, 6, 6), torch.randn(8, 100, 6, 6)
    threads = torch.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(weight_gradient(x, gradient, 3, 1, 1))
    finally:
        torch.set_num_threads(threads)
    assert results[0].equal(results[1])
    assert results[0].equal(results[2])


@needs_library
@pytest.mark.parametrize(
    ("x", "gradient", "kernel"),
    [
        (torch.ones(2, 4, 6, 6).double(), torch.ones(2, 4, 6, 6), 3),
        (torch.ones(2, 4, 6, 6), torch.ones(2, 4, 6, 6).bfloat16(), 3),
        (torch.ones(2, 4, 6, 6), torch.ones(2, 4, 5, 6), 3),
        (torch.ones(2, 4, 6, 6), torch.ones(2, 3, 6, 6), 3),
        (torch.ones(2, 4, 6, 6), torch.ones(1, 4, 6, 6), 3),
        (torch.ones(2, 4, 12, 12), torch.ones(2, 4, 6, 6), 9),
    ],
    ids=["double", "bfloat16", "height", "channels", "images", "kernel"],
)
def test_what_the_c_code_cannot_take_is_refused(x, gradient, kernel: int):
    with pytest.raises(ValueError, match="expected"):
        weight_gradient(x, gradient, kernel, 1, kernel // 2)


@pytest.mark.parametrize("library", ["built", "missing"])
def test_a_network_learns_the_same(library: str, monkeypatch: pytest.MonkeyPatch):
    if library == "missing":
        monkeypatch.setattr(depthwise, "_LIBRARY", None)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 5, 1, 2, groups=8),  # with a bias
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False),
        nn.Conv2d(16, 32, 3, groups=16),  # two filters per channel: left as it is
    )
    x = torch.randn(4, 1, 12, 12).contiguous(memory_format=torch.channels_last)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(x).square().mean().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    plain = gradients()
    with fast_convolutions(model):
        assert "forward" in vars(model[1])
        assert "forward" not in vars(model[4])
        fast = gradients()
    assert not any("forward" in vars(module) for module in model)
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(a, b)


def test_depthwise_stays_in_float32_under_autocast():
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    x = torch.randn(2, 8, 6, 6)
    with fast_convolutions(layer), torch.autocast("cpu", torch.bfloat16):
        assert layer(x.bfloat16()).dtype == torch.float32
