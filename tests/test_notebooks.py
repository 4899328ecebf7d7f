"""The notebooks: they run from a clean kernel on small data, define nothing, and hold no path."""

import ast
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import altair
import nbformat
import pandas
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from msgspec.structs import replace
from notebooks.execute import FOLDER, REPOSITORY, SETUP, badge, cleaned, execute, notebook_names

from lightfer._files import sha256_of, shipped
from lightfer.models.registry import list_models
from lightfer.report import readme
from lightfer.report.cells import energy_basis
from lightfer.report.rank import correlations
from lightfer.results import read_results
from lightfer.results.select import Times, scored_alike

ROOT = FOLDER.parent
NAMES = notebook_names()
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def committed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in committed(name).cells if cell.cell_type == "code"]


def texts(cell: nbformat.NotebookNode) -> str:
    """All that a cell shows, as JSON."""
    return json.dumps(cell.get("outputs", []))


BRIEF = """
from lightfer.measure import latency, yardstick

yardstick.FEWEST, yardstick.COOLED = 1, 0
latency.STABLE = float("inf")
del latency, yardstick
"""


@pytest.fixture
def _small(small_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Settings under which a notebook runs in seconds, and imports this checkout."""
    path = os.pathsep.join([str(ROOT / "src"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    settings = {"DATA": str(small_csv), "QUICK": "1", "EPOCHS": "2", "MODEL": "shufflenet_v2_x0_5"}
    settings["EQUAL"] = str(ROOT / "docs/data/equal.jsonl")
    startup = (
        tmp_path / "ipython/profile_default/startup"
    )  # of every kernel; as the fixture `brief`
    startup.mkdir(parents=True)
    (startup / "brief.py").write_text(BRIEF)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for key, value in settings.items():
        monkeypatch.setenv(f"LIGHTFER_{key}", value)
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_there_are_the_four():
    assert NAMES == ["01_data", "02_model_training", "03_model_evaluation", "04_analysis"]


@pytest.mark.usefixtures("_small")
def test_the_data_notebook_runs(tmp_path: Path):
    notebook = execute("01_data", tmp_path)
    assert "unverified data" in "".join(map(texts, notebook.cells))


@pytest.mark.usefixtures("_small")
def test_the_training_notebook_leaves_a_weight_file(tmp_path: Path):
    from lightfer.models.weights import load_checkpoint

    execute("02_model_training", tmp_path)
    (path,) = tmp_path.glob("out/*/shufflenet*.safetensors")
    _, card = load_checkpoint(path)
    assert (card.model, card.epochs, card.data_name) == ("shufflenet_v2_x0_5", 2, "custom")


@pytest.mark.usefixtures("_small")
def test_the_evaluation_notebook_writes_every_figure_of_every_model(tmp_path: Path):
    from lightfer import list_models

    execute("03_model_evaluation", tmp_path)
    results = read_results(tmp_path / "out/results.json")
    assert [entry.model for entry in results.entries] == list_models(pretrained=True)
    for entry in results.entries:
        assert entry.error is None
        assert entry.accuracy
        assert entry.accuracy.images == 48
        assert entry.inference_total_s
        assert entry.inference_images == 64  # filled up to a whole batch
        assert entry.inference_per_image_s == entry.inference_total_s / 64
        assert entry.params
        assert entry.flops
        assert entry.energy
        assert entry.energy.gross
        assert entry.carbon
    assert len((tmp_path / "out/test_scorings.jsonl").read_text().splitlines()) == len(
        results.entries
    )


@pytest.mark.usefixtures("_small")
def test_the_analysis_runs_from_results_alone_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """torch and torchvision cannot be imported, and there is nothing but the one file."""
    for package in ("torch", "torchvision"):
        (tmp_path / "blocked" / package).mkdir(parents=True)
        (tmp_path / "blocked" / package / "__init__.py").write_text("raise ImportError('blocked')")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ["PYTHONPATH"]])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("LIGHTFER_RESULTS", "results.json")
    (tmp_path / "results.json").write_bytes((ROOT / "results.json").read_bytes())
    shown = "".join(map(texts, execute("04_analysis", tmp_path).cells))
    assert "mobilenet_v1" in shown
    assert shown.count("image/svg+xml") == 8
    assert "undecided" in shown
    published = readme.shown(read_results(ROOT / "results.json"))
    assert published
    for line in readme.finding(published):  # the discussion is computed
        assert json.dumps(line)[1:-1] in shown


def test_statistics_of_the_analysis_never_pool_runtimes():
    """No correlation rests on more entries than there are nets."""
    (cell,) = [c for c in code_cells("04_analysis") if c.source.startswith("ways = ")]
    results = read_results(ROOT / "results.json")
    chosen = readme.shown(results)
    assert chosen
    namespace: dict[str, Any] = {
        "results": results,
        "nets": scored_alike(chosen.entries),
        "scored_alike": scored_alike,
        "measured": Times(results),
        "correlations": correlations,
        "pandas": pandas,
    }
    exec(cell.source, namespace)
    assert len(set(namespace["rhos"]["runtime"])) > 1
    assert namespace["rhos"]["nets"].max() == len(namespace["nets"])


@pytest.mark.parametrize("told", [0, 1])
def test_the_summary_of_the_analysis_needs_no_total_of_energy(told: int):
    """It ended at a run on a GPU whose meter did not tell; here as many nets have a total."""
    results = read_results(ROOT / "results.json")
    chosen = readme.shown(results)
    assert chosen
    nets = scored_alike(chosen.entries)
    for i, e in enumerate(nets[told:], told):
        assert e.energy
        assert e.energy.gross
        assert e.carbon
        energy = replace(e.energy, gross=replace(e.energy.gross, joules_per_image=None))
        energy = replace(energy, gross=None) if i % 2 else energy
        carbon = replace(e.carbon, g_co2e_per_1000_images=None)
        nets[i] = replace(e, energy=energy, carbon=carbon)
    namespace: dict[str, Any] = {"altair": altair, "pandas": pandas, "Times": Times}
    namespace |= {"energy_basis": energy_basis, "results": results, "nets": nets}
    for begin in ("measured = ", "shades = "):
        (cell,) = [c for c in code_cells("04_analysis") if c.source.startswith(begin)]
        exec(cell.source, namespace)
    energies = namespace["table"][[namespace["ENERGY"], namespace["CO2E"]]]
    assert energies.count().tolist() == [told, told]
    assert [*energies.dtypes] == [float, float]  # so that axes are those of numbers


def test_the_outputs_are_of_the_weights_and_results_that_are_here():
    """What is stored was made from these files: new weights need `make notebooks`."""
    for name in ("02_model_training", "03_model_evaluation"):
        shown = "".join(map(texts, code_cells(name)))
        for model in list_models(pretrained=True):
            path = shipped(model)
            assert path
            assert sha256_of(path)[:12] in shown, f"{name}: {model}: run `make notebooks`"


def test_the_outputs_of_the_analysis_are_of_the_published_results():
    begins = sha256_of(ROOT / "results.json")[:12]
    assert begins in "".join(map(texts, code_cells("04_analysis"))), "run `make notebooks`"


def test_the_outputs_of_the_data_are_by_the_rule_of_today():
    """As many images have a majority of FER+'s votes as were scored on it."""
    scored = {
        f"{a.images:,}"
        for entry in read_results(ROOT / "results.json").entries
        for a in (entry.accuracy, *entry.accuracy_other)
        if a and a.labels == "fer+" and a.split == "test"
    }
    (images,) = scored
    assert f">{images}<" in "".join(
        part for cell in code_cells("01_data") for output in cell.outputs
        for part in output.get("data", {}).get("text/html", "")
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_cells_define_nothing(name: str):
    for cell in code_cells(name):
        code = TransformerManager().transform_cell(cell.source)
        found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, DEFINITIONS)]
        assert found == [], cell.source


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_opens_on_colab_by_the_same_two_cells(name: str):
    intro, setup = committed(name).cells[:2]
    assert intro.source.splitlines()[0] == badge(name), "run `make notebooks`"
    assert setup.source == SETUP, "run `make notebooks`"


