"""Teachers, soft labels and queues by the command line, on data without a test split."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock

from lightfer.data import load
from lightfer.models.find import keys_in
from lightfer.models.weights import Card, load_checkpoint
from tests.cli.test_cli import complain, lightfer
from tests.conftest import by_day

MODEL = "mobilenet_v1_x0_25"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(data: Path, out: str, *options: str) -> Card:
    common = ("--data", str(data), "--epochs", "2", "--threads", "1", "--out", out)
    lightfer("train", MODEL, *common, *options)
    return load_checkpoint(Path(out) / f"{MODEL}.safetensors")[1]


def test_teachers_of_two_folds_and_their_students(here: Path, blind_csv: Path):
    for i in range(2):
        assert train(blind_csv, f"t{i}", "--fold", f"{i}/2").fold == f"{i}/2"
    teachers = [f"t{i}/{MODEL}.safetensors" for i in range(2)]
    said = lightfer("teach", *teachers, "--data", str(blind_csv), "--out", "soft.safetensors")
    assert "soft labels of 2 teachers for 96 images" in said
    kept = train(blind_csv, "kept", "--soft-labels", "soft.safetensors", "--temperature", "3")
    live = train(blind_csv, "live", "--teachers", ",".join(teachers), "--teacher-weight", "0.5")
    assert kept.distillation is not None
    assert live.distillation is not None
    assert kept.distillation["teachers"] == live.distillation["teachers"]
    assert [teacher["fold"] for teacher in live.distillation["teachers"]] == ["0/2", "1/2"]
    assert (kept.distillation["temperature"], live.distillation["weight"]) == (3, 0.5)
    assert kept.distillation["view"] != live.distillation["view"]


def test_a_teacher_may_lie_in_a_folder_that_train_named(here: Path, blind_csv: Path):
    """Where settings are in its name, so are commas; and where the user puts them."""
    lightfer("train", MODEL, "--data", str(blind_csv), "--epochs", "1", "--threads", "1")
    (own,) = map(str, Path("runs").glob("*/mobilenet*"))
    assert own.count(",") == 1
    other = Path("my nets, old", "other.safetensors")
    other.parent.mkdir()
    shutil.copy(own, other)
    card = train(blind_csv, "student", "--teachers", f"{own},{other},{own}")
    assert card.distillation is not None
    assert len(card.distillation["teachers"]) == 3
    own_and_file = f"my.nets:net={own}"
    keys = ("mobilenet_v1", own_and_file, "nowhere.safetensors", *["shiftnet_b"] * 30)
    assert keys_in(",".join(keys)) == keys


def test_a_network_may_be_trained_and_taught_without_the_copies(here: Path, small_csv: Path):
    original = small_csv.read_text()
    copies = [line for line in original.splitlines() if line.endswith(",PrivateTest")][:3]
    moved = "".join(line.replace("PrivateTest", "Training") + "\n" for line in copies)
    Path("copies.csv").write_text(original + moved)
    options = ("--without-copies", "--size", "32")
    card = train(Path("copies.csv"), "run", *options)
    recipe = card.recipe.replace("precision=float32,", "")  # of a processor without bfloat16
    assert recipe == "equal,epochs=2,size=32,without-copies"
    assert card.data_sha256["train"] == load(small_csv, size=32)["train"].sha256()
    teach = ("teach", f"run/{MODEL}.safetensors", "--data", "copies.csv", "--out", "soft")
    assert "for 96 images" in lightfer(*teach, *options)
    student = train(Path("copies.csv"), "student", *options, "--soft-labels", "soft")
    assert student.distillation


def test_a_target_of_votes_is_taught_with_the_labels_of_votes(here: Path, capsys):
    said = complain("teach", MODEL, "--data", "synthetic", "--target", "drawn", capsys=capsys)
    assert "give labels ferplus" in said


def test_a_queue_that_has_nothing_to_do_packs_and_unpacks(here: Path, blind_csv: Path):
    """The item was trained by hand; the pack is continued in another folder."""
    train(blind_csv, f"q/{MODEL}-seed0")
    Path("list.toml").write_text(f'[[item]]\nmodel = "{MODEL}"\nsettings = {{ epochs = 2 }}\n')
    options = ("--data", str(blind_csv))
    said = lightfer("queue", "list.toml", *options, "--out", "q", "--pack", "p.zip")
    assert "everything is trained" in said
    assert "everything is trained" in lightfer("queue", "p.zip", *options, "--out", "q2")
    weights = f"{MODEL}-seed0/{MODEL}.safetensors"
    assert Path("q2", weights).read_bytes() == Path("q", weights).read_bytes()
    (first, second) = map(json.loads, Path("q2/sessions.jsonl").read_text().splitlines())
    assert (first["epochs"], second["epochs"]) == (0, 0)


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("another runs", "is in use by process"),
        ("no data", "no data: give --data"),
        ("an item cannot begin", "there is no model 'nonet'"),
        ("no executor", "no executor 'nowhere'"),
        ("another list", "q holds mine of another list: add them to this one"),
    ],
)
def test_a_refused_queue_leaves_the_list_in_the_folder(
    here: Path, blind_csv: Path, why: str, message: str, capsys
):
    """The queue that runs there, and the pack that it makes, had the list of the refused one."""
    Path("q/mine").mkdir(parents=True)
    Path("q/queue.toml").write_text("the list")
    Path("list.toml").write_text(f'[[item]]\nmodel = "{"nonet" if "item" in why else MODEL}"\n')
    if why == "another list":
        Path("q/mine/item.json").write_text("{}")
        Path("q/mine/history.jsonl").write_text("an epoch\n")
    data = () if why == "no data" else ("--data", str(blind_csv))
    executor = ("--executor", "nowhere") if why == "no executor" else ()
    with FileLock("q/queue.lock") if why == "another runs" else nullcontext():
        said = complain("queue", "list.toml", "--out", "q", *data, *executor, capsys=capsys)
    assert message in said
    assert Path("q/queue.toml").read_text() == "the list"


def test_a_pack_that_was_continued_elsewhere_is_not_replaced(here: Path, blind_csv: Path, capsys):
    """It was: the folder went on from its own older state, and what others had trained was gone."""
    text = f'[[item]]\nmodel = "{MODEL}"\nsettings = {{ epochs = 2 }}\n'
    for path in ("list.toml", "old/queue.toml"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)
    train(blind_csv, f"new/{MODEL}-seed0")
    data, pack = ("--data", str(blind_csv)), ("--pack", "q.zip")
    lightfer("queue", "list.toml", *data, *pack, "--out", "new")
    packed = Path("q.zip").read_bytes()
    for items, options in (("q.zip", pack), ("q.zip", ()), ("list.toml", pack)):
        said = complain("queue", items, *data, *options, "--out", "old", capsys=capsys)
        assert f"q.zip holds more of {MODEL}-seed0 than" in said
        assert "old and go on with `lightfer queue q.zip`" in said
    assert Path("q.zip").read_bytes() == packed
    Path("old").rename("kept")
    assert "everything is trained" in lightfer("queue", "q.zip", *data, *pack, "--out", "old")


def test_a_file_that_is_no_pack_is_not_replaced_by_one(here: Path, blind_csv: Path, capsys):
    Path("list.toml").write_text(f'[[item]]\nmodel = "{MODEL}"\n')
    Path("photos.zip").write_text("something else")
    options = ("--data", str(blind_csv), "--pack", "photos.zip", "--minutes", "0")
    assert "photos.zip cannot be unpacked" in complain(
        "queue", "list.toml", *options, capsys=capsys
    )
    assert Path("photos.zip").read_text() == "something else"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", MODEL, "--teachers", "nonet"), "there is no model 'nonet'"),
        (("train", MODEL, "--teachers", "mobilenet_v1"), "must have been trained on the train"),
        (("train", MODEL, "--teachers", "a", "--soft-labels", "b"), "not both"),
        (("train", MODEL, "--teachers", "a", "--fold", "0/2"), "cannot be a student"),
        (("train", MODEL, "--soft-labels", "b"), "b: no such file"),
        (("train", MODEL, "--fold", "2/2"), "fold 2/2 does not exist"),
        (("teach", "resnet18_cifar"), "no weights are shipped for resnet18_cifar"),
        (("queue", "none.toml"), "none.toml: No such file or directory"),
        (("queue", "none.zip"), "none.zip cannot be unpacked"),
    ],
)
def test_errors_are_one_line(here, blind_csv, arguments, message: str, capsys):
    data = ("--data", str(blind_csv))
    line = complain(*arguments, *data, capsys=capsys)
    assert message in line
    assert "Traceback" not in line


@pytest.mark.parametrize("option", [("--temperature", "3"), ("--teacher-weight", "0.5")])
def test_options_of_teachers_without_teachers_are_refused(
    here: Path, blind_csv: Path, option, capsys
):
    command = ("train", MODEL, "--data", str(blind_csv), *option)
    said = complain(*command, capsys=capsys)
    assert "are of teachers, and there are none: give teachers or soft labels" in said
    assert not Path("runs").exists()


def test_a_queue_repeats_what_train_does_with_soft_labels_and_without_copies(
    here: Path, small_csv: Path
):
    """One list can so hold every kind of training that `lightfer train` knows."""
    train(small_csv, "teacher")
    teacher, data = f"teacher/{MODEL}.safetensors", ("--data", str(small_csv))
    lightfer("teach", teacher, *data, "--out", "soft.safetensors")
    train(small_csv, "taught", "--soft-labels", "soft.safetensors", "--temperature", "3")
    train(small_csv, "new", "--without-copies")
    Path("list.toml").write_text(
        f"""
        [[item]]
        model = "{MODEL}"
        name = "taught"
        soft_labels = "soft.safetensors"
        temperature = 3.0
        settings = {{ epochs = 2 }}

        [[item]]
        model = "{MODEL}"
        name = "new"
        copies = false
        settings = {{ epochs = 2 }}
        """
    )
    lightfer("queue", "list.toml", *data, "--out", "q", "--workers", "1", "--threads", "1")
    for name in ("taught", "new"):
        own, queued = (load_checkpoint(Path(f) / name / f"{MODEL}.safetensors") for f in (".", "q"))
        assert all(value.equal(queued[0][key]) for key, value in own[0].items())
        assert queued[1].recipe == own[1].recipe
        assert queued[1].distillation == own[1].distillation
    (kept,) = Path("q/teachers").iterdir()
    assert kept.read_bytes() == Path("soft.safetensors").read_bytes()


@pytest.mark.parametrize("folds", by_day([2], [0, 2]))
def test_a_queue_learns_elsewhere_from_the_teachers_in_its_pack(
    here: Path, blind_csv: Path, folds: int
):
    """A file with a space in its name, or two of one name, as the folds of a network have."""
    data, files = ("--data", str(blind_csv)), []
    for i in range(folds or 1):
        train(blind_csv, f"t{i}", "--epochs", "1", *(("--fold", f"{i}/{folds}") if folds else ()))
        file = Path(f"t{i}/{MODEL}.safetensors")
        files.append(str(file if folds else file.rename("t0/my teacher.safetensors")))
    Path("list.toml").write_text(
        f"""
        [[item]]
        model = "{MODEL}"
        name = "student"
        teachers = {json.dumps(files)}
        settings = {{ epochs = 2 }}
        """
    )
    lightfer("queue", "list.toml", *data, "--minutes", "0", "--pack", "q.zip", "--out", "q")
    for file in files:
        shutil.rmtree(Path(file).parent)
    lightfer("queue", "q.zip", *data, "--out", "there", "--workers", "1")
    _, card = load_checkpoint(Path("there") / "student" / f"{MODEL}.safetensors")
    assert card.distillation
    found = [teacher["fold"] for teacher in card.distillation["teachers"]]
    assert found == ([f"{i}/{folds}" for i in range(folds)] or [None])
