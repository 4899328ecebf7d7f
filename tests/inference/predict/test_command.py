"""lightfer predict as a person runs it: lines, exit codes, messages, annotated pictures."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lightfer.__main__ import run as lightfer
from lightfer.cli.main import app
from lightfer.data import CLASSES
from lightfer.data.pictures import SUFFIXES, WRITTEN, open_picture
from lightfer.inference.predict import command
from lightfer.inference.predict.annotate import annotated
from lightfer.inference.predict.options import parser
from lightfer.inference.predict.sources import Item, items_of
from tests.conftest import by_day
from tests.inference.predict.conftest import MODEL

QUICK = ("--model", MODEL, "--runtime", "pytorch", "--threads", "1")


@pytest.fixture
def predict(capsys: pytest.CaptureFixture):
    """Runs the command; gives its lines and its messages, and checks its exit code."""

    def run(*arguments: object, code: int = 0) -> tuple[list[dict], str]:
        assert lightfer(["predict", *map(str, arguments), *QUICK]) == code
        out, err = capsys.readouterr()
        return [json.loads(line) for line in out.splitlines()], err

    return run


def test_a_portrait_has_one_happy_face(predict, astronaut, tmp_path: Path):
    astronaut.save(tmp_path / "a.png")
    annotated = tmp_path / "out" / "annotated.png"
    (line,), _ = predict(tmp_path / "a.png", "--annotate", annotated)
    assert (line["item"], line["label"]) == (str(tmp_path / "a.png"), "happy")
    assert tuple(line["probabilities"]) == CLASSES
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    x, y, width, height = line["box"]
    drawn, plain = (np.asarray(image, int) for image in (open_picture(annotated), astronaut))
    changed = np.abs(drawn - plain).sum(2) > 0
    assert changed[y, x : x + width].all()
    assert changed[y : y + height, x].all()
    assert not changed[y + height // 2, x + width // 2]


def test_a_folder_in_order_and_what_failed_in_it(predict, crops: Path, tmp_path: Path):
    for name in ("a.png", "c.png", "sub/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(crops / "00.png", tmp_path / name)
    (tmp_path / "b.jpg").write_bytes(b"broken")
    (tmp_path / "d.JXL").write_bytes(b"of another form")
    (tmp_path / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden.png").write_bytes(b"passed over")
    long = tmp_path / f"{300 * 'n'}.png"
    lines, messages = predict(tmp_path, long, tmp_path / "missing.png", code=1)
    assert lines.pop(-2) == {"item": str(long), "error": "File name too long"}
    names = [str(Path(line["item"]).relative_to(tmp_path)) for line in lines]
    assert names == ["a.png", "b.jpg", "c.png", "d.JXL", "sub/d.png", "missing.png"]
    assert [sorted(line) for line in lines if "error" in line] == [["error", "item"]] * 3
    assert "b.jpg: not an image" in messages
    assert "d.JXL: pictures of the form .jxl are not read. Convert it" in messages
    assert "missing.png: no such file or folder" in messages


def test_what_is_called_a_picture_or_a_film_is_not_passed_over(tmp_path: Path):
    """Raw pictures and Windows' films were, with exit code 0."""
    for (
        ending
    ) in "3gp arw CR2 cr3 flv jpe m2ts mpo mts nef ogv orf pbm pnm psd raf rw2 WMV".split():  # noqa: SIM905
        (tmp_path / f"a.{ending}").touch()
    items = {str(item.name): item.error for item in items_of([str(tmp_path)])}
    assert [*items] == sorted(str(path) for path in tmp_path.iterdir())
    assert "pictures of the form .cr2 are not read" in (items[str(tmp_path / "a.CR2")] or "")


def test_a_link_to_a_folder_in_a_folder_adds_nothing(tmp_path: Path):
    """As of `latest` to the newest version, or to a folder above, without end."""
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "a.png").touch()
    (tmp_path / "latest").symlink_to("v1")
    (tmp_path / "v1" / "loop").symlink_to("..")
    assert [item.name for item in items_of([str(tmp_path)])] == [str(tmp_path / "v1" / "a.png")]


def test_lines_into_a_file_and_pictures_into_a_folder(predict, crops: Path, tmp_path: Path):
    out, pictures = tmp_path / "new" / "lines.jsonl", tmp_path / "pictures"
    for _ in range(2):
        lines, _ = predict(crops, "--out", out, "--annotate", pictures)
        assert lines == []
        assert len(out.read_text().splitlines()) == 48
    assert len(list(pictures.iterdir())) == 48
    assert min(open_picture(pictures / "00.png").size) >= 256


