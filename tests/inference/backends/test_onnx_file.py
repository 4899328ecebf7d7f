"""The graph that is written; oracle: the operators' names, and PyTorch's outputs."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.session import open_session

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript", reason="torch's ONNX exporter needs onnxscript")
pytest.importorskip("onnxruntime")


class Pools(nn.Module):
    """Means over all of an image, with and without its axes, and a reshape by a known shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        pairs = (y * y.mean((2, 3), keepdim=True)).view(y.shape[0], 2, 3, 8, 8)
        return torch.flatten(pairs.transpose(1, 2), 1, 2).mean((2, 3))


class OtherMeans(nn.Module):
    """Means that are no pooling: over channels and height, and of five axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.mean((1, 2)) + y.view(y.shape[0], 2, 3, 8, 8).mean((2, 3))[:, 0]


@pytest.mark.parametrize(
    ("net", "pooled", "means"), [(Pools(), 2, 0), (OtherMeans(), 0, 2)], ids=["pools", "others"]
)
def test_the_graph_has_the_operators_that_are_made_for_it(net: nn.Module, pooled: int, means: int):
    content = to_onnx(net, (1, 1, 10, 10))
    found = Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    assert (found["GlobalAveragePool"], found["ReduceMean"]) == (pooled, means)
    assert not {"Shape", "Concat"} & found.keys()
    run = open_session(content, "onnxruntime").run
    for count in (1, 3):
        x = torch.rand(count, 1, 10, 10)
        torch.testing.assert_close(torch.from_numpy(run(x.numpy())), net(x))
