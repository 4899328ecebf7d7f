"""The counter against closed forms and against torch's own FlopCounterMode."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from lightfer.measure.operations import count_operations
from lightfer.models import RACE, ZOO
from lightfer.models.shift import Shift


def test_convolution_and_linear_layers_match_the_closed_form():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=True),  # 8 x 5 x 5 outputs of 3 x 3 x 3
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),  # 8 x 5 x 5 outputs of 2 x 3 x 3
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 7),
    )
    counted = count_operations(net, (3, 10, 9))
    assert counted.macs == 8 * 25 * 27 + 8 * 25 * 18 + 8 * 7
    assert counted.flops == 2 * counted.macs
    assert counted.params == (8 * 27 + 8) + 2 * 8 + 8 * 18 + (8 * 7 + 7)
    assert counted.weight_bytes == 4 * (counted.params + 2 * 8) + 8  # and the norm's statistics


def test_a_shift_costs_nothing_and_a_frozen_layer_costs_the_same():
    assert count_operations(Shift(18, 3), (18, 6, 6)).macs == 0
    net = nn.Conv2d(4, 4, 3)
    before = count_operations(net, (4, 6, 6)).macs
    assert count_operations(net.requires_grad_(False), (4, 6, 6)).macs == before == 4 * 16 * 36


def test_learned_weights_count_where_no_module_is_called():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(2, 1, 3, 3))

        def forward(self, x):
            return conv2d(x, weight=self.kernel)

    assert count_operations(Functional(), (1, 5, 5)).macs == 2 * 9 * 9


@pytest.mark.parametrize("name", [*RACE, "shiftresnet20_e3", "resnet18_cifar"])
def test_half_of_torchs_flops_less_the_one_hot_convolutions(name):
    net, shifted = ZOO[name]().eval(), []
    for module in net.modules():
        if isinstance(module, Shift):
            module.register_forward_hook(
                lambda m, _, y: shifted.append(
                    y.numel() * m.weight[0].numel()
                )  # depthwise: k * k each
            )
    with FlopCounterMode(display=False) as reference:
        net(torch.randn(1, 1, 48, 48))  # with gradients enabled, so the shift is a convolution
    expected = reference.get_total_flops() // 2 - sum(shifted)
    assert bool(shifted) == name.startswith("shift")
    assert count_operations(net, (1, 48, 48)).macs == expected


def test_the_model_is_left_as_it_was():
    net = ZOO["shufflenet_v2_x0_5"]().train()
    net.get_submodule("stage2").eval()  # a mixture of modes, to be kept module by module
    modes = [module.training for module in net.modules()]
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    parameters = [id(p) for p in net.parameters()]
    count_operations(net, (1, 48, 48))
    assert [module.training for module in net.modules()] == modes
    assert len(set(modes)) == 2
    assert all(torch.equal(tensor, state[key]) for key, tensor in net.state_dict().items())
    assert [id(p) for p in net.parameters()] == parameters
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_model_is_left_as_it_was_after_an_error():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
    with pytest.raises(RuntimeError):
        count_operations(net, (1, 8, 8))  # one channel for three
    assert all(module.training for module in net.modules())


def test_a_model_without_data_counts_like_one_with():
    with torch.device("meta"):
        empty = ZOO["mobilenet_v2"]()
    assert count_operations(empty, (1, 48, 48)) == count_operations(
        ZOO["mobilenet_v2"](), (1, 48, 48)
    )


def test_refuses_more_than_one_image():
    with pytest.raises(ValueError, match="one image"):
        count_operations(nn.Conv2d(1, 1, 1), (2, 1, 4, 4))