def test_in_a_folder_nothing_is_written_over_and_nothing_is_there_twice(
    predict, crops: Path, tmp_path: Path
):
    """The same command again, as after a stop; then other pictures of the same names."""
    pictures, other = tmp_path / "pictures", tmp_path / "other"
    shutil.copytree(crops, other)
    predict(crops, "--annotate", pictures)
    (pictures / "01.png").unlink()  # it was stopped before this one
    (pictures / "02.png").write_text("a file of somebody else")
    shutil.copy(other / "04.png", other / "03.png")
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    for _ in range(2):
        predict(crops, "--annotate", pictures)
        predict(other, "--annotate", pictures)
    found = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert found.keys() - before.keys() == {"01.png", "02-2.png", "03-2.png"}
    assert before.items() < found.items()


def test_a_picture_that_is_there_is_not_there_twice_for_a_moment(
    predict, crops: Path, tmp_path: Path, monkeypatch
):
    """A stop between the two left 00-2.png for good."""
    pictures = tmp_path / "pictures"
    predict(crops / "00.png", "--annotate", pictures)
    replaced = []
    monkeypatch.setattr(Path, "replace", lambda path, target: replaced.append(target))
    predict(crops / "00.png", "--annotate", pictures)
    assert replaced == []
    assert [path.name for path in pictures.iterdir()] == ["00.png"]


def test_a_thin_picture_is_not_enlarged_beyond_memory():
    """A row of 100,000 pixels became 256 of 25,600,000."""
    for size in ((5000, 1), (1, 300), (30, 2000)):
        drawn = annotated(Image.new("L", size), ())
        assert max(drawn.size) <= max(4096, *size)


def test_a_picture_has_no_profile_of_colours_that_it_lost(tmp_path: Path):
    """That of LAB holds the time, so each run had another picture."""
    Image.new("LAB", (48, 48)).save(tmp_path / "lab.tiff")
    Image.new("CMYK", (48, 48)).save(tmp_path / "cmyk.jpg", icc_profile=b"of CMYK")
    for name in ("lab.tiff", "cmyk.jpg"):
        assert "icc_profile" not in open_picture(tmp_path / name).info


def test_what_is_drawn_has_nothing_of_the_file_but_the_profile_of_its_colours():
    """A grey profile stood in a picture in colour."""
    for mode, kept in (("L", {}), ("RGB", {"icc_profile": b"of the file"})):
        picture = Image.new(mode, (48, 48))
        picture.info = {"icc_profile": b"of the file", "compression": "group4"}
        assert annotated(picture, ()).info == kept


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "group4"])
def test_a_packed_tiff_is_drawn_into_a_tiff(predict, tmp_path: Path, compression: str):
    """Pillow took over how the file was packed, and the lines were lost with a traceback."""
    source, target, out = (tmp_path / name for name in ("a.tif", "drawn.tif", "lines.jsonl"))
    Image.new("1" if compression == "group4" else "L", (48, 48)).save(
        source, compression=compression
    )
    predict(source, "--crop", "--annotate", target, "--out", out)
    assert open_picture(target).size == (288, 288)
    assert len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize(("suffix", "width"), [(".webp", 16_384), (".gif", 65_536)])
def test_a_picture_too_large_for_the_form_that_is_named_is_one_line(
    predict, tmp_path: Path, suffix: str, width: int
):
    Image.new("L", (width, 1)).save(tmp_path / "a.png")
    target = tmp_path / f"drawn{suffix}"
    _, said = predict(tmp_path / "a.png", "--crop", "--annotate", target, code=2)
    assert said.startswith(
        f"lightfer: {target} was not written: no {suffix[1:].upper()} of {width:,}x1"
    )
    assert said.endswith("; name a .png\n")


def test_in_a_folder_a_picture_too_large_for_its_form_is_a_png(predict, tmp_path: Path):
    """It ended the command, which told to name a .png, where no file can be named."""
    (tmp_path / "pics").mkdir()
    Image.new("L", (16_384, 1)).save(tmp_path / "pics" / "a.webp", "PNG")
    Image.new("L", (48, 48)).save(tmp_path / "pics" / "b.webp")
    for _ in range(2):
        lines, _ = predict("--crop", tmp_path / "pics", "--annotate", tmp_path / "drawn")
        assert len(lines) == 2
        assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"a.png", "b.webp"}


