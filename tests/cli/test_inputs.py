"""What people give commands to read: one line for what cannot be, and nothing is waited for."""

import json
import os
import signal
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from lightfer.__main__ import run
from lightfer._files import shipped
from lightfer.data import CLASSES, Dataset
from lightfer.inference.card import CARD_KEY
from lightfer.inference.onnx_from_weights import assembled
from lightfer.inference.predict import Predictor
from lightfer.models.weights import InputContract, load_checkpoint, save_checkpoint
from lightfer.results import read_results, write_results
from lightfer.train.distill import load_teacher
from tests.report.made_up import made_up

SAID = " is a pipe or device, expected a file"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """An empty working folder, in which nothing may take long."""

    def late(number: int, frame: object) -> None:
        raise AssertionError("waited for")

    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(300)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def complaint(arguments: list[str], capsys, code: int = 2) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    printed, messages = capsys.readouterr()
    assert printed == ""
    *notes, line = messages.splitlines()
    assert not any(note.startswith(("lightfer", "Traceback")) for note in notes), messages
    return line


@pytest.mark.parametrize(
    "command",
    [
        "table {}.json",
        "table {}.json --csv out.csv",
        "rank {}.json",
        "choose {}.json",
        "compare {}.json r.json",
        "compare r.json {}.json",
        "validate {}.json",
        "report {}.json",
        "merge r.json {}.json --out all.json",
        "table r.json --into {}.md",
        "bench --data none --power-log {}.csv",
        "bench {}.safetensors --data none",
        "evaluate {}.safetensors --data synthetic",
        "export {}.safetensors --to onnx --out net.onnx",
        "train shiftnet_a --data synthetic --recipe first_light --teachers {}.safetensors",
        "train shiftnet_a --data synthetic --recipe first_light --soft-labels {}.safetensors",
        "teach {}.safetensors --data synthetic",
        "queue {}.toml --data synthetic",
        "queue {}.zip --data synthetic",
        "data audit --data {}.csv",
        "data audit --data {}.zip",
        "data audit --data {}.tar.gz",
        "data audit --data rafdb:{}.zip",
        "data audit --data synthetic --ferplus {}.csv",
        "predict picture.png --model {}.safetensors",
        "predict picture.png --model {}.onnx",
        "predict picture.png --model {}.xml",
    ],
)
def test_a_pipe_is_named_not_opened(here: Path, command: str, capsys):
    name = next(word for word in command.split() if "{}" in word).replace("{}", "pipe")
    os.mkfifo(name.removeprefix("rafdb:"))
    write_results(here / "r.json", made_up(1, 1))
    Image.new("L", (48, 48)).save("picture.png")
    before = sorted(here.iterdir())
    line = complaint(command.replace("{}", "pipe").split(), capsys)
    assert line.startswith(f"lightfer: {name.removeprefix('rafdb:')}{SAID}")
    assert [path for path in sorted(here.iterdir()) if path.name != "runs"] == before


def test_the_weights_of_an_openvino_file_may_be_a_pipe(here: Path, capsys):
    pytest.importorskip("openvino")
    Path("net.xml").write_text("<net/>")
    os.mkfifo("net.bin")
    Image.new("L", (48, 48)).save("picture.png")
    assert f"net.bin{SAID}" in complaint(["predict", "picture.png", "--model", "net.xml"], capsys)


@pytest.mark.parametrize(
    "command",
    [
        "table {}",
        "compare {} r.json",
        "validate {}",
        "bench {}.safetensors --data none",
        "train shiftnet_a --data synthetic --recipe first_light --soft-labels {}",
        "queue {}.toml --data synthetic",
        "queue {}.zip --data synthetic",
        "data audit --data synthetic --ferplus {}",
        "predict picture.png --model {}.safetensors",
        "predict picture.png --model {}.onnx",
        "predict picture.png --model {}.xml",
    ],
)
def test_a_folder_in_the_place_of_a_file_is_called_one(here: Path, command: str, capsys):
    name = next(word for word in command.split() if "{}" in word).format("there")
    Path(name).mkdir()
    write_results(here / "r.json", made_up(1, 1))
    Image.new("L", (48, 48)).save("picture.png")
    line = complaint(command.format("there").split(), capsys)
    assert line == f"lightfer: {name} is a folder, expected a file: give the name of a file in it"


