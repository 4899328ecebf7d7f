"""Networks of one's own: by entry point and by path, in every command, and what is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from typer.testing import CliRunner

import lightfer
from lightfer.__main__ import run as run_here
from lightfer._files import sha256_of, shipped
from lightfer.cli.main import app
from lightfer.data import Dataset
from lightfer.errors import ArgumentError
from lightfer.inference.predict import network
from lightfer.inference.predict.shards import Setup, open_here
from lightfer.models.find import find_weights, own_source
from lightfer.models.registry import architecture, describe_model
from lightfer.models.weights import CheckpointError, load_checkpoint, save_checkpoint
from lightfer.results import read_results
from lightfer.train.distill import load_teacher
from lightfer.train.job import Job, run_job
from tests.models.test_weights import card

TINY = """
from functools import partial

from torch import nn

from lightfer.models.registry import Architecture


class TinyNet(nn.Sequential):
    def __init__(self, num_classes=7, in_channels=1):
        super().__init__(
            nn.Conv2d(in_channels, 4, 3, 4, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes),
        )


def fixed_size(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 48 * 48, num_classes))


def swapped(in_channels, num_classes):
    return TinyNet(num_classes, in_channels)


def no_network(num_classes, in_channels):
    return num_classes + in_channels


half = partial(TinyNet)

described = Architecture(
    name="any", family="tiny", constructor=TinyNet, options={}, width=0.5, output_stride=4,
    paper="https://example.org", deviations=("all of it",),
)
answer = 42
"""
PARAMS = 4 * 9 + 4 + 2 * 4 + 4 * 7 + 7


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with networks, and the files by which pip says that it is installed."""
    package, installed = tmp_path / "own_nets", tmp_path / "own_nets-1.0.dist-info"
    package.mkdir()
    installed.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text(TINY)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-nets\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[lightfer.models]\ntiny_net = own_nets.tiny:TinyNet\ndescribed = own_nets.tiny:described\n"
        "gone = own_nets.gone:TinyNet\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("own_nets.tiny", "own_nets"):
        sys.modules.pop(name, None)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with `folder` on PYTHONPATH."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "lightfer", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", ["tiny_net", "own_nets.tiny:TinyNet"])
def test_a_network_by_entry_point_or_path(folder: Path, name: str):
    entry = architecture(name)
    assert (entry.name, entry.family, entry.output_stride, entry.paper) == (name, "own", 4, "")
    assert lightfer.create_model(name, num_classes=5, in_channels=3)(
        torch.zeros(2, 3, 48, 48)
    ).shape == (2, 5)
    assert find_weights(name).name == name
    row = describe_model(name)
    assert (row["params"], row["macs"]) == (PARAMS, 4 * 9 * 12 * 12 + 4 * 7)
    assert row["params_imagenet"] == PARAMS + 2 * 4 * 9 + (1000 - 7) * 5


@pytest.mark.parametrize("name", ["tiny_net", "own_nets.tiny:TinyNet"])
@pytest.mark.parametrize("labels", ["ferplus", "ferplus8"])
def test_a_network_of_ones_own_may_learn_other_labels(folder: Path, name: str, labels):
    job = Job(model=name, labels=labels)
    job.config()
    entry = architecture(job.network)
    assert entry.name == f"{name}_{labels}"
    assert entry.constructor is architecture(name).constructor
    assert lightfer.create_model(job.network, num_classes=8)(torch.zeros(1, 1, 48, 48)).shape == (
        1,
        8,
    )


def test_a_training_goes_on_with_the_net_that_it_was_begun_with_alone(folder: Path, faces: Dataset):
    """It went on with another one, and the finished weights were given for those of the new one."""
    job = Job(model="own_nets.tiny:TinyNet", settings={"epochs": 2, "precision": "float32"})

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, faces, folder / "run", on_epoch=interrupt)
    file, about = folder / "own_nets" / "tiny.py", folder / "run" / "run.json"
    file.write_text(TINY.replace("nn.ReLU", "nn.SiLU"))
    with pytest.raises(ArgumentError, match="holds a run with other code of"):
        run_job(job, faces, folder / "run")
    file.write_text(TINY)
    assert run_job(job, faces, folder / "run")[1].epochs == 2
    known = json.loads(about.read_text())
    assert known.pop("source_sha256")
    about.write_text(json.dumps(known))  # as before it was written
    assert run_job(job, faces, folder / "run")[1].epochs == 2


