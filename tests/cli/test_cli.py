"""The commands as a person runs them, on synthetic faces."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lightfer.__main__ import run
from lightfer.cli.main import app
from lightfer.cli.table import BEGIN, END, replace_block
from lightfer.errors import FULL
from lightfer.models.weights import load_checkpoint
from lightfer.results import read_results
from lightfer.train.job import Job, for_processor
from tests.measure.energy.simulated import StillMeter

pytestmark = pytest.mark.usefixtures("brief")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lightfer(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.stdout


def complain(*arguments: str, capsys: pytest.CaptureFixture) -> str:
    """The one line that the command prints for an error of the user's making."""
    assert run([*arguments]) == 2
    return capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from lightfer.__main__ import main\n"
        "sys.argv = ['lightfer', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "bench" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_bare_command_says_what_to_do_next(here: Path):
    """Every command that it names exists; once something was measured, what reads that is named."""
    known = get_command(app).commands  # type: ignore[attr-defined]
    for measured in (False, True):
        if measured:
            (here / "out").mkdir()
            (here / "out/results.json").touch()
        text = lightfer()
        named = [line.split()[1] for line in text.splitlines() if line.startswith("  lightfer ")]
        assert len(named) == (4 if measured else 5)
        assert set(named) - {"--help"} <= set(known)
        assert ("out/results.json" in text) is measured


def test_the_version_is_that_of_the_package():
    assert lightfer("--version") == f"lightfer {version('lightfer')}\n"


