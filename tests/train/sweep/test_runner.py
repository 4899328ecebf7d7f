"""Sessions of a queue on synthetic faces; there is no test split anywhere."""

import errno
import json
import multiprocessing
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest
from benchmarks.queue_kill import check_equal
from filelock import FileLock
from torch import AcceleratorError, Tensor, nn

from lightfer import _files
from lightfer._files import write_bytes
from lightfer.models.weights import load_checkpoint
from lightfer.train.sweep import run
from lightfer.train.sweep.items import Item, check_items, job_of, weights_of
from lightfer.train.sweep.pack import PackError, unpack, write_pack
from lightfer.train.sweep.run import Leases, Options, Report, Session, run_queue, work
from tests.measure.energy.simulated import StillMeter
from tests.train.sweep.conftest import EPOCHS, FOLDS, ITEMS, SMALL, STUDENT, TEACHER


def test_side_by_side_each_item_is_trained_as_by_itself(
    whole: Path, blind_csv: Path, tmp_path: Path
):
    reports: list[Report] = []
    options = Options(tmp_path / "q", str(blind_csv), workers=2)
    run_queue(ITEMS, options, on_report=reports.append)
    begun = [r.item for r in reports if r.kind == "begun"]
    assert (set(begun[:2]), begun[2]) == ({"teacher-fold0", "teacher-fold1"}, "student")
    check_equal(whole, tmp_path / "q")
    _, card = load_checkpoint(tmp_path / "q" / "student" / "shufflenet_v2_x0_5.safetensors")
    assert card.distillation is not None
    assert [t["fold"] for t in card.distillation["teachers"]] == ["0/2", "1/2"]
    assert card.test is None
    views = [path.suffix for path in (tmp_path / "q" / "views").glob("*/*")]
    (begun,) = (tmp_path / "q/student").glob("item.json")
    assert json.loads(begun.read_text())["recipe"] == STUDENT.recipe  # the default, too
    assert views == [".safetensors"] * EPOCHS  # what the teachers said, for other students

    (line,) = (tmp_path / "q" / "sessions.jsonl").read_text().splitlines()
    session = msgspec.json.decode(line, type=Session)
    assert (session.epochs, session.failed, session.lost_s) == (6, {}, 0)
    assert set(session.finished) == {"student", "teacher-fold0", "teacher-fold1"}

    session = run_queue(ITEMS, Options(tmp_path / "q", str(blind_csv)))  # nothing is left to do
    assert (session.epochs, session.finished, session.workers) == (0, {}, 0)
    changed = msgspec.structs.replace(STUDENT, seed=4, value=1.0)
    with pytest.raises(ValueError, match="begun with another seed: give the changed item"):
        run_queue((changed, *FOLDS), Options(tmp_path / "q", str(blind_csv)))


