"""Where and how people run commands: narrow terminals, ASCII, no home, pipes, stops, odd names."""

import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

from lightfer import LightferError, _files
from lightfer.__main__ import run
from lightfer._files import OutputError, alone, append_line, cache_folder
from lightfer.cli.console import MOST_RULED, print_table
from lightfer.inference.predict import Predictor
from lightfer.inference.predict.sources import Item
from lightfer.results import read_results
from tests.conftest import ROOT, files_of_at_most

RESULTS = str(ROOT / "results.json")
LIGHTFER = [sys.executable, "-m", "lightfer"]


@pytest.mark.parametrize(
    ("arguments", "begin"),
    [
        (("table", RESULTS, "--csv"), b"id,environment,"),
        (("table", RESULTS, "--latex"), b"\\begin"),
        (("table", RESULTS, "--parquet"), b"PAR1"),
        (("report", RESULTS, "--html"), b"<!doctype html>"),
    ],
)
def test_a_dash_is_standard_output(arguments, begin: bytes, tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, "-"]) == 0
    written = capfdbinary.readouterr().out
    assert written.lower().startswith(begin) or begin in written[:200]
    assert b"written to" not in written[-100:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("merge", RESULTS, "--out", "-"), b"1 files, 1 runs"),
        (("table", RESULTS, "--csv", "-", "--latex", "t.tex"), b"written to t.tex"),
        (("table", RESULTS, "--csv", "-", "--boamps", "reports"), b"reports written to reports"),
        (("table", RESULTS, "--markdown", "--csv", "t.csv"), b"written to t.csv"),
    ],
)
def test_what_is_said_is_no_part_of_the_output(arguments, said, tmp_path, monkeypatch, capfdbinary):
    """`merge --out - > all.json` was no JSON: its last line said what was merged."""
    monkeypatch.chdir(tmp_path)
    assert run([*arguments]) == 0
    written, messages = capfdbinary.readouterr()
    assert said in messages
    assert said not in written
    if arguments[0] == "merge":
        (tmp_path / "all.json").write_bytes(written)
        assert len(read_results(tmp_path / "all.json").entries) > 1


