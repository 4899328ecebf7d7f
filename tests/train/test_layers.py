"""Fast layers in training: outputs and gradients are torch's own, those in double precision."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightfer.models.blocks import BatchNormAct, ConvBNAct
from lightfer.models.registry import create_model
from lightfer.models.shift import Shift
from lightfer.train import kernels
from lightfer.train.depthwise import depthwise_convolution
from lightfer.train.layers import fast_layers
from lightfer.train.norm import ACTIVATIONS, norm_act

needs_library = pytest.mark.skipif(kernels._LIBRARY is None, reason="no C compiler when built")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}  # bfloat16 rounds by up to 2 ** -8


def assert_close(ours: Tensor | None, expected: Tensor | None, dtype: torch.dtype):
    """To a share of the largest number, which is what rounding changes."""
    assert ours is not None
    assert expected is not None
    scale = float(expected.detach().abs().max())
    difference = float((ours.detach().double() - expected.detach()).abs().max())
    assert difference <= TOLERANCE[dtype] * scale


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 130])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (2, 3, 1, 1),
        (2, 5, 1, 2),
        (3, 5, 2, 2),
        (6, 3, 2, 1),
        (7, 3, 2, 0),
        (8, 3, 3, 1),
        (5, 7, 1, 3),
        (9, 1, 1, 0),
        (12, 3, 1, 1),
    ],
)
def test_a_depthwise_convolution_is_torchs(dtype, channels, size, kernel, stride, padding):
    generator = torch.Generator().manual_seed(0)
    shape = (3, channels, size, size + 1)
    x = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator).requires_grad_()
    exact_x, exact_weight = (t.detach().double().requires_grad_() for t in (x, weight))
    expected = conv2d(exact_x, exact_weight, None, stride, padding, groups=channels)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    expected.backward(gradient.double())
    y = depthwise_convolution(x, weight, stride, padding)
    y.backward(gradient)
    assert (y.dtype, x.grad is not None and x.grad.dtype) == (dtype, dtype)
    assert_close(y, expected, dtype)
    assert_close(x.grad, exact_x.grad, dtype)
    assert_close(weight.grad, exact_weight.grad, torch.float32)


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("act", [None, *ACTIVATIONS])
@pytest.mark.parametrize(("channels", "size"), [(1, 5), (24, 6), (32, 12), (58, 3), (130, 1)])
def test_a_norm_with_its_activation_is_torchs(dtype, act, channels: int, size: int):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    exact = deepcopy(norm).double()
    # Means far from 0, where a variance from sums of squares would be lost.
    x = (torch.randn(9, channels, size, size) + 30 * torch.randn(1, channels, 1, 1)).to(dtype)
    exact_x = x.double().requires_grad_()
    expected = exact(exact_x) if act is None else act()(exact(exact_x))
    gradient = torch.randn(expected.shape).to(dtype)
    expected.backward(gradient.double())
    y = norm_act(x.requires_grad_(), norm, ACTIVATIONS[act] if act else 0)
    y.backward(gradient)
    assert y.dtype == dtype
    assert_close(y, expected, dtype)
    assert_close(x.grad, exact_x.grad, dtype)
    for name in ("weight", "bias"):
        assert_close(getattr(norm, name).grad, getattr(exact, name).grad, torch.float32)
    for ours, theirs in zip(norm.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-6)


@needs_library
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_what_is_no_number_stays_none(act):
    x = torch.randn(4, 40, 3, 3)
    x[1, 7, 2, 2] = torch.nan
    y = norm_act(x, nn.BatchNorm2d(40), ACTIVATIONS[act])
    assert y[:, 7].isnan().all()
    assert y.isnan().sum() == y[:, 7].numel()


@needs_library
def test_the_number_of_threads_changes_no_bit():
    x, gradient = torch.randn(70, 100, 6, 6), torch.randn(70, 100, 6, 6)
    threads, results = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            weight = torch.linspace(-1, 1, 900).view(100, 1, 3, 3).requires_grad_()
            leaf = x.clone().requires_grad_()
            norm = nn.BatchNorm2d(100)
            y = norm_act(depthwise_convolution(leaf, weight, 1, 1), norm, 2)
            y.backward(gradient)
            results.append([y, leaf.grad, weight.grad, norm.weight.grad, norm.running_var])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(a.equal(b) for a, b in zip(results[0], other, strict=True))


@needs_library
@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.ones(2, 4, 6, 6).double(), torch.ones(4, 1, 3, 3)),
        (torch.ones(2, 4, 6, 6), torch.ones(4, 1, 3, 3).bfloat16()),
        (torch.ones(2, 4, 6, 6), torch.ones(3, 1, 3, 3)),
        (torch.ones(2, 4, 6, 6), torch.ones(4, 2, 3, 3)),
        (torch.ones(2, 4, 12, 12), torch.ones(4, 1, 9, 9)),
        (torch.ones(4, 6, 6), torch.ones(4, 1, 3, 3)),
        (torch.ones(0, 4, 6, 6), torch.ones(4, 1, 3, 3)),
        (torch.ones(2, 4, 1, 1), torch.ones(4, 1, 5, 5)),
    ],
    ids=["double", "weights", "channels", "filters", "kernel", "rank", "empty", "small"],
)
def test_what_the_c_code_cannot_take_is_refused(x: Tensor, weight: Tensor):
    with pytest.raises(ValueError, match=r"expected|does not fit"):
        depthwise_convolution(x, weight, 1, 1)


def test_one_value_in_a_channel_is_refused_as_torch_does():
    with pytest.raises(ValueError, match="more than one value"):
        norm_act(torch.ones(1, 4, 1, 1), nn.BatchNorm2d(4))


class _Net(nn.Module):
    """Every way in which norms, activations, depthwise convolutions and shifts follow another."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBNAct(1, 8, 3, 2),
            nn.Conv2d(8, 8, 5, 1, 2, groups=8),  # with a bias
            BatchNormAct(8, nn.Hardswish),
            ConvBNAct(8, 16, 1, act=nn.ReLU6),
            nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.Conv2d(16, 32, 3, groups=16),  # two filters per channel: left as it is
            Shift(32, 3, 2),
        )
        self.norm, self.act = nn.BatchNorm2d(32), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.layers(x)))


