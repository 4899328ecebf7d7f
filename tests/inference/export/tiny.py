"""A network small enough to be exported in a second, with what makes exporting hard."""

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """(N, 1, 48, 48) -> (N, 7): a batch norm that can be folded, one that cannot, a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.depthwise(self.norm(x).relu())
        return self.head(self.pointwise(x).relu().mean((2, 3)))


def tiny() -> Tiny:
    """With statistics and logits of the order of one."""
    torch.manual_seed(0)
    model = Tiny()
    for norm in (model.stem[1], model.norm):
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        nn.init.normal_(norm.running_mean, std=0.2)  # pyright: ignore[reportArgumentType]
        nn.init.uniform_(norm.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
    return model.eval()
