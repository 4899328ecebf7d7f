"""Nets with random weights whose activations look like a trained net's."""

import pytest
import torch
from torch import nn

from lightfer.models.registry import ZOO


def _settle(net: nn.Module, images: torch.Tensor) -> nn.Module:
    """Give batch norms the statistics of `images`, off by a little, and the head large weights.

    Without that, deep nets with random weights give outputs so small that every tolerance holds.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        net.train()(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            variance = norm.running_var  # without the least, which would amplify rounding
            variance.clamp_(min=0.3 * variance.mean()).mul_(1 + 0.3 * torch.rand_like(variance))
            nn.init.normal_(norm.bias, std=0.1)
            nn.init.uniform_(norm.weight, 0.8, 1.2)
        weight, bias = list(net.parameters())[-2:]  # of the head
        nn.init.normal_(weight, std=0.1)
        nn.init.zeros_(bias)
    return net.eval()


@pytest.fixture
def settle():
    """Function: net, images it takes -> the net with random tensors, in evaluation mode."""
    return _settle


@pytest.fixture
def settled():
    """Function: name in the zoo -> (net in evaluation mode, images (2, 1, 48, 48))."""

    def build(name: str) -> tuple[nn.Module, torch.Tensor]:
        torch.manual_seed(0)
        return _settle(ZOO[name](), torch.randn(8, 1, 48, 48)), torch.randn(2, 1, 48, 48)

    return build