@pytest.mark.parametrize("name", ["own_nets.tiny:half", "own_nets.tiny:TinyNet", "described"])
def test_the_source_of_a_net_is_the_file_that_it_was_written_in(folder: Path, name: str):
    """Of what `functools.partial` makes it was a file of Python's."""
    assert own_source(name) == sha256_of(folder / "own_nets" / "tiny.py")


def test_a_teacher_of_ones_own_is_known_by_its_code_too(folder: Path, faces: Dataset):
    """What the older code had said was kept for the new one's."""
    name, path = "own_nets.tiny:TinyNet", folder / "teacher.safetensors"
    torch.manual_seed(0)
    save_checkpoint(
        path,
        lightfer.create_model(name).state_dict(),
        msgspec.structs.replace(
            card(name), trained_on="train", data_sha256={"train": faces["train"].sha256()}
        ),
    )
    given, file = f"{name}={path}", folder / "own_nets" / "tiny.py"
    before = load_teacher(given, faces["train"]).sha256
    assert load_teacher(given, faces["train"]).sha256 == before
    file.write_text(TINY.replace("nn.ReLU", "nn.SiLU"))
    assert load_teacher(given, faces["train"]).sha256 != before


def test_an_architecture_keeps_what_it_says_but_its_name(folder: Path):
    entry = architecture("described")
    assert (entry.name, entry.family, entry.width) == ("described", "tiny", 0.5)
    assert entry.deviations == ("all of it",)


def test_names_of_entry_points_are_listed_and_suggested(folder: Path):
    assert lightfer.list_models()[-3:] == ["described", "gone", "tiny_net"]
    with pytest.raises(ValueError, match="did you mean tiny_net"):
        architecture("tiny_nett")


def test_asking_for_a_network_leaves_the_random_numbers_as_they_were(folder: Path):
    torch.manual_seed(0)
    architecture("tiny_net")
    after = torch.rand(1)
    torch.manual_seed(0)
    assert after == torch.rand(1)


