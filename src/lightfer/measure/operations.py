"""Parameters and multiply-adds of a network, by one definition.

Counted: the multiply-adds of convolutions and linear layers with learned weights, where one
multiply-add (MAC) is one multiplication and the addition behind it; FLOPs are twice as many.
Not counted: biases, batch norm, activations, pooling, additions of branches. A shift moves data
and costs no multiply-adds, however it is computed: as a convolution its one-hot weights are not
learned. Parameters are learned numbers, those of batch norm included, its running statistics not.

This is half of what `torch.utils.flop_counter.FlopCounterMode` counts (which charges a shift that
is computed as a convolution); ptflops with its default settings adds about 3 to 7 % for the
operations left out here. Held fixed: batch size one, evaluation mode.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

COUNTED = (functional.conv1d, functional.conv2d, functional.conv3d, functional.linear)


@dataclass(frozen=True)
class Operations:
    """Size of a network and the work of one forward pass of one image."""

    params: int
    macs: int
    weight_bytes: int  # parameters and buffers of the state dict, at the precision they have

    @property
    def flops(self) -> int:
        """Floating-point operations: two for a multiply-add."""
        return 2 * self.macs


def count_operations(model: nn.Module, input_shape: Sequence[int]) -> Operations:
    """Count one forward pass of one image of `input_shape`, (C, H, W) or (1, C, H, W).

    The pass runs on torch's meta device, so nothing is computed and `model` may be on any device,
    the meta device included. The model is left as it was: no hooks, same mode, same tensors.

    Raises ValueError for a batch of more than one image.
    """
    shape = tuple(input_shape) if len(input_shape) == 4 else (1, *input_shape)
    if len(shape) != 4 or shape[0] != 1:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}, but counts are of one image: use (C, H, W)"
        )
    parameters = dict(model.named_parameters())
    tensors = {name: nn.Parameter(p.to("meta"), False) for name, p in parameters.items()} | {
        name: buffer.to("meta") for name, buffer in model.named_buffers()
    }
    dtype = next((p.dtype for p in parameters.values() if p.is_floating_point()), torch.float32)
    modes = {module: module.training for module in model.modules()}
    counter = _Counter()
    try:
        model.eval()
        with torch.no_grad(), counter:
            image = torch.empty(shape, dtype=dtype, device="meta")
            torch.func.functional_call(model, tensors, image)
    finally:
        for module, training in modes.items():
            module.training = training
    return Operations(
        params=sum(p.numel() for p in parameters.values()),
        macs=counter.macs,
        weight_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
    )


class _Counter(TorchFunctionMode):
    """Adds up the multiply-adds of every convolution and linear layer with a learned weight."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in COUNTED:
            weight: Tensor = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            if isinstance(weight, nn.Parameter):
                # Every output number is the sum of one product per weight of its filter or row.
                self.macs += output.numel() * weight[0].numel()
        return output