@pytest.mark.parametrize("library", ["built", "missing"])
def test_a_network_learns_the_same(library: str, monkeypatch: pytest.MonkeyPatch):
    if library == "missing":
        monkeypatch.setattr(kernels, "_LIBRARY", None)
    torch.manual_seed(0)
    model = _Net()
    x = torch.randn(4, 1, 24, 24).contiguous(memory_format=torch.channels_last)

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(x).square().mean().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    plain = gradients()
    with fast_layers(model):
        changed = {name for name, module in model.named_modules() if "forward" in vars(module)}
        fast = gradients()
        model.eval()
        with torch.no_grad():
            evaluated = model(x)
    assert {"layers.0", "layers.0.1", "layers.1", "layers.2", "layers.7", "norm"} <= changed
    assert not {"layers", "layers.0.2", "layers.6", "act", ""} & changed
    assert not any("forward" in vars(module) for module in model.modules())
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evaluated, model(x))


class _Again(nn.Module):
    """Norms and activations of a sequence that are used a second time, in each way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.seen = nn.ReLU(), []
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), self.act)
        self.rest = nn.Sequential(
            *(self.act, nn.Conv2d(8, 8, 3), self.act, nn.BatchNorm2d(8), self.act),
            *(nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        )
        self.rest[-2].register_forward_hook(lambda *call: self.seen.append(call[-1]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) - 1
        x = self.rest(self.act(x) + self.stem[1](x) + self.stem[2](x) + self.rest[-1](x))
        return x + self.stem[1:2](x) + self.seen.pop()


def test_what_is_used_a_second_time_computes_what_it_did():
    torch.manual_seed(0)
    model, x = _Again(), torch.randn(4, 1, 24, 24)
    expected = model(x)
    with fast_layers(model):
        torch.testing.assert_close(model(x), expected)


def test_a_forward_of_ones_own_stays():
    layer = nn.BatchNorm2d(8)
    own = layer.forward = lambda input: input + 1
    model = nn.Sequential(nn.Conv2d(1, 8, 3), layer, nn.ReLU())
    x = torch.randn(2, 1, 8, 8)
    with fast_layers(model):
        torch.testing.assert_close(model(x), (model[0](x) + 1).relu())
    assert layer.forward is own


@needs_library
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_norm_and_its_activation_are_done_at_once(name: str):
    """Under autocast, in bfloat16, no activation behind a norm runs by itself."""
    model, ran = create_model(name).train(), []
    x = torch.randn(4, 1, 48, 48).contiguous(memory_format=torch.channels_last)
    with fast_layers(model), torch.autocast("cpu", torch.bfloat16):
        for module in model.modules():
            if type(module) in ACTIVATIONS:
                module.register_forward_hook(lambda module, *_: ran.append(module))
        model(x)
    behind_a_linear = 1 if name == "mobilenet_v3_small" else 0
    in_squeeze_and_excitation = 9 if name == "mobilenet_v3_small" else 0
    assert len(ran) == behind_a_linear + in_squeeze_and_excitation


def test_depthwise_stays_in_bfloat16_under_autocast():
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    with fast_layers(layer), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 8, 6, 6).bfloat16()).dtype == torch.bfloat16
