"""Labelling in shards: every input exactly once, whatever is killed, from any storage."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, sleep

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lightfer.__main__ import run
from lightfer._files import OutputError, alone, sha256_of, write_bytes
from lightfer.data.pictures import NO_FILE
from lightfer.errors import ArgumentError
from lightfer.inference.predict import Predictor, network
from lightfer.inference.predict.shards import Setup, Shard, label, label_shards, open_here, plan
from lightfer.models.find import find_weights
from tests.inference.predict.conftest import MODEL

SETUP = Setup(MODEL, "pytorch", "never")
THREADS = "tests.train.sweep.test_runner:threads"
PLAN = b"{}"
PLANNED = hashlib.sha256(PLAN).hexdigest()


def rows_of(folder: Path) -> list[dict]:
    return [
        row for part in sorted(folder.glob("*.parquet")) for row in pq.read_table(part).to_pylist()
    ]


def labelled(paths: Sequence[object], out: Path, size: int = 10) -> list[dict]:
    label_shards([str(p) for p in paths], str(out), SETUP, THREADS, 1, size=size)
    return rows_of(out)


def check_same(a: dict, b: dict) -> None:
    """The same face, but for the last bits: it was in another batch."""
    (one,), (other,) = a["faces"], b["faces"]
    assert (one["label"], one["box"]) == (other["label"], other["box"])
    assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_rows_are_what_the_predictor_says_in_order(
    crops: Path, tmp_path: Path, predictor: Predictor
):
    rows = labelled([crops], tmp_path / "out")
    files = sorted(crops.iterdir())
    assert [row["item"] for row in rows] == [str(file) for file in files]
    assert len([*(tmp_path / "out").glob("part-*.parquet")]) == 5
    for row, said in zip(rows, predictor(files), strict=True):
        (face,) = row["faces"]
        assert (face["label"], face["box"], row["error"]) == (said.label, None, None)
        assert said.probabilities is not None
        assert face["probabilities"] == pytest.approx(said.probabilities, abs=1e-5)


def test_links_to_folders_change_nothing(crops: Path, tmp_path: Path):
    """Parts are no inputs, and a picture is one, by whatever name its folder is given."""
    folder, link = tmp_path / "in", tmp_path / "link"
    shutil.copytree(crops, folder)
    link.symlink_to(folder)
    names = [str(link / file.name) for file in sorted(folder.iterdir())]
    out = folder / "out"
    for paths in ([link], [link, folder], [link, folder / "00.png"]):
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(2):
            rows = labelled(paths, out)
            assert [row["item"] for row in rows] == names
    shutil.rmtree(out)
    assert [row["item"] for row in labelled([folder], link / "out")] == [
        str(file) for file in sorted(folder.iterdir()) if file.is_file()
    ]


def test_bad_inputs_are_rows_with_their_reason(crops: Path, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes((crops / "00.png").read_bytes())
    (folder / "deep" / "b.jpg").write_text("no picture")
    (folder / ".hidden.png").write_text("not looked at")
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "c.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "d.png")
    (folder / "e.parquet").write_text("no table")
    (folder / "f.jxl").write_text("of another form")
    told = label_shards([str(folder), "gone.png"], str(tmp_path / "out"), SETUP, THREADS, 1)
    rows = {row["item"].removeprefix(str(folder)): row for row in rows_of(tmp_path / "out")}
    reasons = {name: row["error"] for name, row in rows.items() if row["error"]}
    assert len(rows["/a.png"]["faces"]) == 1
    bad = {"/c.png", "/d.png", "/deep/b.jpg", "/e.parquet", "/f.jxl", "gone.png"}
    assert reasons.keys() == bad
    assert "not an image" in reasons["/deep/b.jpg"]
    assert "no such file" in reasons["gone.png"]
    assert (reasons["/c.png"], reasons["/d.png"]) == ("a link to nothing", NO_FILE)
    assert "no readable Parquet" in reasons["/e.parquet"]
    assert "form .jxl are not read" in reasons["/f.jxl"]
    assert (told.inputs, told.here, told.unusable) == (7, 7, 6)


def test_what_is_closed_is_a_row_and_the_others_go_on(with_closed: Path, tmp_path: Path):
    """Folders were left out without a word, and a file ended the command."""
    inside = with_closed / "closed" / "b.png"
    rows = {row["item"]: row["error"] for row in labelled([with_closed, inside], tmp_path / "out")}
    assert rows.pop(str(with_closed / "a.png")) is None
    denied = "cannot be read (Permission denied)"
    assert rows == {
        str(with_closed / "closed"): f"folder {denied}",
        str(with_closed / "shut.png"): denied,
        str(inside): denied,
    }


def test_links_in_a_circle_are_one_line_and_one_to_nothing_yet_is_followed(
    crops: Path, tmp_path: Path
):
    """Python raises a RuntimeError for them."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match="loop is a link that leads nowhere"):
        labelled([crops / "00.png"], loop)
    (tmp_path / "link").symlink_to(tmp_path / "later")
    rows = labelled([crops / "00.png", loop, loop / "x.png"], tmp_path / "link")
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    assert (tmp_path / "later" / "part-00000.parquet").exists()


