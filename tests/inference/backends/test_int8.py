"""int8: what a runtime computes in it, how near it is, and what it is calibrated on."""

import io
from collections import Counter
from functools import lru_cache
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightfer.data import Dataset
from lightfer.data.dataset import DataError, Split, SplitName, normalize
from lightfer.data.subsets import calibration_images
from lightfer.inference.backends import RUNTIMES
from lightfer.inference.backends.int8 import (
    NO_IMAGES,
    depthwise_stem,
    int8_settings,
    quantize_onnx,
    quantize_openvino,
    without_lone_batch_norms,
)
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.backends.onnxruntime import from_content
from lightfer.models.registry import create_model
from tests.conftest import by_day
from tests.inference.export.tiny import tiny

SHAPE = (1, 1, 48, 48)
MODEL = tiny()
LOUD = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 1), nn.AdaptiveAvgPool2d(1))
LOUD.append(nn.Flatten()).append(nn.Linear(16, 7))
for weight in LOUD.parameters():
    nn.init.constant_(weight, 0.1)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"  # torch about itself
)


@lru_cache
def exported() -> bytes:
    return to_onnx(MODEL, SHAPE)


@pytest.fixture(params=["onnxruntime", "openvino"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if reason := RUNTIMES[request.param].available():
        pytest.skip(reason)
    if request.param == "openvino":
        pytest.importorskip("nncf")
    module = import_module(f"lightfer.inference.backends.{request.param}")
    monkeypatch.setattr(module, "to_onnx", lambda model, shape: exported())
    return request.param


@pytest.fixture(scope="module")
def images(faces: Dataset) -> Tensor:
    return normalize(calibration_images(faces))


def test_int8_is_computed_is_near_and_is_smaller(name: str, images: Tensor):
    load, options = RUNTIMES[name].load, {"threads": 1, "calibration": images}
    full = load(MODEL, SHAPE, precision="float32", **options)
    small = load(MODEL, SHAPE, precision="int8", **options)
    assert (full.settings["precision"], small.settings["precision"]) == ("float32", "int8")
    assert "int8_convolutions" not in full.settings
    with torch.inference_mode():
        expected = MODEL(images[:3])
    assert (full(images[:3]) - expected).abs().max() < 1e-4
    difference = (small(images[:3]) - expected).abs().max().item()
    assert 1e-5 < difference < 0.3 * expected.abs().max().item()
    assert full.deployed_bytes is not None
    assert small.deployed_bytes is not None


def test_onnxruntime_computes_every_convolution_in_int8(images: Tensor):
    """The lone batch norm is one of them."""
    if reason := RUNTIMES["onnxruntime"].available():
        pytest.skip(reason)
    load = RUNTIMES["onnxruntime"].load
    loaded = load(MODEL, SHAPE, threads=1, precision="int8", calibration=images)
    assert loaded.settings["int8_convolutions"] == "4 of 4"


def test_weights_leave_room_for_processors_that_add_in_16_bits(images: Tensor):
    """Two products of 8 bits overflow there, and accuracy falls."""
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    graph = onnx.load_from_string(quantize_onnx(exported(), images)).graph
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [
        found[name] for name in found if found[name].dtype == np.int8 and found[name].ndim > 1
    ]
    assert len(weights) == 5
    assert max(abs(weight.astype(int)).max() for weight in weights) == 64


FEW_STEMS = [("mobilenet_v2_x0_35", 2), ("vgg_slim", 0)]
STEMS = [*FEW_STEMS, ("mobilenet_v3_small", 2), ("shufflenet_v2_x0_5", 0)]


@pytest.mark.parametrize(("name", "kept"), by_day(FEW_STEMS, STEMS))
def test_a_stem_with_a_depthwise_convolution_stays_in_float32(name: str, kept: int):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = onnx.load_from_string(to_onnx(create_model(name).eval(), SHAPE))
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert depthwise_stem(model) == convolutions[:kept]


@lru_cache
def dense() -> tuple[nn.Module, bytes]:
    net = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 16), nn.ReLU(), nn.Linear(16, 7)).eval()
    return net, to_onnx(net, SHAPE)


