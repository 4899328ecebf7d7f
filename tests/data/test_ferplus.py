"""FER+ votes; oracle: a file written here whose every vote is known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest
import torch

from lightfer.bench.plan import BenchConfig
from lightfer.bench.run import run_benchmark
from lightfer.cli.teach import teach
from lightfer.data import DataError, Split
from lightfer.data.dataset import CLASSES, WITH_CONTEMPT, Dataset
from lightfer.data.ferplus import (
    CHOICES,
    Target,
    Votes,
    agreement,
    as_learned,
    frequent_shares,
    majority_labels,
    read_votes,
    vote_confusion,
    vote_shares,
    with_votes,
)
from lightfer.errors import ArgumentError
from lightfer.measure.accuracy import predict_logits
from lightfer.models.registry import create_model
from lightfer.train.config import TrainConfig
from lightfer.train.job import Job, run_job
from lightfer.train.loss import Batch, label_loss

HEADER = "Usage,Image name," + ",".join(CHOICES)
NEUTRAL = [10, 0, 0, 0, 0, 0, 0, 0, 0, 0]
CASES = {  # votes of the first rows, their label by the rule, and by the top vote
    0: ([0, 0, 0, 0, 6, 4, 0, 0, 0, 0], 0, 0),  # anger
    1: ([0, 0, 0, 0, 0, 9, 1, 0, 0, 0], 1, 1),  # disgust
    2: ([0, 4, 0, 3, 0, 0, 0, 3, 0, 0], None, 3),  # happiness, less than half of the votes
    3: ([0, 5, 0, 5, 0, 0, 0, 0, 0, 0], None, 3),  # a tie: the top vote is its first choice
    4: ([1, 0, 0, 0, 0, 0, 0, 9, 0, 0], None, 7),  # contempt
    5: ([1, 0, 0, 0, 0, 0, 0, 0, 9, 0], None, 7),  # unknown
    6: ([1, 0, 0, 0, 0, 0, 0, 0, 0, 9], None, 7),  # not a face
    7: (NEUTRAL, None, 6),  # without image name
    8: (NEUTRAL, 6, 6),
}


def lines() -> list[str]:
    usages = ["Training"] * 28_709 + ["PublicTest"] * 3_589 + ["PrivateTest"] * 3_589
    return [
        f"{usage},{'' if row == 7 else f'fer{row + 500:07}.png'},"
        + ",".join(map(str, CASES.get(row, (NEUTRAL,))[0]))
        for row, usage in enumerate(usages)
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ferplus") / "fer2013new.csv"
    path.write_text("\n".join([HEADER, *lines()]) + "\n")
    return path


def split_of(rows: list[int], labels: list[int]) -> Split:
    images = torch.zeros(len(rows), 1, 48, 48, dtype=torch.uint8)
    return Split(images, torch.tensor(labels), torch.tensor(rows))


def test_votes_are_joined_by_line_and_follow_the_rule(path: Path):
    rows = [8, *range(8)]
    labels, mask = majority_labels(split_of(rows, [0] * 9), read_votes(path))
    expected = [CASES[row][1] for row in rows]
    assert mask.tolist() == [label is not None for label in expected]
    assert labels.tolist() == [-1 if label is None else label for label in expected]


def test_agreement_counts_named_images_only(path: Path):
    right = [CASES[row][2] % 7 for row in range(9)]  # 7, no class, never equals a label
    assert agreement(split_of(list(range(9)), right), read_votes(path)) == pytest.approx(5 / 8)


def test_what_people_say_of_each_label(path: Path):
    # 0: 6 anger, 4 disgust; 1: 9 disgust, a single fear; 2: 4 surprise's row; 7 has no name.
    said = vote_confusion(split_of([0, 1, 2, 4, 7, 8], [0, 0, 3, 3, 3, 6]), read_votes(path))
    expected = torch.zeros(7, 7)
    expected[0, [0, 1]] = torch.tensor([6 / 19, 13 / 19])
    expected[3, [3, 4]] = torch.tensor([4 / 7, 3 / 7])  # row 4 is contempt but for a single vote
    expected[6, 6] = 1
    torch.testing.assert_close(said, expected)


def majority(votes: list[int]) -> str | None:
    """As the paper has it, in plain loops: oracle of a row of votes."""
    kept = {choice: n for choice, n in zip(CHOICES, votes, strict=True) if n > 1}
    winners = [choice for choice, n in kept.items() if n > sum(kept.values()) / 2]
    return winners[0] if winners else None


def distribution(votes: list[int]) -> dict[str, float] | None:
    """As the paper has its "cross-entropy": the shares that are kept, of eight classes."""
    kept = {choice: n for choice, n in zip(CHOICES, votes, strict=True) if n > 1}
    total, found, no_face = sum(kept.values()), {}, False
    while sum(found.values()) < 0.75 * total and len(found) < 3 and not no_face:
        most = max(n for choice, n in kept.items() if choice not in found)
        for choice, n in kept.items():
            if n == most and choice in ("unknown", "NF"):
                no_face = True
            elif n == most:
                found[choice] = n
    if sum(found.values()) <= total / 2 or len(found) > 3:
        return None
    return {choice: n / sum(found.values()) for choice, n in found.items()}


def frequent(votes: list[int]) -> dict[str, float] | None:
    """As the paper has its "multi-target": the shares that are kept, of all choices."""
    kept = {choice: n for choice, n in zip(CHOICES, votes, strict=True) if n > 1}
    found = {choice: n for choice, n in kept.items() if n >= 0.3 * sum(kept.values())}
    if sum(found.values()) <= sum(kept.values()) / 2:
        return None
    return {choice: n / sum(found.values()) for choice, n in found.items()}


NAMES = "anger disgust fear happiness sadness surprise neutral contempt".split()  # noqa: SIM905


def drawn(count: int) -> list[list[int]]:
    """Rows of ten votes each, agreed on more or less."""
    random = Random(1)
    rows = []
    for _ in range(count):
        weights = [random.random() ** random.choice((1, 4, 12)) for _ in CHOICES]
        votes = random.choices(range(10), weights, k=10)
        rows.append([votes.count(choice) for choice in range(10)])
    return rows


def _lead_of_none(spread: dict[str, float], expected: Sequence[str]) -> bool:
    """Whether a choice leads that is no class; of equal ones the first of `NAMES` leads."""
    order = [*NAMES, "unknown", "NF"]
    leading = min(spread, key=lambda choice: (-spread[choice], order.index(choice)))
    return leading not in expected


@pytest.mark.parametrize("classes", [CLASSES, WITH_CONTEMPT])
def test_targets_are_those_of_the_paper(classes: tuple[str, ...]):
    rows = drawn(3_000)
    votes = Votes(torch.tensor(rows), torch.ones(len(rows), dtype=torch.bool))
    split = split_of(list(range(len(rows))), [0] * len(rows))
    labels, known = majority_labels(split, votes, len(classes))
    expected = NAMES[: len(classes)]
    for i, row in enumerate(rows):
        label = majority(row)
        assert known[i] == (label in expected), row
        assert not known[i] or expected[labels[i]] == label, row
    for rule, oracle in ((vote_shares, distribution), (frequent_shares, frequent)):
        shares, usable = rule(split, votes, len(classes))
        assert 0.2 < known.float().mean() < usable.float().mean() < 0.95
        for i, row in enumerate(rows):
            spread = oracle(row)
            others = [share for name, share in (spread or {}).items() if name in expected]
            if not spread or _lead_of_none(spread, expected):
                assert not usable[i], row
                continue
            told = [spread.get(name, 0.0) / sum(others) for name in expected]
            assert usable[i], row
            assert shares[i].tolist() == pytest.approx(told, abs=1e-6), row


def data_at(folder: Path) -> Dataset:
    """Data of the first rows of train and validation, beside their votes."""
    generator = torch.Generator().manual_seed(0)
    splits = {}
    for name, first, count in (("train", 0, 40), ("validation", 28_709, 20)):
        images = torch.randint(0, 256, (count, 1, 48, 48), generator=generator).to(torch.uint8)
        splits[name] = Split(
            images, torch.zeros(count, dtype=torch.int64), torch.arange(first, first + count)
        )
    return Dataset("fer2013", str(folder), splits, "labels")


def test_a_network_learns_the_votes(path: Path, tmp_path: Path):
    data = data_at(path.parent)
    job = Job(model="mobilenet_v1_x0_25", labels="ferplus", settings={"epochs": 2})
    file, card = run_job(job, data, tmp_path / "run")
    assert file.name == "mobilenet_v1_x0_25_ferplus.safetensors"
    assert (card.model, card.data_name) == ("mobilenet_v1_x0_25_ferplus", "fer+")
    relabelled = with_votes(data, "ferplus")
    assert [len(split) for split in relabelled.splits.values()] == [36, 20]
    assert card.data_sha256["train"] == relabelled["train"].sha256()
    assert card.validation is not None
    assert card.validation.labels == "fer+"
    assert card.validation.per_class is not None
    assert [score.images for score in card.validation.per_class] == [0] * 6 + [20]
    eight = with_votes(data, "ferplus8")
    assert eight.classes == WITH_CONTEMPT
    assert len(eight["train"]) == 37
    assert as_learned(data, card.labels)["train"].sha256() == card.data_sha256["train"]
    assert as_learned(data, "ferplus8").classes == WITH_CONTEMPT
    assert as_learned(data, "fer2013") is data


def test_live_teachers_may_have_learned_contempt(path: Path, tmp_path: Path, monkeypatch):
    data = data_at(path.parent)
    settings = {"epochs": 1, "warmup_epochs": 0.5}
    job = Job(model="mobilenet_v1_x0_25", labels="ferplus8", settings=settings)
    teacher, _ = run_job(job, data, tmp_path / "teacher")
    student = msgspec.structs.replace(job, teachers=(str(teacher),))
    _, asked = run_job(student, data, tmp_path / "asked")
    _, kept = run_job(student, data, tmp_path / "kept", view_cache=tmp_path / "views")
    assert asked.classes == WITH_CONTEMPT
    assert (asked.validation, asked.distillation) == (kept.validation, kept.distillation)
    monkeypatch.setattr("lightfer.cli.console.load_data", lambda *_, **__: data)
    teach([str(teacher)], out=tmp_path / "soft", labels="ferplus8", threads=1)
    once = msgspec.structs.replace(job, soft_labels=str(tmp_path / "soft"))
    assert run_job(once, data, tmp_path / "once")[1].distillation


def test_a_network_is_scored_by_what_it_learned(path: Path, tmp_path: Path):
    """Test rows of which the last three have other labels by FER+, or none."""
    data = data_at(path.parent)
    images = data["train"].images[:9]
    rows = torch.tensor([*range(28_709 + 3_589, 28_709 + 3_589 + 9)])
    test = Split(images, torch.tensor([6, 6, 6, 6, 6, 6, 0, 0, 0]), rows)
    data = replace(data, splits={**data.splits, "test": test})
    job = Job(model="mobilenet_v1_x0_25", labels="ferplus", settings={"epochs": 2})
    file, _ = run_job(job, data, tmp_path / "run")
    log = tmp_path / "log.jsonl"
    config = BenchConfig((str(file),), rounds=1, seconds=0, passes=1, warmup=1, batch_sizes=(1,))
    results, _ = run_benchmark(
        config, data, allocator="test", journal_path=tmp_path / "journal", test_log=log
    )
    (entry,) = results.entries
    assert entry.accuracy is not None
    by_votes = majority_labels(test, read_votes(path))[0]
    right = predict_logits(create_model("mobilenet_v1_x0_25_ferplus", file), images).argmax(1)
    assert (entry.accuracy.labels, entry.accuracy.images) == ("fer+", 9)
    assert entry.accuracy.top1 == pytest.approx((right == by_votes).double().mean().item())
    assert entry.accuracy_other
    own = [a for a in entry.accuracy_other if a.labels == "fer2013"]
    assert [a.top1 for a in own] == pytest.approx([(right == test.labels).double().mean().item()])
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("target", "images"), [("majority", 34), ("drawn", 36), ("multi-target", 36)]
)
def test_a_network_learns_them_in_the_other_ways(
    path: Path, tmp_path: Path, target: Target, images: int
):
    data = data_at(path.parent)
    settings = {"epochs": 2, "precision": "float32", "target": target}
    job = Job(model="mobilenet_v1_x0_25", labels="ferplus", settings=settings)
    _, card = run_job(job, data, tmp_path / "run")
    assert card.recipe == f"equal,epochs=2,precision=float32,target={target}"
    relabelled = with_votes(data, "ferplus", target)["train"]
    assert len(relabelled) == images
    assert (relabelled.shares is None) == (target == "majority")
    assert card.history is not None
    assert all(0 < epoch["train_loss"] < 3 for epoch in card.history)


def test_a_drawn_class_follows_the_votes():
    shares = torch.tensor([[0.75, 0.25, 0.0]]).repeat(4_000, 1)
    loss = label_loss(shares, TrainConfig(target="drawn", label_smoothing=0.0))
    logits = torch.tensor([[1.0, 0.0, 0.0]]).requires_grad_()
    everything = Batch(torch.arange(len(shares)), torch.empty(0), epoch=3)
    one = loss(logits.expand(len(shares), 3), everything)
    assert one == loss(logits.expand(len(shares), 3), everything)
    assert one != loss(logits.expand(len(shares), 3), replace(everything, epoch=4))
    probabilities = logits.softmax(1)[0]
    (gradient,) = torch.autograd.grad(one, logits)
    assert (probabilities - gradient[0]).tolist() == pytest.approx([0.75, 0.25, 0], abs=0.03)


def test_several_targets_ask_for_any_of_them():
    loss = label_loss(torch.tensor([[0.6, 0.4, 0.0]]), TrainConfig(target="multi-target"))
    batch = Batch(torch.tensor([0]), torch.empty(0))
    second = torch.tensor([[0.0, 2.0, 1.0]])  # is one of them
    assert loss(second, batch).item() == pytest.approx(-second.log_softmax(1)[0, 1].item())
    third = torch.tensor([[0.0, 0.0, 9.0]])  # is none, and counts a thousandth
    none = 0.001 * third.softmax(1)[0, 2].item()
    assert loss(third, batch).item() == pytest.approx(-math.log(none))


def test_a_target_of_votes_needs_votes():
    with pytest.raises(ArgumentError, match=r"target drawn is of FER\+'s votes, .* give labels"):
        Job(model="mobilenet_v1", settings={"target": "drawn"}).config()


def test_votes_that_are_not_there_are_asked_for(tmp_path: Path):
    data = data_at(tmp_path)
    with pytest.raises(DataError, match=r"ferplus need FER\+'s fer2013new\.csv beside"):
        with_votes(data, "ferplus")


def test_data_without_rows_cannot_be_joined(path: Path):
    with pytest.raises(DataError, match="do not tell each image's line"):
        majority_labels(replace(split_of([0], [0]), rows=None), read_votes(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_lines: all_lines[:-1], r"35,886 lines below the header, expected FER\+"),
        (lambda all_lines: [all_lines[0][:-1] + "x", *all_lines[1:]], r"line 2: votes"),
        (lambda all_lines: [all_lines[0] + ",1", *all_lines[1:]], r"line 2: 13 columns"),
        (lambda all_lines: all_lines[::-1], r"line 2: Usage 'PrivateTest' instead of"),
    ],
)
def test_a_wrong_file_is_named(change, message: str, tmp_path: Path):
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join([HEADER, *change(lines())]))
    with pytest.raises(DataError, match=message):
        read_votes(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n"])
def test_another_file_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "votes.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"github\.com/microsoft/FERPlus"):
        read_votes(tmp_path / "votes.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_votes(tmp_path / "missing.csv")