def test_damaged_rows_of_parquet_are_rows_with_their_reason(crops: Path, tmp_path: Path):
    """They were the end of the command, each time it was run."""
    content = (crops / "00.png").read_bytes()
    for name in ("whole.PARQUET", "damaged.parquet"):
        pq.write_table(pa.table({"image": [content] * 4}), tmp_path / name, use_dictionary=False)
    damaged = bytearray((tmp_path / name).read_bytes())
    damaged[4:40] = b"\xff" * 36  # the head of the only page
    (tmp_path / name).write_bytes(damaged)
    days = pa.array([2**31 - 1] * 3, pa.date32())  # that Python has no date for
    pq.write_table(pa.table({"image": days}), tmp_path / "days.parquet")
    rows = labelled(sorted(tmp_path.glob("*.[pP]*")), tmp_path / "out", size=3)
    assert [row["item"].rpartition("/")[2] for row in rows] == [
        *(f"damaged.parquet#{i}" for i in range(4)),
        *(f"days.parquet#{i}" for i in range(3)),
        *(f"whole.PARQUET#{i}" for i in range(4)),
    ]
    assert all("cannot be read from its Parquet file" in row["error"] for row in rows[:7])
    assert all(row["faces"] and not row["error"] for row in rows[7:])


def test_a_name_of_any_bytes_has_a_row(crops: Path, tmp_path: Path):
    """One such file took the rows of all others of its shard."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"\xff.png", b"new\nline.png", b"\xfe.jpg"):
        shutil.copy(crops / "00.png", folder / os.fsdecode(name))
    (folder / os.fsdecode(b"\xfe.jpg")).write_text("no picture")
    rows = {
        row["item"].removeprefix(f"{folder}/"): row for row in labelled([folder], tmp_path / "o")
    }
    assert rows.keys() == {"new\nline.png", "\\xfe.jpg", "\\xff.png"}
    assert rows["\\xff.png"]["faces"] == rows["new\nline.png"]["faces"] != []
    with pytest.raises(ValueError, match="no name in UTF-8"):
        label_shards([str(folder)], str(tmp_path / os.fsdecode(b"\xff")), SETUP, THREADS, 1)


def test_rows_of_parquet_files_in_every_form(crops: Path, tmp_path: Path):
    tables = tmp_path / "tables"
    tables.mkdir()
    data = [file.read_bytes() for file in sorted(crops.iterdir())[:25]]
    struct = [{"bytes": one, "path": None} for one in data]
    pq.write_table(pa.table({"image": struct}), tables / "struct.parquet", row_group_size=12)
    plain = pa.table({"Image_Bytes": [*data[:3], b"broken", None]})
    pq.write_table(plain, tables / "plain.parquet")
    text = " ".join(map(str, Image.open(crops / "00.png").tobytes()))
    pq.write_table(pa.table({"pixels": [text, "1 2 3", "999"]}), tables / "text.parquet")
    by_file = labelled([crops], tmp_path / "files")
    rows = {row["item"].rpartition("/")[2]: row for row in labelled([tables], tables / "o", 5)}
    assert len(rows) == 25 + 5 + 3
    assert labelled([tables], tables / "o", 5)  # its own parts are no inputs
    for i in range(25):
        check_same(rows[f"struct.parquet#{i}"], by_file[i])
    check_same(rows["plain.parquet#2"], by_file[2])
    check_same(rows["text.parquet#0"], by_file[0])
    bad = {"plain.parquet#3", "plain.parquet#4", "text.parquet#1", "text.parquet#2"}
    assert {name for name, row in rows.items() if row["error"]} == bad


def test_storage_by_uri_gives_the_same(crops: Path, tmp_path: Path):
    here = labelled([crops], tmp_path / "here")
    label_shards([crops.as_uri()], (tmp_path / "there").as_uri(), SETUP, THREADS, 1, size=10)
    there = rows_of(tmp_path / "there")
    assert [row["faces"] for row in there] == [row["faces"] for row in here]
    assert there[0]["item"] == crops.as_uri() + "/00.png"


def test_an_input_that_is_named_twice_has_one_row(crops: Path, tmp_path: Path):
    shards = plan([str(crops), str(crops / "03.png"), f"{crops}/"], 20)
    names = [name for shard in shards for name, _, _ in shard.files]
    assert len(names) == len(set(names)) == 48
    assert [shard.inputs for shard in shards] == [20, 20, 8]
    assert plan([str(crops)], 20) == shards


def test_the_folder_of_the_labels_holds_no_input(crops: Path, tmp_path: Path):
    """Everything was left out as labels of its own, with exit code 0."""
    shutil.copytree(crops, tmp_path / "here" / "crops")
    for given in ("here", "here/crops", "here/crops/00.png"):
        with pytest.raises(ValueError, match="holds the input"):
            label_shards([str(tmp_path / given)], str(tmp_path / "here"), SETUP, THREADS, 1)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["crops"]


def test_finished_shards_are_kept_and_other_work_is_refused(crops: Path, tmp_path: Path):
    out = tmp_path / "out"
    labelled([crops], out)
    first, second = out / "part-00000.parquet", out / "part-00001.parquet"
    kept, wanted = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    told = label_shards([str(crops)], str(out), SETUP, THREADS, 1, size=10)
    assert (told.here, told.inputs) == (10, 48)
    assert (first.stat().st_mtime_ns, second.read_bytes()) == (kept, wanted)
    with pytest.raises(ValueError, match="made with another faces"):
        label_shards([str(crops)], str(out), Setup(MODEL, "pytorch", "auto"), THREADS, 1, size=10)
    with pytest.raises(ValueError, match="another inputs"):
        label_shards([str(crops / "00.png")], str(out), SETUP, THREADS, 1, size=10)


def test_a_part_of_another_setup_is_made_again(crops: Path, tmp_path: Path):
    """As one that a worker of an earlier command wrote late."""
    wanted = labelled([crops], tmp_path / "out")
    part = tmp_path / "out" / "part-00001.parquet"
    other = pq.read_table(part).replace_schema_metadata({"setup": "{}"})
    pq.write_table(other.set_column(1, "error", pa.array(["late"] * 10)), part)
    assert labelled([crops], tmp_path / "out") == wanted


def test_a_part_of_another_plan_is_made_again(crops: Path, tmp_path: Path):
    """As one of other pictures, as many, that an earlier command's worker put down late."""
    files = sorted(crops.iterdir())
    labelled(files[24:], tmp_path / "other")
    wanted = labelled(files[:24], tmp_path / "out")
    part = tmp_path / "out" / "part-00001.parquet"
    shutil.copy(tmp_path / "other" / part.name, part)
    assert labelled(files[:24], tmp_path / "out") == wanted


