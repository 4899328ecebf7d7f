"""Videos written by OpenCV itself, whole and broken."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightfer.__main__ import run
from lightfer.inference.predict.sources import items_of
from lightfer.inference.predict.video import VideoWriter, frames, video_writer
from tests.inference.predict.test_command import QUICK

cv2 = pytest.importorskip("cv2")
RATE, FRAMES = 10.0, 30


@pytest.fixture(scope="module")
def video(astronaut, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: the portrait from the tenth frame on, grey before."""
    path = tmp_path_factory.mktemp("video") / "film.avi"
    portrait = astronaut.crop((100, 0, 356, 256))
    with video_writer(path, RATE) as writer:
        for index in range(FRAMES):
            writer.write(portrait if index >= 10 else Image.new("RGB", (256, 256), "grey"))
    return path


def test_what_was_written_is_read(video: Path, astronaut):
    found = list(frames(str(video)))
    assert [frame.index for frame in found] == list(range(FRAMES))
    assert [frame.time_s for frame in found] == [round(i / RATE, 3) for i in range(FRAMES)]
    assert found[0].rate == RATE
    assert found[20].picture is not None
    difference = np.asarray(found[20].picture, int) - np.asarray(
        astronaut.crop((100, 0, 356, 256)), int
    )
    assert np.abs(difference).mean() < 8  # JPEG, and colours in their order


def test_every_nth_frame(video: Path):
    items = list(items_of([str(video)], every=7))
    assert [item.frame for item in items] == [0, 7, 14, 21, 28]
    assert items[0].rate == pytest.approx(RATE / 7)


def test_lines_of_frames_with_faces_and_an_annotated_film(video: Path, tmp_path: Path, capsys):
    target = tmp_path / "annotated.mp4"
    assert run(["predict", str(video), "--every", "5", "--annotate", str(target), *QUICK]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["frame"], line["time_s"]) for line in lines] == [
        (10, 1.0), (15, 1.5), (20, 2.0), (25, 2.5)
    ]  # fmt: skip
    assert {line["label"] for line in lines} == {"happy"}
    assert sum(frame.picture is not None for frame in frames(str(target))) == FRAMES / 5


def test_a_film_is_not_drawn_into_a_picture(video: Path, tmp_path: Path, capsys):
    """`x.png` held frames of a video, with exit code 0."""
    target = tmp_path / "x.png"
    assert run(["predict", str(video), "--annotate", str(target), *QUICK]) == 2
    assert capsys.readouterr() == (
        "",
        f"lightfer: --annotate {target} is a picture, and a video was given: name a .mp4\n",
    )
    assert not target.exists()


def test_a_stop_leaves_an_older_film_as_it_was(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The part that was there so far took its place."""
    target, written, write = tmp_path / "annotated.mp4", [], VideoWriter.write
    target.write_bytes(b"complete")

    def stop(writer: VideoWriter, picture: Image.Image) -> None:
        written.append(picture)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(writer, picture)

    monkeypatch.setattr(VideoWriter, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(["predict", str(video), "--annotate", str(target), *QUICK])
    assert target.read_bytes() == b"complete"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["annotated.avi", "annotated.mp4"])
@pytest.mark.parametrize("room", [0, 6_000])
def test_a_film_without_space_leaves_the_older_one_as_it_was(
    video: Path, tmp_path: Path, name: str, room: int, capsys
):
    """OpenCV says nothing of a full disk: what it had written took its place, with exit code 0."""
    resource = pytest.importorskip("resource")
    target, limits = tmp_path / name, resource.getrlimit(resource.RLIMIT_FSIZE)
    target.write_bytes(b"complete")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        code = run(["predict", str(video), "--annotate", str(target), *QUICK])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    assert "free some space" in capsys.readouterr().err
    assert target.read_bytes() == b"complete"
    assert list(tmp_path.iterdir()) == [target]


def test_an_annotated_film_is_in_a_folder_once(video: Path, tmp_path: Path):
    for every in ("5", "5", "7", "5"):
        assert (
            run(["predict", str(video), "--every", every, "--annotate", str(tmp_path), *QUICK]) == 0
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film-2.avi", "film.avi"]


def test_a_film_that_breaks_off(video: Path, tmp_path: Path, capsys):
    broken = tmp_path / "broken.avi"
    content = video.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    assert run(["predict", str(broken), *QUICK, "--every", "4"]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["label"] == "happy"
    assert "error" in lines[-1]
    assert "breaks off after" in err


def test_a_film_without_a_face(tmp_path: Path, capsys):
    path = tmp_path / "grey.avi"
    with video_writer(path, RATE) as writer:
        for _ in range(5):
            writer.write(Image.new("RGB", (160, 160), "grey"))
    assert run(["predict", str(path), str(path), *QUICK]) == 1  # each has its error
    lines = capsys.readouterr().out.splitlines()
    error = "no face in any of the 5 frames that were looked at"
    assert [json.loads(line)["error"] for line in lines] == [error] * 2


def test_what_is_no_film(tmp_path: Path, capsys):
    path = tmp_path / "text.mp4"
    path.write_text("no")
    assert run(["predict", str(path), *QUICK]) == 1
    assert "not a video that OpenCV can read" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_said(video: Path, tmp_path: Path, capsys):
    """OpenCV crashes at it."""
    name = tmp_path / os.fsdecode(b"\xff.avi")
    name.write_bytes(video.read_bytes())
    assert run(["predict", str(name), *QUICK]) == 1
    assert "its name is not UTF-8" in capsys.readouterr().err
    assert run(["predict", str(video), "--every", "9", "--annotate", str(name), *QUICK]) == 2
    assert "OpenCV needs a name and folder in UTF-8" in capsys.readouterr().err
    assert name.read_bytes() == video.read_bytes()


def test_a_film_that_is_named_twice_is_no_longer_film(video: Path, tmp_path: Path):
    """The frames of the second were drawn behind those of the first."""
    command = ["predict", str(video), str(video), "--every", "5", *QUICK]
    assert run([*command, "--annotate", str(tmp_path)]) == 0
    (film,) = tmp_path.iterdir()
    assert len([*frames(str(film))]) == FRAMES / 5