@pytest.mark.parametrize(
    "options", ["--csv - --latex -", "--markdown --csv -", "--parquet - --markdown"]
)
def test_standard_output_is_one_file(options: str, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run(["table", RESULTS, *options.split()]) == 2
    written, messages = capfd.readouterr()
    assert written == ""
    assert "- is" in messages


def test_a_dash_is_no_folder(tmp_path: Path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for arguments in (["table", RESULTS, "--boamps", "-"], ["report", RESULTS, "--figures", "-"]):
        assert run(arguments) == 2
        assert "- is standard output, expected a folder" in capfd.readouterr().err


def narrow(table: Table, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, markup=False)
    print_table(console, table)
    return out.getvalue()


def test_a_narrow_terminal_breaks_no_name():
    table = Table("Model", "1 image ms", title="cpu, pytorch, float32")
    table.add_row("package.module:[/a_name_of_its_own]", "5.09 [4.51, 6.02]")
    assert "│ package.module:[/a_name_of_its_own] │" in narrow(table, 80)
    assert narrow(table, 40).splitlines() == [
        "cpu, pytorch, float32",
        "package.module:[/a_name_of_its_own]",
        "  1 image ms: 5.09 [4.51, 6.02]",
    ]


def test_thousands_of_rows_are_plain_columns_where_no_terminal_is():
    out = io.StringIO()
    table = Table("Model", Column("ms", justify="right"), title="cpu", caption="noisy")
    for i in range(MOST_RULED):
        table.add_row(f"net {i}", "9.81")
    print_table(Console(file=out, width=80), table)
    assert "│ net 7   │ 9.81 │" in out.getvalue()
    table.add_row("[顔] net", "19.81")
    plain = io.StringIO()
    print_table(Console(file=plain, width=80), table)
    lines = plain.getvalue().splitlines()
    assert lines[:3] == ["cpu", "Model        ms", "net 0      9.81"]
    assert lines[-2:] == ["[顔] net  19.81", "noisy"]
    assert len(lines) == 1 + 1 + table.row_count + 1


def test_brackets_in_help_and_names_stay(tmp_path: Path, capsys):
    assert run(["bench", "--help"]) == 0
    assert 'pip install "lightfer[runtimes]"' in capsys.readouterr().out
    document = json.loads(Path(RESULTS).read_text())
    document["entries"][0]["model"] = "package.module:[/old]"
    path = tmp_path / "[red]r[x].json"
    path.write_text(json.dumps(document))
    for command in (["table", path], ["rank", path], ["compare", path, path]):
        assert run([*map(str, command)]) == 0
        assert "[/old]" in capsys.readouterr().out


def test_a_terminal_of_ascii_is_enough():
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments in (["compare", RESULTS, RESULTS], ["compare", "--help"]):
        done = subprocess.run(
            [*LIGHTFER, *arguments], capture_output=True, env={**os.environ, **ascii_only}
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()


def test_whoever_reads_the_output_may_go():
    with subprocess.Popen(
        [*LIGHTFER, "table", RESULTS, "--csv", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_without_a_home_nothing_is_cached(monkeypatch: pytest.MonkeyPatch):
    for name in ("LIGHTFER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for an unknown user
    with pytest.raises(OSError, match="Not a directory"):
        (cache_folder() / "x").mkdir(parents=True)


def test_no_camera_has_such_a_number(capsys):
    for number in ("-1", "100", "99999999999999999999"):
        assert run(["predict", "--camera", number]) == 1
        assert f"camera {number} is not there" in capsys.readouterr().err


def test_the_first_picture_does_not_wait_for_the_others(monkeypatch: pytest.MonkeyPatch):
    """Of a folder, or a slow disk, that takes ten seconds for all."""
    predictor, taken = Predictor("mobilenet_v1", "onnxruntime", faces="never", threads=2), []

    def items():
        for i in range(100):
            taken.append(i)
            time.sleep(0.1)
            yield Item(i, Image.new("L", (48, 48), i))

    stream = predictor.stream(items())
    assert next(stream).item.name == 0
    assert len(taken) < 10
    assert [seen.item.name for seen in stream] == [*range(1, 100)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_does_not_wait_for_a_read(number: int, code: int, tmp_path: Path):
    never, writer = os.pipe()
    command = [*LIGHTFER, "predict", f"/dev/fd/{never}", "--out", tmp_path / "lines.jsonl"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[never]) as process:
        end = time.monotonic() + 60
        while not list(tmp_path.glob(".lightfer-*")) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(number)
        try:
            _, messages = process.communicate(timeout=20)
        finally:
            process.kill()
            os.close(writer)
            os.close(never)
    assert process.returncode == code
    assert messages.splitlines()[-1].startswith("lightfer: stopped; finished pictures are kept")
    assert "Traceback" not in messages
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "made"),
    [
        ("predict many --out lines.jsonl", 1, "lines.jsonl"),
        (
            "bench squeezenet1_1_bn --quick --rounds 2 --threads 1 --data none --out r.json",
            0,
            "r.json",
        ),
        (
            "train mobilenet_v1_x0_25 --data {csv} --epochs 2 --threads 1 --out run",
            0,
            "run/mobilenet_v1_x0_25.safetensors",
        ),
    ],
)
def test_work_goes_on_when_nobody_reads_what_is_said(
    words: str, code: int, made: str, small_csv: Path, tmp_path: Path
):
    """`train ... 2>&1 | head -1` ended with 0 after the first epoch, without weights."""
    (tmp_path / "many").mkdir()
    for i in range(3):
        (tmp_path / "many" / f"{i}.png").touch()
    reader, writer = os.pipe()
    os.close(reader)
    command = [*LIGHTFER, *words.format(csv=small_csv).split()]
    ended = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=writer)
    os.close(writer)
    assert ended.returncode == code
    assert (tmp_path / made).stat().st_size > 0
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train vgg_slim --data synthetic --seed -1", "Invalid value for '--seed'"),
        ("bench vgg_slim --data none --ten-crop", "--ten-crop scores test images"),
        ("bench vgg_slim --data none --robustness", "--robustness scores test images"),
        ("bench vgg_slim --data none --threads 1024", "--threads 1024: only "),
        ("bench vgg_slim --data none --clock-offset 5", "--clock-offset is of a --power-log"),
        ("bench vgg_slim --data none --precision int8 --runtime onnxruntime", "int8 is calibrated"),
        ("validate empty.json", "no whole JSON in UTF-8"),
        ("table empty.json", "no whole JSON in UTF-8"),
        ("rank utf16.json", "no whole JSON in UTF-8"),
        ("validate utf16.json", "no whole JSON in UTF-8"),
        ("validate digits.json", "is too large, expected below 1e100"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    words: str, said: str, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("empty.json").touch()
    Path("utf16.json").write_text('{"schema": "lightfer/1"}', encoding="utf-16")
    Path("digits.json").write_text(f'{{"schema": "lightfer/1", "x": {"9" * 5000}}}')
    before = sorted(tmp_path.iterdir())
    assert run(words.split()) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_names_the_journal(tmp_path, monkeypatch, capsys):
    """It was `No space left on device`, and nothing more."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "r.json"
    words = "bench squeezenet1_1_bn --quick --rounds 2 --threads 1 --data none --out"
    assert run([*words.split(), str(out)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path / '.r.json.journal'} was not written: No space left on device" in said
    assert said.endswith("the same command goes on")
    assert not out.exists()


STOPPED = """
import os, signal, sys
from lightfer.__main__ import main
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "{name}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["lightfer", *{words}]
main()
"""


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("numpy", ["predict", "x.png"], "finished pictures are kept"),
        ("typer", ["table", RESULTS], "files are as they were; run it again"),
        ("torch", ["train", "vgg_slim", "--data", "synthetic"], "the same command goes on with it"),
    ],
)
def test_a_stop_while_modules_are_imported_says_one_line(
    name: str, words: list[str], message: str, tmp_path: Path
):
    command = [sys.executable, "-c", STOPPED.format(name=name, words=words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lightfer: stopped; ")
    assert message in line


def test_a_stop_of_a_round_in_a_process_of_its_own_says_one_line(tmp_path: Path):
    """ctrl-c goes to all processes of a terminal's group."""
    command = [*LIGHTFER, "bench", "squeezenet1_1_bn", "--processes", "--runtime", "onnxruntime"]
    command += ["--batch-size", "1", "--threads", "1", "--data", "none", "--out", "r.json"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        process_group=0,
    ) as process:
        found, end = "", time.monotonic() + 120
        while "spawn_main" not in found and time.monotonic() < end:
            time.sleep(0.01)
            children = ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)]
            found = subprocess.run(children, capture_output=True, text=True).stdout
        os.killpg(process.pid, signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    assert "spawn_main" in found, "stopped before or after a round, not in one"
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert messages.splitlines()[-1].startswith("lightfer: stopped; what was measured is kept")


def test_a_stop_that_a_library_made_an_error_of_is_no_failure_of_the_net(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import os, pathlib, signal, sys\nfrom torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        measured = 'attempt' in {f.f_code.co_name for f in frames()}\n"
        "        if measured and not pathlib.Path('asked').exists():\n"
        "            pathlib.Path('asked').touch()\n"
        "            try:\n"
        "                os.kill(os.getpid(), signal.SIGTERM)\n"
        "            except BaseException:\n"
        "                raise RuntimeError('no stop any more') from None\n"
        "        return super().forward(x)\n"
        "def frames():\n"
        "    frame = sys._getframe()\n"
        "    while frame := frame.f_back:\n"
        "        yield frame\n"
        "def net(num_classes, in_channels):\n"
        "    return Net(nn.Flatten(), nn.Linear(in_channels * 48 * 48, num_classes))\n"
    )
    command = [*LIGHTFER, "bench", "mine:net", "--quick", "--rounds", "2", "--batch-size", "1"]
    command += ["--threads", "1", "--data", "none", "--out", "r.json"]
    stopped = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert stopped.returncode == 143, stopped.stderr
    assert (tmp_path / "asked").exists()
    assert not (tmp_path / "r.json").exists()
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    (entry,) = read_results(tmp_path / "r.json").entries
    assert entry.error is None


@pytest.mark.parametrize(
    "words",
    [
        ("table", "r.json"),
        ("table", "r.json", "--markdown"),
        ("rank", "r.json"),
        ("choose", "r.json"),
        ("compare", "r.json", "r.json", "--anyway"),
        ("validate", "r.json"),
        ("table", "\x1b[2J\r.json"),
        ("predict", "\x1b[2J\r.png"),
    ],
    ids=ascii,
)
def test_the_names_of_a_stranger_do_not_steer_the_terminal(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "results.json").read_text()
    for old, new in (
        ('"mobilenet_v1"', '"mobile\\u001b[2J\\r\\u009b2J"'),
        ('"pytorch"', '"pytorch\x7f"'),
    ):
        assert old in text
        text = text.replace(old, new)
    Path("r.json").write_text(text)
    run([*words])
    out, err = capsys.readouterr()
    assert out or err
    assert all(c.isprintable() or c == "\n" for c in out + err)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("predict face.png --crop >&-", 2, "lightfer: Bad file descriptor"),
        ("table r.json --csv out.csv >&-", 2, "lightfer: Bad file descriptor"),
        ("predict - <&-", 1, "lightfer: -: nothing on standard input, expected an image"),
        ("table missing.json 2>&-", 2, ""),
        ("report --html - missing.json", 2, "lightfer: missing.json: No such file or directory"),
    ],
)
def test_a_closed_stream_is_no_file_of_the_next_open(
    words: str, code: int, message: str, tmp_path: Path
):
    Image.new("L", (48, 48), 99).save(tmp_path / "face.png")
    (tmp_path / "r.json").write_bytes((ROOT / "results.json").read_bytes())
    done = subprocess.run(
        f"{sys.executable} -m lightfer {words}",
        shell=True,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert (done.returncode, done.stderr.strip()) == (code, message)


def test_a_working_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["report", str(ROOT / "results.json")]) == 2
    assert capsys.readouterr().err == (
        "lightfer: the working folder was removed: change to another\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        "bench --intensity inf",
        "bench --pue inf",
        "bench --watts-per-thread inf",
        "bench --wait-quiet inf",
        "bench --pue nan",
        "bench --intensity=NaN",
        "bench --watts-per-thread -nan",
        "bench --wait-quiet ' nan'",
        "export mobilenet_v1 --to onnx --precision int8 --out x.onnx --allow-loss nan",
        "choose --max-ms nan",
        "bench --energy-seconds inf",
        "bench --power-log p.csv --clock-offset nan",
        "bench --threads 0",
        "choose --max-mb inf",
        "compare a.json b.json --run-to-run nan",
        "compare a.json b.json --run-to-run -1",
        "compare a.json b.json --run-to-run inf",
        "compare a.json b.json --fail-accuracy inf",
        "web --serve --port -1",
        "web --serve --port 65536",
        "queue list.toml --workers 99999999999999999999",
        "train squeezenet1_1 --data synthetic --batch-size 99999999999999999999",
        "train squeezenet1_1 --data synthetic --teachers vgg_slim --temperature inf",
        "choose --max-ms inf",
        "export mobilenet_v1 --to onnx --out x.onnx --allow-loss inf",
        "queue list.toml --minutes nan",
        "train squeezenet1_1 --data synthetic --seed 99999999999999999999999",
        "train squeezenet1_1 --data synthetic --threads -1",
        "teach vgg_slim --data synthetic --threads 0",
        "predict ''",
        "data audit --data ''",
        "data audit --data=",
        "table ''",
    ],
)
def test_a_number_that_cannot_be_meant_and_an_empty_word_are_refused(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """An infinite intensity was measured with, and an empty path is the working folder."""
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(words)
    assert run(arguments) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert any(part in message for part in ("Input should be", "expected", "an argument is empty"))
    assert not [*tmp_path.iterdir()]


def test_a_working_folder_that_is_gone_is_said_before_torch_is_imported(tmp_path: Path):
    command = f"rmdir {tmp_path}; {sys.executable} -m lightfer data audit --data synthetic"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "lightfer: the working folder was removed: change to another\n"


def test_no_place_for_what_is_temporary_is_said(monkeypatch, capsys):
    """The working folder was said to be removed."""

    def none(*arguments: object, **names: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.TemporaryDirectory", none)
    assert run(["table", RESULTS, "--csv", "-"]) == 2
    assert capsys.readouterr().err.startswith("lightfer: No usable temporary directory found")


OUTPUT_IS_INPUT = (
    ("table", "r.json", "--csv", "r.json"),
    ("table", "r.json", "--latex", "there/../r.json"),
    ("table", "r.json", "--parquet", "link"),
    ("table", "r.json", "--into", "page.md", "--figure", "r.json"),
    ("report", "r.json", "--html", "r.json"),
    ("predict", "face.png", "--crop", "--out", "face.png"),
    ("predict", "face.png", "--crop", "--model", "net.safetensors", "--out", "net.safetensors"),
    ("evaluate", "net.safetensors", "--data", "synthetic", "--log", "net.safetensors"),
    ("bench", "net.safetensors", "--out", "net.safetensors"),
    ("bench", "a.b:C=net.safetensors", "--out", "net.safetensors"),
    ("bench", "--data", "faces.csv", "--out", "faces.csv"),
    ("bench", "--data", "faces.csv", "--out", "test_scorings.jsonl"),
    ("teach", "net.safetensors", "--data", "synthetic", "--out", "net.safetensors"),
    ("train", "vgg_slim", "--teachers", "vgg_slim.safetensors", "--out", "."),
    ("queue", "list.toml", "--pack", "list.toml", "--out", "q"),
    ("table", "r.json", "--csv", "new", "--latex", "./new"),
    ("predict", "face.png", "--crop", "--out", "new.png", "--annotate", "new.png"),
    ("predict", "face.png", "--crop", "--model", "ir.xml", "--out", "ir.bin"),
    ("predict", "pics", "--crop", "--out", "pics/a.png"),
    ("predict", "pics", "--crop", "--out", "pics/below/new.PNG"),
    ("predict", "pics/", "--crop", "--out", "linked/new.mp4"),
    ("predict", "linked", "--crop", "--out", "pics/a.png"),
    ("predict", "pics", "--crop", "--out", "face.png"),  # a link in pics leads to it
    ("predict", "face.png", "--crop", "--annotate", "drawn", "--out", "drawn/face.png"),
    ("table", "r.json", "--csv", "new", "--boamps", "./new"),
    ("report", "r.json", "--html", "new", "--figures", "new"),
    ("merge", "r.json", "--out", "r.json"),
    ("merge", "res", "--out", "res/all.json"),
    ("report", "res", "--html", "res/page.json"),
    ("evaluate", "net.safetensors", "--data", "pics", "--log", "pics/log.csv"),
    ("teach", "net.safetensors", "--data", "rafdb:pics", "--out", "pics/new.zip"),
    ("train", "vgg_slim", "--soft-labels", "run/state.safetensors", "--out", "run"),
    ("export", "net.safetensors", "--to", "openvino", "--out", "net.xml", "--data", "net.bin"),
)


@pytest.mark.parametrize("words", OUTPUT_IS_INPUT, ids=" ".join)
def test_no_command_replaces_its_input_or_its_own_output(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Results that had taken an hour, or weights, were gone by a slip, with exit code 0."""
    monkeypatch.chdir(tmp_path)
    for name in ("r.json", "face.png", "net.safetensors", "faces.csv", "list.toml", "page.md"):
        Path(name).write_text(name)
    for folder, name in (("there", ""), ("pics", "a.png"), ("res", "r.json"), ("run", "")):
        Path(folder).mkdir()
        if name:
            Path(folder, name).write_text(name)
    Path("link").symlink_to("r.json")
    Path("linked").symlink_to("pics")
    Path("pics", "link.png").symlink_to("../face.png")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert run([*words]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.endswith(": choose another file to write")
    assert before == {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}


def test_a_folder_that_is_in_use_is_refused_by_name(tmp_path: Path):
    with alone(tmp_path / "run" / ".lock", "the training in run"):
        code = "import sys; from pathlib import Path; from lightfer._files import alone\n"
        code += "alone(Path(sys.argv[1]), 'the training in run').__enter__()"
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "run" / ".lock"], capture_output=True, text=True
        )
    assert f"the training in run is in use by process {os.getpid()}: wait" in done.stderr
    with alone(tmp_path / "run" / ".lock", "the training in run"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "later")
    with alone(tmp_path / "link" / ".lock", "the training in a folder that a link leads to"):
        assert (tmp_path / "later" / ".lock").exists()


WITHOUT_LOCKS = """
import errno, fcntl, os, signal, sys
from pathlib import Path
from lightfer._files import alone

def flock(*_):
    raise OSError(errno.ENOSYS, "not implemented")

fcntl.flock = flock
with alone(Path(sys.argv[1]), "the folder"):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks in another way")
def test_a_killed_process_holds_no_folder_where_the_system_has_no_locks(tmp_path: Path):
    """As of some Lustre. The next ones were told for ever to wait for the dead one."""
    codes = [
        subprocess.run([sys.executable, "-c", WITHOUT_LOCKS, tmp_path / ".lock", number]).returncode
        for number in (str(signal.SIGKILL.value), "0", "0")
    ]
    assert codes == [-signal.SIGKILL, 0, 0]


def test_a_line_is_added_as_a_whole(tmp_path: Path):
    log = tmp_path / "out" / "log.jsonl"
    append_line(log, "first")
    append_line(log, "käse")
    assert log.read_text() == "first\nkäse\n"
    log.write_text("first")
    append_line(log, "käse")
    assert log.read_text() == "first\nkäse\n"
    for limit in (100, len(log.read_bytes())):  # a part is written, and nothing
        with files_of_at_most(limit), pytest.raises(OutputError) as told:
            append_line(log, "x" * 3000)
        why = f"{os.strerror(errno.EFBIG)}; free some space, or choose another place"
        assert str(told.value) == f"{log} was not written: {why}"  # not that the disk is full
        assert log.read_text() == "first\nkäse\n"


def test_one_base_class_for_what_is_the_users_to_mend():
    from lightfer.data import DataError
    from lightfer.data.pictures import PictureError
    from lightfer.inference.card import ExportedFileError
    from lightfer.models.weights import CheckpointError
    from lightfer.results import ResultsError

    kinds = (DataError, PictureError, ExportedFileError, CheckpointError, ResultsError)
    assert all(issubclass(kind, LightferError) for kind in (*kinds, _files.OutputError))


def test_a_fault_of_ours_is_a_traceback(monkeypatch: pytest.MonkeyPatch):
    """It used to be one line where it was a ValueError, and so could not be found."""

    def fault(*arguments: object, **names: object) -> None:
        raise ValueError("of an array")

    monkeypatch.setattr("lightfer.cli.main.app", fault)
    with pytest.raises(ValueError, match="of an array"):
        run(["bench"])


def test_what_was_found_is_shown_as_far_as_a_person_would_read(tmp_path: Path, capsys):
    path = tmp_path / "list.toml"
    path.write_text(f"[[item]]\nmodel = 'mobilenet_v2'\n{'x' * 100_000} = 1\n")
    assert run(["queue", str(path), "--data", "synthetic", "--out", str(tmp_path / "q")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown field `xxx" in line
    assert "xxx ... xxx" in line
    assert len(line) < 2100