def test_labels_from_before_the_code_of_a_net_was_told_go_on(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They were refused, as of another code than None."""
    monkeypatch.setattr("lightfer.inference.predict.shards.code_sha256", lambda model: "3f")
    wanted, out = labelled([crops], tmp_path / "out"), tmp_path / "out"
    plan = json.loads((out / "plan.json").read_text())
    del plan["code"]
    (out / "plan.json").write_text(json.dumps(plan))
    for part in out.glob("part-*"):
        table = pq.read_table(part)
        setup = json.loads(table.schema.metadata[b"setup"])
        del setup["code"]
        pq.write_table(table.replace_schema_metadata({"setup": json.dumps(setup)}), part)
    told = label_shards([str(crops)], str(out), SETUP, THREADS, 1, size=10)
    assert (told.here, rows_of(out)) == (0, wanted)


@pytest.mark.parametrize("kept", [0, 4, 3000])
def test_a_part_that_was_cut_off_is_made_again(crops: Path, tmp_path: Path, kept: int):
    """It counted as finished, and its inputs had no row that could be read."""
    wanted = labelled([crops], tmp_path / "out")
    part = tmp_path / "out" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:kept])
    assert labelled([crops], tmp_path / "out") == wanted
    pq.write_table(pq.read_table(part).slice(1), part)
    assert labelled([crops], tmp_path / "out") == wanted


def test_of_two_commands_in_one_folder_the_second_is_refused(crops: Path, tmp_path: Path):
    """Before the first part was there, another network's plan took the place of the first's."""
    with (
        alone(tmp_path / "out" / ".lock", "the folder"),
        pytest.raises(ArgumentError, match=f"out is in use by process {os.getpid()}: wait"),
    ):
        labelled([crops], tmp_path / "out")
    assert not (tmp_path / "out" / "plan.json").exists()


def test_rows_that_went_away_have_their_row(crops: Path, tmp_path: Path):
    table = pa.table({"image": [(crops / "00.png").read_bytes()] * 4})
    pq.write_table(table, tmp_path / "a.parquet")
    (shard,) = plan([str(tmp_path / "a.parquet")])
    _, setup = open_here(SETUP)
    write_bytes(tmp_path / "out" / "plan.json", PLAN)
    for rows in (1, 0):
        pq.write_table(table.slice(0, rows), tmp_path / "a.parquet")
        assert label(shard, setup, str(tmp_path), str(tmp_path / "out"), PLANNED) == 4 - rows
        found = [row["error"] for row in rows_of(tmp_path / "out")]
        assert found[:rows] == [None] * rows
        assert all("its Parquet file" in error for error in found[rows:])


def test_one_process_labels_in_two_folders_by_the_same_names(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in (tmp_path / "one", tmp_path / "two"):
        place.mkdir()
        monkeypatch.chdir(place)
        label_shards([str(crops)], "out", SETUP, THREADS, 1)
        assert (place / "out" / "plan.json").is_file()


def test_a_weight_file_that_was_replaced_is_read_again(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    setup = Setup("net.safetensors", "pytorch", "never")
    said = []
    for model in ("squeezenet1_1_bn", "mobilenet_v2"):
        path = find_weights(model).path
        assert path is not None
        shutil.copy(path, "new.safetensors")
        Path("new.safetensors").replace("net.safetensors")
        label_shards([str(crops)], model, setup, THREADS, 1)
        said.append([row["faces"] for row in rows_of(tmp_path / model)])
    assert said[0] != said[1]


def test_what_went_on_with_another_finder_runtime_or_weights_is_refused(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The folder held labels of two ways: of the whole picture, and of the faces in it."""
    for package in ("cv2", "onnxruntime"):
        pytest.importorskip(package)
    path, other = (find_weights(name).path for name in (MODEL, "squeezenet1_1_bn"))
    assert path is not None
    assert other is not None
    real = network.find_spec
    changes = {
        r"finder \(HaarFinder, now None\)": ("lightfer.data.finder.import_opencv", lambda: None),
        r"runtime \(onnxruntime, now pytorch\)": (
            "lightfer.inference.predict.network.find_spec",
            lambda name: None if name == "onnxruntime" else real(name),
        ),
        rf"weights \({sha256_of(path)[:20]}, now {sha256_of(other)[:20]}\)": (
            "lightfer.inference.predict.network.shipped",
            lambda name: other,
        ),
    }
    paths, out, setup = [str(crops)], str(tmp_path / "out"), Setup(MODEL, None, "auto")
    label_shards(paths, out, setup, THREADS, 1, size=10)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    for said, (what, instead) in changes.items():
        with monkeypatch.context() as patch:
            patch.setattr(what, instead)
            with pytest.raises(ArgumentError, match=f"were made with another {said}: choose"):
                label_shards(paths, out, setup, THREADS, 1, size=10)
    assert label_shards(paths, out, setup, THREADS, 1, size=10).here == 10


def test_a_worker_that_would_label_in_another_way_is_refused(crops: Path, tmp_path: Path):
    """As one on a machine without OpenCV."""
    (shard,) = plan([str(crops)])
    setup = replace(open_here(SETUP)[1], finder="HaarFinder")
    with pytest.raises(ArgumentError, match=r"another finder \(HaarFinder, now None\): give it"):
        label(shard, setup, str(tmp_path), str(tmp_path / "out"), PLANNED)


def test_a_folder_of_other_parts_is_refused(crops: Path, tmp_path: Path):
    (tmp_path / "part-00007.parquet").touch()
    with pytest.raises(ValueError, match=r"without a plan\.json"):
        label_shards([str(crops)], str(tmp_path), SETUP, THREADS, 1)


def die_once(shard: Shard, setup: Setup, cwd: str, out: str, planned: str) -> int:
    """As `label`, in a process that is killed the first time it has the second shard."""
    mark = Path(out) / "died"
    if shard.number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return label(shard, setup, cwd, out, planned)


def test_a_killed_worker_costs_no_input(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lightfer.inference.predict.shards.label", die_once)
    told = label_shards([str(crops)], str(tmp_path / "out"), SETUP, "pool", 1, size=10)
    assert (tmp_path / "out" / "died").exists()
    assert (told.here, told.failed) == (48, ())
    assert [row["item"] for row in rows_of(tmp_path / "out")] == [
        str(file) for file in sorted(crops.iterdir())
    ]


class OneProcess(ThreadPoolExecutor):
    """As a pool of one process, which the third shard kills, with what waits behind it."""

    most = 0  # pieces at once since it was killed first

    def __init__(self, workers: int) -> None:
        super().__init__(1)
        self.given: list[tuple[Future, Shard]] = []
        self.died = False

    def submit(self, fn, /, *args) -> Future:
        future: Future = Future()
        self.given.append((future, args[0]))
        if self.died:
            OneProcess.most = max(OneProcess.most, len(self.given))
        super().submit(self.next_one)
        return future

    def next_one(self) -> None:
        sleep(0.02)  # a second piece is there by then, if one comes
        if self.given and self.given[0][1].number == 2:
            self.died, lost, self.given = True, self.given, []
            for future, _ in lost:
                future.set_exception(BrokenExecutor("it is gone"))
        elif self.given:
            future, _ = self.given.pop(0)
            future.set_result(0)


def test_a_shard_that_kills_its_process_takes_no_other_along(crops: Path, tmp_path: Path):
    """Its neighbour was lost as often, and had failed without ever having been begun."""
    executor = f"{__name__}:OneProcess"
    told = label_shards([str(crops)], str(tmp_path / "out"), SETUP, executor, 1, size=6)
    assert (OneProcess.most, told.failed, told.here) == (1, (2,), 42)
    assert told.why == "it is gone"


def die_in_second(shard: Shard, setup: Setup, cwd: str, out: str, planned: str, label=label) -> int:
    if shard.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return label(shard, setup, cwd, out, planned)


def processes(workers: int) -> ProcessPoolExecutor:
    """An executor of one's own that loses all its processes with one."""
    return ProcessPoolExecutor(workers, get_context("spawn"))


def test_of_a_pool_that_is_lost_as_a_whole_one_shard_fails(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Those that were labelled beside it were lost as often, and failed with it."""
    monkeypatch.setattr("lightfer.inference.predict.shards.label", die_in_second)
    executor = f"{__name__}:processes"
    told = label_shards([str(crops)], str(tmp_path / "out"), SETUP, executor, 2, size=10)
    assert (told.failed, told.here) == ((1,), 38)
    assert "terminated abruptly" in told.why


def test_a_killed_command_goes_on_and_leaves_no_process(crops: Path, tmp_path: Path):
    out = tmp_path / "out"
    for i in range(1500):
        (tmp_path / "in" / f"{i % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{i % 3}" / f"{i:04}.png").hardlink_to(crops / f"{i % 48:02}.png")
    command = [sys.executable, "-m", "lightfer", "predict", str(tmp_path / "in"), "--crop"]
    command += ["--model", MODEL, "--runtime", "pytorch", "--executor", "pool", "--workers", "1"]
    command += ["--out", str(out)]
    process = subprocess.Popen(command, start_new_session=True)
    until = monotonic() + 120
    while not [*out.glob("part-*")] and process.poll() is None and monotonic() < until:
        sleep(0.02)
    process.kill()
    process.wait()
    assert len([*out.glob("part-*")]) == 1
    until = monotonic() + 10
    while (left := alive(process.pid)) and monotonic() < until:
        sleep(0.1)
    assert not left
    assert subprocess.run(command).returncode == 0
    assert len({row["item"] for row in rows_of(out)}) == len(rows_of(out)) == 1500


def alive(session: int) -> list[str]:
    """What still runs of a session of processes, by its id."""
    found = subprocess.run(["ps", "-o", "stat=,pid=", "-s", str(session)], capture_output=True)
    lines = found.stdout.decode().splitlines()
    return [line for line in lines if not line.startswith("Z")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["x.png", "--executor", "pool"], "--out DIR"),
        (["--camera", "--executor", "pool", "--out", "d"], "--out DIR"),
        (["x.png", "--executor", "pool", "--out", "d", "--annotate", "a"], "excludes --annotate"),
        (["x.png", "--workers", "2"], "--workers are an executor's"),
        (["x.png", "--frames", "2"], "--frames are a camera's"),
        (["x.png", "--exec", "pool", "--out", "d"], "unrecognized arguments: --exec"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    capsys: pytest.CaptureFixture, options: list[str], message: str
):
    assert run(["predict", *options]) == 2
    assert message in capsys.readouterr().err


def test_the_command_tells_what_it_did(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    common = ["--crop", "--model", MODEL, "--executor", THREADS, "--workers", "1", "--out", "out"]
    assert run(["predict", str(crops), "nothing.png", *common, "--runtime", "pytorch"]) == 1
    assert "49 inputs, 1 of them unusable; 49 labelled now" in capsys.readouterr().err
    assert run(["predict", str(crops), "nothing.png", *common, "--runtime", "pytorch"]) == 1
    assert "49 inputs, 1 of them unusable; 0 labelled now" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["inputs"] == 49
    assert run(["predict", str(crops), *common, "--model", "no_such_net", "--out", "other"]) == 2
    assert run(["predict", str(crops), *common, "--executor", "nowhere", "--out", "other"]) == 2
    assert "no executor 'nowhere'" in capsys.readouterr().err


def test_that_no_faces_are_looked_for_is_said(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Without OpenCV the middle of each photograph was classified without a word."""
    monkeypatch.setattr("lightfer.data.finder.import_opencv", lambda: None)
    command = ["predict", str(crops), "--model", MODEL, "--runtime", "pytorch"]
    command += ["--executor", THREADS, "--workers", "1"]
    assert run([*command, "--out", str(tmp_path / "a")]) == 0
    assert "cannot be imported, so every image is taken" in capsys.readouterr().err
    assert run([*command, "--out", str(tmp_path / "b"), "--crop"]) == 0
    assert "OpenCV" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("00.png", "--executor", "os:getcwd", "--out", "d"), "os:getcwd(1): posix.getcwd() takes"),
        (
            ("00.png", "--executor", "builtins:str", "--out", "d"),
            "builtins:str gives str; expected",
        ),
        (("00.png", "--executor", "pool", "--out", "nonsense://x"), "nonsense://x: Unrecognized"),
        (("nonsense://x", "--executor", "pool", "--out", "d"), "nonsense://x: Unrecognized"),
    ],
)
def test_an_executor_or_storage_that_cannot_be_is_one_line(
    words: Sequence[str], said: str, crops: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(crops / "00.png", "00.png")
    assert run(["predict", *words, "--workers", "1", "--crop"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lightfer: {said}")
