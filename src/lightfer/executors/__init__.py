"""Where pieces of work run, by name: anything with the interface of `concurrent.futures`.

A piece whose worker is lost ends with BrokenExecutor, and the executor goes on. Give it at most as
many pieces at once as `open_executor` says: then the caller decides what comes next. Standard
library only; Ray, Dask and submitit are imported when they are named.
"""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from importlib import import_module
from pathlib import Path

from lightfer.errors import ArgumentError
from lightfer.executors.engines import WHOLE_NODE, open_dask, open_ray, open_slurm, ray_nodes
from lightfer.executors.pool import Parts, open_process


def open_executor(
    name: str, folder: Path, workers: int | None = None, cpus: int = 1, gpus: int = 0
) -> tuple[Executor, int]:
    """`pool`, `ray[:ADDRESS]`, `dask:ADDRESS`, `slurm[:local]` or `package.module:factory`, and how
    many pieces it is to be given at once; `workers` where that is not None.

    Every piece has `cpus` and `gpus`. Slurm keeps its files in `folder`. Raises ValueError where
    there is no such executor, ModuleNotFoundError where its package is missing.
    """
    kind, _, rest = name.partition(":")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    slots = workers or max(1, (usable or 1) // cpus)
    if name == "pool":
        return Parts(open_process, slots), slots
    if kind == "ray":
        return open_ray(rest or None, workers, cpus, gpus)
    if kind == "dask" and rest:
        return open_dask(rest, workers)
    if name in ("slurm", "slurm:local"):
        return open_slurm(rest or "slurm", folder, cpus_per_task=cpus, gpus_per_node=gpus), slots
    try:
        factory: Callable[[int], Executor] = getattr(import_module(kind), rest)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(
            f"there is no executor {name!r}: expected pool, ray[:ADDRESS], dask:ADDRESS, "
            f"slurm[:local] or package.module:factory ({error})"
        ) from error

    def made() -> Executor:
        try:
            found = factory(slots)
        except TypeError as error:
            raise ArgumentError(f"{name}({slots}): {error}; {expected}") from error
        if not callable(getattr(found, "submit", None)):
            raise ArgumentError(f"{name} gives {type(found).__name__}; {expected}")
        return found

    expected = "expected a function of a number of workers to a concurrent.futures.Executor"
    return Parts(made, 1), slots


def open_nodes(name: str, folder: Path, nodes: int | None = None) -> dict[str, Executor]:
    """The nodes that the executor reaches, by names of schema `lightfer/1`; each is to be given one
    piece, which has it whole.

    Ray knows its nodes; the pool is one, this machine. Of Slurm there are `nodes`, by default 1,
    and of an executor of one's own, by default as many as it says that it has workers.
    """
    kind, _, rest = name.partition(":")
    if nodes and kind in ("pool", "ray"):
        raise ArgumentError(f"--nodes {nodes}: leave it out, {kind} knows how many nodes it has")
    if kind == "ray":
        if found := ray_nodes(rest or None):
            return found
        raise ArgumentError(f"{name} has no node with processors: start one")
    if kind == "dask":
        raise ArgumentError(f"{name} does not say what a node is: expected ray, slurm or your own")
    if name in ("slurm", "slurm:local"):
        engine, count = open_slurm(rest or "slurm", folder, **WHOLE_NODE), nodes or 1
    else:
        engine, _ = open_executor(name, folder, nodes or 1)
        assert isinstance(engine, Parts)
        count = nodes or getattr(engine.parts[0], "_max_workers", 1)
    return {f"node-{i + 1}": engine for i in range(count)}
