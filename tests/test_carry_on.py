"""What those need who carry the project on: targets with a text, pages whose paths exist."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
TARGETS = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[0].split()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_text(target: str):
    assert re.search(rf"^{target}:[^#\n]* ## \S", MAKEFILE, re.M)


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_without_a_target_lists_them_all():
    done = subprocess.run(
        ["make", "--silent", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"^make (\w+) +\S", done.stdout, re.M) == TARGETS


def test_clean_leaves_what_was_measured_and_nothing_that_was_built():
    recipe = re.findall(r"^clean:.*\n((?:\t.+\n)+)", MAKEFILE, re.M)[0]
    assert not re.search(r" out( |$)", recipe, re.M)
    for built in (".venv", "build", "dist", "*.egg-info", "'*.so'", "'*.pyd'"):
        assert built in recipe


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_of_the_page_exists(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|tests|docs|benchmarks|\.ci|\.github)/[\w./-]*)`", text)
    paths += re.findall(r"\]\((?!http)([^)#]+)\)", text) if "/" not in page else []
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_what_the_page_names_stands_in_its_file():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.+\| `(src/[\w/]+\.py)` \| `(\w+)` \|$", text, re.M)
    assert len(rows) > 10
    for path, name in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:def|class) {name}\b", source, re.M), f"{path}: {name}"


def test_the_figure_and_the_list_have_every_room():
    rooms = {path.parent.name for path in (ROOT / "src/lightfer").glob("*/__init__.py")}
    figure = (ROOT / "docs/figures/architecture.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'font-weight="bold"[^>]*>(\w+)<', figure)) == rooms
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^- `(\w+)`: ", contributing, re.M)) == rooms


def test_the_changelog_has_a_section_of_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sections = re.findall(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", CHANGELOG, re.M)
    assert sections[0] == project["version"]


def test_modules_have_moved_where_the_changelog_says():
    moved = re.findall(r"\| `(lightfer\.[\w.]+)` \| `(lightfer\.[\w.]+)` \|", CHANGELOG)
    assert len(moved) > 20
    for old, new in moved:
        there = [ROOT / "src" / name.replace(".", "/") for name in (old, new)]
        assert [path.is_dir() or path.with_suffix(".py").exists() for path in there] == [
            False,
            True,
        ]


def test_every_file_that_is_no_python_is_packed():
    """Beside modules a wheel holds what pyproject.toml names, and C sources of MANIFEST.in."""
    source = ROOT / "src/lightfer"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["lightfer"]
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
    packed = {path for pattern in patterns for path in source.glob(pattern)}
    packed |= {ROOT / path for path in re.findall(r"src/\S+\.c\b", manifest)}
    built = {".py", ".pyc", ".so", ".pyd"}
    assert packed == {p for p in source.rglob("*") if p.is_file() and p.suffix not in built}


def test_every_licence_of_what_is_packed_is_declared():
    """A wheel with weights and other people's files is not under the licence of our code alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    there = {p.relative_to(ROOT) for p in (ROOT / "src").rglob("LICENSE*")}
    declared = {Path(name) for name in project["license-files"]}
    assert {Path("LICENSE"), *there} <= declared
    assert all((ROOT / path).exists() for path in declared)
    others = project["license"].split(" AND ")[1:]
    assert len(others) == len(there)


def test_an_installed_copy_knows_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As setup.py writes it down: a citation asks for it."""
    from lightfer.measure import environment

    package = tmp_path / "site-packages/lightfer"
    (package / "measure").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(package / "measure/environment.py"))
    assert environment.code_version() == environment.package_version("lightfer")
    (package / "commit.txt").write_text("0123456789ab+dirty\n")
    assert environment.code_version() == "0123456789ab+dirty"


def test_a_tag_that_is_not_the_version_builds_nothing():
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    (first,) = (name for name, job in jobs.items() if "grep" in str(job))
    assert [job.get("needs") for name, job in jobs.items() if name != first] == [first] * 2


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_a_benchmark_that_imports_others_is_run_as_a_module(path: Path):
    source = path.read_text(encoding="utf-8")
    if re.search(r"^from benchmarks", source, re.M) and "sys.path.insert" not in source:
        assert f"python benchmarks/{path.name}" not in source
        assert path.stem == "__init__" or f"python -m benchmarks.{path.stem}" in source


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda p: p.name
)
def test_workflows_run_what_is_there(path: Path):
    """Every step is an action or a command, and scripts that are named exist."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    for script in re.findall(r"bash (\S+)", path.read_text(encoding="utf-8")):
        assert (ROOT / script).exists()