def test_a_device_is_named_not_read_without_end(here: Path, capsys):
    try:
        os.mknod("zero.json", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        Path("zero.json").open("rb").close()
    except OSError:
        pytest.skip("making a device needs root, and a file system that has them")
    assert f"zero.json{SAID}" in complaint(["table", "zero.json"], capsys)


def test_a_model_is_not_the_pipe_of_its_name(here: Path):
    os.mkfifo("squeezenet1_1_bn")
    pytest.importorskip("onnxruntime")
    Predictor("squeezenet1_1_bn", "onnxruntime", faces="never", threads=1)


def given_open(path: Path) -> str:
    """As a shell gives <(cat PATH)."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(path.read_bytes())

    threading.Thread(target=write, daemon=True).start()
    return f"/dev/fd/{reader}"


def test_what_the_shell_gives_open_is_read(here: Path, capsys):
    write_results(here / "a.json", made_up(1, 2))
    write_results(here / "b.json", made_up(1, 2))
    for command in (["table", "--csv", "-"], ["rank"], ["choose"], ["validate"]):
        codes = {}
        for name in ("a.json", given_open(here / "a.json")):
            code = run([*command, name])
            codes[code, capsys.readouterr().out.replace(name, "")] = name
        assert len(codes) == 1
    said = []
    for names in (("a.json", "b.json"), map(given_open, (here / "a.json", here / "b.json"))):
        assert run(["compare", "--json", *names]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    Image.new("L", (48, 48), 99).save("picture.png")
    (prediction,) = Predictor("squeezenet1_1_bn", faces="never", threads=1)(
        [given_open(here / "picture.png")]
    )
    assert prediction.error is None


@pytest.mark.parametrize(
    "command",
    [
        "table {}",
        "table {} --markdown",
        "table {} --csv out",
        "table {} --latex out",
        "table {} --parquet out",
        "table {} --boamps folder",
        "table {} --into out",
        "rank {}",
        "rank {} --json",
        "choose {}",
        "compare {} r.json",
        "compare r.json {}",
        "compare r.json {} --fail-slower 10%",
        "compare {} predecessor.json",
        "report {} --html out",
        "report {} --figures folder",
        "merge {} --out out",
    ],
)
def test_of_no_entries_nothing_is_shown_or_written(here: Path, command: str, capsys):
    Path("empty.json").write_text('{"schema": "lightfer/1"}')
    Path("out").write_text("complete")
    figures = '{"accuracy": 70, "parameters": 1, "flops": 1}'
    Path("predecessor.json").write_text(f'{{"mobilenet_v1": {figures}}}')
    write_results(here / "r.json", made_up(1, 1))
    line = complaint(command.replace("{}", "empty.json").split(), capsys)
    assert line.startswith("lightfer: empty.json: holds no entries, expected a results file")
    assert Path("out").read_text() == "complete"
    assert not Path("folder").exists()


def test_an_empty_file_can_be_added_to(here: Path):
    """A run that had no model to measure yet is no damage."""
    from lightfer.results import add_results

    Path("r.json").write_text('{"schema": "lightfer/1"}')
    add_results(here / "r.json", made_up(1, 1))
    assert read_results("r.json").entries


def test_an_encrypted_pack_is_one_line(here: Path, capsys):
    with zipfile.ZipFile("queue.zip", "w") as archive:
        archive.writestr("queue.toml", "[[item]]\nmodel = 'shiftnet_a'\n")
    content = Path("queue.zip").read_bytes()
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the encryption bit
        at = content.index(signature) + offset
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    Path("queue.zip").write_bytes(content)
    line = complaint(["queue", "queue.zip", "--data", "synthetic"], capsys)
    assert line.startswith("lightfer: queue.zip is encrypted; unpack it first")
    assert [path.name for path in here.iterdir()] == ["queue.zip"]


def test_an_entry_of_no_environment_is_named(here: Path, capsys):
    """A table had no line for it."""
    told = json.loads(msgspec.json.encode(made_up(1, 2)))
    Path("r.json").write_text(json.dumps({**told, "environments": {}}))
    for command in ("table", "rank", "choose", "report"):
        line = complaint([command, "r.json"], capsys)
        assert line.startswith("lightfer: r.json: $.entries[0].environment: 'machine-0' is not one")


def test_a_file_that_is_no_whole_json_is_called_so_by_all(here: Path, capsys):
    """`compare` alone said but that data was truncated, not what was expected."""
    write_results(here / "r.json", made_up(1, 1))
    Path("empty.json").touch()
    for arguments in (["compare", "r.json"], ["rank"]):
        line = complaint([*arguments, "empty.json"], capsys)
        assert line.startswith("lightfer: empty.json is no whole JSON in UTF-8 (")
        assert "expected a results file" in line


def test_a_page_without_the_marks_of_a_table_is_named(here: Path, capsys):
    write_results(here / "r.json", made_up(1, 1))
    Path("page.md").touch()
    line = complaint(["table", "r.json", "--into", "page.md"], capsys)
    assert line.startswith("lightfer: page.md has no block <!--")


def test_a_byte_order_mark_is_no_part_of_the_results(here: Path, capsys):
    write_results(here / "r.json", made_up(1, 1))
    Path("bom.json").write_bytes(b"\xef\xbb\xbf" + Path("r.json").read_bytes())
    assert read_results("bom.json") == read_results("r.json")
    for command in (["validate", "bom.json"], ["compare", "bom.json", "r.json"]):
        assert run(command) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    "command",
    [
        "table {}",
        "rank {}",
        "validate {}",
        "compare {} r.json",
        "compare r.json {}",
        "report {}",
        "merge r.json {} --out all.json",
    ],
)
def test_json_of_any_depth_is_one_line(here: Path, command: str, capsys):
    """Lists in lists ended in a RecursionError, also below a key that is not known."""
    write_results(here / "r.json", made_up(1, 1))
    lists = "[" * 100_000 + "]" * 100_000
    Path("deep.json").write_text(lists)
    Path("below.json").write_text(Path("r.json").read_text().rstrip()[:-1] + f', "new": {lists}}}')
    for name in ("deep.json", "below.json"):
        assert name in complaint(command.format(name).split(), capsys)
    assert not Path("all.json").exists()


def test_a_card_of_any_depth_is_one_line(here: Path, capsys):
    path = changed("own.safetensors")
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={CARD_KEY: "[" * 100_000 + "]" * 100_000})
    Image.new("L", (48, 48)).save("picture.png")
    for command in (["predict", "picture.png", "--model"], ["export", "--to=onnx", "--out=n.onnx"]):
        assert "own.safetensors" in complaint([*command, path], capsys)


def test_whole_numbers_without_a_place_in_parquet_are_one_line(here: Path, capsys):
    told = json.loads(msgspec.json.encode(made_up(1, 1)))
    told["entries"][0] |= {"macs": 2**63, "flops": 2**64}
    Path("r.json").write_text(json.dumps(told))
    line = complaint(["table", "r.json", "--parquet", "out.parquet"], capsys)
    assert line.startswith("lightfer: the results have no form in Parquet")
    assert not Path("out.parquet").exists()
    assert run(["table", "r.json", "--csv", "out.csv"]) == 0
    assert str(2**63) in Path("out.csv").read_text()


def test_no_time_at_a_batch_size_is_no_empty_rank(here: Path, capsys):
    write_results(here / "r.json", made_up(1, 2))
    for options in (["--batch-size", "7"], ["--batch-size", "-1", "--json"]):
        line = complaint(["rank", "r.json", *options], capsys)
        assert line.endswith(": there are 1, 64")


def test_no_option_of_table_is_passed_over(here: Path, capsys):
    pytest.importorskip("altair")
    write_results(here / "r.json", made_up(1, 2))
    (here / "docs").mkdir()
    page, marks = Path("docs/page.md"), "<!-- results:begin -->\nold\n<!-- results:end -->\n"
    page.write_text(marks)
    into = ["table", "r.json", "--into", "docs/page.md"]
    assert "--figure is shown in what --into" in complaint(
        ["table", "r.json", "--figure", "f.png"], capsys
    )
    assert "expected a figure to end in .png" in complaint([*into, "--figure", "f.xyz"], capsys)
    assert page.read_text() == marks
    assert run([*into, "--figure", "a b)(%.svg"]) == 0
    assert "](../a%20b%29%28%25.svg)" in page.read_text()
    capsys.readouterr()
    assert run([*into, "--csv", "out.csv", "--figure", "f.svg", "--markdown"]) == 0
    assert "| Model |" in capsys.readouterr().out
    assert Path("out.csv").exists()
    assert "](../f.svg)" in page.read_text()
    Path("f.svg").write_text("complete")
    page.write_text("no marks")
    assert "has no block" in complaint([*into, "--figure", "f.svg"], capsys)
    assert Path("f.svg").read_text() == "complete"


def changed(name: str, **changes: object) -> str:
    """A shipped weight file with another card."""
    path = shipped("squeezenet1_1_bn")
    assert path is not None
    weights, card = load_checkpoint(path)
    save_checkpoint(Path(name), weights, msgspec.structs.replace(card, **changes))
    return name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": CLASSES[::-1]}, "its classes are neutral, surprise, "),
        ({"input": InputContract(mean=0.5, std=0.255)}, "its input is (1, 48, 48) of mean 0.5 "),
        ({"input": InputContract(mean=0.508, std=0.255, channels=3)}, "its input is (3, 48, 48)"),
        ({"input": InputContract(mean=0.508, std=0.255, height=96)}, "its input is (1, 96, 48)"),
    ],
    ids=["order", "mean", "channels", "height"],
)
def test_a_net_is_not_scored_on_what_its_card_does_not_say(
    here: Path, change: dict, said: str, faces: Dataset, capsys
):
    name = changed("own.safetensors", **change)
    line = complaint(["evaluate", name, "--data", "synthetic"], capsys)
    assert line.startswith(f"lightfer: own.safetensors: {said}")
    assert line.endswith("it can predict, but not be scored")
    with pytest.raises(ValueError, match="but not be scored"):
        load_teacher(name, faces["train"])
    assert not Path("out").exists()


def test_an_exported_file_that_does_not_take_what_its_card_says_is_one_line(here: Path, capsys):
    onnx = pytest.importorskip("onnx")
    content = assembled(shipped("squeezenet1_1_bn") or Path())
    assert content
    model = onnx.load_from_string(content)
    told = json.loads(model.metadata_props[0].value)
    told["input"]["height"] = 96
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(told)})
    Path("net.onnx").write_bytes(model.SerializeToString())
    Image.new("L", (48, 48)).save("picture.png")
    for runtime in ("onnxruntime", "openvino"):
        if find_spec(runtime):
            options = ["--model", "net.onnx", "--runtime", runtime]
            line = complaint(["predict", "picture.png", *options], capsys)
            assert line.startswith("lightfer: net.onnx cannot be run on float32 of (1, 1, 96, 48)")
    grey = InputContract(mean=0.508, std=0.255)
    for contract in (replace(grey, channels=3), replace(grey, height=3)):
        assert assembled(Path(changed("own.safetensors", input=contract))) is None


@pytest.mark.parametrize("device", ["cpu:x", "cpu:", "cpu:0", "CPU", "cuda:99", "mps:1", "xpu"])
@pytest.mark.parametrize(
    "command", ["evaluate squeezenet1_1_bn", "train shiftnet_a", "teach vgg_slim", "bench"]
)
def test_a_device_that_is_not_there_is_one_line(here: Path, command: str, device: str, capsys):
    line = complaint([*command.split(), "--data", "synthetic", "--device", device], capsys)
    assert line.startswith(f"lightfer: device {device!r} is not available here; available: cpu")
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "evaluate squeezenet1_1_bn",
        "export squeezenet1_1_bn --to onnx --precision int8 --out net.onnx",
    ],
)
def test_no_line_is_added_to_what_is_no_log(here: Path, command: str, capsys):
    """`evaluate --log results.json` made of it a file that nothing could read."""
    write_results(here / "r.json", made_up(1, 1))
    Image.new("L", (48, 48)).save("r.png")
    Path("r.csv").write_text("[1]\n")
    for name in ("r.json", "r.png", "r.csv"):
        before = Path(name).read_bytes()
        line = complaint([*command.split(), "--data", "synthetic", "--log", name], capsys)
        assert line == f"lightfer: {name} is no log of scorings: choose another file to write"
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "evaluate squeezenet1_1_bn --split validation --data {}",
        "export squeezenet1_1_bn --to onnx --out net.onnx",
    ],
)
def test_a_log_that_is_not_written_may_be_anything(here: Path, command: str, small_csv: Path):
    """As in a folder that belongs to somebody else, where neither could be done."""
    if command.startswith("export"):
        pytest.importorskip("onnxscript")
    (here / "out").mkdir()
    Path("out/test_scorings.jsonl").write_text("mine")
    assert run(command.format(small_csv).split()) == 0
    assert Path("out/test_scorings.jsonl").read_text() == "mine"


def test_two_forms_of_one_output_are_refused(here: Path, capsys):
    write_results(here / "r.json", made_up(1, 1))
    line = complaint(["compare", "r.json", "r.json", "--json", "--markdown"], capsys)
    assert line.startswith("lightfer: --json and --markdown are two forms of one output")


def test_only_squares_are_exported(here: Path, capsys):
    name = changed("own.safetensors", input=InputContract(mean=0.508, std=0.255, height=96))
    line = complaint(["export", name, "--to", "onnx", "--out", "net.onnx"], capsys)
    assert line == "lightfer: own.safetensors is for images of 96 x 48, expected squares"


@pytest.mark.parametrize(
    "command",
    [
        "table r.json --csv x.csv/",
        "table r.json --latex x.tex/",
        "table r.json --parquet x.parquet/.",
        "table r.json --into page.md/",
        "table r.json --into page.md --figure x.png/",
        "report r.json --html x.html/",
        "merge r.json --out x.json/",
        "bench --data none --out x.json/",
        "evaluate shiftnet_a --data synthetic --log x.jsonl/",
        "export shiftnet_a --to onnx --out x.onnx/",
        "export shiftnet_a --to onnx --out x.onnx --log x.jsonl/",
        "teach vgg_slim --data synthetic --out x.safetensors/",
        "queue list.toml --data synthetic --pack x.zip/",
        "predict picture.png --out x.jsonl/",
        "predict picture.png --annotate x.png//",
    ],
)
def test_the_name_of_a_folder_is_no_file_to_write(here: Path, command: str, capsys):
    """`--out x.json/` wrote a file x.json."""
    write_results(here / "r.json", made_up(1, 2))
    before = sorted(here.iterdir())
    line = complaint(command.split(), capsys)
    name = next(word for word in command.split() if word.endswith(("/", "/.")))
    assert line == f"lightfer: {name} is the name of a folder, expected a file: name a file in it"
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [
        "bench squeezenet1_1_bn --data none --batch-size",
        "export squeezenet1_1_bn --to onnx --out net.onnx --batch",
    ],
)
def test_no_batch_is_larger_than_memory(here: Path, command: str, capfd):
    assert run([*command.split(), "1000000000"]) == 2
    assert "less than or equal to 65536" in capfd.readouterr().err
    assert not list(here.iterdir())
