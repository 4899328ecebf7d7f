"""Start values that depend on the data."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def unit_variance(model: nn.Module, x: Tensor) -> None:
    """Scale each convolution, from the first to the last but one, to outputs of deviation 1 on `x`.

    For nets without batch norm: LSUV, Mishkin and Matas, 2016, https://arxiv.org/abs/1511.06422,
    in one pass per layer. The last convolution keeps its values. `x` (N, C, H, W).
    """
    training = model.training
    model.eval()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions[:-1]:
        deviations: list[Tensor] = []
        hook = convolution.register_forward_hook(lambda _, __, y: deviations.append(y.std()))  # noqa: B023
        model(x)
        hook.remove()
        convolution.weight /= deviations[0]
    model.train(training)


def set_dropout(model: nn.Module, share: float) -> None:
    """Let every dropout of the model drop this share in training."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