def test_a_net_without_convolutions_is_in_int8_too(
    name: str, images: Tensor, monkeypatch: pytest.MonkeyPatch
):
    """Only convolutions were counted, and it was said to compute in float32."""
    net, content = dense()
    module = import_module(f"lightfer.inference.backends.{name}")
    monkeypatch.setattr(module, "to_onnx", lambda model, shape: content)
    load, options = RUNTIMES[name].load, {"threads": 1, "calibration": images}
    assert load(net, SHAPE, precision="float32", **options).settings["precision"] == "float32"
    settings = load(net, SHAPE, precision="int8", **options).settings
    assert settings["precision"] == "int8"
    assert "int8_convolutions" not in settings


def test_a_net_of_convolutions_is_in_int8_by_those():
    one_in_two, none = Counter({True: 1, False: 1}), Counter({False: 2})
    settings = int8_settings(one_in_two, none)
    assert settings == {"precision": "int8", "int8_convolutions": "1 of 2"}
    assert int8_settings(none, one_in_two) == {}


def test_weights_of_openvino_do_so_too(images: Tensor):
    openvino, _ = pytest.importorskip("openvino"), pytest.importorskip("nncf")
    pytest.importorskip("onnxscript")
    network = openvino.Core().read_model(io.BytesIO(exported()))
    quantized = quantize_openvino(network, images)
    constants = [node for node in quantized.get_ops() if node.get_type_name() == "Constant"]
    weights = [node.data for node in constants if node.get_element_type() == openvino.Type.i8]
    assert len(weights) == 3
    assert 32 < max(abs(weight.astype(int)).max() for weight in weights) <= 64


def test_a_file_with_weights_of_8_bits_is_computed_without_overflow_on_any_processor(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
):
    """As version 0.1 wrote them, and others do."""
    tools = pytest.importorskip("onnxruntime.quantization")
    if reason := RUNTIMES["onnxruntime"].available():
        pytest.skip(reason)
    quantize = tools.quantize_static
    monkeypatch.setattr(
        tools,
        "quantize_static",
        lambda *given, **options: quantize(*given, **{**options, "reduce_range": False}),
    )
    content = quantize_onnx(to_onnx(LOUD, SHAPE), images)
    with torch.inference_mode():
        expected = LOUD(images[:3])
    difference = (from_content(content, 1)(images[:3]) - expected).abs().max().item()
    assert difference < 0.05 * expected.abs().max().item()


@pytest.mark.parametrize("calibration", [None, torch.zeros(0, *SHAPE[1:])])
def test_without_images_it_says_so(name: str, calibration):
    with pytest.raises(ValueError, match="calibrated on train images") as error:
        RUNTIMES[name].load(MODEL, SHAPE, threads=1, precision="int8", calibration=calibration)
    assert str(error.value) == NO_IMAGES


def test_a_lone_batch_norm_as_a_convolution_is_the_same(images: Tensor):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = without_lone_batch_norms(onnx.load_from_string(exported()))
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (logits,) = session.run(None, {"image": images[:4].numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), MODEL(images[:4]), rtol=0, atol=1e-5)


def test_calibration_images_are_of_train_and_always_the_same(faces: Dataset):
    chosen = calibration_images(faces, 10)
    assert torch.equal(chosen, calibration_images(faces, 10))
    train = faces["train"].images
    assert all((train == image).flatten(1).all(1).any() for image in chosen)
    assert len(calibration_images(faces)) == len(train)
    splits: dict[SplitName, Split] = {"test": faces["test"]}
    with pytest.raises(DataError, match="no train split"):
        calibration_images(Dataset(name="custom", source="here", splits=splits))
