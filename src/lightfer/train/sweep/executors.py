"""Where the items of a queue run: anything with the interface of `concurrent.futures`."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib import import_module

from lightfer.train.sweep.work import begin_worker


def open_executor(name: str, workers: int) -> Executor:
    """`pool`, processes of this machine, or `package.module:factory`, called with `workers`.

    Raises ValueError where there is no such factory.
    """
    if name == "pool":
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, context, begin_worker, (os.getpid(),))
    module, _, function = name.partition(":")
    try:
        factory: Callable[[int], Executor] = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"there is no executor {name!r}: expected pool, or package.module:factory ({error})"
        ) from error
    return factory(workers)


def close_executor(executor: Executor, wait_s: float) -> None:
    """Let go of it; processes of this machine that have not ended after `wait_s` are killed."""
    children = multiprocessing.active_children()
    executor.shutdown(wait=False, cancel_futures=True)
    for process in children:
        process.join(wait_s)
        if process.is_alive():
            process.kill()
            process.join()