def test_a_number_has_room_behind_the_longest_name(predict, tmp_path: Path):
    """Two pictures of one name of 255 bytes ended the command, each time it was run."""
    (tmp_path / "pics").mkdir()
    for shade, suffix in enumerate((".bmp", ".png", ".gif")):
        Image.new("L", (48, 48), 80 * shade).save(tmp_path / "pics" / f"{'é' * 125}x{suffix}")
    for _ in range(2):
        predict("--crop", tmp_path / "pics", "--annotate", tmp_path / "drawn")
        names = sorted(path.name[-6:] for path in (tmp_path / "drawn").iterdir())
        assert names == ["-2.png", "-3.png", "éx.png"]


def test_an_exported_file_may_have_any_name(exported: Path, crops: Path, tmp_path: Path):
    name = tmp_path / os.fsdecode(b"net\xff.onnx")
    shutil.copy(exported, name)
    assert lightfer(["predict", "--crop", str(crops / "00.png"), "--model", str(name)]) == 0


@pytest.mark.parametrize("option", ["--threads", "--batch-size", "--every", "--frames"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "inf", "99999999999999999999"])
def test_a_number_that_cannot_be_meant_is_refused(crops: Path, option: str, value: str, capsys):
    assert lightfer(["predict", str(crops), f"{option}={value}"]) == 2
    assert f"{value}, expected a whole number, 1 to" in capsys.readouterr().err


def test_an_annotated_picture_is_of_the_form_that_its_name_says(
    predict, crops: Path, tmp_path: Path, capsys
):
    """`--annotate x.gif` held a PNG, and so did x.mp4."""
    for suffix in sorted(WRITTEN):
        target = tmp_path / f"x{suffix}"
        predict(crops / "00.png", "--annotate", target)
        with Image.open(target) as picture:
            assert picture.format == Image.registered_extensions()[suffix]
    for suffix in sorted(SUFFIXES - WRITTEN):  # with its plug-in, HEIC
        target = tmp_path / f"x{suffix}"
        predict(crops / "00.png", "--annotate", target, code=2)
        assert not target.exists()
    picture, film = str(crops / "00.png"), tmp_path / "x.mp4"
    assert lightfer(["predict", *QUICK, "--crop", picture, "--annotate", str(film)]) == 2
    assert "is a video, and a picture was given" in capsys.readouterr().err
    assert not film.exists()


def test_standard_input(predict, crops: Path, monkeypatch):
    class Stdin:
        buffer = io.BytesIO((crops / "00.png").read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    (line,), _ = predict("-")
    assert (line["item"], line["box"]) == ("-", None)
    (line,), _ = predict("-", code=1)
    assert "nothing on standard input" in line["error"]


def test_no_face_is_a_failure_that_names_the_way_out(predict, tmp_path: Path):
    pytest.importorskip("cv2")
    Image.new("L", (300, 300), 99).save(tmp_path / "grey.png")
    (line,), messages = predict(tmp_path / "grey.png", code=1)
    assert "no face found" in line["error"]
    assert "--crop" in messages
    (line,), _ = predict(tmp_path / "grey.png", "--crop")
    assert line["label"] in CLASSES


def test_folders_without_images_or_permission(predict, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (line,), _ = predict(tmp_path / "empty", code=1)
    assert line["error"] == "no image in it"
    if os.geteuid() == 0:
        pytest.skip("root may read every folder")
    (tmp_path / "closed").mkdir(mode=0)
    (line,), _ = predict(tmp_path / "closed", code=1)
    assert "Permission denied" in line["error"]


def test_what_is_closed_is_a_line_and_the_others_go_on(predict, with_closed: Path, tmp_path: Path):
    """It ended the command, and of a folder the one above was named."""
    inside = with_closed / "closed" / "b.png"
    options = ("--annotate", tmp_path / "drawn")
    lines, _ = predict(with_closed, inside, with_closed / "a.png", *options, code=1)
    closed = str(with_closed / "closed")
    assert [(line["item"], line.get("error")) for line in lines] == [
        (str(with_closed / "a.png"), None),
        (str(with_closed / "shut.png"), "cannot be read (Permission denied)"),
        (closed, "folder cannot be read (Permission denied)"),
        (str(inside), "Permission denied"),
        (str(with_closed / "a.png"), None),
    ]


def test_a_camera_that_is_not_there(predict):
    pytest.importorskip("cv2")
    (line,), _ = predict("--camera", "97", code=1)
    assert (line["item"], line["error"]) == ("camera 97", "camera 97 is not there or in use")


def test_frames_are_those_of_the_camera(predict, crops: Path, monkeypatch: pytest.MonkeyPatch):
    """Pictures were counted with them, and with enough of these it was never opened."""
    frame = Image.new("L", (48, 48))
    taken = (Item("camera 0", frame, index) for index in count())
    monkeypatch.setattr(command, "frames", lambda number, every: taken)
    lines, _ = predict(crops, "--crop", "--camera", "--frames", "2")
    assert [line["item"] for line in lines[47:]] == [str(crops / "47.png"), *["camera 0"] * 2]
    assert next(taken).frame == 2


def test_a_name_that_is_no_unicode(predict, crops: Path, tmp_path: Path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    shutil.copy(crops / "00.png", path)
    (line,), _ = predict(path)
    assert line["item"] == path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{a}", "--annotate", "{a}"), "is an input, too: choose another file"),
        (("{a}", "{a}", "--annotate", "{a}.png"), "pass a folder for more than one item"),
        (("{a}", "--model", "resnet50"), "there is no model 'resnet50'"),
        (("{a}", "--model", "missing.onnx"), "missing.onnx: no such file"),
        (("{a}", "--annotate", "{d}"), "holds inputs, or lies among them"),
        (("{d}", "--annotate", "{d}"), "holds inputs, or lies among them"),
        (("{d}", "--annotate", "{d}/new/drawn"), "holds inputs, or lies among them"),
        (("{a}", "--runtime", "tflite"), "there is no runtime 'tflite'"),
        (("{a}", "--out", "{a}/below/a/file"), "a/file"),
    ],
)
def test_mistakes_are_one_line(crops: Path, tmp_path: Path, arguments, message, capsys):
    shutil.copy(crops / "00.png", tmp_path / "a.png")
    found = [argument.format(a=tmp_path / "a.png", d=tmp_path) for argument in arguments]
    code = lightfer(["predict", *QUICK, *found])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err or "directory" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [(), ("a.png", "--faces", "some"), ("a.png", "--every", "0"), ("--nonsense",)]
)
def test_wrong_options_end_with_code_2(arguments, capsys):
    code = lightfer(["predict", *arguments])
    assert code == 2
    assert "lightfer predict" in capsys.readouterr().err


