"""Videos written by OpenCV itself, whole and broken."""

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightfer.__main__ import run
from lightfer.inference.predict.sources import items_of
from lightfer.inference.predict.video import (
    LEAST_RATE,
    Item,
    VideoWriter,
    _read,
    frames,
    video_writer,
)
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
    assert [frame.frame for frame in found] == list(range(FRAMES))
    assert [frame.time_s for frame in found] == [round(i / RATE, 3) for i in range(FRAMES)]
    assert found[0].rate == RATE
    assert found[20].source is not None
    difference = np.asarray(found[20].source, int) - np.asarray(
        astronaut.crop((100, 0, 356, 256)), int
    )
    assert np.abs(difference).mean() < 8  # JPEG, and colours in their order


@pytest.fixture(params=[30.0, 1000.0], ids=["30", "1k"])
def dropped(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[float]]:
    """An intact .mkv of 2 s that states this rate, at which most of its blocks were made void, and
    the times of the others. A rate of 1,000 is what a browser states.
    """
    rate, path = request.param, tmp_path / "dropped.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (64, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no .mkv")
    count = int(2 * rate)
    kept = {0, 3, *range(4, count, int(rate // 10)), count - 1}  # at first in other steps
    for index in range(count):
        writer.write(np.full((64, 64, 3), index % 256, np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    blocks = [*re.finditer(rb"\xa3[\x40-\x7f].\x81..\x80", content, re.DOTALL)]
    assert len(blocks) == count
    for block in (block for index, block in enumerate(blocks) if index not in kept):
        content[block.start()] = 0xEC
    path.write_bytes(content)
    return path, [round(index / rate, 3) for index in sorted(kept)]


def test_frames_are_shown_when_the_file_says(dropped: tuple[Path, list[float]]):
    """Their times were their numbers times the nominal step, and the film that was read to its end
    broke off.
    """
    path, times = dropped
    found = list(frames(str(path)))
    assert [frame.error for frame in found] == [None] * len(times)
    assert [frame.time_s for frame in found] == pytest.approx(times, abs=0.001)


def test_a_film_that_breaks_off_between_frames_far_apart(dropped: tuple[Path, list[float]]):
    path, _ = dropped
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "breaks off after" in (list(frames(str(path)))[-1].error or "")


def test_an_annotated_film_is_as_long_as_its_source(dropped: tuple[Path, list[float]]):
    """It had as many frames, at the nominal rate: here it played in a fraction of the time."""
    path, _ = dropped
    target = path.with_suffix(".mp4")
    assert run(["predict", str(path), "--crop", "--annotate", str(target), *QUICK]) == 0
    film = cv2.VideoCapture(str(target))
    seconds = film.get(cv2.CAP_PROP_FRAME_COUNT) / film.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["slow.mp4", "slow.avi"])
def test_a_film_of_few_frames_is_written(name: str, tmp_path: Path):
    """OpenCV writes none below a rate, as of `--every 60000`; some space was to be freed."""
    with video_writer(tmp_path / name, 30 / 60_000) as writer:
        for time_s in (0.0, 2000.0):
            writer.write(Image.new("RGB", (64, 64), "grey"), time_s)
    assert len([*frames(str(tmp_path / name))]) == 1 + 2000 * LEAST_RATE


def test_a_gap_of_days_in_the_times_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lightfer.inference.predict.video.MOST_COPIES", 5)
    with video_writer(tmp_path / "film.avi", RATE) as writer:
        for time_s in (0.0, 1e6, 1e6 + 0.2):
            writer.write(Image.new("RGB", (64, 64), "grey"), time_s)
    assert writer.frames == 5 + 2 + 1


class _Capture:
    """Of a camera or file that says this of itself."""

    def __init__(self, rate: float, positions_ms: list[float], count: float = 0.0) -> None:
        self.rate, self.count, self.left = rate, count, [*positions_ms]
        self.now: float | None = None

    def grab(self) -> bool:
        self.now = self.left.pop(0) if self.left else None
        return self.now is not None

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 4, 3), np.uint8)

    def get(self, what: int) -> float | None:
        said = {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_POS_MSEC: self.now}
        return said.get(what, self.count)


@pytest.mark.parametrize(
    ("rate", "positions", "times"),
    [
        (10.0, [0.0, 0.0, 0.0, 0.0], [0.0, 0.1, 0.2, 0.3]),  # nothing
        (10.0, [0.0, 500.0, 0.0], [0.0, 0.5, 0.6]),  # as of an .mpg at its end
        (10.0, [math.nan, math.inf, 500.0], [0.0, 0.1, 0.5]),
        (0.0, [0.0, 40.0, 90.0], [0.0, 0.04, 0.09]),
        (0.0, [0.0, 0.0, 0.0], [0.0, None, None]),
    ],
)
def test_a_position_that_says_nothing_is_one_step_on(
    rate: float, positions: list[float], times: list[float | None]
):
    found = _read(cv2, _Capture(rate, positions), "film", 1, Item("film", None))
    assert [frame.time_s for frame in found] == times


def test_frames_of_a_camera_are_when_they_came(monkeypatch: pytest.MonkeyPatch):
    """Their times were those of its nominal rate, which it does not keep in the dark."""
    clock = iter([7.0, 7.0, 7.2, 7.5])
    monkeypatch.setattr("lightfer.inference.predict.video.monotonic", lambda: next(clock))
    *found, end = _read(cv2, _Capture(30.0, [99.0, 99.0, 99.0]), 0, 1, Item(0, None))
    assert [frame.time_s for frame in found] == [0.0, 0.2, 0.5]
    assert end.error == "the camera stopped after 3 frames"


def test_a_name_with_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As recorders name films by the time; FFmpeg takes what stands before it for a protocol."""
    monkeypatch.chdir(tmp_path)
    with video_writer(tmp_path / "12:30.mp4", RATE) as writer:
        for _ in range(3):
            writer.write(Image.new("RGB", (64, 64), "grey"))
    assert [frame.error for frame in frames("12:30.mp4")] == [None] * 3


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
    assert sum(frame.source is not None for frame in frames(str(target))) == FRAMES / 5


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

    def stop(writer: VideoWriter, picture: Image.Image, time_s: float) -> None:
        written.append(picture)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(writer, picture, time_s)

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
