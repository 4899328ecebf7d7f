"""torch.compile and ONNX against the eager net, for one net of each kind of block."""

import pytest
import torch

from tests.conftest import by_day

EXPORTED = ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"]
EXPORTED += ["shiftnet_small"]
"""By day the one with an operator of our own: `to_onnx` of the others is compared with more."""


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "squeezenet1_1", "shiftnet_small"])
def test_compiles_without_a_graph_break(name, settled):
    net, x = settled(name)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        expected = net(x)
        assert expected.std(0).max() > 0.01
        torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch 2.13 about itself
@pytest.mark.parametrize("name", by_day(["shiftnet_small"], EXPORTED))
def test_exports_to_onnx_with_the_same_outputs(name, tmp_path, settled):
    pytest.importorskip("onnxscript", reason="torch's ONNX exporter needs onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    net, x = settled(name)
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (x,), path, input_names=["image"], verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": x.numpy()})
    with torch.inference_mode():
        expected = net(x)
    assert expected.std(0).max() > 0.01
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)
