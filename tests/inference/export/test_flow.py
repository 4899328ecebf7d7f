"""The flow of an export, with a target of our own: what is checked, what is never left behind."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from lightfer._files import OutputError, sha256_of
from lightfer.cli.export import export as command
from lightfer.data import Dataset
from lightfer.data.dataset import normalize
from lightfer.inference.card import check_seal, parse_card
from lightfer.inference.export import TARGETS, ExportConfig, Exported, ExportError, export
from lightfer.inference.export.flow import _move
from lightfer.inference.export.targets import Call, Net, as_prepared
from lightfer.models.find import Weights, find_weights
from lightfer.models.registry import create_model
from lightfer.models.weights import save_checkpoint
from tests.bench.test_run import benchmark_reference
from tests.inference.test_card import CARD
from tests.models.test_weights import card as weight_card

Change = Callable[[torch.Tensor], torch.Tensor]
NAME = "shufflenet_v2_x0_5"


@pytest.fixture
def item(tmp_path: Path) -> Weights:
    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    score = benchmark_reference()
    save_checkpoint(
        path, create_model(NAME).state_dict(), weight_card(NAME, test=score, temperature=1.5)
    )
    return find_weights(str(path))


@pytest.fixture
def break_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a target `onnx` whose files compute what the model does, changed; or another thing."""

    def install(change: Change, call: Call | None = None) -> None:
        nets: list[Net] = []

        def write(net: Net, path: Path) -> None:
            nets.append(net)
            path.write_text("the graph")
            path.with_suffix(".weights").write_text("the weights")

        def changed(x: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return change(nets[-1].model(torch.from_numpy(x))).numpy()

        fake = replace(
            TARGETS["onnx"],
            packages=("torch",),
            available=lambda: None,
            write=write,
            stamp=lambda path, card: path.write_text(card.to_json()),
            open=lambda path: call or changed,
        )
        monkeypatch.setitem(TARGETS, "onnx", fake)

    return install


def run(item: Weights, folder: Path, data: Dataset | None = None, **options) -> Exported:
    config = ExportConfig("onnx", folder / "out" / "net.onnx", **options)
    return export(item, config, data, test_log=folder / "scorings.jsonl")


def test_a_right_file_has_its_card_and_every_part(item: Weights, tmp_path: Path, break_by):
    break_by(lambda logits: logits)
    done = run(item, tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["net.onnx", "net.weights"]
    assert done.files[0] == tmp_path / "out" / "net.onnx"
    assert (done.difference, done.images) == (0.0, 64)
    assert done.size_bytes == sum(path.stat().st_size for path in done.files)
    found = parse_card(done.files[0].read_text(), "here")
    assert found == done.card
    check_seal(done.files[0], found)
    assert found.sha256
    assert (found.model, found.precision, found.batch, found.preprocess) == (
        NAME, "float32", None, False,
    )  # fmt: skip
    assert found.weights_sha256 == sha256_of(tmp_path / "own.safetensors")
    assert found.accuracy == {"validation": None, "test": 0.6}
    assert (found.temperature, found.accuracy_lost, found.quantisation) == (1.5, None, None)
    assert (found.input.mean, found.input.height) == (0.508, 48)
    assert "research" in found.licence


@pytest.mark.parametrize("large", ["net.xml", "net.bin"])
def test_without_space_for_one_file_both_older_ones_stay(large: str, tmp_path: Path):
    """The first was replaced, and the pair fitted no longer."""
    resource = pytest.importorskip("resource")
    made, out = tmp_path / "made", tmp_path / "out"
    for folder, sizes in ((made, {large: 9_000}), (out, {})):
        folder.mkdir()
        for name in ("net.xml", "net.bin"):
            (folder / name).write_bytes(folder.name.encode() * sizes.get(name, 1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=rf"{large} was not written: .*free some space"):
            _move(made / "net.xml", out / "net.xml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "net.xml": "out", "net.bin": "out"
    }  # fmt: skip
    assert _move(made / "net.xml", out / "net.xml") == (out / "net.xml", out / "net.bin")
    assert all(path.read_bytes() == (made / path.name).read_bytes() for path in out.iterdir())


@pytest.mark.parametrize("change", [lambda y: y + 2e-4, lambda y: y * torch.nan])
def test_a_wrong_file_is_not_left_and_an_older_one_stays(
    item: Weights, tmp_path: Path, break_by, change
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "net.onnx").write_text("older")
    break_by(change)
    with pytest.raises(ExportError, match=r"differ from PyTorch's by .*nothing was written"):
        run(item, tmp_path)
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["older"]


def test_the_log_of_int8_says_by_whose_labels_and_in_which_runtime(
    item: Weights, faces: Dataset, tmp_path: Path, break_by
):
    """It said fer2013 of FER+'s labels, and `exported` of every runtime."""
    break_by(lambda logits: logits)
    assert item.card is not None
    learned = replace(item, card=msgspec.structs.replace(item.card, data_name="fer+"))
    run(learned, tmp_path, faces, precision="int8")
    lines = [json.loads(line) for line in (tmp_path / "scorings.jsonl").read_text().splitlines()]
    assert [(line["variant"], line["labels"]) for line in lines] == [
        ("pytorch-float32", "ferplus"),
        ("onnxruntime-int8", "ferplus"),
    ]


def test_int8_states_what_it_lost(item: Weights, faces: Dataset, tmp_path: Path, break_by):
    break_by(lambda logits: logits + 0.01)  # far from PyTorch for float32; the same classes
    card = run(item, tmp_path, faces, precision="int8").card
    assert card.accuracy_lost == {"validation": 0.0, "test": 0.0}
    assert card.quantisation is not None
    assert card.quantisation["calibration_split"] == "train"
    assert card.quantisation["calibration_images"] == len(faces["train"])
    assert card.accuracy_on == "synthetic faces"
    assert card.accuracy["test"] != 0.6  # measured here, not taken over from the weights
    assert len((tmp_path / "scorings.jsonl").read_text().splitlines()) == 2


def test_int8_that_loses_too_much_on_validation_is_refused_before_test_is_scored(
    item: Weights, faces: Dataset, tmp_path: Path, break_by
):
    """A file that is right about nothing; what it may lose is what the model had."""
    labels = {}
    for split in ("validation", "test"):
        for image, label in zip(normalize(faces[split].images), faces[split].labels, strict=True):
            for view in (image, image.flip(2)):
                labels[view.contiguous().numpy().tobytes()] = int(label)

    def wrong(x: np.ndarray) -> np.ndarray:
        known = [labels.get(image.tobytes(), 0) for image in x]
        return np.eye(7, dtype=np.float32)[[(label + 1) % 7 for label in known]]

    break_by(lambda logits: logits, call=wrong)
    with pytest.raises(ExportError, match=r"points on validation, more than 0: .*--allow-loss"):
        run(item, tmp_path, faces, precision="int8", allow_loss=0.0)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "scorings.jsonl").exists()
    card = run(item, tmp_path, faces, precision="int8", allow_loss=100.0).card
    assert card.accuracy == {"validation": 0.0, "test": 0.0}
    assert card.accuracy_lost is not None
    assert min(card.accuracy_lost.values()) > 0


def test_what_int8_loses_on_test_decides_nothing(
    item: Weights, faces: Dataset, tmp_path: Path, break_by
):
    """A file that is right about all of validation, and about nothing of test. The command's help
    promised that it is refused.
    """
    option = inspect.signature(command).parameters["allow_loss"].annotation.__metadata__[0]
    assert option.help.endswith("may cost on validation.")
    said = {}
    for split in ("validation", "test"):
        wrong = split == "test"
        for image, label in zip(normalize(faces[split].images), faces[split].labels, strict=True):
            for view in (image, image.flip(2)):
                said[view.contiguous().numpy().tobytes()] = (int(label) + wrong) % 7

    def answer(x: np.ndarray) -> np.ndarray:
        return np.eye(7, dtype=np.float32)[[said.get(image.tobytes(), 0) for image in x]]

    break_by(lambda logits: logits, call=answer)
    card = run(item, tmp_path, faces, precision="int8", allow_loss=0.0).card
    assert card.accuracy == {"validation": 1.0, "test": 0.0}
    assert card.accuracy_lost is not None
    assert card.accuracy_lost["test"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "coreml"}, "there is no target 'coreml'; there are onnx, openvino, litert"),
        ({"precision": "bfloat16"}, "float32 or int8, not in bfloat16"),
        ({"out": Path("net.xml")}, r"a file for onnx ends in \.onnx"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_what_cannot_be_wanted(options, message: str):
    with pytest.raises(ExportError, match=message):
        ExportConfig(**{"target": "onnx", "out": Path("net.onnx"), **options})


def test_int8_without_data_and_weights_that_are_not_there(item: Weights, tmp_path: Path, break_by):
    break_by(lambda logits: logits)
    with pytest.raises(ExportError, match="calibrated on train images, and there are none"):
        run(item, tmp_path, precision="int8")
    with pytest.raises(ExportError, match="no weights are shipped for resnet18_cifar"):
        run(find_weights("resnet18_cifar"), tmp_path)


def test_litert_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    from lightfer.inference.export import litert

    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match="in a checkout: python -m venv litert"):
        ExportConfig("litert", Path("net.tflite"))


def test_a_fixed_batch_is_filled_up_and_pixels_come_back(faces: Dataset):
    images = faces["test"].images[:5]
    seen = []

    def call(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x.reshape(len(x), -1)[:, :7].astype(np.float32)

    logits = as_prepared(call, replace(CARD, batch=2, preprocess=True))(normalize(images))
    assert [x.shape for x in seen] == [(2, 48, 48, 3)] * 3
    assert logits.shape == (5, 7)
    assert np.array_equal(np.concatenate(seen)[:5, ..., 1], images.squeeze(1).numpy())
    assert not seen[2][1].any()
