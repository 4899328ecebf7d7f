"""Synthetic faces: equal for equal seeds, and neither trivial nor hopeless for a linear model."""

import torch

from lightfer.data import CLASSES, Dataset, SplitName
from lightfer.data.synthetic import synthetic_faces


def test_the_same_seed_draws_the_same_faces():
    sizes: dict[SplitName, int] = {"train": 60, "test": 20}
    first, again, other = (synthetic_faces(sizes, seed) for seed in (3, 3, 4))
    assert first.sha256() == again.sha256() != other.sha256()
    assert len({first[name].sha256() for name in first.splits}) == 2


def test_every_class_occurs_and_no_face_repeats(faces: Dataset):
    for split in faces.splits.values():
        assert set(split.labels.tolist()) == set(range(len(CLASSES)))
    images = torch.cat([split.images for split in faces.splits.values()]).flatten(1)
    assert len(images.unique(dim=0)) == len(images)


def test_a_linear_classifier_is_better_than_chance_and_far_from_perfect():
    """Oracle: ridge regression onto the classes, in closed form."""
    faces = synthetic_faces({"train": 1500, "test": 500}, seed=2)
    (x, y), (x_test, y_test) = (
        (split.images.flatten(1).double() / 255 - 0.5, split.labels)
        for split in (faces["train"], faces["test"])
    )
    targets = torch.nn.functional.one_hot(y, 7).double() - 1 / 7
    weights = torch.linalg.solve(
        x.T @ x + 100 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ targets
    )
    accuracy = ((x_test @ weights).argmax(1) == y_test).double().mean().item()
    assert 0.2 < accuracy < 0.8, accuracy
