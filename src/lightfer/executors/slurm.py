"""Slurm, by submitit."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib import import_module
from pathlib import Path
from typing import Any

from lightfer.executors.engine import Engine

POLL_S = 0.5
"""Between two looks at the jobs."""
WHOLE_NODE = {"slurm_exclusive": True, "slurm_mem": "0", "slurm_srun_args": ["--cpu-bind=none"]}
"""A job of Slurm that has all processors and all memory of its node; 0 is all of it."""


def open_slurm(cluster: str, folder: Path, workers: int, **shape: Any) -> tuple[Executor, int]:
    """A job of Slurm for each piece, or a process of this machine where `cluster` is local."""
    submitit: Any = import_module("submitit")

    executor = submitit.AutoExecutor(folder / ".slurm", cluster=cluster)
    executor.update_parameters(name="lightfer", timeout_min=60, **shape)
    jobs: dict[Future, Any] = {}
    closed = threading.Event()

    def poll() -> None:
        while not closed.wait(POLL_S):
            for future, job in [*jobs.items()]:
                if job.done():
                    del jobs[future]
                    error = job.exception()
                    future.set_exception(error) if error else future.set_result(job.result())

    def start(fn: Callable, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        jobs[future] = executor.submit(fn, *args, **kwargs)
        return future

    def close() -> None:
        closed.set()
        for job in jobs.values():
            job.cancel(check=False)

    threading.Thread(target=poll, daemon=True).start()
    return Engine(start, lambda error: True, close), workers
