"""Run the notebooks from clean kernels and keep what they printed and drew.

    python -m notebooks.execute                   # all, on the data that LIGHTFER_DATA names
    python -m notebooks.execute 04_analysis

A notebook file is its own source. Running it writes the badge and the set-up cell on top, replaces
paths of this machine in the outputs, and drops times and other metadata, so that a difference
between two versions is one of code or of figures.
"""

import argparse
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lightfer._files import write_text

FOLDER = Path(__file__).parent
PROJECT = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
"""Where the code is published: set in pyproject.toml, then run this file. Whoever has another copy
sets the variable LIGHTFER_REPOSITORY instead."""
SETUP = f"""\
# On Colab and other bare machines: fetches and installs lightfer where it is missing.
import os
from importlib.util import find_spec
from pathlib import Path

if find_spec("lightfer") is None:
    REPOSITORY = os.environ.get("LIGHTFER_REPOSITORY", "{REPOSITORY}")
    if not Path("lightfer-checkout").exists():
        !git clone --quiet --depth 1 {{REPOSITORY}} lightfer-checkout
    %pip install --quiet "./lightfer-checkout[report]"
if Path("lightfer-checkout/notebooks").is_dir():  # after a restart of the kernel, too
    %cd -q lightfer-checkout/notebooks"""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def badge(name: str) -> str:
    """The first line of the notebook `name`: opens it on Colab."""
    page = REPOSITORY.removeprefix("https://github.com/")
    address = f"https://colab.research.google.com/github/{page}/blob/main/notebooks/{name}.ipynb"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
    )


def notebook_names() -> list[str]:
    """The notebooks beside this file, in their order."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.ipynb"))


def execute(
    name: str,
    folder: Path = FOLDER,
    on_cell: Callable[[int, int], None] = lambda done, of: None,
) -> nbformat.NotebookNode:
    """Run a notebook in a new kernel that starts in `folder`; returns it with its outputs.

    `on_cell(done, of)` reports progress. Raises nbclient's CellExecutionError for a cell that
    fails.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    intro, setup = notebook.cells[:2]
    intro.source = "\n".join([badge(name), *intro.source.splitlines()[1:]])
    setup.source = SETUP
    NotebookClient(
        notebook,
        timeout=3600,
        startup_timeout=300,  # a busy machine takes its time
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # of a line that is written over, its last state
        resources={"metadata": {"path": str(folder)}},
        on_cell_complete=lambda cell, cell_index: on_cell(cell_index + 1, len(notebook.cells)),
    ).execute()
    return notebook


def cleaned(notebook: nbformat.NotebookNode) -> str:
    """The notebook as text, without what belongs to this machine or this run alone."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({})
    text = nbformat.writes(notebook)
    for path, label in machine_paths().items():
        text = re.sub(re.escape(path) + r"(?![\w-])", label, text)
    return re.sub(r" at 0x[0-9a-f]+>", ">", text) + "\n"  # addresses of objects in memory


def machine_paths() -> dict[str, str]:
    """Paths of this machine that outputs may hold, the longest first, and what stands for them."""
    labels = {
        str(FOLDER.parent.resolve()): "lightfer",
        str(Path.home()): "~",
        tempfile.gettempdir(): "TMP",
        sys.prefix: "PYTHON",
    }
    data = os.environ.get("LIGHTFER_DATA", "")
    if os.sep in data:
        labels[str(Path(data).resolve())] = labels[data] = "DATA"
    return dict(sorted(labels.items(), key=lambda item: -len(item[0])))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named notebooks, or all, and write them back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="default: all")
    names = parser.parse_args(arguments).names
    if unknown := set(names) - set(notebook_names()):
        parser.error(f"no notebook {', '.join(unknown)}; there are {', '.join(notebook_names())}")
    for name in names or notebook_names():
        write_text(FOLDER / f"{name}.ipynb", cleaned(execute(name, on_cell=partial(_say, name))))
        print(file=sys.stderr)


def _say(name: str, done: int, of: int) -> None:
    print(f"\r{name}: {done} of {of} cells", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
