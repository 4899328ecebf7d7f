"""Predictor against evaluation's own logits; order, batches, and how far it looks ahead."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightfer import Predictor as PublicPredictor
from lightfer.data import CLASSES, DataError, Dataset, load
from lightfer.errors import ArgumentError
from lightfer.inference.predict import Box, Predictor
from lightfer.inference.predict.network import Network, PredictError, in_batches_of
from lightfer.inference.predict.sources import Item
from lightfer.inference.predict.video import frames
from lightfer.measure.accuracy import predict_logits
from lightfer.models.registry import create_model, shipped
from lightfer.models.weights import load_checkpoint
from tests.inference.predict.conftest import MODEL


@pytest.fixture(scope="module")
def expected(faces: Dataset) -> np.ndarray:
    """Calibrated probabilities (48, 7) as evaluation would give them."""
    path = shipped(MODEL)
    assert path is not None
    _, card = load_checkpoint(path)
    assert card.temperature is not None
    logits = predict_logits(create_model(MODEL, pretrained=True), faces["test"].images)
    return (logits / card.temperature).softmax(1).numpy()


def shares(predictions) -> np.ndarray:
    return np.array([list(p.probabilities.values()) for p in predictions])


def colour_with_alpha(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W) -> (N, H, W, 4), opaque."""
    return np.stack([pixels, pixels, pixels, np.full_like(pixels, 255)], axis=-1)


