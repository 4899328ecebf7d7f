"""Real files: written, stamped, opened by the runtime that they are for. Oracle: PyTorch."""

from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lightfer.data import Dataset
from lightfer.data.dataset import normalize
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.inference.card import (
    CARD_KEY,
    UNSEALED,
    ExportCard,
    ExportedFileError,
    files_of,
    seal,
)
from lightfer.inference.export import TARGETS, targets
from lightfer.inference.export.preprocess import Preprocess
from lightfer.inference.export.targets import Net, as_prepared
from lightfer.inference.session import open_session, read_card
from tests.inference.export.tiny import tiny
from tests.inference.test_card import CARD

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"  # torch about itself
)
MODEL = tiny()
FORMS = [{}, {"batch": 3}, {"preprocess": True}, {"preprocess": True, "batch": 2}]


@lru_cache
def exported() -> bytes:
    return to_onnx(MODEL, (1, 1, 48, 48))


@pytest.fixture(params=["onnx", "openvino"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if reason := TARGETS[request.param].available():
        pytest.skip(reason)
    monkeypatch.setattr(targets, "to_onnx", lambda model, shape: exported())
    return request.param


def written(name: str, folder: Path, calibration=None, **form) -> tuple[Path, ExportCard]:
    card = replace(CARD, **{"precision": "float32", **form})
    path = folder / f"net{TARGETS[name].suffix}"
    TARGETS[name].write(Net(MODEL, card, calibration), path)
    TARGETS[name].stamp(path, card)
    return path, card


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form) or "plain")
def test_a_file_computes_what_pytorch_does_and_says_what_it_is(
    name: str, form: dict, faces: Dataset, tmp_path: Path
):
    path, card = written(name, tmp_path, **form)
    assert read_card(path) == card
    run = as_prepared(TARGETS[name].open(path), card)
    x = normalize(faces["test"].images[:5])
    with torch.inference_mode():
        expected = MODEL(x)
    for n in (5, 1):
        torch.testing.assert_close(run(x[:n]), expected[:n], rtol=0, atol=1e-5)


def test_a_photograph_of_any_size_is_prepared_inside(name: str, tmp_path: Path):
    path, card = written(name, tmp_path, preprocess=True)
    call = TARGETS[name].open(path)
    prepare = Preprocess(card.input.mean, card.input.std, 48, 48)
    random = np.random.default_rng(0)
    for size in ((96, 96), (30, 77)):
        rgb = random.integers(0, 256, (2, *size, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = MODEL(prepare(torch.from_numpy(rgb))).numpy()
        # Where a sum lies between two grey levels, runtimes may round it either way.
        np.testing.assert_allclose(call(rgb), expected, atol=2e-3)


def test_a_fixed_batch_is_the_only_one(name: str, tmp_path: Path):
    path, _ = written(name, tmp_path, batch=3)
    call = TARGETS[name].open(path)
    assert call(np.zeros((3, 1, 48, 48), np.float32)).shape == (3, 7)
    with pytest.raises(Exception, match=r"[Ss]hape|dimension"):
        call(np.zeros((2, 1, 48, 48), np.float32))


def test_a_weight_that_changed_by_a_bit_is_an_error(name: str, tmp_path: Path):
    path, card = written(name, tmp_path, sha256=UNSEALED)
    card = seal(path, card)
    assert card.sha256 != UNSEALED
    assert read_card(path) == card
    weights = files_of(path)[-1]
    assert (weights == path) == (name == "onnx")
    content = bytearray(weights.read_bytes())
    content[content.index(MODEL.head.weight.detach().numpy().tobytes()[:16]) + 2] ^= 1
    weights.write_bytes(content)
    opened = open_session(path, "onnxruntime" if name == "onnx" else name)
    for read in (opened.card, lambda: read_card(path)):
        with pytest.raises(ExportedFileError, match="is damaged: its checksum is not that of its"):
            read()


def test_batch_norms_behind_convolutions_are_folded(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    kinds = [node.op_type for node in onnx.load_from_string(exported()).graph.node]
    assert kinds.count("Conv") == 3
    assert kinds.count("BatchNormalization") == 1  # of two: the other stands before a ReLU
    assert sum(isinstance(module, nn.BatchNorm2d) for module in MODEL.modules()) == 2


def test_int8_prepares_its_input_too(name: str, faces: Dataset, tmp_path: Path):
    if name == "openvino":
        pytest.importorskip("nncf")
    images = normalize(faces["train"].images)
    path, card = written(name, tmp_path, images, precision="int8", preprocess=True)
    run = as_prepared(TARGETS[name].open(path), card)
    x = normalize(faces["test"].images[:8])
    with torch.inference_mode():
        expected = MODEL(x)
    difference = (run(x) - expected).abs().max().item()
    assert 1e-5 < difference < 0.3 * expected.abs().max().item()


def test_litert(faces: Dataset, tmp_path: Path):
    pytest.importorskip("litert_torch")
    path, card = written("litert", tmp_path, batch=2)
    schema = import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    (place,) = [e.buffer for e in model.metadata if e.name == CARD_KEY.encode()]
    assert bytes(model.buffers[place].data).decode() == card.to_json()
    run = as_prepared(TARGETS["litert"].open(path), card)
    x = normalize(faces["test"].images[:5])
    with torch.inference_mode():
        torch.testing.assert_close(run(x), MODEL(x), rtol=0, atol=1e-5)
