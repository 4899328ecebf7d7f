"""Reading and writing a results file."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from lightfer._files import write_text
from lightfer.results.schema import SCHEMA, Results


class ResultsError(Exception):
    """A results file cannot be read; the message says where and why."""


class _Head(msgspec.Struct):
    """What says whose file it is. `Results` has a default for it, any other file may lack it."""

    schema: Any = None


def read_results(path: Path | str) -> Results:
    """Read and validate a results file.

    Raises ResultsError naming the file and the path of the first violation inside it.
    """
    try:
        text = Path(path).read_bytes()
        schema = msgspec.json.decode(text, type=_Head).schema
        if schema is None:
            raise ResultsError(f"{path}: no key 'schema', expected {SCHEMA!r}: no results file")
        if schema != SCHEMA:
            raise ResultsError(f"{path}: schema is {schema!r}, expected {SCHEMA!r}")
        return msgspec.json.decode(text, type=Results)
    except (OSError, ValueError, msgspec.DecodeError) as error:  # ValueError: it is not UTF-8
        raise ResultsError(f"{path}: {error}") from error


def write_results(path: Path, results: Results) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, _indented(msgspec.to_builtins(results)) + "\n")


def add_results(path: Path, results: Results) -> None:
    """Add `results` to what the file holds at this moment, whole or not at all.

    Processes that add to one file wait for each other, by a lock beside it, so none loses entries.
    """
    from filelock import FileLock

    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        kept = read_results(target) if target.exists() else Results()
        write_results(target, kept.merged(results))


def _indented(value: Any, margin: str = "\n") -> str:
    """JSON with one line per item, but lists of numbers, the samples, on one line each."""
    inner = margin + " "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(k)}: {_indented(v, inner)}" for k, v in value.items())
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        return "[" + inner + f",{inner}".join(_indented(v, inner) for v in value) + margin + "]"
    return json.dumps(value, allow_nan=False)
