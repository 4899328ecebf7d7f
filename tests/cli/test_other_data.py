"""The commands on other data sets and at other sizes; oracle: the drawn faces they are made of."""

import json
from pathlib import Path

import pytest
from PIL import Image

from lightfer import Predictor
from lightfer.data import Dataset
from lightfer.inference.onnx_from_weights import assembled
from lightfer.models.weights import load_checkpoint
from lightfer.report.tables import summary
from lightfer.results import read_results
from lightfer.results.select import scored_on
from lightfer.results.stats import wilson_interval
from lightfer.results.validate import violations_of_file
from tests.cli.test_cli import lightfer
from tests.data.test_sets import affectnet, raf_db

NET = "shufflenet_v2_x0_5"
FEW = ("--quick", "--rounds", "2", "--passes", "1", "--batch-size", "1", "--batch-size", "8")
pytestmark = pytest.mark.usefixtures("brief")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cross_data_accuracy_is_a_column_and_never_mixed(faces: Dataset, small_csv, here: Path):
    """Two sets under one name are told apart by their hashes."""
    raf_db(here / "a", faces)
    raf_db(here / "b", faces)
    (here / "b/Image/aligned/test_00001_aligned.jpg").write_bytes(
        (here / "b/Image/aligned/test_00002_aligned.jpg").read_bytes()
    )
    also = (
        "--also",
        "rafdb:a",
        "--also",
        "rafdb:b",
        "--also",
        f"affectnet:{affectnet(here, faces)}",
    )
    lightfer("bench", "squeezenet1_1_bn", "--data", str(small_csv), *also, *FEW)
    results = read_results(here / "out/results.json")
    assert violations_of_file(here / "out/results.json") == []
    (entry,) = results.entries
    assert entry.accuracy
    assert (entry.accuracy.labels, entry.accuracy.data_sha256) == ("custom", None)
    elsewhere = [a for a in entry.accuracy_other if a.data_sha256]
    assert [a.labels for a in elsewhere] == ["rafdb", "rafdb", "affectnet"]
    for score in elsewhere:
        assert (score.split, score.images) == ("test", 6)
        assert score.ci95 == wilson_interval(round(score.top1 * 6), 6)
        assert scored_on(score) != scored_on(entry.accuracy)
    assert scored_on(elsewhere[0]) != scored_on(elsewhere[1])
    table = summary(results)
    for score in elsewhere:
        assert f" {score.labels} {(score.data_sha256 or '')[:8]} |" in table
    log = here / "out/test_scorings.jsonl"
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["data"] for line in logged[1:]] == [score.data_sha256 for score in elsewhere]


def test_evaluate_on_another_set(faces: Dataset, here: Path):
    source = f"rafdb:{raf_db(here / 'set', faces)}"
    scores = json.loads(lightfer("evaluate", "squeezenet1_1_bn", "--data", source, "--json"))
    assert (scores["accuracy"]["labels"], scores["accuracy"]["images"]) == ("rafdb", 6)
    assert len(scores["accuracy"]["data_sha256"]) == 64
    assert {a["split"] for a in scores["accuracy_other"]} == {"test", "test without copies"}


def test_eight_classes_need_a_network_of_eight(faces: Dataset, here: Path):
    source = f"affectnet8:{affectnet(here / 'set', faces)}"
    with pytest.raises(ValueError, match="the network has 7 classes, the data more"):
        lightfer("evaluate", "squeezenet1_1_bn", "--data", source)
    options = ("--epochs", "1", "--batch-size", "8", "--out", "run")
    lightfer("train", NET, "--data", source, *options)
    _, card = load_checkpoint(here / f"run/{NET}.safetensors")
    assert (card.classes[7:], card.data_name) == (("contempt",), "affectnet8")
    lightfer("evaluate", f"run/{NET}.safetensors", "--data", source)


@pytest.mark.parametrize("size", [64, 96, 112])
def test_a_net_of_another_size_goes_all_the_way(size: int, faces: Dataset, here: Path):
    source = f"rafdb:{raf_db(here / 'set', faces)}"
    options = ("--epochs", "1", "--batch-size", "8", "--out", "run")
    lightfer("train", NET, "--data", source, "--size", str(size), *options)
    weights = f"run/{NET}.safetensors"
    _, card = load_checkpoint(here / weights)
    assert (card.input.height, card.input.width) == (size, size)
    assert f"size={size}" in card.recipe
    lightfer("evaluate", weights, "--data", source)
    picture = here / "set/Image/aligned/test_00001_aligned.jpg"
    (found,) = Predictor(weights, "pytorch", faces="never")(Image.open(picture))
    assert found.label in card.classes
    assert assembled(Path(weights)) is None  # graphs that are shipped are of 48x48
    if size > 64:
        return
    lightfer("bench", weights, NET, "--data", source, *FEW)
    large, small = read_results(here / "out/results.json").entries
    assert (large.error, small.error) == (None, None)
    assert 1.2 < (large.macs or 0) / (small.macs or 1) < 6


def test_audit_prints_the_mapping(faces: Dataset, here: Path):
    source = f"affectnet:{affectnet(here / 'set', faces)}"
    text = " ".join(lightfer("data", "audit", "--data", source).split())
    assert "labels of the files: 0 neutral, 1 happy, 2 sad, 3 surprise, 4 fear" in text
    assert "7 left out, 8 left out, 9 left out, 10 left out" in text
    assert "AffectNet (not its official class counts: 18 images for 287,401)" in text
