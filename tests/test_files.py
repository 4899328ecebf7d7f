"""Atomic writing: the reader's view is the oracle."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lightfer import _files
from lightfer._files import (
    OutputError,
    atomic_path,
    check_keys,
    check_writable,
    read_json,
    sha256_of,
    write_text,
)
from lightfer.errors import FULL
from tests.conftest import files_of_at_most


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "results.json"
    write_text(path, "old")

    def stop_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_makes_folders_and_a_file_others_can_read(tmp_path: Path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "käse")
    assert path.read_bytes() == "käse".encode()
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_sha256_is_that_of_the_content(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"lightfer")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"lightfer").hexdigest()


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path):
    target, link = tmp_path / "there" / "results.json", tmp_path / "link.json"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("a link to nothing yet", "a link to a file"):
        write_text(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert sorted(tmp_path.rglob("*")) == [link, target.parent, target]


def test_a_pipe_is_written_into(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "käse")
    assert os.read(reader, 100) == "käse".encode()
    os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_is_written_into(tmp_path: Path):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("making a device needs root, and a file system that has them")
    write_text(device, "gone")
    assert device.is_char_device()
    assert list(tmp_path.iterdir()) == [device]


def test_an_output_of_the_process_is_written_into(tmp_path: Path):
    place = tmp_path / "stdout"
    code = "import sys; from pathlib import Path; from lightfer._files import write_text\n"
    code += "write_text(Path(sys.argv[1]), 'first\\n'); print('second')"
    with place.open("wb") as file:
        subprocess.run([sys.executable, "-c", code, place], stdout=file, check=True)
    assert place.read_text() == "first\nsecond\n"


def test_a_read_only_file_is_refused_and_permissions_stay(tmp_path: Path):
    path = tmp_path / "results.json"
    write_text(path, "old")
    path.chmod(0o600)
    write_text(path, "private")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o444)
    for write in (check_writable, lambda path: write_text(path, "new")):
        with pytest.raises(OutputError, match=r"results\.json is read-only: choose another"):
            write(path)
    assert path.read_text() == "private"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_known_before(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OutputError, match="is a folder, expected a file"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="file is a file, expected a folder"):
        check_writable(tmp_path / "file" / "new" / "results.json")
    with pytest.raises(OutputError, match="file is a file, expected a folder"):
        check_writable(tmp_path / "file", folder=True)
    with pytest.raises(OutputError, match=r"loop cannot be written: .*symbolic links"):
        check_writable(tmp_path / "loop")
    for folder, path in ((True, "loop"), (True, "loop/new"), (False, "loop/results.json")):
        with pytest.raises(OutputError, match="loop is a link that leads nowhere"):
            check_writable(tmp_path / path, folder=folder)
    for system in filter(Path.exists, (Path("/proc"), Path("/sys"))):
        with pytest.raises(OutputError, match=rf"{system} is the system's, no place for files"):
            check_writable(system / "new" / "results.json")
    check_writable(tmp_path / "new" / "results.json")
    check_writable(tmp_path / "new", folder=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_no_space_is_said_in_one_line(tmp_path: Path):
    path = tmp_path / "results.json"
    write_text(path, "old")

    def fill() -> None:
        with atomic_path(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"results\.json was not written: No space left.*; free"):
        fill()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", FULL)
def test_no_space_told_by_the_writer_of_weight_files_is_said_so_too(tmp_path: Path, number: int):
    """It has no number but in its text; a quota that is used up is no space, too."""

    def fill() -> None:
        with atomic_path(tmp_path / "x.safetensors"):
            raise RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})")

    with pytest.raises(
        OutputError, match=rf"x\.safetensors was not written: {os.strerror(number)}"
    ):
        fill()


def test_the_writer_of_weight_files_tells_so(tmp_path: Path):
    def fill() -> None:
        with files_of_at_most(100), atomic_path(tmp_path / "x.safetensors") as temporary:
            save_file({"x": torch.zeros(1000)}, temporary)

    with pytest.raises(OutputError, match=os.strerror(errno.EFBIG)):
        fill()
    assert not [*tmp_path.iterdir()]


def test_what_a_writer_made_read_only_is_written(tmp_path: Path):
    with atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("new")
        temporary.chmod(0o444)
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_sigterm_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "results.json"
    write_text(path, "old")
    code = "import sys, time; from pathlib import Path; from lightfer import _files\n"
    code += "from lightfer.cli.stop import Stoppable\n"
    code += "with Stoppable('table'), _files.atomic_path(Path(sys.argv[1])):\n"
    code += "    print('begun', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert (
            process.communicate()[1] == b"lightfer: stopped; files are as they were; run it again\n"
        )
    assert process.returncode == 143
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path):
    code = "import sys, time; from pathlib import Path; from lightfer._files import atomic_path\n"
    code += "with atomic_path(Path(sys.argv[1])) as path:\n"
    code += "    path.write_text('new'); print('begun', flush=True); sys.stdin.read()"
    with ExitStack() as stack:
        running = {}
        for name in ("living", "killed", "last"):
            command = [sys.executable, "-c", code, tmp_path / name]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            running[name] = stack.enter_context(process)
            assert process.stdout is not None
            assert process.stdout.readline()
            assert len(list(tmp_path.iterdir())) == (1 if name == "living" else 2)
            if name == "killed":
                process.kill()
                process.wait()
        for name in ("living", "last"):
            running[name].communicate()
            assert running[name].returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "living"]


def test_a_stop_says_one_line_with_multiprocessing_too(tmp_path: Path):
    """Its tracker used to complain of semaphores, which are files until somebody removes them; the
    folder of its sockets, through which `bench --processes` sends tensors, used to stay.
    """
    code = "import multiprocessing.util, time; from lightfer.cli.stop import Stoppable\n"
    code += "with Stoppable('predict --executor'):\n"
    code += "    lock = multiprocessing.get_context('spawn').Lock()\n"
    code += "    multiprocessing.util.get_temp_dir()\n"
    code += "    print('begun', flush=True); time.sleep(60)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        said = process.communicate()[1].decode()
    assert not [*tmp_path.iterdir()]
    assert said.splitlines() == [
        "lightfer: stopped; finished parts are kept; the same command goes on with them"
    ]
    assert process.returncode == 143


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a" : 1, "a": 2, "b:": 3}',
        '{"a:": 1, "a:": 2}',
        '{"a": ":", "a": ":"}',
        '{"a": [{"b": 1}, {"b": 1, "b": {"c": 2}}]}',
        '{"a": {"b": {"c": [1, {"d": ":", "d": 2}]}}}',
        '{"entries": 1, "entries": [{"a": 2}]}',
        '[{"a": 1, "a": 1}]',
        r'{"a": 1, "\u0061": 2}',
    ],
)
@pytest.mark.parametrize("large", [0, 10**6])
def test_a_key_twice_is_found_wherever_it_stands(text: str, large: int, monkeypatch):
    monkeypatch.setattr(_files, "LARGE", large)
    for given in (text, text.encode()):
        with pytest.raises(ValueError, match="stands twice in one object"):
            check_keys(given)
        with pytest.raises(ValueError, match="stands twice in one object"):
            read_json(given)


@pytest.mark.parametrize(
    "text",
    [
        '{"a:b": "c:d", "e": [":", ":::"], "f" : {"a:b": [{}, 1e400, 12345678901234567890123]}}',
        '{"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}',
        r'{"a": "\u003a", "b": "\"c\":"}',
        "[]",
        '":"',
    ],
)
@pytest.mark.parametrize("large", [0, 10**6])
def test_colons_in_texts_are_no_keys(text: str, large: int, monkeypatch):
    monkeypatch.setattr(_files, "LARGE", large)
    check_keys(text)
    check_keys(text.encode())