def test_there_is_one_address():
    """No badge, cell or page names another one than pyproject.toml."""
    assert badge(NAMES[0]).count(REPOSITORY.removeprefix("https://github.com/")) == 1
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *FOLDER.glob("*.ipynb")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    found = set(re.findall(r"github(?:\.com)?/([\w.-]+/lightfer)\b", text))
    assert found == {REPOSITORY.removeprefix("https://github.com/")}


@pytest.mark.skipif(
    "LIGHTFER_COLAB" not in os.environ, reason="installs everything anew: LIGHTFER_COLAB=1 runs it"
)
def test_the_set_up_cell_makes_a_bare_machine_ready_as_on_colab(tmp_path: Path):
    """The cell of this commit in a new environment that has IPython, with this checkout as host."""
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare/bin/python"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"LIGHTFER_REPOSITORY": ROOT.as_uri(), "VIRTUAL_ENV": str(tmp_path / "bare")}
    environment |= {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    environment |= {"IPYTHONDIR": str(tmp_path / "ipython")}
    subprocess.run([python, "-m", "pip", "install", "--quiet", "ipython"], check=True)
    after = """
import lightfer, pathlib
print("READY", pathlib.Path(lightfer.__file__).resolve(), pathlib.Path.cwd().resolve())
import altair, pandas
assert lightfer.create_model("squeezenet1_1_bn", pretrained=True)
"""
    (tmp_path / "cell.ipy").write_text(SETUP + after)
    done = subprocess.run(
        [python, "-m", "IPython", "--no-banner", "--colors=NoColor", tmp_path / "cell.ipy"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("READY ")]
    _, package, folder = line.split()
    assert Path(package).is_relative_to(tmp_path / "bare")
    assert Path(folder) == tmp_path / "lightfer-checkout/notebooks"
    assert {path.stem for path in Path(folder).glob("*.ipynb")} == set(NAMES)


def test_the_set_up_cell_finds_its_folder_after_a_restart(tmp_path: Path):
    """lightfer is installed then; the kernel starts above the checkout again."""
    (tmp_path / "lightfer-checkout/notebooks").mkdir(parents=True)
    cell = tmp_path / "cell.ipy"
    cell.write_text(SETUP + "\nimport pathlib\nprint('HERE', pathlib.Path.cwd())\n")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", cell],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
    )
    assert f"HERE {(tmp_path / 'lightfer-checkout/notebooks').resolve()}" in done.stdout, (
        done.stderr
    )


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_of_every_cell_in_order_and_hold_no_path_and_no_error(name: str):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"display_data", "execute_result", "stream"}
    shown = "".join(map(texts, cells))
    assert not re.findall(r"[\s\"'](?:/(?:home|root|tmp|work|Users|mnt)\b|[A-Z]:\\\\)\S*", shown)
    assert "stderr" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_clean(name: str):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert cleaned(nbformat.reads(text, as_version=4)) == text


@pytest.mark.parametrize("name", ["01_data", "03_model_evaluation"])
def test_what_is_committed_is_of_fer2013(name: str):
    shown = "".join(map(texts, code_cells(name)))
    assert "FER2013" in shown
    assert "synthetic" not in shown
