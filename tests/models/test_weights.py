"""Weight files: what comes back is what was rounded, with its card, and nothing is pickled."""

import json
import struct
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from random import Random

import msgspec
import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from lightfer import create_model
from lightfer.data.dataset import CLASSES
from lightfer.inference.card import ExportedFileError
from lightfer.inference.onnx_from_weights import assembled
from lightfer.models.contract import parts
from lightfer.models.weights import (
    Card,
    CheckpointError,
    InputContract,
    load_checkpoint,
    rewrite_card,
    rounded,
    save_checkpoint,
)


def card(model: str = "shufflenet_v2_x0_5", **fields) -> Card:
    return Card(
        model=model,
        classes=CLASSES,
        input=InputContract(mean=0.508, std=0.255),
        data_name="synthetic",
        data_sha256={},
        trained_on="train",
        chosen_on="validation",
        recipe="none",
        config={},
        seed=0,
        epochs=1,
        epoch=1,
        training_s=0.0,
        code="test",
        **fields,
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, create_model("shufflenet_v2_x0_5").state_dict(), card())
    return path


def test_matrices_are_half_norms_and_biases_are_not_and_counters_stay(saved: Path):
    header_length = struct.unpack("<Q", saved.read_bytes()[:8])[0]
    header = json.loads(saved.read_bytes()[8 : 8 + header_length])
    kinds = {name: info["dtype"] for name, info in header.items() if name != "__metadata__"}
    assert kinds["conv1.0.weight"] == "F16"
    assert kinds["conv1.1.weight"] == kinds["conv1.1.running_var"] == kinds["fc.bias"] == "F32"
    assert kinds["conv1.1.num_batches_tracked"] == "I64"


def test_loading_gives_the_rounded_values_as_float32(saved: Path):
    torch.manual_seed(0)
    original = create_model("shufflenet_v2_x0_5").state_dict()
    weights, read = load_checkpoint(saved)
    assert read == card()
    for name, tensor in rounded(original).items():
        assert torch.equal(weights[name], tensor.to(weights[name].dtype)), name
    model = create_model("shufflenet_v2_x0_5", pretrained=saved)
    assert torch.equal(model.state_dict()["fc.weight"], weights["fc.weight"])
    assert not model.training


def test_a_tensor_under_two_names_is_saved_under_both(tmp_path: Path):
    one, path = torch.rand(1), tmp_path / "m.safetensors"
    save_checkpoint(path, {"1.weight": one, "3.weight": one}, card())
    assert load_checkpoint(path)[0] == {"1.weight": one, "3.weight": one}


def test_a_new_card_leaves_the_tensors(saved: Path):
    before, _ = load_checkpoint(saved)
    rewrite_card(saved, license="mine")
    after, read = load_checkpoint(saved)
    assert read.license == "mine"
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_card_is_changed_by_one_at_a_time(saved: Path):
    with ThreadPoolExecutor(1) as pool, FileLock(saved.with_name(f".{saved.name}.lock")):
        waiting = pool.submit(rewrite_card, saved, temperature=1.5)
        assert not wait([waiting], timeout=0.5).done
        save_checkpoint(saved, load_checkpoint(saved)[0], card(license="mine"))
    assert waiting.result().license == "mine"
    assert load_checkpoint(saved)[1] == card(license="mine", temperature=1.5)


def test_what_cannot_be_loaded_says_why(saved: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no such weight file"):
        load_checkpoint(tmp_path / "missing.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path / "cut.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="no lightfer card"):
        load_checkpoint(tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="holds weights of shufflenet_v2_x0_5"):
        create_model("shufflenet_v2_x1_0", pretrained=saved)
    with pytest.raises(ValueError, match="is for 7 classes and 1 channel"):
        create_model("shufflenet_v2_x0_5", pretrained=saved, num_classes=8)


def test_whatever_byte_of_a_weight_file_changes_it_is_noticed(saved: Path, tmp_path: Path):
    """With torch and without; a number in a tensor or in the card used to be another net."""
    whole, random = saved.read_bytes(), Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    other_mean = whole.index(b'\\"mean\\":0.5') + len(b'\\"mean\\":0.')
    other_type = whole.index(b'"dtype":"F16"') + len(b'"dtype":"')
    places = [other_mean, other_type, *(random.randrange(header, len(whole)) for _ in range(20))]
    damaged = tmp_path / "damaged.safetensors"
    for at in places:
        new = b"I" if at == other_type else bytes([whole[at] ^ 1])
        damaged.write_bytes(whole[:at] + new + whole[at + 1 :])
        with pytest.raises(CheckpointError, match="it is damaged: its checksum"):
            load_checkpoint(damaged)
        with pytest.raises(ExportedFileError, match="it is damaged: its checksum"):
            assembled(damaged)


def test_a_weight_file_without_a_checksum_is_read(saved: Path):
    """As those of 0.1.0 and those that are shipped."""
    header, data = parts(saved.read_bytes())
    del header["__metadata__"]["crc32"]
    text = json.dumps(header).encode()
    saved.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    assert load_checkpoint(saved)[1] == card()


def test_a_wrong_tensor_is_an_error_not_ignored(saved: Path):
    weights, _ = load_checkpoint(saved)
    del weights["fc.bias"]
    save_checkpoint(saved, weights, card())
    with pytest.raises(CheckpointError, match=r"fc\.bias"):
        create_model("shufflenet_v2_x0_5", pretrained=saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, expected 0.01 to 100"),
        ({"input": InputContract(mean=0.5, std=0.0)}, "std is 0.0, expected 0.001 to 1"),
        ({"input": InputContract(mean=0.5, std=0.2, width=-48)}, "width is -48"),
        ({"classes": ("angry",) * 7}, "expected different names"),
    ],
    ids=str,
)
def test_a_card_that_cannot_be_right_is_refused(tmp_path: Path, change, message: str):
    weights = create_model("shufflenet_v2_x0_5").state_dict()
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, weights, msgspec.structs.replace(card(), **change))
    with pytest.raises(CheckpointError, match=f"m.safetensors.*cannot be right: .*{message}"):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float):
    weights = create_model("shufflenet_v2_x0_5").state_dict()
    weights["fc.bias"][0] = value
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, weights, card())
    with pytest.raises(CheckpointError, match=r"not finite, first in fc\.bias"):
        load_checkpoint(path)


@pytest.mark.parametrize("change", ["shape", "missing", "more"])
def test_weights_of_another_form_are_one_clear_error(tmp_path: Path, change: str):
    weights = create_model("shufflenet_v2_x0_5").state_dict()
    if change == "shape":
        weights["fc.bias"] = torch.zeros(8)
    elif change == "missing":
        del weights["fc.bias"]
    else:
        weights["more"] = torch.zeros(1)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, weights, card())
    with pytest.raises(CheckpointError, match="does not fit shufflenet_v2_x0_5") as error:
        create_model("shufflenet_v2_x0_5", pretrained=path)
    assert "\n" not in str(error.value)
