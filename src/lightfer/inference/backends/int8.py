"""Static int8: weights per channel, activations per tensor, ranges seen on calibration images.

Weights have 7 bits: x86 processors without VNNI add two products of 8 bits in 16, which overflows.
ONNX Runtime's own quantiser writes QuantizeLinear and DequantizeLinear nodes (QDQ) into the file;
NNCF does the same for OpenVINO and corrects the biases. Calibration images are of the train split:
neither validation nor test decides about a weight.
"""

from collections import Counter
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightfer.errors import ArgumentError
from lightfer.inference.backends.onnx_file import quiet
from lightfer.inference.backends.protocol import Settings, missing
from lightfer.inference.card import INPUT

if TYPE_CHECKING:
    from torch import Tensor

MOST_AT_ONCE = 64
PERCENTILE = 99.99  # of an activation's values are in its range; better than all on validation
QUANTIZED = (
    "Conv", "Gemm", "Add", "Concat", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Reshape", "Transpose", "Split",
)  # fmt: skip
"""Not Mul, HardSigmoid and HardSwish of MobileNetV3: in 8 bits they are no faster."""
NNCF_IMAGES = 300  # its default; one at a time, they take most of the time
METHODS = {  # of `quantize_onnx` and `quantize_openvino`, for the records
    "onnx": f"ONNX Runtime static QDQ, percentile {PERCENTILE}, weights of 7 bits",
    "openvino": "NNCF post-training quantisation, fast bias correction, weights of 7 bits",
}
NO_IMAGES = (
    "int8 is calibrated on train images, and there are none: give FER2013 with its train split "
    "(--data)"
)


def quantize_onnx(content: bytes, calibration: "Tensor | None") -> bytes:
    """A float32 ONNX file with any batch size -> the same with int8 weights and activations.

    `calibration` is prepared input, float32 (N, C, H, W). Raises ValueError without it.
    """
    images = _images(calibration)
    # The percentiles need batches of one size.
    size = max(n for n in range(1, MOST_AT_ONCE + 1) if len(images) % n == 0)
    batches = iter({INPUT: batch.numpy()} for batch in images.split(size))
    onnx, tools = import_module("onnx"), import_module("onnxruntime.quantization")
    model = onnx.load_from_string(content)
    in_float32 = depthwise_stem(model)

    class Reader(tools.CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:
            return next(batches, None)

    with TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "int8.onnx"
        tools.quantize_static(
            without_lone_batch_norms(model),
            path,
            Reader(),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,  # with int8 weights: what VNNI multiplies
            weight_type=tools.QuantType.QInt8,
            reduce_range=True,
            calibrate_method=tools.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=in_float32,
        )
        return path.read_bytes()


def quantize_openvino(network: Any, calibration: "Tensor | None") -> Any:
    """An `openvino.Model` in float32 -> one with int8 weights and activations, by NNCF.

    `calibration` is prepared input, float32 (N, C, H, W). Raises ValueError without it or NNCF.
    """
    images = _images(calibration)
    if reason := missing("nncf", extra="int8"):
        raise ArgumentError(reason)
    with quiet():
        nncf = import_module("nncf")
        return nncf.quantize(
            network,
            nncf.Dataset(list(images.split(1)), lambda image: image.numpy()),
            subset_size=min(NNCF_IMAGES, len(images)),
            target_device=nncf.TargetDevice.CPU,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE
            ),
        )


def int8_settings(convolutions: Counter[bool], products: Counter[bool]) -> Settings:
    """What a runtime says of int8, from how many layers are computed in it and how many are not:
    nothing where no convolution is, or, in a net without any, no matrix product.
    """
    if not (convolutions or products)[True]:
        return {}
    if not convolutions:
        return {"precision": "int8"}
    share = f"{convolutions[True]} of {convolutions.total()}"
    return {"precision": "int8", "int8_convolutions": share}


def _images(calibration: "Tensor | None") -> "Tensor":
    if calibration is None or len(calibration) == 0:
        raise ArgumentError(NO_IMAGES)
    return calibration.contiguous()


def depthwise_stem(model: Any) -> list[str]:
    """The nodes of the first convolution and of a depthwise one right behind it; else none.

    Their channels differ most in range, which one range for all cannot hold, and they are a small
    part of the work.
    """
    nodes = model.graph.node
    first, *others = [node for node in nodes if node.op_type == "Conv"] or [None]
    made_by = {name: node for node in nodes for name in node.output}
    for second in others:
        before = made_by.get(second.input[0])
        while before is not None and before.op_type in ("Relu", "Clip", "HardSwish"):
            before = made_by.get(before.input[0])
        if before is first and any(a.name == "group" and a.i > 1 for a in second.attribute):
            return [first.name, second.name]
    return []


def without_lone_batch_norms(model: Any) -> Any:
    """Each batch norm that no convolution took in becomes a depthwise 1x1 convolution.

    ONNX Runtime has no int8 batch norm: it would go to float32 and back around each.
    """
    helper, arrays = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    graph = model.graph
    known = {tensor.name: arrays.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            continue
        image, *names = node.input
        gamma, beta, mean, variance = (known[name] for name in names)
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = gamma / (variance + epsilon) ** 0.5
        weights = {"weight": scale.reshape(-1, 1, 1, 1), "bias": beta - mean * scale}
        stem = node.output[0]
        graph.initializer.extend(
            arrays.from_array(value.astype("float32"), f"{stem}_{name}")
            for name, value in weights.items()
        )
        inputs = [image, *(f"{stem}_{name}" for name in weights)]
        node.CopyFrom(
            helper.make_node("Conv", inputs, node.output, name=f"{stem}_norm", group=len(scale))
        )
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model
