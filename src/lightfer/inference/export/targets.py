"""The forms of an exported file: how each is written, and opened again to be checked.

A target writes into an empty folder that it is given, the file of the wanted name first; OpenVINO
writes two. Opened files are called with NumPy arrays as `lightfer.inference.card` describes the
input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn

from lightfer.inference.backends import openvino
from lightfer.inference.backends.int8 import quantize_onnx, quantize_openvino
from lightfer.inference.backends.onnx_file import fix_batch, joined, module_to_onnx, to_onnx
from lightfer.inference.backends.protocol import missing
from lightfer.inference.card import CARD_KEY, ExportCard
from lightfer.inference.export import litert
from lightfer.inference.export.preprocess import Preprocess
from lightfer.inference.session import open_session

Call = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Net:
    """What is exported: a network and how its file is to be."""

    model: nn.Module
    card: ExportCard  # says shape, precision, batch size and whether the graph prepares its input
    calibration: Tensor | None = None  # prepared train images, float32 (M, C, H, W), for int8

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.card.input.channels, self.card.input.height, self.card.input.width)


@dataclass(frozen=True)
class Target:
    """One form of file."""

    name: str
    suffix: str
    precisions: tuple[str, ...]
    any_size: bool  # whether one file serves every batch size, and every image size if it prepares
    packages: tuple[str, ...]  # whose versions stand in the card
    available: Callable[[], str | None]  # the reason why it cannot be made here, or None
    write: Callable[[Net, Path], None]
    stamp: Callable[[Path, ExportCard], None]  # put the card into a file that was written
    open: Callable[[Path], Call]

    def packages_for(self, precision: str) -> tuple[str, ...]:
        """With the quantiser, where that is another package."""
        nncf = self.name == "openvino" and precision == "int8"
        return (*self.packages, "nncf") if nncf else self.packages


def _write_onnx(net: Net, path: Path) -> None:
    onnx = import_module("onnx")
    content = to_onnx(net.model, net.shape)
    if net.card.precision == "int8":
        content = quantize_onnx(content, net.calibration)
    model = onnx.load_from_string(content)
    if net.card.preprocess:
        model = joined(_preprocess_onnx(net), model)
    if net.card.batch:
        model = fix_batch(model, net.card.batch)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _stamp_onnx(path: Path, card: ExportCard) -> None:
    onnx = import_module("onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    path.write_bytes(model.SerializeToString())


def _preprocess_onnx(net: Net) -> Any:
    example = torch.zeros(2, 64, 56, 3, dtype=torch.uint8)  # sizes that no axis shares
    of = net.card.input
    module = Preprocess(of.mean, of.std, of.height, of.width).eval()
    return module_to_onnx(module, example, ("N", "H", "W"))


def _write_openvino(net: Net, path: Path) -> None:
    network = openvino.to_openvino(to_onnx(net.model, net.shape))
    if net.card.precision == "int8":
        network = quantize_openvino(network, net.calibration)
    if net.card.preprocess:
        front = openvino.to_openvino(_preprocess_onnx(net).SerializeToString())
        prepared = front.output(0).get_node().input_value(0)
        network.input(0).get_node().output(0).replace(prepared)
        network = import_module("openvino").Model(network.outputs, front.get_parameters())
    if net.card.batch:
        shape = network.input(0).get_partial_shape()
        shape[0] = net.card.batch
        network.reshape(shape)
    openvino.save(network, path)


def _stamp_openvino(path: Path, card: ExportCard) -> None:
    document = ElementTree.parse(path)
    notes = document.getroot().find("rt_info")
    assert notes is not None  # every file that OpenVINO writes has some
    ElementTree.SubElement(notes, CARD_KEY, value=card.to_json())
    document.write(path, encoding="utf-8", xml_declaration=True)


def _opener(runtime: str) -> Callable[[Path], Call]:
    """Opens a file of `runtime`, with a card or yet without."""
    return lambda path: open_session(path, runtime, threads=torch.get_num_threads()).run


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="onnx",
            suffix=".onnx",
            precisions=("float32", "int8"),
            any_size=True,
            packages=("torch", "onnx", "onnxruntime"),
            available=lambda: missing("onnxruntime", "onnx", "onnxscript"),
            write=_write_onnx,
            stamp=_stamp_onnx,
            open=_opener("onnxruntime"),
        ),
        Target(
            name="openvino",
            suffix=".xml",
            precisions=("float32", "int8"),
            any_size=True,
            packages=("torch", "onnx", "openvino"),
            available=lambda: missing("openvino", "onnx", "onnxscript"),
            write=_write_openvino,
            stamp=_stamp_openvino,
            open=_opener("openvino"),
        ),
        Target(
            name="litert",
            suffix=".tflite",
            precisions=("float32",),
            any_size=False,
            packages=("torch", "litert-torch"),
            available=litert.available,
            write=lambda net, path: litert.write(
                net.model, (net.card.batch or 1, *net.shape[1:]), path
            ),
            stamp=litert.stamp,
            open=litert.open_file,
        ),
    )
}


def as_prepared(call: Call, card: ExportCard) -> Callable[[Tensor], Tensor]:
    """From the call of an opened file to float32 (N, C, H, W), any N -> logits (N, classes).

    A file that prepares its input gets the pixels that it was prepared from, which are whole
    numbers; a file of a fixed batch size gets as many calls as it takes, the last filled with 0.
    """

    def run(x: Tensor) -> Tensor:
        image = _pixels(x, card) if card.preprocess else x.contiguous()
        size = card.batch or len(image)
        filled = torch.cat([image, image.new_zeros(-len(image) % size, *image.shape[1:])])
        logits = [torch.from_numpy(np.array(call(part.numpy()))) for part in filled.split(size)]
        return torch.cat(logits)[: len(image)]

    return run


def _pixels(x: Tensor, card: ExportCard) -> Tensor:
    """float32 (N, 1, H, W) -> uint8 RGB (N, H, W, 3)."""
    grey = ((x * card.input.std + card.input.mean) * 255).round().to(torch.uint8)
    return grey.squeeze(1).unsqueeze(3).expand(-1, -1, -1, 3).contiguous()
