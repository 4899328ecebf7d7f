"""Every command of README and pages: parsed, and run, page by page, as a reader would.

`ONLY_PARSED` lists those that are not run, with the reason. What takes hours is made short by
options that are added, see `SHORTER`; files are small and of drawn faces.
"""

import ast
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from typer.main import get_command

from lightfer.__main__ import main
from lightfer._files import shipped
from lightfer.cli.main import app
from lightfer.data import Dataset
from lightfer.inference.predict.network import DEFAULT_MODEL
from lightfer.inference.predict.options import parser
from lightfer.models.registry import create_model
from lightfer.results import read_results, write_results
from tests.test_docs import install, run_blocks, write_files

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "community/README.md"]
PAGES += sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))
NET = "squeezenet1_1_bn"  # the quickest to train and to measure
FEW = "--rounds 2 --quick --passes 1 --warm-up 1"  # of a benchmark

ONLY_PARSED = {
    "lightfer predict --camera": "needs a camera",
    "lightfer data fetch": "needs a network",
    "lightfer train mobilenet_v2 --data fer2013.csv --labels ferplus --recipe equal": (
        "needs the real FER2013 and FER+"
    ),
    "lightfer predict s3://bucket/photographs --executor ray:ADDRESS --out s3://bucket/labels": (
        "needs a network"
    ),
    "lightfer bench --fleet --executor ray:ADDRESS --data /data/fer2013.csv": "needs a cluster",
    "lightfer web --serve": "serves until it is interrupted; its own tests do",
    "lightfer bench --thorough": "takes many minutes: every runtime, `torch.compile` too",
}
"""Beside these, `pip`, `make`, `python -m venv` and `jupyter` are not run, as they need a network;
what they name is looked up. What begins with the path of another environment, as
`litert/bin/lightfer`, is parsed."""

PARTS = {
    "lightfer predict --model mobilenet_v2_ferplus": "without a picture",
    "lightfer queue recipes/ferplus.toml": "needs the real FER2013 and FER+",
    "lightfer bench --robustness": "an option to add, without data",
    "lightfer train --without-copies": "an option to add, without a model",
    "lightfer data fetch": "needs a network",
    "lightfer data audit": "without data",
    "lightfer teach A B --out soft.safetensors": "placeholders",
    "lightfer train tiny_net": "the page's block runs it, with data",
}
"""Commands inside sentences that are not whole, beside those of one word or with a placeholder."""

SHORTER = {
    r"bench(?! tiny_net| own_nets| runs)": f"{NET} {FEW}",
    r"bench": FEW,
    r"train (\S+) .*--recipe equal": r"--epochs 1 --threads 1 --out runs/\1-equal-seed0",
    r"train": "--epochs 1 --threads 1",
    r"queue": "--workers 1 --threads 1",
    r"models$": "--family mobilenet_v3",
    r"export .*--precision int8": "--allow-loss 100",  # of drawn faces
}
"""The first pattern that a command begins with adds its options."""

TEACHER = "runs/mobilenet_v1-equal-seed0-without0of5/mobilenet_v1.safetensors,..."
INSTEAD = {
    TEACHER: "teacher.safetensors",  # of the same faces, as a teacher must be
    "--teachers mobilenet_v1,shiftnet_b": "--teachers teacher.safetensors",
    "--teachers vgg_slim": "--teachers teacher.safetensors",
    "recipes/again.toml": "list.toml",
    "recipes/length.toml": "list.toml",
    "recipes/equal.toml": "list.toml",
    "recipes/taught.toml": "list.toml",
    "--energy-seconds 10": "--energy-seconds 0.05",
    "DATA": "fer2013.csv",
    "export mobilenet_v2": f"export {NET}",
    "train mobilenet_v1": f"train {NET}",
    "train mobilenet_v2": f"train {NET}",
    "train shufflenet_v2_x1_0": f"train {NET}",
    "runs/mobilenet_v2-equal-seed0/mobilenet_v2": f"runs/{NET}-equal-seed0/{NET}",
}


