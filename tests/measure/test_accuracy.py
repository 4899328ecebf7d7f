"""Accuracy figures against closed forms, scikit-free second computations and hand-made cases."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from lightfer.data import Split
from lightfer.data.corruptions import corrupted
from lightfer.data.dataset import normalize
from lightfer.measure.accuracy import (
    measure_accuracy,
    predict_logits,
    score_test,
    selective_top1,
)
from lightfer.measure.reliability import Reliability


def one_hot(classes: list[int], scale: float = 1.0) -> torch.Tensor:
    return scale * nn.functional.one_hot(torch.tensor(classes), 7).float()


def test_figures_of_a_case_counted_by_hand():
    # true:      0 0 0 0 1 1 2      (classes 3 to 6 are absent)
    # predicted: 0 0 0 1 1 0 2
    accuracy = measure_accuracy(
        one_hot([0, 0, 0, 1, 1, 0, 2]),
        torch.tensor([0, 0, 0, 0, 1, 1, 2]),
        split="test",
        label_source="fer2013",
    )
    assert accuracy.top1 == 5 / 7
    assert accuracy.confusion is not None
    assert accuracy.confusion[0] == (3, 1, 0, 0, 0, 0, 0)
    assert accuracy.confusion[1] == (1, 1, 0, 0, 0, 0, 0)
    assert accuracy.per_class is not None
    angry, disgust, fear, happy, *_ = accuracy.per_class
    assert (angry.name, angry.images, angry.precision, angry.recall) == ("angry", 4, 0.75, 0.75)
    assert (disgust.precision, disgust.recall, disgust.f1) == (0.5, 0.5, 0.5)
    assert (fear.f1, happy.precision, happy.recall, happy.f1) == (1.0, None, None, None)
    assert accuracy.macro_f1 == pytest.approx((0.75 + 0.5 + 1) / 3)
    assert accuracy.balanced_accuracy == pytest.approx((0.75 + 0.5 + 1) / 3)


def test_calibration_error_of_a_known_confidence():
    # Two classes, confidence 0.9 everywhere, right in 6 of 10: the gap is 0.3.
    logits = torch.log(torch.tensor([[0.9, 0.1]])).repeat(10, 1)
    labels = torch.tensor([0] * 6 + [1] * 4)
    assert Reliability(logits, labels).error == pytest.approx(0.3, abs=1e-6)


def test_the_surest_images_are_those_of_the_largest_probability():
    # The confidences fall from image to image; the surest eight of ten hold six right ones.
    logits = torch.tensor([[float(10 - i), 0.0] for i in range(10)])
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
    assert selective_top1(logits, labels, 0.8) == 6 / 8
    assert selective_top1(logits, labels, 1.0) == 7 / 10
    assert selective_top1(logits, labels, 0.01) == 1


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="0 predictions for 0 labels"):
        measure_accuracy(
            torch.zeros(0, 7), torch.zeros(0).long(), split="test", label_source="fer2013"
        )


class Brightest(nn.Module):
    """Logits are the mean brightness of seven columns, so a mirror image reverses them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * nn.functional.adaptive_avg_pool2d(x, (1, 7)).flatten(1)


def test_flip_averages_with_the_mirror_image(faces):
    images = faces["test"].images
    single = predict_logits(Brightest(), images, batch_size=7)
    flip = predict_logits(Brightest(), images, view="flip", batch_size=7)
    torch.testing.assert_close(flip, (single + single.flip(1)) / 2)


def test_ten_crop_averages_five_windows_and_their_mirror_images():
    images = torch.randint(0, 256, (3, 1, 48, 48), dtype=torch.uint8)
    reader = nn.Linear(48 * 48, 2, bias=False)
    corner = nn.Sequential(nn.Flatten(), reader)
    with torch.no_grad():
        reader.weight.zero_()
        reader.weight[0, 0] = 1.0  # reads the pixel in the top left corner
        reader.weight[1, 47] = 1.0  # and the one in the top right
    found = predict_logits(corner, images, view="ten-crop")
    x = normalize(images)[:, 0]
    # Beside the middle window, the others start two pixels outside, which mirrors pixel 2, or two
    # inside, which is pixel 2.
    left = (x[:, 0, 0] + 4 * x[:, 2, 2]) / 10
    right = (x[:, 0, 47] + 4 * x[:, 2, 45]) / 10
    torch.testing.assert_close(found[:, 0], left + right)
    torch.testing.assert_close(found[:, 1], left + right)


def test_scoring_the_test_split_is_written_down(faces, tmp_path):
    log = tmp_path / "deep" / "log.jsonl"
    for _ in range(2):
        accuracy, _ = score_test(
            Brightest(),
            faces,
            model_name="brightest",
            weights_sha256="abc",
            variant="onnxruntime-int8",
            log=log,
        )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[1]["weights"] == "abc"
    assert lines[1]["data"] == faces["test"].sha256()
    assert lines[1]["top1"] == accuracy.top1
    assert (lines[1]["variant"], lines[1]["labels"]) == ("onnxruntime-int8", "fer2013")
    assert lines[1]["also"][:2] == [f"test, {accuracy.labels}, {v}" for v in ("flip", "ten-crop")]


def test_other_accuracies_are_those_of_the_subsets(faces, tmp_path):
    test = faces["test"]
    copied = Split(
        torch.cat([faces["train"].images[:5], test.images[5:]]),
        torch.cat([faces["train"].labels[:5], test.labels[5:]]),
    )
    data = replace(faces, splits={**faces.splits, "test": copied})
    model = Brightest()
    accuracy, others = score_test(
        model, data, model_name="m", weights_sha256=None, log=tmp_path / "log"
    )
    flip, crops, new, both = others
    assert crops.view == "ten-crop"
    right = predict_logits(model, copied.images).argmax(1) == copied.labels
    earlier = faces["validation"]
    right_earlier = predict_logits(model, earlier.images).argmax(1) == earlier.labels
    assert (accuracy.images, accuracy.top1) == (48, right.double().mean().item())
    assert flip.view == "flip"
    assert (new.split, new.images) == ("test without copies", 43)
    assert new.top1 == pytest.approx(right[5:].double().mean().item())
    assert (both.split, both.images) == ("validation + test", 96)
    assert both.top1 == pytest.approx(torch.cat([right, right_earlier]).double().mean().item())


def test_images_made_worse_are_scored_each_by_itself(faces, tmp_path):
    log, model, test = tmp_path / "log", Brightest(), faces["test"]
    _, others = score_test(
        model, faces, model_name="m", weights_sha256=None, log=log, views=(), corruptions=True
    )
    worse = {o.corruption: o for o in others if o.corruption}
    assert len(worse) == 18
    for name, images in corrupted(test.images):
        right = predict_logits(model, images).argmax(1) == test.labels
        assert worse[name].top1 == pytest.approx(right.double().mean().item())
        assert (worse[name].split, worse[name].view, worse[name].images) == ("test", "single", 48)
    assert len(log.read_text().splitlines()) == 1


def test_only_one_function_reads_the_test_split():
    """No other line of the package takes `["test"]` to score it; timing and hashing may."""
    from pathlib import Path

    source = Path(__file__).parents[2] / "src" / "lightfer"
    found = [p.name for p in source.rglob("*.py") if 'data["test"]' in p.read_text()]
    assert sorted(found) == ["accuracy.py", "run.py"]
