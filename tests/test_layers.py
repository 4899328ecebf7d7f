"""Imports point one way. The table below is the architecture; changing it is a design decision."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "lightfer"
MAY_IMPORT = {
    "__init__": "predict results zoo",
    "__main__": "cli predict",
    "files": "",
    "deployed": "",  # torch-free, as what reads exported files is
    "process": "",
    "energy_records": "",
    "results": "energy_records files",
    "stats": "",
    "schema": "results",
    "predecessor": "results",
    "told_apart": "results stats",
    "ranking": "results stats told_apart",
    "compare": "predecessor results stats",
    "data": "files",
    "models": "files",
    "measure": "results stats",
    "report": "compare files results stats told_apart",  # of compare only the type of a change
    "runtimes": "deployed",  # models arrive as arguments
    "journal": "files results",
    "checkpoint": "files results",
    "zoo": "checkpoint files measure models",
    "evaluate": "data results",
    "calibration": "evaluate",
    "export": "checkpoint data deployed evaluate files measure runtimes subject zoo",
    "predict": "checkpoint deployed export files runtimes subject zoo",
    # models and data arrive as arguments
    "train": "calibration checkpoint data evaluate files measure",
    "recipes": "data train",
    "distill": "checkpoint data files train zoo",
    "soft_labels": "data distill evaluate files train",
    "queue": "checkpoint data distill files measure process recipes train zoo",
    "subject": "checkpoint data evaluate files journal measure results runtimes zoo",
    "energy_blocks": "journal measure results runtimes subject",
    "benchmark": "data energy_blocks evaluate journal measure results runtimes subject zoo",
    "cli": "benchmark calibration checkpoint compare data distill energy_blocks evaluate export"
    " files measure models predict process queue ranking recipes report results runtimes schema"
    " soft_labels stats subject train zoo",
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


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_only_what_its_part_may_import(path: Path):
    part = path.relative_to(SRC).parts[0].removesuffix(".py")
    assert set(imported_parts(path.read_text())) - {part} <= set(MAY_IMPORT[part].split())


@pytest.mark.parametrize(
    "source",
    ["import lightfer.cli.bench", "from lightfer.cli import bench", "from lightfer import cli"],
)
def test_every_form_of_import_is_seen(source: str):
    assert set(imported_parts(source)) == {"cli"}