def shell_lines(page: str) -> list[str]:
    """Of the blocks without a language, or of a shell: continued lines joined, no comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for language, code in re.findall(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", text, re.S | re.M):
        if language in ("", "shell") and not code.startswith("src/"):  # the README's tree of files
            lines = re.sub(r"\\\n\s*", "", code).splitlines()
            found += [line.partition("  #")[0].partition("# ")[0].strip() for line in lines]
    return [line for line in found if line]


def commands(page: str) -> list[str]:
    """Those of lightfer, in this environment."""
    return [line for line in shell_lines(page) if re.match(r"(cat \S+ \| )?lightfer ", line)]


def elsewhere(page: str) -> list[str]:
    """Those of lightfer in another environment, named as in this one."""
    lines = shell_lines(page)
    return [re.sub(r"^\w+/bin/", "", line) for line in lines if re.match(r"\w+/bin/lightfer", line)]


def in_sentences(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]


def inline(page: str) -> list[str]:
    """Commands inside sentences."""
    return [found for found in in_sentences(page) if found.startswith("lightfer ")]


EVERY = [(page, command) for page in PAGES for command in dict.fromkeys(commands(page))]
INLINE = [(page, command) for page in PAGES for command in dict.fromkeys(inline(page))]
ELSEWHERE = [(page, command) for page in PAGES for command in elsewhere(page)]
WHOLE = sorted(
    {c for _, c in INLINE if re.fullmatch(r"lightfer (--|\w+ )((?![A-Z]{2}|\|).)+", c)} - set(PARTS)
)


def test_there_are_commands():
    assert len(EVERY) > 30
    assert set(ONLY_PARSED) <= {command for _, command in [*EVERY, *INLINE]}
    assert set(PARTS) <= {command for _, command in INLINE}
    assert len(ELSEWHERE) >= 2
    assert len(WHOLE) >= 6


@pytest.mark.parametrize(("page", "command"), [*EVERY, *INLINE, *ELSEWHERE])
def test_every_command_has_these_options(page: str, command: str):
    """Names of commands and options, the number of arguments, values where they are known."""
    line = re.sub(r"^cat \S+ \| | > \S+$", "", command)
    words = shlex.split(re.sub(r"(\w+)\|[\w|]+", r"\1", line))[1:]  # onnx|openvino: the first
    group = get_command(app)
    while hasattr(group, "commands") and not words[0].startswith("--"):
        group = group.commands[words.pop(0)]  # type: ignore[attr-defined]
    if group.name == "predict":
        parser().parse_args(words)
        return
    context = group.make_context(group.name, [], resilient_parsing=True)
    options = {name for p in group.get_params(context) for name in (*p.opts, *p.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options
    if (page, command) not in INLINE:
        group.make_context(group.name, words)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON_ELSEWHERE = {
    "docs/extending.md",
    "docs/export.md",
    "docs/queue.md",
    "docs/zoo.md",
}  # own tests
IN_ANOTHER_TEST = [  # what a block of `docs/export.md`, `extending.md` or `queue.md` needs
    *(r"export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1$", r"torchrun "),
    *(r"OV=", r"g\+\+ ", r"python -c ", r"\./face ", r"export PYTHONPATH=\.$"),
]
NEEDS_A_NETWORK = [
    *(r"(\. )?\w+/bin/", r"python3? -m venv \w+$", r"jupyter lab \w+$", r"git tag "),
]


@pytest.mark.parametrize("page", PAGES)
def test_what_other_commands_name_is_there(page: str):
    """Targets of make, extras, pinned packages, files; no line of a block is of another kind."""
    named = [line for line in in_sentences(page) if re.match(r"(make|pip|\S*python3?) ", line)]
    for line in [*" && ".join(shell_lines(page)).split(" && "), *named]:
        if not line or re.match(r"(cat \S+ \| )?(\w+/bin/)?lightfer ", line):
            continue
        if found := re.fullmatch(r"make (\w+)", line):
            assert re.search(rf"^{found[1]}:", (ROOT / "Makefile").read_text(), re.M), line
        elif found := re.match(r"\S*pip install (?:-e |--no-deps )?(.*)", line):
            for asked in shlex.split(found[1]):
                package, *extras = re.split(r"[\[\],]+", asked.rstrip("]"))
                assert set(extras) <= set(PROJECT["optional-dependencies"]), line
                if package not in (".", "lightfer", "build", "dist/*.whl"):
                    pins = (ROOT / "constraints.txt").read_text()
                    assert re.search(rf"^{package}==", pins, re.M | re.I), line
        elif found := re.match(r"\S*python3? (?:-m )?([\w./]*\w)(?= |$)(?! venv)", line):
            file = ROOT / found[1]
            module = ROOT / f"{found[1].replace('.', '/')}.py"
            assert file.is_file() or module.is_file() or found[1] in ("venv", "build"), line
        else:
            assert any(re.match(known, line) for known in IN_ANOTHER_TEST + NEEDS_A_NETWORK), line


@pytest.mark.parametrize("page", PAGES)
def test_no_code_stands_where_no_test_looks(page: str):
    """Code is between backticks, in a language that is run or read; commands have no prompt."""
    text = (ROOT / page).read_text(encoding="utf-8")
    languages = set(re.findall(r"^ *```(\w+)", text, re.M))
    assert languages <= {"shell", "python", "toml", "json", "cpp", "bibtex"}
    assert "python" not in languages or page in {*PYTHON, *PYTHON_ELSEWHERE}
    assert not re.search(r"^ *~~~|^[ `]*\$ |<pre|<code", text, re.M)
    for code in re.findall(r"```json\n(.*?)```", text, re.S):
        assert all(json.loads(line) for line in code.splitlines())
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)
    assert not re.search(r"^(?: {4}|\t)\s*(lightfer|pip|make|python3?|import|from) ", text, re.M)


def test_the_list_of_the_page_on_queues_is_one(workspace: Path):
    from lightfer.train.sweep.items import read_list

    text = (ROOT / "docs/queue.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    Path("page.toml").write_text(block)
    assert len(read_list(Path("page.toml"))) == 5 + 2  # five folds


@pytest.fixture
def workspace(
    tmp_path: Path, small_csv: Path, faces: Dataset, brief: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with every file that the pages name, of drawn faces and of the published figures."""
    pytest.importorskip("cv2")
    from lightfer.inference.predict.video import video_writer

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copy(small_csv, "fer2013.csv")
    for folder in ("photographs", "holiday", "crops", "out", "community"):
        Path(folder).mkdir()
    face = Image.fromarray(faces["test"].images[0, 0].numpy())
    for path in ("portrait.jpg", "group.png", "photographs/a.jpg", "holiday/b.png", "crops/c.png"):
        face.save(path)
    with video_writer(Path("film.avi"), 10.0) as writer:
        for _ in range(3):
            writer.write(face.convert("RGB").resize((96, 96)))
    Path("film.avi").rename("film.mp4")
    published = read_results(ROOT / "results.json")
    names = ("results", "out/results", "before", "after", "main", "branch")
    for path in (*names, "phone", "community/phone"):
        write_results(Path(f"{path}.json"), published)
    Path("list.toml").write_text(f'[[item]]\nmodel = "{NET}"\nsettings = {{ epochs = 2 }}\n')
    yield tmp_path
    for name in ("own_data", "own_nets", "own_runtimes"):
        sys.modules.pop(name, None)
    torch.set_num_threads(1)