def test_the_version_needs_none_of_the_dependencies():
    """As where only `lightfer predict` works."""
    code = (
        "import sys; from lightfer.__main__ import main, NEEDED\n"
        "sys.modules.update(dict.fromkeys(NEEDED))\n"
        "sys.argv = ['lightfer', '--version']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"lightfer {version('lightfer')}\n", "")


def test_python_knows_the_version_without_torch():
    code = "import sys, lightfer; print(lightfer.__version__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{version('lightfer')} False\n"


def test_train_evaluate_bench_table_end_to_end(here: Path, small_csv: Path):
    model, data = "shufflenet_v2_x0_5", ("--data", str(small_csv))
    lightfer("train", model, *data, "--epochs", "2", "--out", "run", "--threads", "1")
    weights = f"run/{model}.safetensors"
    scores = json.loads(lightfer("evaluate", weights, *data, "--json"))
    others = scores["accuracy_other"]
    scores = scores["accuracy"]
    assert [(o["split"], o["view"]) for o in others] == [
        ("test", "flip"),
        ("test", "ten-crop"),
        ("test without copies", "single"),
        ("validation + test", "single"),
    ]
    assert (scores["split"], scores["images"], scores["labels"]) == ("test", 48, "custom")
    assert len(Path("out/test_scorings.jsonl").read_text().splitlines()) == 1
    assert "happy" in lightfer("evaluate", weights, *data, "--split", "validation")
    assert len(Path("out/test_scorings.jsonl").read_text().splitlines()) == 1
    printed = lightfer("bench", weights, *data, "--rounds", "1", "--threads", "1", "--quick")
    assert "unverified data" in printed
    (entry,) = read_results(Path("out/results.json")).entries
    assert entry.accuracy is not None
    assert (entry.accuracy.top1, entry.accuracy.source) == (scores["top1"], "measured")
    assert {timed.batch_size for timed in entry.latency} == {1}  # of a quick look
    assert not Path("out/.results.json.journal").exists()
    assert f"| {model} |" in lightfer("table", "out/results.json", "--markdown")


def test_a_training_closes_its_meters_and_says_what_one_did_not_tell(
    here: Path, small_csv: Path, monkeypatch: pytest.MonkeyPatch
):
    meters = [StillMeter("cpu"), StillMeter("cpu", "second")]
    monkeypatch.setattr("lightfer.measure.energy.training.open_meters", lambda device: (meters, {}))
    command = ("train", "shufflenet_v2_x0_5", "--data", str(small_csv), "--epochs", "1")
    done = CliRunner().invoke(app, [*command, "--out", "run", "--threads", "1"])
    assert [meter.closed for meter in meters] == [True, True]
    why = "energy of the training (modelled): still told 0 of 1 epochs: still: the counter stood"
    assert done.stderr.count(why) == 1


def test_two_scorings_at_once_keep_each_others_figures_in_the_card(
    here: Path, small_csv: Path, monkeypatch: pytest.MonkeyPatch
):
    """That of test begins after that of validation has read the card, and ends before it."""
    monkeypatch.setattr("lightfer.data.Dataset.verified", True)
    model, options = "shufflenet_v2_x0_5", ("--data", str(small_csv))
    lightfer("train", model, *options, "--epochs", "1", "--out", "run", "--threads", "1")
    weights = f"run/{model}.safetensors"

    def meanwhile(*_: object) -> None:
        lightfer("evaluate", weights, *options, "--into-card")

    monkeypatch.setattr("lightfer.measure.calibration.calibrate", meanwhile)
    scored = ("evaluate", weights, *options, "--split", "validation", "--into-card", "--json")
    accuracy = json.loads(lightfer(*scored))["accuracy"]
    _, card = load_checkpoint(Path(weights))
    assert card.test is not None
    assert card.validation is not None
    assert card.validation.top1 == accuracy["top1"]


def test_a_trained_model_is_exported_with_its_card(here: Path, small_csv: Path):
    """What `predict` needs where there is no torch."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from lightfer._files import sha256_of
    from lightfer.inference.session import read_card

    model = "mobilenet_v1_x0_25"
    options = ("--data", str(small_csv), "--epochs", "1", "--out", "run", "--threads", "1")
    lightfer("train", model, *options)
    weights = Path(f"run/{model}.safetensors")
    printed = lightfer("export", str(weights), "--to", "onnx", "--out", "net/mine.onnx")
    assert "largest difference of a logit from PyTorch on 64 faces" in printed
    card = read_card(Path("net/mine.onnx"))
    assert (card.model, card.weights_sha256) == (model, sha256_of(weights))
    assert card.data_name == "custom"
    assert [path.name for path in Path("net").iterdir()] == ["mine.onnx"]


def test_append_keeps_what_the_file_holds(here: Path):
    for name in ("mobilenet_v1_x0_25", "shufflenet_v2_x0_5"):
        options = ("--data", "none", "--rounds", "1", "--quick", "--append", "--out", "r.json")
        lightfer("bench", name, *options)
    assert [e.model for e in read_results(here / "r.json").entries] == [
        "mobilenet_v1_x0_25",
        "shufflenet_v2_x0_5",
    ]


def test_thorough_measures_every_runtime_that_is_there(here: Path, monkeypatch):
    """Of which there are two: eager PyTorch, and one that cannot be used."""
    from dataclasses import replace

    from lightfer.inference.backends import RUNTIMES

    for name in list(RUNTIMES)[1:]:
        monkeypatch.delitem(RUNTIMES, name)
    absent = replace(RUNTIMES["pytorch"], name="absent", available=lambda: "not built")
    monkeypatch.setitem(RUNTIMES, "absent", absent)
    monkeypatch.setattr("lightfer.measure.process.computes_bfloat16", lambda device: True)
    options = ("--data", "none", "--rounds", "1", "--threads", "1", "--quick")
    lightfer("bench", "mobilenet_v1_x0_25", "--thorough", *options)
    full, half = read_results(here / "out/results.json").entries
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    assert (full.runtime, half.runtime) == ("pytorch", "pytorch")
    assert full.latency[0].passes is not None
    assert full.latency[0].passes[0] >= 50


def test_a_processor_without_bfloat16_measures_it_where_it_is_asked_for(here: Path, monkeypatch):
    """There it takes many times as long as float32."""
    from lightfer.inference.backends import RUNTIMES

    for name in list(RUNTIMES)[1:]:
        monkeypatch.delitem(RUNTIMES, name)
    monkeypatch.setattr("lightfer.measure.process.computes_bfloat16", lambda device: False)
    few = ["--data", "none", "--rounds", "1", "--passes", "1", "--warm-up", "1"]
    command = ("bench", "mobilenet_v1_x0_25", "--quick", *few)
    for options, told, measured in (
        (["--thorough"], True, ["float32"]),
        (["--precision", "bfloat16"], False, ["bfloat16"]),
    ):
        done = CliRunner().invoke(app, [*command, *options])
        assert ("without bfloat16: this processor" in done.stderr) == told, done.output
        assert [e.precision for e in read_results(here / "out/results.json").entries] == measured


def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    here: Path, small_csv: Path, monkeypatch
):
    """That of a run that was begun in bfloat16 goes on in it, and the other way round."""
    monkeypatch.setattr("lightfer.train.job.computes_bfloat16", lambda device: False)
    command = ("train", "squeezenet1_0", "--data", str(small_csv), "--epochs", "1", "--out", "run")
    assert "does not compute in bfloat16, which equal asks for" in lightfer(*command)
    _, card = load_checkpoint(Path("run/squeezenet1_0.safetensors"))
    assert card.config["precision"] == "float32"
    assert card.recipe.endswith(",precision=float32")
    monkeypatch.setattr("lightfer.train.job.computes_bfloat16", lambda device: True)
    assert "in float32" in lightfer(*command)

    job = Job(model="squeezenet1_0")
    assert for_processor(job, Path("other")) == job
    (here / "begun").mkdir()
    Path("begun/run.json").write_text(json.dumps({"recipe": job.recipe_text}))
    monkeypatch.setattr("lightfer.train.job.computes_bfloat16", lambda device: False)
    assert for_processor(job, Path("begun")) == job
    asked = Job(model="squeezenet1_0", settings={"precision": "bfloat16"})
    assert for_processor(asked, Path("other")) == asked
    assert for_processor(job, Path("other")).config().precision == "float32"


def test_models_json_names_every_promised_key(here: Path):
    rows = json.loads(lightfer("models", "--json", "--family", "mobilenet_v3"))
    row = next(r for r in rows if r["name"] == "mobilenet_v3_small")
    assert (row["params"], row["macs"]) == (1_524_743, 3_984_776)
    assert (row["params_imagenet"], row["macs_imagenet"]) == (2_542_856, 56_510_400)
    assert {"name", "family", "pretrained"} <= set(row)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "resnet50", "--data", "none"), "there is no model 'resnet50'"),
        (("bench", "missing.safetensors", "--data", "none"), "no such weight file"),
        (("bench", "--data", "none", "--runtime", "tflite"), "there is no runtime 'tflite'"),
        (("train", "mobilenet_v2"), "no data: give --data"),
        (("train", "mobilenet_v2", "--data", "nowhere.csv"), "nowhere.csv"),
        (("evaluate", "mobilenet_v2_x1_4", "--data", "synthetic"), "no weights are shipped"),
        (("export", "resnet18_cifar", "--to", "onnx", "--out", "x.onnx"), "no weights are shipped"),
        (("export", "mobilenet_v2", "--to", "onnx", "--out", "x.xml"), "ends in .onnx"),
        (("table", "missing.json"), "missing.json"),
    ],
)
def test_errors_are_one_line(here: Path, arguments, message, capsys):
    line = complain(*arguments, capsys=capsys)
    assert message in line
    assert "Traceback" not in line
    assert not Path("out").exists()


@pytest.mark.parametrize("option", ["--ten-crop", "--robustness"])
def test_an_accuracy_that_no_row_would_have_is_refused(
    option: str, here: Path, small_csv: Path, capsys
):
    """The command ended with 0, without a word of it."""
    arguments = ("bench", "vgg_slim", "--data", str(small_csv), "--precision", "bfloat16", option)
    line = complain(*arguments, capsys=capsys).splitlines()[-1]
    assert line.startswith(f"lightfer: {option} is of ")
    assert not Path("out").exists()


def test_a_broken_results_file_is_not_overwritten_by_append(here: Path, capsys):
    Path("r.json").write_text("{broken")
    arguments = ("bench", "mobilenet_v1_x0_25", "--data", "none", "--append", "--out", "r.json")
    assert "r.json" in complain(*arguments, capsys=capsys)
    assert Path("r.json").read_text() == "{broken"


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "--out"),
        ("evaluate", "mobilenet_v2", "--log"),
        ("export", "mobilenet_v2", "--to", "onnx", "--precision", "int8", "--log", "x", "--out"),
        ("teach", "mobilenet_v2", "--out"),
        ("queue", "list.toml", "--pack"),
        ("report", "missing.json", "--html"),
        ("table", "missing.json", "--into"),
        ("table", "missing.json", "--csv"),
    ],
)
def test_a_read_only_output_is_refused_before_the_work(here: Path, arguments, capsys):
    """Before the inputs are read: they are missing here."""
    output = Path("output.onnx")
    output.write_text("old")
    output.chmod(0o444)
    line = complain(*arguments, str(output), capsys=capsys)
    assert line == (
        "lightfer: output.onnx is read-only: choose another file, or make it writable (chmod u+w)\n"
    )
    assert output.read_text() == "old"
    assert list(here.iterdir()) == [here / output]


def test_a_file_in_the_place_of_a_folder_is_refused_before_the_work(here: Path, capsys):
    Path("taken").touch()
    for arguments in (
        ("train", "mobilenet_v2", "--out"),
        ("queue", "list.toml", "--out"),
        ("report", "missing.json", "--figures"),
        ("table", "missing.json", "--boamps"),
    ):
        line = complain(*arguments, "taken", capsys=capsys)
        assert line.startswith("lightfer: taken cannot be written: ")
        assert line.endswith("taken is a file, expected a folder\n")
        assert line.count("\n") == 1


@pytest.mark.parametrize("number", FULL)
def test_errors_of_the_system_are_one_line(number: int, here: Path, capsys, monkeypatch):
    """A quota and a limit of a file's size got no advice."""

    def full(*arguments: object, **names: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("lightfer.cli.main.app", full)
    line = complain("bench", capsys=capsys)
    assert line.startswith(f"lightfer: {os.strerror(number)}; free some space, ")


def test_a_block_is_replaced_between_its_marks_only():
    text = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert replace_block(text, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter"
    windows = text.replace("\n", "\r\n")
    assert replace_block(windows, "new\n") == f"before\r\n{BEGIN}\r\nnew\r\n{END}\r\nafter"
    with pytest.raises(ValueError, match="has no block"):
        replace_block("nothing here", "new")


def test_module_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "lightfer", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "TERM": "dumb"},
    )
    assert done.returncode == 0
