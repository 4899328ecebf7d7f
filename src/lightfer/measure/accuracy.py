"""How well a network classifies faces.

Predictions are the class of the largest logit, from one view of each image unless said otherwise.
`score_test` is the only function of the package that scores a test split, and it writes down every
time it does, because a test set that is looked at while choosing is no longer one.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightfer._files import append_line
from lightfer.data.corruptions import corrupted
from lightfer.data.dataset import MEAN, STD, WITH_CONTEMPT, Dataset, normalize
from lightfer.data.ferplus import Labels, Votes, as_learned, majority_labels
from lightfer.data.subsets import kaggle_test, without_copies
from lightfer.errors import ArgumentError
from lightfer.measure.reliability import Reliability
from lightfer.results import Accuracy, ClassScore
from lightfer.results.derived import class_figures, mean_of_known
from lightfer.results.stats import wilson_interval

View = Literal["single", "flip", "ten-crop"]
"""single: the image. flip: it and its mirror image. ten-crop: five windows of its own size, in the
middle and moved by two pixels to each corner (mirrored pixels fill the gap), and their mirror
images. The logits of the parts are averaged."""


def parts_of(x: Tensor, view: View) -> Iterator[Tensor]:
    """What is shown to the network of prepared images (N, 1, H, W): tensors of the same shape."""
    windows = [x]
    if view == "ten-crop":
        height, width = x.shape[2:]
        padded = pad(x, (2, 2, 2, 2), mode="reflect")
        windows += [
            padded[:, :, y : y + height, z : z + width].contiguous(
                memory_format=torch.channels_last
            )
            for y in (0, 4)
            for z in (0, 4)
        ]
    for window in windows:
        yield window
        if view != "single":
            yield window.flip(3)


@torch.inference_mode()
def predict_logits(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    view: View = "single",
    batch_size: int = 256,
    on_batch: Callable[[int, int], None] | None = None,
) -> Tensor:
    """uint8 (N, 1, H, W) -> float32 (N, classes) on the CPU; a module is set to evaluation mode.

    Anything else that is called with prepared images finds its own device.

    The views `flip` and `ten-crop` cost two and ten times as much as `single`.
    """
    device = torch.device("cpu")
    if isinstance(model, nn.Module):
        device = next(model.eval().parameters()).device
    logits = []
    for batch in images.split(batch_size):
        x = normalize(batch.to(device)).contiguous(memory_format=torch.channels_last)
        parts = torch.stack([model(part).float() for part in parts_of(x, view)])
        logits.append(parts.mean(0).cpu())
        if on_batch:
            on_batch(sum(map(len, logits)), len(images))
    return torch.cat(logits)


def check_scored(card: Any, whose: str) -> None:
    """Raise ArgumentError for a net whose card names other classes than labels here have, or has
    them in another order, or wants another input than `normalize` makes: it would be scored wrongly
    without a word.
    """
    expected, told = WITH_CONTEMPT[: len(card.classes)], card.input
    if tuple(card.classes) != expected:
        raise ArgumentError(
            f"{whose}: its classes are {', '.join(card.classes)}, labels here are "
            f"{', '.join(expected)}, in this order: it can predict, but not be scored"
        )
    if (told.mean, told.std, told.channels, told.height) != (MEAN, STD, 1, told.width):
        shape = (told.channels, told.height, told.width)
        raise ArgumentError(
            f"{whose}: its input is {shape} of mean {told.mean} and deviation {told.std}; images "
            f"here are grey squares, of {MEAN} and {STD}: it can predict, but not be scored"
        )


def measure_accuracy(
    logits: Tensor,
    labels: Tensor,
    *,
    split: str,
    label_source: str,
    view: View = "single",
    corruption: str | None = None,
    data_sha256: str | None = None,
) -> Accuracy:
    """From logits (N, classes) and labels (N,) to every figure of `Accuracy`."""
    if len(logits) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(logits)} predictions for {len(labels)} labels: expected one each")
    images, classes = logits.shape
    if int(labels.max()) >= classes:
        raise ArgumentError(
            f"the network has {classes} classes, the data more: name it without the 8, as in "
            "affectnet:PATH, which leaves contempt out"
        )
    predicted = logits.argmax(1)
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = confusion.view(classes, classes).tolist()
    names = WITH_CONTEMPT if classes <= len(WITH_CONTEMPT) else map(str, range(classes))
    figures = class_figures(confusion)
    per_class = tuple(ClassScore(name=name, **of) for name, of in zip(names, figures, strict=False))
    correct = int((predicted == labels).sum())
    reliability = Reliability(logits, labels)
    return Accuracy(
        split=split,
        labels=label_source,
        view=view,
        corruption=corruption,
        images=images,
        top1=correct / images,
        ci95=wilson_interval(correct, images),
        macro_f1=mean_of_known(score.f1 for score in per_class),
        balanced_accuracy=mean_of_known(score.recall for score in per_class),
        ece=reliability.error,
        ece_ci95=None if corruption else reliability.interval(),
        top1_at_80_coverage=selective_top1(logits, labels, 0.8),
        per_class=per_class,
        confusion=tuple(map(tuple, confusion)),
        data_sha256=data_sha256,
    )


def score_test(
    model: Callable[[Tensor], Tensor],
    data: Dataset,
    *,
    model_name: str,
    weights_sha256: str | None,
    log: Path,
    variant: str = "pytorch-float32",
    labels: Labels = "fer2013",
    votes: Votes | None = None,
    views: Sequence[View] = ("flip", "ten-crop"),
    corruptions: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
) -> tuple[Accuracy, tuple[Accuracy, ...]]:
    """Score the test split, append a line to `log`, and return the headline and other accuracies.

    The headline is the whole split from a single view, by the `labels` that the network learned: if
    those are FER+'s, images without a majority are left out. The others are `views`; the
    test images that are in neither train nor validation, if those splits were read; of FER2013
    validation and test together, the only figure comparable with work on Kaggle's folder `test`;
    the other of both labels, FER+'s majority if `votes` are given; with `corruptions` the test
    images made worse, as `data.corruptions` has it, without figures of classes. `log` is a file of
    JSON lines, written before this returns. Raises DataError where FER+'s votes are needed and not
    beside the data.
    """
    original, data = data["test"], as_learned(data, labels)
    test = data["test"]

    def accuracy(logits: Tensor, labels: Tensor, split: str, **kinds: Any) -> Accuracy:
        other = None if data.known_as is None else test.sha256()
        kinds = {"label_source": data.name, "data_sha256": other, **kinds}
        return measure_accuracy(logits, labels, split=split, **kinds)

    everything = predict_logits(model, original.images, on_batch=on_batch)
    logits = everything
    if test is not original:
        assert original.rows is not None
        assert test.rows is not None
        logits = everything[torch.isin(original.rows, test.rows)]
    headline = msgspec.structs.replace(
        accuracy(logits, test.labels, "test"),
        correct_hex=correct_hex(logits, test.labels),
        reliability=Reliability(logits, test.labels).bins(),
    )
    others = []
    for view in views:
        averaged = predict_logits(model, test.images, view=view, on_batch=on_batch)
        others.append(accuracy(averaged, test.labels, "test", view=view))
    if {"train", "validation"} <= set(data.splits):
        new = without_copies(data)
        if new.any():
            others.append(accuracy(logits[new], test.labels[new], "test without copies"))
    if "validation" in data.splits and data.known_as is None:
        both = kaggle_test(data)
        first = predict_logits(model, data["validation"].images, on_batch=on_batch)
        others.append(accuracy(torch.cat([first, logits]), both.labels, "validation + test"))
    if test is not original:
        others.append(accuracy(everything, original.labels, "test", label_source="fer2013"))
    elif votes is not None:
        majority, known = majority_labels(test, votes)
        if known.any():
            others.append(accuracy(logits[known], majority[known], "test", label_source="fer+"))
    for name, images in corrupted(test.images) if corruptions else ():
        worse = predict_logits(model, images, on_batch=on_batch)
        found = accuracy(worse, test.labels, "test", corruption=name)
        others.append(msgspec.structs.replace(found, per_class=None, confusion=None))

    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model_name,
        "weights": weights_sha256,
        "variant": variant,
        "labels": labels,
        "data": test.sha256(),
        "images": headline.images,
        "top1": headline.top1,
        "also": [_named(other) for other in others],
    }
    append_line(log, json.dumps(line))
    return headline, tuple(others)


def _named(accuracy: Accuracy) -> str:
    """What was scored besides, in a few words."""
    kinds = (accuracy.split, accuracy.labels, accuracy.corruption or accuracy.view)
    return ", ".join(kinds)


def correct_hex(logits: Tensor, labels: Tensor) -> str:
    """Which of (N, classes) hit the labels (N,), four images per digit, see `Accuracy`."""
    right = np.packbits((logits.argmax(1) == labels).numpy())
    return right.tobytes().hex()[: -(-len(labels) // 4)]


def selective_top1(logits: Tensor, labels: Tensor, coverage: float) -> float:
    """Accuracy on the share `coverage` of the images whose largest probability is highest.

    Geifman and El-Yaniv, 2017, https://arxiv.org/abs/1705.08500. At least one image counts.
    """
    confidence, predicted = logits.softmax(1).max(1)
    kept = confidence.argsort(descending=True, stable=True)[: max(1, round(coverage * len(labels)))]
    return (predicted == labels)[kept].double().mean().item()
