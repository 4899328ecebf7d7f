"""Imports point one way. The table below is the architecture; changing it is a design decision."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "lightfer"
FILES = sorted(SRC.rglob("*.py"))
MAY_IMPORT = {
    "__init__": "errors results models inference",
    "__main__": "errors inference cli",
    "errors": "",
    "_files": "errors",
    "executors": "errors",
    "results": "errors _files",
    "data": "errors _files",
    "measure": "errors _files results data",
    "models": "errors _files results measure",
    "train": "errors _files executors data measure models",
    "inference": "errors _files executors data measure models",
    "bench": "errors _files executors results data measure models inference",
    "report": "errors _files results",
    "cli": "errors _files executors results data measure models train inference bench report",
}


def imported_parts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module="lightfer", names=names):
                yield from (n.name for n in names)
            case ast.ImportFrom(module=str(module)) if module.startswith("lightfer."):
                yield module.split(".")[1]
            case ast.Import(names=names):
                yield from (n.name.split(".")[1] for n in names if n.name.startswith("lightfer."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_only_what_its_part_may_import(path: Path):
    part = path.relative_to(SRC).parts[0].removesuffix(".py")
    assert set(imported_parts(path.read_text())) - {part} <= set(MAY_IMPORT[part].split())


@pytest.mark.parametrize(
    "source",
    ["import lightfer.cli.bench", "from lightfer.cli import bench", "from lightfer import cli"],
)
def test_every_form_of_import_is_seen(source: str):
    assert set(imported_parts(source)) == {"cli"}


def imported_modules(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """By module: those of `sources` that it imports, at the top, in a function or for types."""
    imported: dict[str, set[str]] = {}
    for module, source in sources.items():
        names: list[str] = []
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.ImportFrom(module=str(parent), names=found):
                    inside = [f"{parent}.{n.name}" for n in found]
                    names += [name if name in sources else parent for name in inside]
                case ast.Import(names=found):
                    names += [n.name for n in found]
        imported[module] = {*names} & sources.keys()
    return imported


def test_no_module_is_imported_by_what_it_imports():
    """Imports inside functions count: they hide a circle, they do not undo it."""
    paths = {".".join(path.relative_to(SRC.parent).with_suffix("").parts): path for path in FILES}
    sources = {
        name.removesuffix(".__init__"): path.read_text(encoding="utf-8")
        for name, path in paths.items()
    }
    order = [*TopologicalSorter(imported_modules(sources)).static_order()]
    assert order.index("lightfer.results.schema") < order.index("lightfer.cli.main")


@pytest.mark.parametrize(
    "back", ["import a.b", "def f():\n    from a import b", "from a.b import d"]
)
def test_every_form_of_circle_is_seen(back: str):
    with pytest.raises(CycleError):
        TopologicalSorter(imported_modules({"a.b": "from a import c", "a.c": back})).prepare()


@pytest.mark.parametrize(
    "module",
    [
        "bench.run",
        "cli.main",
        "cli.bench",
        "data.crop",
        "data.finder",
        "data.pictures",
        "inference.card",
        "inference.onnx_from_weights",
        "inference.predict.command",
        "inference.session",
        "report.compare",
        "report.rank",
        "report.site.build",
        "results.stats",
        "results.validate",
    ],
)
def test_what_reads_results_or_runs_exported_files_needs_no_torch(module: str):
    """A reader of results, and whoever classifies with an exported file or times the shipped nets,
    installs no torch.
    """
    code = f"import sys, lightfer.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arrows_point_down():
    """In the order of the table nothing imports what stands below it, but for the entry points."""
    order = [part for part in MAY_IMPORT if not part.startswith("__")]
    for part in order:
        below = order[order.index(part) :]
        assert not set(MAY_IMPORT[part].split()) & set(below), part