def shortened(command: str) -> str:
    for old, new in INSTEAD.items():
        command = command.replace(old, new)
    for pattern, options in SHORTER.items():
        if found := re.match(f"lightfer {pattern}", command):
            return f"{command} {found.expand(options).replace(':', '.')}"
    return command


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell would, in this process; fails unless it ends well."""
    piped = re.match(r"cat (\S+) \| ", command)
    if piped:
        stdin = io.BytesIO(Path(piped[1]).read_bytes())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin, isatty=lambda: False))
        command = command[piped.end() :]
    command = re.sub(r" > \S+$", "", command)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as end:
        sys.exit(main())  # some commands end so by themselves
    assert end.value.code in (0, None), command


FIRST = {command: page for page, command in reversed(EVERY)}  # each is run once


@pytest.mark.parametrize("page", [p for p in dict.fromkeys(FIRST.values()) if "export" not in p])
@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    if page == "docs/extending.md":
        write_files("extending.md", workspace)
        install(workspace)
        make_faces()
    asked = [c for p, c in EVERY if p == page == FIRST[c] and c not in ONLY_PARSED]
    if any("--teachers" in command for command in asked):
        run(f"lightfer train {NET} --data fer2013.csv --epochs 1 --out teacher", monkeypatch)
        shutil.copy(f"teacher/{NET}.safetensors", "teacher.safetensors")
    for command in asked:
        done = shortened(command)
        print(f"$ {done}")
        run(done, monkeypatch)
    capfd.readouterr()


@pytest.mark.filterwarnings("ignore")
def test_the_whole_commands_of_sentences_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    for command in WHOLE:
        print(f"$ {(done := shortened(command))}")
        run(done, monkeypatch)
    capfd.readouterr()


def make_faces() -> None:
    """The file of the page's own form of data."""
    from tests.test_docs import python_blocks

    (code,) = [c for h, c in python_blocks("extending.md") if h == "A data set" and "savez" in c]
    run_blocks([code], "extending.md")


