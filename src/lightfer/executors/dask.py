"""A cluster of Dask."""

from concurrent.futures import Executor
from importlib import import_module
from typing import Any

from lightfer.errors import ArgumentError
from lightfer.executors.engine import Engine


def open_dask(address: str, workers: int | None) -> tuple[Executor, int]:
    """Raises ValueError where workers have several threads: trainings share a random stream."""
    distributed: Any = import_module("distributed")

    client = distributed.Client(address)
    threads = client.nthreads()
    if max(threads.values(), default=1) > 1:
        client.close()
        raise ArgumentError(f"{address} has workers with several threads: start them --nthreads 1")
    executor = client.get_executor(pure=False, retries=0)
    engine = Engine(
        executor.submit, lambda error: isinstance(error, distributed.KilledWorker), client.close
    )
    return engine, workers or max(1, len(threads))