def test_a_network_for_one_size_has_no_counts_at_another(folder: Path):
    row = describe_model("own_nets.tiny:fixed_size")
    assert (row["macs"], row["macs_imagenet"], row["output_stride"]) == (48 * 48 * 7, None, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.tiny:TinyNet", "No module named 'no_such_package'; expected package"),
        ("own_nets.tiny:NoNet", "has no attribute 'NoNet'; expected package.module:function"),
        ("own_nets.tiny:", "cannot be imported"),
        (":TinyNet", "cannot be imported"),
        ("gone", "model 'gone' cannot be imported: No module named 'own_nets.gone'"),
        ("own_nets.tiny:answer", "is of type int, expected a function that builds a network"),
        ("own_nets.tiny:no_network", "gives AttributeError: .* expected logits"),
        ("own_nets.tiny:swapped", "gives RuntimeError: .* expected logits"),
        ("os:getcwd", "gives TypeError: .* expected logits"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(folder: Path, name: str, message: str):
    with pytest.raises(ValueError, match=message) as error:
        architecture(name)
    assert "\n" not in str(error.value)


def test_the_commands_take_a_network_of_ones_own(folder: Path):
    name, data = "own_nets.tiny:TinyNet", ("--data", "synthetic", "--threads", "1")
    trained = run(folder, "train", name, *data, "--epochs", "1", "--recipe", "equal")
    assert trained.returncode == 0, trained.stderr
    (weights,) = folder.glob("runs/*/own_nets*.safetensors")
    weights = weights.relative_to(folder)
    assert str(weights) == (
        "runs/own_nets.tiny.TinyNet-equal,epochs=1-seed0/own_nets.tiny.TinyNet.safetensors"
    )
    benched = run(folder, "bench", f"{name}={weights}", name, *data, "--rounds", "1", "--quick")
    assert benched.returncode == 0, benched.stderr
    scored, random = read_results(folder / "out/results.json").entries
    for entry in (scored, random):
        assert (entry.model, entry.family, entry.params) == (name, "own", PARAMS)
        assert entry.error is None
    assert scored.accuracy
    assert scored.accuracy.source == "measured"
    assert random.accuracy is None


@pytest.mark.usefixtures("brief")
def test_what_reads_results_takes_a_network_of_ones_own(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    name, out = "own_nets.tiny:TinyNet", "out/results.json"
    for arguments in (
        ("bench", name, "--data", "none", "--rounds", "1", "--quick", "--threads", "1"),
        ("table", out, "--csv", "results.csv", "--latex", "results.tex", "--boamps", "boamps"),
        ("rank", out),
        ("validate", out),
        ("report", out, "--html", "report.html"),
    ):
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0, arguments
    assert name in Path("report.html").read_text(encoding="utf-8")
    assert name in Path("results.csv").read_text(encoding="utf-8")
    (energy,) = Path("boamps").iterdir()
    assert "own_nets.tiny.TinyNet" in energy.name
    assert ":" not in energy.name


def test_models_describes_a_network_of_ones_own(folder: Path, monkeypatch):
    names = ("own_nets.tiny:TinyNet", "own_nets.tiny:fixed_size")
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["models", *names]).stdout
    assert "own_nets.tiny:TinyNet " in shown
    assert "own: no paper" in shown
    rows = json.loads(CliRunner().invoke(app, ["models", *names, "--json"]).stdout)
    assert [row["macs_imagenet"] is None for row in rows] == [False, True]


def test_a_queue_names_folders_and_files_without_colons(tmp_path: Path):
    from lightfer.train.sweep.items import read_list, weights_of

    (tmp_path / "list.toml").write_text('[[item]]\nmodel = "own_nets.tiny:TinyNet"\n')
    (item,) = read_list(tmp_path / "list.toml")
    path = "own_nets.tiny.TinyNet-seed0/own_nets.tiny.TinyNet.safetensors"
    assert weights_of(item, tmp_path) == tmp_path / path


def test_no_code_is_imported_because_a_weight_file_says_so(folder: Path, small_csv: Path, capsys):
    """Any file that one is sent would run code of its choice, in every command that opens it."""
    own, path = "own_nets.tiny:TinyNet", folder / "a stranger's.safetensors"
    sent = shipped("squeezenet1_1_bn")
    assert sent is not None
    _, card = load_checkpoint(sent)
    save_checkpoint(path, {}, msgspec.structs.replace(card, model=own))
    for command in (
        ("predict", str(folder), "--runtime", "pytorch", "--model"),
        ("predict", str(folder), "--runtime", "onnxruntime", "--model"),
        ("bench", "--data", "none"),
        ("evaluate", "--data", "none"),
        ("export", "--to", "onnx", "--out", str(folder / "net.onnx")),
        ("train", "mobilenet_v1", "--data", str(small_csv), "--teachers"),
        ("teach", "--data", str(small_csv), "--out", str(folder / "labels.safetensors")),
    ):
        assert run_here([*command, str(path)]) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert f"code to import: if you trust it, name it, too: {own}={path}" in message
    with pytest.raises(CheckpointError, match="code to import"):
        find_weights(f"own_nets.tiny:fixed_size={path}")
    assert "own_nets.tiny" not in sys.modules
    assert find_weights(f"{own}={path}").name == own


@pytest.mark.parametrize("name", ["tiny_net", "own_nets.tiny:TinyNet"])
def test_what_was_made_of_other_code_is_not_used(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """An exported file in the cache, and a folder with labels, had its weights and not its code."""
    code, path = folder / "own_nets" / "tiny.py", folder / "net.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, lightfer.create_model(name).state_dict(), card(name))
    key = f"{name}={path}" if ":" in name else str(path)
    monkeypatch.setenv("LIGHTFER_CACHE", str(folder / "cache"))
    monkeypatch.setattr(
        "lightfer.inference.predict.exporting.export_for_prediction",
        lambda model, path: path.write_bytes(code.read_bytes()),
    )
    setup, setups = Setup(key, "pytorch", "never"), []
    for _ in range(2):
        for _ in range(2):
            exported = network.exported(key)
            assert isinstance(exported, Path)
            assert exported.read_text() == code.read_text()
        setups.append(open_here(setup)[1])
        code.write_text(f"{TINY}\n# mended\n")
    assert setups[0] == replace(setups[1], code=setups[0].code) != setups[1]
    assert network.code_sha256("vgg_slim") is None
