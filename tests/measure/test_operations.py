"""Counts against closed forms, and against torch, fvcore and ptflops to the last operation."""

import pytest
import torch
from torch import nn

from lightfer.cli.table import replace_block
from lightfer.measure.operations import count_operations, list_operators
from lightfer.models import shift
from lightfer.models._torchvision import import_torchvision
from lightfer.models.blocks import BatchNormAct
from lightfer.models.registry import DEFAULT_MODELS, ZOO
from lightfer.models.shift import Shift
from lightfer.models.shufflenet_v2 import channel_shuffle
from tests.conftest import by_day
from tests.measure import counters

F32 = 4  # bytes


def of(*layers: nn.Module, shape: tuple[int, ...] = (2, 8, 8)):
    return count_operations(nn.Sequential(*layers), shape)


def test_macs_of_a_convolution_are_outputs_times_filter():
    c = of(nn.Conv2d(4, 6, (3, 5), stride=2, padding=1, groups=2), shape=(4, 9, 9))
    outputs = 6 * 5 * 4
    assert c.macs == outputs * (4 // 2) * 3 * 5
    assert c.flops == 2 * c.macs
    assert (c.params, c.buffers) == (6 * 2 * 15 + 6, 0)
    assert c.bytes_unfused == F32 * (4 * 81 + c.params + outputs)
    assert (c.elementwise, c.moved, c.operator_calls) == (0, 0, 1)


def test_macs_of_a_transposed_convolution_are_inputs_times_filter():
    assert of(nn.ConvTranspose2d(2, 5, 3, stride=2)).macs == 2 * 8 * 8 * 5 * 9


@pytest.mark.parametrize("bias", [True, False])
def test_macs_of_a_linear_layer_are_its_weights(bias: bool):
    c = of(nn.Flatten(), nn.Linear(128, 7, bias=bias))
    assert c.macs == 128 * 7
    assert c.operator_calls == 1  # flatten is a view


@pytest.mark.parametrize(
    ("layer", "per_number"),
    [
        (nn.BatchNorm2d(2), 2),
        (nn.ReLU(), 1),
        (nn.ReLU(inplace=True), 1),
        (nn.ReLU6(), 2),
        (nn.Hardsigmoid(), 4),
        (nn.Hardswish(inplace=True), 5),
        (nn.Dropout(0.5), 0),
        (nn.AdaptiveAvgPool2d(1), 1),
        (nn.MaxPool2d(2), 1),  # disjoint windows read every number once
        (nn.AvgPool2d(2), 1),
    ],
)
def test_element_wise_operations_per_number(layer: nn.Module, per_number: int):
    c = of(layer)
    assert (c.elementwise, c.macs, c.moved) == (128 * per_number, 0, 0)


class Branches(nn.Module):
    """x -> relu(conv(x)) + x, then a product with one number per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1, bias=False)

    def forward(self, x):
        y = torch.relu(self.conv(x)) + x
        return y * y.mean((2, 3), keepdim=True)


def test_branches_bytes_and_peak():
    c = count_operations(Branches(), (2, 8, 8))
    n = 2 * 8 * 8
    assert c.elementwise == 4 * n  # relu, addition, mean, product
    # Numbers in and out of: convolution, relu, addition, mean, product.
    unfused = (n + 4 + n) + (n + n) + (n + n + n) + (n + 2) + (n + 2 + n)
    assert c.bytes_unfused == F32 * unfused
    # relu and the addition join the convolution; y has two readers and is written and read.
    fused = (n + 4 + n + n) + (n + 2) + (n + 2 + n)
    assert c.bytes_fused == F32 * fused
    assert c.flops_per_byte_fused == 2 * c.macs / c.bytes_fused
    assert c.peak_activation_bytes == F32 * 3 * n  # x, relu's output, their sum
    assert c.operator_calls == 5


def test_a_norm_and_an_activation_behind_a_convolution_move_nothing():
    conv = nn.Conv2d(2, 3, 1, bias=False)
    c = of(conv, nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    assert c.bytes_fused == of(conv).bytes_fused == F32 * (128 + 6 + 192)
    assert c.bytes_unfused == F32 * (128 + 6 + 192 + (192 + 4 * 3 + 192) + (192 + 192))
    assert (c.params, c.buffers) == (6 + 6, 3 + 3 + 1)
    assert c.peak_activation_bytes == F32 * (192 + 192)


class Moves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = Shift(18, 3)

    def forward(self, x):
        x = self.shift(x)  # moves 18 channels
        x = channel_shuffle(x, 2)  # 18
        a, b = x.chunk(2, dim=1)  # views: nothing
        return nn.functional.pad(torch.cat([b, a], 1), (1, 1, 1, 1))  # 18, then 18 with a border


def test_moved_numbers():
    c = count_operations(Moves(), (18, 6, 6))
    assert c.moved == 18 * (3 * 36 + 64)
    assert (c.macs, c.elementwise, c.operator_calls) == (0, 0, 4)


class Fixed(nn.Module):
    """A depthwise convolution with a kernel that is not learned, seen through a view."""

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)
        self.kernel: torch.Tensor

    def forward(self, x):
        weight = self.kernel.expand(2, 1, 3, 3)
        return nn.functional.conv2d(x, weight, padding=1, groups=2)


def test_a_fixed_kernel_is_a_shift_only_if_it_is_one_hot():
    """A blur, of more operations than the rest of a net, was called one and counted nowhere."""
    blur, one, negative = torch.full((3, 3), 1 / 9), torch.zeros(3, 3), torch.zeros(3, 3)
    one[0, 2], negative[0, 2] = 1.0, -1.0
    macs = 2 * 8 * 8 * 9
    for kernel, counted, moved in ((blur, macs, 0), (negative, macs, 0), (one, 0, 2 * 8 * 8)):
        c = of(Fixed(kernel))
        assert (c.macs, c.moved, c.uncounted) == (counted, moved, ())
    unknown = of(Fixed(one.to("meta")))  # which of them it is, nobody can tell
    assert (unknown.macs, unknown.moved, unknown.uncounted) == (0, 0, ("convolution",))


def test_what_no_definition_covers_is_named():
    class Attention(nn.Module):
        def forward(self, x):
            return torch.bmm(x[0], x[0]).cumsum(0)

    assert count_operations(Attention(), (2, 8, 8)).uncounted == ("bmm", "cumsum")


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    count_operations(model, (1, 8, 8))
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert next(model.parameters()).device.type == "cpu"


def test_inference_mode_changes_nothing():
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()
    with torch.inference_mode():
        assert of(*layers) == of(*layers, nn.Dropout())
        inside = of(*layers)
    assert inside == of(*layers)


def test_more_than_one_image_is_refused():
    with pytest.raises(ValueError, match="of one image"):
        of(nn.ReLU(), shape=(2, 1, 8, 8))


# MB, fused and op by op, from an analytic count without a framework, rounded; and batch-1 float32.
TRAFFIC_AT_224 = {
    "mobilenet_v1": (57.8, 138.5),
    "mobilenet_v2": (68.8, 172.8),
    "mobilenet_v3_small": (25.7, 47.6),
    "shufflenet_v2_x0_5": (20.8, 35.5),
    "shufflenet_v2_x1_0": (39.8, 67.3),
    "shufflenet_v2_x1_5": (58.3, 97.0),
    "shufflenet_v2_x2_0": (89.6, 141.9),
    "squeezenet1_1": (41.2, 61.9),
}


@pytest.mark.parametrize("name", TRAFFIC_AT_224)
def test_traffic_agrees_with_an_independent_count(name: str):
    with torch.device("meta"):
        c = count_operations(ZOO[name](1000, 3), (3, 224, 224))
    fused, unfused = TRAFFIC_AT_224[name]
    assert c.bytes_fused / 1e6 == pytest.approx(fused, abs=0.05)
    # That count leaves out the running statistics that an unfused batch norm reads: up to 0.3 %.
    assert unfused - 0.05 <= c.bytes_unfused / 1e6 <= unfused * 1.003 + 0.05


@pytest.mark.parametrize("side", by_day([64], [64, 96, 112]))
def test_counts_are_exact_at_the_sizes_that_are_trained(side: int):
    """FlopCounterMode counts the same, and parameters do not depend on the size."""
    for name in DEFAULT_MODELS:
        _, operators, theirs = counters.counted(name, 7, 1, side)
        assert counters.flop_counter_explained(operators) == theirs
        counts = count_operations(ZOO[name](), (1, 1, side, side))
        assert counts.macs == sum(o.macs for o in operators)
        assert counts.params == count_operations(ZOO[name](), (1, 1, 48, 48)).params


FEW = [*DEFAULT_MODELS, *{ZOO[name].family: name for name in ZOO}.values(), "resnet18_cifar"]
"""The race, and the last net of each family, mostly with fewer strides."""


@pytest.mark.parametrize("classes_channels_side", counters.INPUTS.values(), ids=str)
def test_no_difference_from_flop_counter_mode_is_unexplained(classes_channels_side):
    """Every model of the zoo; by day fewer, as others have the same layers. FlopCounterMode charges
    a shift that is computed as a convolution.
    """
    differences = {}
    for name in by_day(FEW, list(ZOO)):
        _, operators, theirs = counters.counted(name, *classes_channels_side)
        ours = counters.flop_counter_explained(operators)
        assert all(o.counted for o in operators), name
        if ours != theirs:
            differences[name] = ours - theirs
    assert differences == {}


def _count_norm_and_relu(module: BatchNormAct, inputs: tuple[torch.Tensor], output: torch.Tensor):
    """For ptflops, which knows a module by its type: what it counts for a norm and a ReLU."""
    from ptflops import pytorch_ops

    pytorch_ops.bn_flops_counter_hook(module, inputs, output)
    pytorch_ops.relu_flops_counter_hook(module, inputs, output)


@pytest.mark.parametrize(
    "name", [*DEFAULT_MODELS, *("shiftresnet20_e3", "resnet18_cifar", "vgg_slim")]
)
def test_no_difference_from_ptflops_is_unexplained(name: str, capsys, monkeypatch):
    monkeypatch.setattr(shift, "_LIBRARY", None)  # a copy is no operator that it knows
    import_torchvision()  # ptflops imports it plainly, which fails beside a CPU build of torch
    ptflops = pytest.importorskip("ptflops")
    model = ZOO[name]().eval()
    operators, _ = list_operators(model, (1, 48, 48))
    explained = {
        "aten": counters.ptflops_aten_explained(operators),
        "pytorch": counters.ptflops_modules_explained(model, operators, 48),
    }
    for backend, ours in explained.items():
        known = {BatchNormAct: _count_norm_and_relu} if backend == "pytorch" else {}
        theirs, _ = ptflops.get_model_complexity_info(
            model,
            (1, 48, 48),
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
            custom_modules_hooks=known,
        )
        assert (backend, theirs) == (backend, ours)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", [*DEFAULT_MODELS, "resnet18_cifar", "vgg_slim"])
def test_no_difference_from_fvcore_is_unexplained(name: str):
    fvcore = pytest.importorskip("fvcore.nn")
    model = ZOO[name]().eval()
    operators, _ = list_operators(model, (1, 48, 48))
    analysis = fvcore.FlopCountAnalysis(model, torch.zeros(1, 1, 48, 48))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert analysis.total() == counters.fvcore_explained(model, operators)


def test_the_page_has_the_figures_of_today():
    page = counters.DOCS.read_text(encoding="utf-8")
    expected = replace_block(page, counters.tables())
    assert page == expected, "run `python -m tests.measure.counters`"