def test_the_readme_reads_what_was_measured_here():
    """Not the published file, which lies where its commands are typed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Read what was measured")[2].partition("\n## ")[0]
    assert section.count(" out/results.json") == 4
    assert " results.json" not in section


PYTHON = ["README.md", "docs/index.md", "docs/predict.md"]


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs(page: str, workspace: Path):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    run_blocks(blocks, page)


def test_the_export_page_from_a_picture_to_probabilities(workspace: Path, monkeypatch, capfd):
    """Exports as the page does, then its Python and its C++: all find the same as PyTorch."""
    from lightfer import Predictor

    page = "docs/export.md"
    Image.open("group.png").resize((96, 96)).save("face.png")
    for command in commands(page):
        run(shortened(command), monkeypatch)
    text = (ROOT / page).read_text(encoding="utf-8")
    capfd.readouterr()
    run_blocks(re.findall(r"```python\n(.*?)```", text, re.S), page)
    ours, theirs = map(ast.literal_eval, capfd.readouterr().out.splitlines()[:2])
    (expected,) = Predictor(runtime="pytorch", faces="never")(["face.png"])
    assert expected.probabilities
    for found in (ours, theirs):
        assert found == pytest.approx(expected.probabilities, abs=2e-3)
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the page's C++ with")
    write_files("export.md", workspace)
    (shell,) = re.findall(r"```shell\n(OV=.*?)```", text, re.S)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path}
    done = subprocess.run(["bash", "-ec", shell], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    picture = Image.open("face.png").convert("L")
    picture.save("large.pgm")
    Path("comment.pgm").write_bytes(Path("face.pgm").read_bytes().replace(b"P5", b"P5\n# GIMP", 1))
    for refused in ("face.png", "large.pgm", "comment.pgm"):
        assert subprocess.run(["./face", "vgg_slim.xml", refused]).returncode == 2, refused
    logits = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    net = create_model(DEFAULT_MODEL, pretrained=True)
    pixels = torch.frombuffer(
        bytearray(Path("face.pgm").read_bytes()[-48 * 48 :]), dtype=torch.uint8
    )
    with torch.inference_mode():
        expected_logits = net((pixels.view(1, 1, 48, 48) / 255 - 0.508) / 0.255)[0].tolist()
    assert list(logits.values()) == pytest.approx(expected_logits, abs=1e-3)


def test_the_zoo_page_loads_weights_without_this_package(workspace: Path):
    """torchvision's net with the tensors of the file computes what ours does."""
    from lightfer.models._torchvision import import_torchvision

    import_torchvision()
    path = shipped("mobilenet_v2")
    assert path is not None
    shutil.copy(path, workspace)
    text = (ROOT / "docs/zoo.md").read_text(encoding="utf-8")
    found = run_blocks(re.findall(r"```python\n(.*?)```", text, re.S), "docs/zoo.md")
    faces = torch.randn(2, 1, 48, 48)
    with torch.inference_mode():
        ours = create_model("mobilenet_v2", pretrained=True)(faces)
        theirs = found["net"](faces)  # type: ignore[operator]
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_one_default_model():
    """Wherever a net is loaded or exported in README and pages it is the one of `predict`."""
    calls = r'(?:create_model|Predictor)\("(\w+)"(?=,|\))|lightfer export (\w+)(?= --)'
    calls += r"|\. The default is `?(\w+)"
    named = {
        page: {
            "".join(found) for found in re.findall(calls, (ROOT / page).read_text(encoding="utf-8"))
        }
        for page in PAGES
    }
    assert sum(map(bool, named.values())) >= 4
    for page, names in named.items():
        assert names - {"MODEL"} <= {DEFAULT_MODEL}, f"{page}: see DEFAULT_MODEL"