def test_the_typer_command_has_the_same_options(crops: Path):
    result = CliRunner().invoke(app, ["predict", "--help"])
    assert result.exit_code == 0
    assert result.output == parser().format_help()
    result = CliRunner().invoke(app, ["predict", str(crops / "00.png"), "--crop", *QUICK])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["label"] in CLASSES
    assert "predict" in CliRunner().invoke(app, ["--help"]).output


def test_the_reader_of_the_lines_may_go(crops: Path):
    """As in `lightfer predict ... | head -1`."""
    command = [sys.executable, "-m", "lightfer", "predict", str(crops), *QUICK, "--batch-size", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


STOPS = [(signal.SIGINT, 130, None), (signal.SIGTERM, 143, "complete")]
EVERY_STOP = [*STOPS, (signal.SIGINT, 130, "complete"), (signal.SIGTERM, 143, None)]


@pytest.mark.parametrize(("number", "code", "old"), by_day(STOPS, EVERY_STOP))
def test_stopped_half_way_it_leaves_outputs_as_they_were(
    crops: Path, tmp_path: Path, number: int, code: int, old: str | None
):
    """It has a minute's work, and is stopped when the first pictures are there."""
    out, pictures = tmp_path / "out" / "lines.jsonl", tmp_path / "out" / "pictures"
    out.parent.mkdir()
    if old is not None:
        out.write_text(old)
    command = [sys.executable, "-m", "lightfer", "predict", *[crops / "00.png"] * 20_000]
    command += [*QUICK, "--crop", "--batch-size", "1", "--out", out, "--annotate", pictures]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not list(pictures.glob("[!.]*")) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        try:
            _, messages = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == code, messages
    assert "Traceback" not in messages
    assert (out.read_text() if out.exists() else None) == old
    assert not [path for path in tmp_path.rglob(".*")]


def test_a_link_in_a_circle_is_an_input_like_any_other(predict, tmp_path: Path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (line,), _ = predict(loop, "--annotate", tmp_path / "drawn", code=1)
    assert line["error"] == "a link to nothing"


def test_outputs_are_checked_before_the_work(crops: Path, tmp_path: Path, capsys):
    taken = tmp_path / "taken"
    taken.touch()
    taken.chmod(0o444)
    for option, message in (("--out", "is read-only"), ("--annotate", "expected a folder")):
        assert lightfer(["predict", str(crops), option, str(taken), "--model", "missing"]) == 2
        messages = capsys.readouterr().err
        assert message in messages
        assert len(messages.splitlines()) == 1


def test_a_dash_and_a_pipe_get_the_lines(predict, crops: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,), _ = predict(crops / "00.png", "--out", "-")
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    predict(crops / "00.png", "--out", "pipe")
    assert json.loads(os.read(reader, 10_000)) == line
    os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