# The same 48 faces in every form that is taken, from their files and uint8 (N, 1, H, W).
FORMS: dict[str, Callable[[list[Path], torch.Tensor], object]] = {
    "paths": lambda paths, images: paths,
    "strings": lambda paths, images: [str(path) for path in paths],
    "bytes": lambda paths, images: [path.read_bytes() for path in paths],
    "PIL": lambda paths, images: [Image.fromarray(image[0].numpy()) for image in images],
    "arrays": lambda paths, images: [image[0].numpy() for image in images],
    "batch": lambda paths, images: images[:, 0].numpy(),
    "colour": lambda paths, images: colour_with_alpha(images[:, 0].numpy())[..., :3],
    "with alpha": lambda paths, images: colour_with_alpha(images[:, 0].numpy()),
    "tensor": lambda paths, images: images,
    "tensors of floats": lambda paths, images: list(images / 255),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_what_evaluation_gives(
    predictor, expected, faces: Dataset, crops: Path, form: str
):
    found = predictor(FORMS[form](sorted(crops.iterdir()), faces["test"].images))
    np.testing.assert_allclose(shares(found), expected, atol=1e-5)
    assert [p.label for p in found] == [CLASSES[i] for i in expected.argmax(1)]
    assert all(tuple(p.probabilities or ()) == CLASSES and p.box is None for p in found)
    assert {p.calibrated for p in found} == {True}


def test_items_are_paths_or_positions(predictor, crops: Path):
    path = crops / "00.png"
    assert [p.item for p in predictor([path, path.read_bytes(), str(path)])] == [
        str(path),
        1,
        str(path),
    ]


def test_one_bad_image_among_good_ones(predictor, crops: Path, tmp_path: Path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no")
    good, failed, other = predictor([crops / "00.png", bad, crops / "01.png"])
    assert good.label in CLASSES
    assert other.label in CLASSES
    assert (failed.item, failed.label, failed.probabilities) == (str(bad), None, None)
    assert "not an image" in failed.error


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batches_change_nothing(faces: Dataset, expected, batch_size: int):
    predictor = Predictor(MODEL, "pytorch", faces="never", batch_size=batch_size, threads=1)
    np.testing.assert_allclose(shares(predictor(faces["test"].images)), expected, atol=1e-5)


def test_fixed_batches_are_filled_up_and_cut():
    calls = []

    def run(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        return x[:, 0, :3].astype(np.float32)

    x = np.random.default_rng(0).integers(0, 256, (10, 4, 4), dtype=np.uint8)
    assert (in_batches_of(4, run)(x) == x[:, 0, :3]).all()
    assert calls == [4, 4, 4]


def fake_network(temperature: float | None = None) -> Network:
    def run(x: np.ndarray) -> np.ndarray:
        return np.log(np.array([[1, 2, 5]], np.float32)).repeat(len(x), axis=0)

    return Network("fake", ("a", "b", "c"), (48, 48), temperature, "none", run)


def test_probabilities_are_the_softmax_of_logits_by_temperature():
    faces = np.zeros((2, 48, 48), np.uint8)
    np.testing.assert_allclose(fake_network().probabilities(faces), [[1 / 8, 2 / 8, 5 / 8]] * 2)
    squares = [1, 4, 25]  # a temperature of one half squares the odds
    expected = [[s / sum(squares) for s in squares]] * 2
    np.testing.assert_allclose(fake_network(0.5).probabilities(faces), expected, rtol=1e-6)


def test_it_says_when_it_is_not_calibrated(predictor, monkeypatch):
    monkeypatch.setattr(predictor, "network", fake_network())
    (found,) = predictor(np.zeros((48, 48)))
    assert (found.label, found.calibrated) == ("c", False)
    assert '"calibrated": false' in found.to_json()


@pytest.mark.parametrize("keep", [False, True])
def test_it_looks_a_bounded_way_ahead(predictor, crops: Path, keep: bool):
    """Of ten thousand items a window and two batches are drawn before the first result."""
    drawn = 0

    def items():
        nonlocal drawn
        for _ in range(10_000):
            drawn += 1
            yield Item(str(crops / "00.png"), str(crops / "00.png"))

    stream = predictor.stream(items(), keep_pictures=keep)
    for index in range(500):
        next(stream)
        assert drawn - index <= 64 + 2 * 64 + 2
    stream.close()


def test_live_does_not_wait_for_the_next(predictor, crops: Path):
    drawn = []

    def items():
        for index in range(4):
            drawn.append(index)
            yield Item("camera 0", crops / "00.png", frame=index)

    stream = predictor.stream(items(), live=True)
    next(stream)
    assert len(drawn) <= 2


def test_any_callable_finds_faces(faces: Dataset):
    """Two boxes of a fake finder over a picture made of two faces."""
    left, right = (image[0].numpy() for image in faces["test"].images[:2])
    picture = np.zeros((200, 400), np.uint8)
    picture[50:98, 50:98], picture[50:98, 300:348] = left, right
    boxes = [Box(51, 51, 46, 46), Box(301, 51, 46, 46)]  # 48 pixels with the margin
    predictor = Predictor(MODEL, "pytorch", finder=lambda grey: boxes)
    found = predictor(picture)
    assert [p.box for p in found] == boxes
    whole = Predictor(MODEL, "pytorch", faces="never")([left, right])
    np.testing.assert_allclose(shares(found), shares(whole), atol=1e-5)


def test_boxes_of_a_finder_may_be_rows_of_an_array(faces: Dataset):
    """As OpenCV gives them: they ended in a traceback, and so did the JSON of such numbers."""
    picture = np.tile(faces["test"].images[0][0].numpy(), (4, 4))
    rows = np.array([[51, 51, 46, 46], [-20, 0, 46, 46]], np.int32)
    for found in (rows, rows.tolist(), rows + 0.2):
        predictions = Predictor(MODEL, "pytorch", finder=lambda grey, f=found: f)(picture)
        assert [json.loads(p.to_json())["box"] for p in predictions] == rows.tolist()
    (none,) = Predictor(MODEL, "pytorch", finder=lambda grey: rows[:0])(picture)
    assert "no face found" in str(none.error)


@pytest.mark.parametrize(
    "boxes",
    [
        None,
        3,
        [(1, 2, 3)],
        "faces",
        [(float("nan"), 0, 9, 9)],
        [(0, 0, 0, 0)],
        [(300, 0, 9, 9)],
        [(0, -9, 9, 9)],
        [(0, 0, 10**9, 10**9)],
    ],
)
def test_what_are_no_boxes_in_the_picture_is_named(boxes):
    predictor = Predictor(MODEL, "pytorch", finder=lambda grey: boxes)
    with pytest.raises(ArgumentError, match=r"the finder gives .*expected"):
        predictor(np.zeros((200, 300)))


@pytest.mark.parametrize(("side", "looked_for"), [(128, 0), (129, 1)])
def test_auto_takes_small_pictures_for_crops(side: int, looked_for: int):
    seen = []
    predictor = Predictor(MODEL, "pytorch", finder=lambda grey: seen.append(grey.shape) or [])
    (found,) = predictor(np.zeros((side, side)))
    assert len(seen) == looked_for
    assert (found.error is not None) == bool(looked_for)
    assert not looked_for or "no face found" in str(found.error)


def test_without_opencv_auto_takes_all_for_crops(monkeypatch):
    monkeypatch.setattr("lightfer.data.finder.import_opencv", lambda: None)
    predictor = Predictor(MODEL, "pytorch")
    assert not predictor.has_finder
    assert predictor(np.zeros((300, 300)))[0].label
    with pytest.raises(ValueError, match="needs OpenCV: pip install"):
        Predictor(MODEL, "pytorch", faces="always")


def test_an_opencv_that_is_there_but_broken_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whoever had it was told to install it. The second import hides the reason, as OpenCV's."""
    (tmp_path / "cv2.py").write_text(
        "from pathlib import Path\n"
        "tried = Path(__file__).with_name('tried')\n"
        "if tried.exists(): raise ImportError('recursion is detected')\n"
        "tried.touch()\n"
        "raise ImportError('libGL.so.1: cannot open shared object file')\n"
    )
    Image.new("L", (200, 200)).save(tmp_path / "KA.HA1.1.tiff")
    monkeypatch.setattr("lightfer.data.finder._problems", [])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "cv2", None)  # puts the true one back at the end
    del sys.modules["cv2"]
    said: list[str] = []
    Predictor(MODEL, "pytorch", note=said.append)
    with pytest.raises(ArgumentError) as of_always:
        Predictor(MODEL, "pytorch", faces="always")
    with pytest.raises(DataError) as of_data:
        load(f"jaffe:{tmp_path}", ("test",))
    (of_video,) = frames("film.mp4")
    for text in (said[0], str(of_always.value), str(of_data.value), str(of_video.error)):
        assert "cannot be imported (libGL.so.1: cannot open shared object file): mend it" in text
        assert "pip install" not in text


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("resnet50",), {}, "there is no model 'resnet50'"),
        (("mobilenet_v2_x1_4",), {}, "no weights are shipped for"),
        (("missing.safetensors",), {}, "no such weight file"),
        (("missing.onnx",), {}, "no such file"),
        ((MODEL, "tflite"), {}, "there is no runtime 'tflite'"),
        ((MODEL, "pytorch"), {"faces": "some"}, "expected one of auto, always, never"),
        ((MODEL, "pytorch"), {"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ((MODEL, "pytorch"), {"batch_size": 2.5}, "batch_size is 2.5, expected at least 1"),
        ((MODEL, "pytorch"), {"threads": -1}, "threads is -1, expected at least 1"),
        ((MODEL, "pytorch"), {"threads": 0}, "threads is 0, expected at least 1"),
        ((MODEL, "pytorch"), {"threads": "2"}, "threads is '2', expected at least 1"),
        (("x" * 300 + ".onnx",), {}, "File name too long"),
        (("x" * 300 + ".safetensors",), {}, "File name too long"),
    ],
)
def test_what_cannot_be_loaded_says_why(arguments, options, message: str):
    with pytest.raises(Exception, match=message) as caught:
        Predictor(*arguments, **options)
    assert type(caught.value).__module__.startswith(("lightfer", "builtins"))


def test_a_file_that_is_no_model_says_so(tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no")
    for runtime in ("onnxruntime", "openvino"):
        pytest.importorskip(runtime)
        with pytest.raises(Exception, match="is not a"):
            Predictor(path, runtime)
    with pytest.raises(PredictError, match="cannot read"):
        Predictor(path, "pytorch")


def test_the_public_name():
    assert PublicPredictor is Predictor


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_exported_files_give_what_pytorch_gives(faces: Dataset, expected, runtime: str, exported):
    """From the name, exported into the cache, and from that file."""
    pytest.importorskip(runtime)
    for model in (MODEL, exported):
        predictor = Predictor(model, runtime, faces="never")
        assert predictor.network.runtime == runtime
        found = predictor(faces["test"].images)
        np.testing.assert_allclose(shares(found), expected, atol=1e-4)
        assert {(p.calibrated, p.model) for p in found} == {(True, MODEL)}


def test_a_file_with_preprocessing_and_a_fixed_batch(faces: Dataset, expected, tmp_path: Path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from lightfer.inference.export import ExportConfig, export
    from lightfer.models.find import find_weights

    path = tmp_path / "model.onnx"
    config = ExportConfig("onnx", path, batch=5, preprocess=True)
    export(find_weights(MODEL), config, None, test_log=tmp_path / "log")
    found = Predictor(path, faces="never")(faces["test"].images)
    np.testing.assert_allclose(shares(found), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.full((1, 7), np.nan), "not finite numbers"),
        (np.full((1, 7), np.inf), "not finite numbers"),
        (np.zeros((1, 6)), r"shape \(1, 6\), expected \(1, 7\)"),
    ],
)
def test_what_is_no_prediction_is_an_error(logits: np.ndarray, message: str):
    network = Network("broken", CLASSES, (48, 48), None, "none", lambda faces: logits)
    with pytest.raises(PredictError, match=f"broken gives .*{message}"):
        network.probabilities(np.zeros((1, 48, 48), np.uint8))
