"""`lightfer bench --fleet`: the benchmark once on every node that an executor reaches, as one file.

A node measures in a fresh process with all its processors, and keeps its journal in its own cache.
What finished nodes measured is kept beside the results file until all have, so the same command
goes on with those that are missing.
"""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import typer

from lightfer._files import append_line, cache_folder, is_stream
from lightfer.cli.console import keep_results, print_results, progress
from lightfer.errors import LightferError
from lightfer.executors import open_executor, open_nodes
from lightfer.measure.environment import code_version
from lightfer.results import Results, read_results, write_results
from lightfer.results.merge import OnStep, merge

Bench = Callable[..., None]
"""The command, `lightfer.cli.bench.bench`."""


def run_fleet(bench: Bench, options: Mapping[str, Any], beside: Path, test_log: Path) -> int:
    """The command with `options`, its parameters, on every node; returns the exit code.

    What is kept meanwhile lies beside the file `beside`. Raises what opening the executor raises; a
    node that fails or is lost is said at the end.
    """
    key = hashlib.sha256(f"{options} {code_version()}".encode()).hexdigest()[:16]
    kept = beside.with_name(f".{beside.name}.fleet-{key[:8]}")
    with progress() as bar:
        results, failed = _measured(bench, options, key, kept, test_log, bar)
    out, err = options["out"], is_stream(options["out"])
    if results.entries:
        keep_results(out, results, append=options["append"])
        print_results(results, err=err)
        typer.echo(f"nodes: {len(results.environments)}, written to {out}", err=err)
    for name, reason in failed.items():
        typer.echo(f"{name} failed: {reason}", err=True)
    if not failed:
        kept.unlink(missing_ok=True)
    elif kept.exists():
        typer.echo(f"the same command measures what is missing in {kept}", err=True)
    return int(bool(failed) or any(entry.error for entry in results.entries))


def _measured(
    bench: Bench,
    options: Mapping[str, Any],
    key: str,
    kept: Path,
    test_log: Path,
    on_step: OnStep,
) -> tuple[Results, dict[str, str]]:
    """What all nodes that have finished measured, now or before, and why the others have not."""
    results = read_results(kept) if kept.exists() else Results()
    known = {about.node for about in results.environments.values()}
    failed: dict[str, str] = {}
    nodes = open_nodes(options["executor"] or "pool", kept.parent, options["nodes"])
    measure = partial(bench, **options)
    try:
        given = {
            engine.submit(on_node, measure, name, key, sys.argv, str(Path.cwd())): name
            for name, engine in nodes.items()
            if name not in known
        }
        on_step(f"{len(given)} nodes measure", len(nodes) - len(given), len(nodes))
        for future in as_completed(given):
            name = given[future]
            try:
                found, scorings, failed[name] = future.result()
            except Exception as error:  # whatever an executor makes of a lost worker
                found, scorings, failed[name] = None, "", _reason(error)
            for line in scorings.splitlines():
                append_line(test_log, line)
            if found is not None:
                del failed[name]
                results = merge([results, msgspec.json.decode(found, type=Results)])
                write_results(kept, results)
            left = sum(not one.done() for one in given)
            on_step(f"{left} nodes measure", len(nodes) - left, len(nodes))
    finally:
        for engine in {*nodes.values()}:
            engine.shutdown(wait=False, cancel_futures=True)
    return results, failed


def on_node(
    bench: Bench, name: str, key: str, command: Sequence[str], cwd: str
) -> tuple[bytes | None, str, str]:
    """In a worker there: the results file and the log of test scorings, or why there are none."""
    try:
        with open_executor("pool", Path(), workers=1)[0] as fresh:
            return *fresh.submit(_measure, bench, name, key, command, cwd).result(), ""
    except Exception as error:
        return None, "", _reason(error)


def _measure(
    bench: Bench, name: str, key: str, command: Sequence[str], cwd: str
) -> tuple[bytes, str]:
    """In a process of its own; what it records as the command is the user's."""
    own = hashlib.sha256(f"{key} {name} {platform.node()}".encode()).hexdigest()[:16]
    out = cache_folder() / "fleet" / own / "results.json"
    sys.argv = [*command]
    if Path(cwd).is_dir():
        os.chdir(cwd)
    alone = {"fleet": False, "executor": None, "nodes": None, "append": False}
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), suppress(typer.Exit):
        bench(**alone, node=name, out=out)  # Exit: the file has nets' errors
    log = out.with_name("test_scorings.jsonl")
    found = out.read_bytes(), log.read_text() if log.exists() else ""
    shutil.rmtree(out.parent)
    return found


def _reason(error: Exception) -> str:
    """In one line."""
    text = " ".join(str(error).split())
    if isinstance(error, BrokenExecutor):
        return f"its process was lost: {text:.300}"
    return text if isinstance(error, LightferError | OSError) else f"{type(error).__name__}: {text}"