def test_a_worker_closes_its_meters_whatever_happens(
    blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    meters = [StillMeter("cpu"), StillMeter("cpu", "second")]
    monkeypatch.setattr("lightfer.measure.energy.training.open_meters", lambda device: (meters, {}))

    def fail(*_: object, meters: list[StillMeter], **__: object) -> None:
        seen.extend((meter.source, meter.closed) for meter in meters)
        raise ValueError("no")

    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr("lightfer.train.sweep.run.run_job", fail)
    job = job_of(TEACHER, (TEACHER,), tmp_path)
    options = Options(tmp_path, str(blind_csv))
    assert work("teacher", job, "token", options).error == "ValueError: no"
    assert seen == [("still", False)]
    assert [meter.closed for meter in meters] == [True, True]
    assert work("teacher", job, "token", replace(options, workers=2)).kind == "failed"
    assert seen == [("still", False)]  # of several at once none is read


def test_stops_in_time_and_packs(blind_csv: Path, tmp_path: Path):
    long = {**SMALL, "epochs": 5000}
    item = Item(model="shufflenet_v2_x0_5", name="long", settings=long)
    pack, begun = tmp_path / "queue.zip", monotonic()
    options = Options(tmp_path / "q", str(blind_csv), budget_s=8.0, pack=pack)
    session = run_queue((item,), options, begun=begun)
    assert 5 < monotonic() - begun < 18  # two seconds are kept free for stopping
    assert session.pack_s is not None
    assert session.finished == {}
    assert pack.exists()


def threads(workers: int) -> ThreadPoolExecutor:
    """An executor of one's own, in this very process."""
    return ThreadPoolExecutor(workers)


def test_a_stopped_queue_goes_on_elsewhere_from_its_pack_to_the_same_weights(
    whole: Path, blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Stopped by ctrl-c, when the teachers are finished and the student has an epoch to go."""
    here, there, pack = tmp_path / "here", tmp_path / "there", tmp_path / "queue.zip"
    left = here / "student" / f"{_files._prefix()}x"  # a killed worker was writing in it
    left.mkdir(parents=True)
    (left / "state.safetensors").touch()
    (here / "queue.toml").write_text("item = []")

    def interrupt(report: Report) -> None:
        if report.kind == "epoch" and report.item == "student":
            raise KeyboardInterrupt

    until = monotonic() + 60

    def wait_for_the_stop(self, _) -> None:
        while self.name == "student" and monotonic() < until:
            if "student" not in msgspec.json.decode(self.path.read_bytes())["tokens"]:
                break
            sleep(0.01)
        self.looked = 0.0

    monkeypatch.setattr("lightfer.train.sweep.run._Watch.epoch", wait_for_the_stop)
    options = Options(here, str(blind_csv), pack=pack, executor=f"{__name__}:threads")
    with pytest.raises(KeyboardInterrupt):
        run_queue(ITEMS, options, on_report=interrupt)
    monkeypatch.undo()
    assert not left.exists()
    assert unpack(pack, there)
    assert not unpack(pack, there)  # it is there: to be continued
    assert (there / "student" / "state.safetensors").exists()
    assert not list(there.glob("teacher-*/state.safetensors"))
    session = run_queue(ITEMS, Options(there, str(blind_csv)))
    assert list(session.finished) == ["student"]
    check_equal(whole, there)
    (there / "queue.toml").write_text("# another")
    with pytest.raises(PackError, match="is not the queue of"):
        unpack(pack, there)


@pytest.mark.parametrize("loss", ["another has it", "nobody has it", "no session", "silence"])
def test_a_worker_stops_when_its_item_or_its_session_is_gone(
    blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
):
    """As one that was given up for dead and lives on, or whose session was killed elsewhere."""
    monkeypatch.setattr("lightfer.train.sweep.run.SILENT_S", 1.5)
    long = Item(model="shufflenet_v2_x0_5", name="long", settings={**SMALL, "epochs": 5000})
    said = tmp_path / "session.json"

    def say(beat: int, token: str) -> None:
        write_bytes(said, msgspec.json.encode(Leases(beat, {"long": token} if token else {})))

    say(1, "ours")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, "long", long, "ours", Options(tmp_path, str(blind_csv)))
        history, beat, until = tmp_path / "long" / "history.jsonl", 1, monotonic() + 60
        while not history.exists() and not future.done() and monotonic() < until:
            sleep(0.1)
            say(beat := beat + 1, "ours")
        assert not future.done()
        if loss == "no session":
            said.unlink()
        elif loss != "silence":
            say(beat + 1, "theirs" if loss == "another has it" else "")
        outcome = future.result(timeout=20)
    assert outcome.kind == "stopped"
    assert 0 <= outcome.lost_s < 20
    assert not (tmp_path / "long" / "shufflenet_v2_x0_5.safetensors").exists()


def test_a_worker_that_dies_is_followed_by_another_while_epochs_advance(
    blind_csv: Path, tmp_path: Path
):
    """Killed once after an epoch, it goes on; killed before any epoch ends, it has failed."""
    item = Item(model="mobilenet_v1_x0_25", name="x", settings={**SMALL, "epochs": 40})
    before = set(multiprocessing.active_children())  # of other tests, which may be ending
    killed: list[int] = []

    def kill(report: Report) -> None:
        if report.kind == "epoch" and not killed:
            (child,) = set(multiprocessing.active_children()) - before
            killed.append(child.pid or 0)
            child.kill()

    session = run_queue((item,), Options(tmp_path / "a", str(blind_csv)), on_report=kill)
    assert list(session.finished) == ["x"]
    assert killed

    def kill_at_once(report: Report) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    session = run_queue((item,), Options(tmp_path / "b", str(blind_csv)), on_report=kill_at_once)
    assert "the process that trained it died" in session.failed["x"]


class AfterGpuError(nn.Module):
    """The first process that computes it loses its GPU, and can compute nothing any more."""

    lost = False

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(in_channels * 48 * 48, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        before = Path(os.environ["LIGHTFER_LOST_GPU"])
        if len(x) > 2:  # the two images of a check come before
            AfterGpuError.lost |= not before.exists()
            before.touch()
        if AfterGpuError.lost:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")
        return self.last(x.flatten(1))


def test_after_an_error_of_the_gpu_an_item_goes_on_in_another_process(
    blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIGHTFER_LOST_GPU", str(tmp_path / "lost"))
    model, one = f"{__name__}:AfterGpuError", {**SMALL, "epochs": 1}
    items = [Item(model=model, name=name, settings=one) for name in ("a", "b")]
    session = run_queue(items, Options(tmp_path / "q", str(blind_csv), workers=1))
    assert (session.failed, {*session.finished}) == ({}, {"a", "b"})


@pytest.mark.parametrize("name", ["nowhere", "tests.train:nothing", "no.such.module:factory"])
def test_an_executor_that_is_not_there_is_named(blind_csv: Path, tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=f"no executor '{name}'"):
        run_queue((TEACHER,), Options(tmp_path, str(blind_csv), executor=name))


def test_a_failed_item_does_not_stop_the_others(whole: Path, blind_csv: Path, tmp_path: Path):
    known = json.loads((whole / "teacher-fold0" / "run.json").read_text())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text(json.dumps({**known, "model": "other"}))
    bad = Item(model="mobilenet_v1_x0_25", name="bad", settings=SMALL, value=2.0)
    waiting = Item(model="mobilenet_v1_x0_25", name="w", settings=SMALL, teachers=("bad",))
    one = {**SMALL, "epochs": 1}
    good = Item(model="mobilenet_v1_x0_25", name="good", settings=one)
    session = run_queue((bad, waiting, good), Options(tmp_path, str(blind_csv)))
    assert list(session.finished) == ["good"]
    assert "holds a run with" in session.failed["bad"]
    assert "model other" in session.failed["bad"]
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Item(model="nonet", name="x"), "there is no model 'nonet'"),
        (Item(model="mobilenet_v1", name="x", recipe="none"), "there is no recipe 'none'"),
        (Item(model="mobilenet_v1", name="x", settings={"size": 3}), "x: settings .* do not fit"),
        (Item(model="mobilenet_v1", name="x", teachers=("a.safetensors",)), "no such weight file"),
        (Item(model="mobilenet_v1", name="x", teachers=("b",)), "no model 'b'"),
        (Item(model="mobilenet_v1", name="x", teachers=("mobilenet_v2",), weight=2.0), "weight is"),
    ],
)
def test_nothing_begins_if_an_item_cannot(tmp_path: Path, item: Item, message: str):
    with pytest.raises(ValueError, match=message):
        run_queue((TEACHER, item), Options(tmp_path, "nowhere.csv"))
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize(
    ("teachers", "changes", "message"),
    [
        (FOLDS, {"settings": {**SMALL, "cutmix": 1.0}}, "student: mixed images are of two folds"),
        (FOLDS[:1], {}, "student: its teachers are those of the folds 0/2, and images of others"),
        (FOLDS, {"size": 64}, "student: its teacher teacher-fold0 has another size"),
        (FOLDS, {"labels": "ferplus", "copies": False}, "teacher-fold0 has another labels, copies"),
    ],
)
def test_a_student_whom_its_teachers_can_never_teach_is_told_before_them(
    tmp_path: Path, teachers: list[Item], changes: dict, message: str
):
    """It failed when they were trained."""
    names = tuple(teacher.name for teacher in teachers)
    student = msgspec.structs.replace(STUDENT, teachers=names, **changes)
    with pytest.raises(ValueError, match=message):
        run_queue((student, *teachers), Options(tmp_path, "nowhere.csv"))
    assert not (tmp_path / "teacher-fold0").exists()


def test_who_can_teach_may(tmp_path: Path):
    mixed = {"settings": {**SMALL, "cutmix": 1.0}}
    for changes in ({**mixed, "once": True}, {"teachers": ("teacher-fold0", "vgg_slim")}):
        check_items((msgspec.structs.replace(STUDENT, **changes), *FOLDS), tmp_path)
    whole = msgspec.structs.replace(STUDENT, teachers=("teacher",), **mixed)
    check_items((whole, TEACHER), tmp_path)
    # Labels drawn by lot are those of the same shares.
    drawn = msgspec.structs.replace(whole, labels="ferplus", settings={**SMALL, "target": "drawn"})
    check_items((drawn, msgspec.structs.replace(TEACHER, labels="ferplus")), tmp_path)


def test_an_item_whose_data_cannot_be_read_leaves_the_others_alone(blind_csv: Path, tmp_path: Path):
    """An item without copies needs the test split; its error ended every session of the queue."""
    one = {**SMALL, "epochs": 1}
    without = Item(model="mobilenet_v1_x0_25", name="without", settings=one, copies=False, value=2)
    good = Item(model="mobilenet_v1_x0_25", name="good", settings=one)
    reports: list[Report] = []
    options = Options(tmp_path, str(blind_csv), executor=f"{__name__}:threads")
    session = run_queue((without, good), options, on_report=reports.append)
    assert list(session.finished) == ["good"]
    assert "no test split, only train, validation" in session.failed["without"]
    assert [r.kind for r in reports if r.item == "without"] == ["begun", "failed"]


def test_an_item_that_fails_while_the_session_stops_is_told(
    blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The command said that it was not finished, no word of why, and ended with 0."""

    def fail_when_stopped(*_: object, on_batch, **__: object) -> None:
        try:
            while True:
                on_batch(1, 1, 1)
                sleep(0.01)
        except run._StopError:
            raise ValueError("the disk is full") from None

    monkeypatch.setattr(run, "run_job", fail_when_stopped)
    reports: list[Report] = []
    options = Options(tmp_path, str(blind_csv), budget_s=4.0, executor=f"{__name__}:threads")
    session = run_queue((TEACHER,), options, on_report=reports.append)
    assert session.failed == {"teacher": "ValueError: the disk is full"}
    assert [report.kind for report in reports] == ["begun", "failed"]


@pytest.mark.parametrize("lives_on", [False, True])
def test_an_item_waits_for_a_worker_that_was_given_up_for_dead(
    blind_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives_on: bool
):
    """It had failed at once, for the whole session, if that one was still in its folder."""
    monkeypatch.setattr(run, "SILENT_S", 1.0)
    one = {**SMALL, "epochs": 1}
    item = Item(model="mobilenet_v1_x0_25", name="x", settings=one)
    held = FileLock(tmp_path / "x" / ".lock")
    options = Options(tmp_path, str(blind_csv), executor=f"{__name__}:threads")

    def let_go(report: Report) -> None:
        begun.append(report.kind)
        if begun.count("begun") == 2 and not lives_on:
            held.release()

    begun: list[str] = []
    (tmp_path / "x").mkdir()
    with held:
        session = run_queue((item,), options, on_report=let_go)
    if lives_on:
        assert begun == ["begun"] * 3 + ["failed"]
        assert "x is in use by process" in session.failed["x"]
    else:
        assert list(session.finished) == ["x"]


def test_an_item_that_was_begun_with_an_earlier_default_recipe_goes_on_by_name(tmp_path: Path):
    """Version 0.1 left the recipe out of item.json where it was the default of then."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/item.json").write_text('{"model": "shiftnet_b", "name": "m"}\n')
    check_items([Item(name="m", model="shiftnet_b", recipe="first_light")], tmp_path)
    with pytest.raises(ValueError, match=r'recipe = "first_light", .*: write it into the list'):
        check_items([Item(name="m", model="shiftnet_b")], tmp_path)
    with pytest.raises(ValueError, match=r"another model, recipe: give the changed item another"):
        check_items([Item(name="m", model="shiftnet_a")], tmp_path)
    for damaged in ("[]", "{"):
        (tmp_path / "m/item.json").write_text(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            check_items([Item(name="m", model="shiftnet_b")], tmp_path)


def test_data_that_is_not_there_fails_every_item(tmp_path: Path):
    options = Options(tmp_path, "nowhere.csv", executor=f"{__name__}:threads")
    session = run_queue(FOLDS, options)
    assert (session.finished, set(session.failed)) == ({}, {item.name for item in FOLDS})
    assert all("nowhere.csv does not exist" in error for error in session.failed.values())


def test_two_queues_in_one_folder(tmp_path: Path):
    with (
        FileLock(tmp_path / "queue.lock"),
        pytest.raises(ValueError, match="is in use by process"),
    ):
        run_queue((TEACHER,), Options(tmp_path, "synthetic"))


def test_teachers_that_are_files_travel_with_the_queue(whole: Path, tmp_path: Path):
    """Those of two folds have one name, and a path may hold a space."""
    name = "mobilenet_v1_x0_25.safetensors"
    files = [tmp_path / "my nets" / str(i) / name for i in range(2)]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True)
        file.write_bytes((whole / f"teacher-fold{i}" / name).read_bytes())
    teachers = tuple(map(str, files))
    item = Item(model="mobilenet_v1_x0_25", name="x", settings=SMALL, teachers=teachers)
    check_items((item,), tmp_path / "q")
    kept = {path.read_bytes() for path in (tmp_path / "q" / "teachers").iterdir()}
    assert kept == {file.read_bytes() for file in files}
    (tmp_path / "q" / "queue.toml").touch()
    moved = files[0].rename(tmp_path / "elsewhere.safetensors")
    check_items((item,), tmp_path / "q")
    write_pack(tmp_path / "p.zip", tmp_path / "q", (item,))
    assert unpack(tmp_path / "p.zip", tmp_path / "there")
    assert len([*(tmp_path / "there" / "teachers").iterdir()]) == 2
    files[1].write_bytes(moved.read_bytes())
    with pytest.raises(ValueError, match="has changed since"):
        check_items((item,), tmp_path / "q")


def test_the_weight_file_of_a_net_of_ones_own_travels_with_the_queue(tmp_path: Path):
    """It is named with its net; "no such weight file" was said of the whole."""
    file = tmp_path / "own.safetensors"
    file.write_bytes(b"weights")
    named = f"my_nets.small:Net={file}"
    item = Item(model="mobilenet_v1_x0_25", name="x", teachers=(named,))
    check_items((item,), tmp_path / "q")
    file.unlink()
    check_items((item,), tmp_path / "q")
    (kept,) = (tmp_path / "q" / "teachers").iterdir()
    assert kept.read_bytes() == b"weights"
    assert job_of(item, (item,), tmp_path / "q").teachers == (f"my_nets.small:Net={kept}",)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["my teacher", ".hidden", 'a:b|"c"?', "a\\b", "a\x7fb"])
def test_a_teacher_of_any_name_can_be_unpacked(whole: Path, tmp_path: Path, name: str):
    file = tmp_path / f"{name}.safetensors"
    file.write_bytes((whole / "teacher-fold0" / "mobilenet_v1_x0_25.safetensors").read_bytes())
    item = Item(model="mobilenet_v1_x0_25", name="x", settings=SMALL, teachers=(str(file),))
    check_items((item,), tmp_path / "q")
    (tmp_path / "q" / "queue.toml").touch()
    left = tmp_path / "q" / "teachers" / f"{_files._prefix()}x"  # a killed session copied it
    left.mkdir()
    (left / "x.safetensors").touch()
    write_pack(tmp_path / "p.zip", tmp_path / "q", (item,))
    assert unpack(tmp_path / "p.zip", tmp_path / "there")
    (kept,) = (tmp_path / "there" / "teachers").iterdir()
    assert kept.read_bytes() == file.read_bytes()
    (teacher,) = job_of(item, (item,), tmp_path / "there").teachers
    assert Path(teacher) == kept


def test_a_folder_that_is_behind_its_pack_is_refused(tmp_path: Path):
    folder, pack = tmp_path / "q", tmp_path / "p.zip"
    item = Item(model="mobilenet_v1", name="x")
    history = folder / "x" / "history.jsonl"
    history.parent.mkdir(parents=True)
    (folder / "queue.toml").write_text('[[item]]\nmodel = "mobilenet_v1"\nname = "x"\n')
    history.write_text("an epoch\n" * 2)
    write_pack(pack, folder, (item,))
    for epochs in (2, 3):
        history.write_text("an epoch\n" * epochs)
        assert not unpack(pack, folder)
    history.write_text("an epoch\n")
    with pytest.raises(PackError, match=r"p\.zip holds more of x than .*q: rename .*q and go on"):
        unpack(pack, folder)
    weights_of(item, folder).touch()  # finished
    assert not unpack(pack, folder)


def test_a_pack_is_not_replaced_by_one_without_what_it_holds(tmp_path: Path):
    """A line that was taken out of the list took its weights out of the pack."""
    folder, pack = tmp_path / "q", tmp_path / "p.zip"
    items = [Item(model="mobilenet_v1", name=name) for name in "ab"]
    text = [f'[[item]]\nmodel = "mobilenet_v1"\nname = "{name}"\n' for name in "ab"]
    write_bytes(folder / "queue.toml", "".join(text).encode())
    for item in items:
        write_bytes(folder / item.name / "history.jsonl", b"an epoch\n")
        weights_of(item, folder).touch()
    write_pack(pack, folder, items)
    packed, options = pack.read_bytes(), Options(folder, "nowhere.csv", pack=pack)
    with pytest.raises(PackError, match=r"p\.zip holds b, which the list lacks: add them to it"):
        run_queue(items[:1], options, text=text[0])
    assert pack.read_bytes() == packed
    assert (folder / "queue.toml").read_text() == "".join(text)
    run_queue(items, options)  # all are finished


def test_a_pack_on_a_full_disk_is_not_a_damaged_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It was to be copied again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (whole / "queue.toml").touch()
    write_pack(tmp_path / "p.zip", whole, ITEMS)
    (tmp_path / "link").symlink_to(tmp_path / "later")
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", full)
        with pytest.raises(OSError, match="No space left"):
            unpack(tmp_path / "p.zip", tmp_path / "link")
    assert unpack(tmp_path / "p.zip", tmp_path / "link")  # as train follows one to nothing yet
    assert (tmp_path / "later" / "queue.toml").exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "not a zip"])
def test_a_damaged_pack_is_one_clear_error_and_leaves_nothing(
    whole: Path, tmp_path: Path, damage: str
):
    pack = tmp_path / "p.zip"
    (whole / "queue.toml").touch()
    write_pack(pack, whole, ITEMS)
    data = bytearray(pack.read_bytes())
    middle = len(data) // 2
    if damage == "cut":
        data = data[:middle]
    elif damage == "changed":
        data[middle] ^= 1
    else:
        data = bytearray(b"hello")
    pack.write_bytes(data)
    with pytest.raises(PackError, match=r"p\.zip"):
        unpack(pack, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("queue.toml", "")
        archive.writestr("a/state.safetensors", bytes(10_000_000))
    with pytest.raises(PackError, match=r"p\.zip would unpack to more than 150 times its size"):
        unpack(tmp_path / "p.zip", tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


@pytest.mark.parametrize(
    "name",
    ["../outside", "/outside", "a/../../outside", "C:outside", "a\\b", "a/.b", "a/b/c", "a//b"],
)
def test_a_pack_writes_nowhere_else(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("queue.toml", "")
        archive.writestr(name, "x")
    with pytest.raises(PackError, match="is not the pack of a queue"):
        unpack(tmp_path / "p.zip", tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]
