"""Processes of this machine: one that dies is begun again, none outlives its parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import resource_tracker
from typing import Any


class Parts(Executor):
    """Several executors as one; a part that breaks is opened again.

    The standard pool loses all its processes when one dies, so each of them is a part here. They
    are begun in a thread, which is there before them: a stop of this process does not interrupt it,
    and a process that is begun by halves would complain.
    """

    def __init__(self, open_part: Callable[[], Executor], parts: int) -> None:
        self.open_part, self.parts = open_part, [open_part() for _ in range(parts)]
        self.given: dict[Future, int] = {}  # to which part
        self.starter = ThreadPoolExecutor(1, initializer=_spare_children)

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        return self.starter.submit(self._start, fn, args, kwargs).result()

    def _start(self, fn: Callable, args: tuple, kwargs: dict) -> Future:
        self.given = {future: i for future, i in self.given.items() if not future.done()}
        busy = [*self.given.values()]
        i = min(range(len(self.parts)), key=busy.count)
        try:
            future = self.parts[i].submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self.parts[i] = self.open_part()
            future = self.parts[i].submit(fn, *args, **kwargs)
        except BrokenPipeError as error:  # of what begins processes, not of a reader of our output
            raise ChildProcessError(f"no process can be begun here: {error}") from error
        self.given[future] = i
        return future

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self.shutdown(wait=kind is None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Without waiting, processes of this machine that still work are killed.

        Each pool has a thread that takes its semaphores away in the end; a stop that ends this
        process in the middle of that would be followed by a warning of its tracker.
        """
        self.starter.shutdown()
        busy = {i for future, i in self.given.items() if not future.done()}
        for i, part in enumerate(self.parts):
            processes = [*(getattr(part, "_processes", None) or {}).values()]
            thread = getattr(part, "_executor_manager_thread", None)
            part.shutdown(wait=wait, cancel_futures=cancel_futures)
            for process in processes if i in busy and not wait else ():
                process.kill()
            if thread:
                thread.join(timeout=10)


def open_process() -> Executor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)


def _spare_children() -> None:
    """What is begun in this thread never gets SIGINT, also not before its first line."""
    resource_tracker.ensure_running()  # the first process begins it, which undoes the mask
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _begin() -> None:
    """In a process of the pool: leave ctrl-c to its parent, and go when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
