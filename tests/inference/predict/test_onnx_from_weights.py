"""Weight files assembled as ONNX without torch, against PyTorch and against the package onnx."""

import gzip
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from lightfer._files import graph_file, sha256_of, shipped
from lightfer.data import Dataset
from lightfer.data.dataset import normalize
from lightfer.inference.card import ExportedFileError
from lightfer.inference.onnx_from_weights import assembled
from lightfer.inference.predict import Predictor, network
from lightfer.inference.predict.network import DEFAULT_MODEL, load_network
from lightfer.models.registry import create_model, list_models
from lightfer.models.weights import load_checkpoint, save_checkpoint

SHIPPED = [name for name in list_models(pretrained=True) if graph_file(name).exists()]
MAKE = "python -m lightfer.inference.export.graph"


def weights(name: str) -> Path:
    path = shipped(name)
    assert path is not None
    return path


def test_the_default_model_has_a_graph():
    assert DEFAULT_MODEL in SHIPPED, f"run `{MAKE}`"


@pytest.mark.parametrize("name", SHIPPED)
def test_graphs_are_small(name: str):
    assert graph_file(name).stat().st_size < 50_000


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", SHIPPED)
def test_logits_are_pytorchs(name: str, runtime: str, faces: Dataset):
    pytest.importorskip(runtime)
    images = faces["test"].images
    network = load_network(name, runtime, batch_size=64, threads=1)
    with torch.inference_mode():
        expected = create_model(name, pretrained=True)(normalize(images)).numpy()
    np.testing.assert_allclose(network.run(images[:, 0].numpy()), expected, atol=1e-4)


def test_it_is_valid_onnx_with_the_card():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from lightfer.inference.session import open_session

    path = weights(SHIPPED[0])
    content = assembled(path)
    assert content is not None
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    found, (_, card) = open_session(content, "onnxruntime").card(), load_checkpoint(path)
    assert (found.model, found.classes) == (card.model, card.classes)
    assert (found.input.mean, found.input.std) == (card.input.mean, card.input.std)
    assert (found.temperature, found.weights_sha256) == (card.temperature, sha256_of(path))
    assert card.test is not None
    assert found.accuracy["test"] == card.test.top1


def test_nothing_is_exported_or_cached(monkeypatch, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "cache"))
    assert Predictor(SHIPPED[0], "onnxruntime", faces="never")(np.zeros((48, 48)))[0].label
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_cannot_be_kept_in_the_cache_is_used_all_the_same(
    runtime: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It was exported, thrown away, and the command ended with code 2."""
    pytest.importorskip(runtime)
    path, told = weights(SHIPPED[0]), []
    content = assembled(path)
    assert content is not None
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lightfer.inference.predict.network.assembled", lambda path: None)
    monkeypatch.setattr(
        "lightfer.inference.predict.exporting.export_for_prediction",
        lambda model, path: path.write_bytes(content),
    )
    predictor = Predictor(str(path), runtime, faces="never", note=told.append)
    assert predictor(np.zeros((48, 48)))[0].label
    assert "is a file, expected a folder. " in told[-1]
    assert "exported again the next time" in told[-1]


def test_without_a_graph_it_is_not_assembled(monkeypatch):
    monkeypatch.setattr(
        "lightfer.inference.onnx_from_weights.graph_file", lambda name: Path("missing")
    )
    assert assembled(weights(SHIPPED[0])) is None


def test_a_file_that_is_only_called_like_a_net_with_a_graph_runs_in_pytorch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """ONNX Runtime was taken for its name, and then the file could not be exported."""
    pytest.importorskip("onnxruntime")
    real, absent = network.find_spec, ("onnx", "onnxscript")
    monkeypatch.setattr(network, "find_spec", lambda name: name not in absent and real(name))
    held, card = load_checkpoint(weights("squeezenet1_1_bn"))
    path = tmp_path / "squeezenet1_1_bn.safetensors"
    for side, runtime in ((48, "onnxruntime"), (64, "pytorch")):
        contract = replace(card.input, height=side, width=side)
        save_checkpoint(path, held, msgspec.structs.replace(card, input=contract))
        assert load_network(path, batch_size=1, threads=1).runtime == runtime


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", ""), (b"no", ""), (b"\x02\0\0\0\0\0\0\0{}", "no lightfer card"), (b"\xff" * 99, "")],
)
def test_what_is_no_weight_file_says_so(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ExportedFileError, match=f"cannot be used as a weight file: .*{reason}"):
        assembled(path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("change", ["shape", "missing"])
def test_weights_that_do_not_fit_the_graph_are_one_error(
    runtime: str, change: str, faces: Dataset, tmp_path: Path
):
    pytest.importorskip(runtime)
    held, card = load_checkpoint(weights("squeezenet1_1_bn"))
    name = next(name for name, tensor in held.items() if tensor.ndim == 4)
    if change == "shape":
        held[name] = torch.zeros(3, 3, 3, 3)
    else:
        del held[name]
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, held, card)
    with pytest.raises(ExportedFileError, match=r"^the model assembled from .*own\.safetensors"):
        Predictor(path, runtime, faces="never", threads=1)(faces["test"].images[:1])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path):
    """One behind which there is a ReLU left no trace in the logits."""
    held, card = load_checkpoint(weights("squeezenet1_1_bn"))
    name = next(name for name, tensor in held.items() if tensor.ndim == 4)
    held[name][0] = value
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, held, card)
    with pytest.raises(ExportedFileError, match=f"{name} holds numbers that are not finite"):
        assembled(path)


def test_the_graphs_hold_no_weights():
    onnx = pytest.importorskip("onnx")
    for name in SHIPPED:
        graph = onnx.load_from_string(gzip.decompress(graph_file(name).read_bytes())).graph
        tensors = create_model(name).state_dict()
        assert not {tensor.name for tensor in graph.initializer} & set(tensors)
