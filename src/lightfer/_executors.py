"""Where pieces of work run, by name: anything with the interface of `concurrent.futures`.

A piece whose worker is lost ends with BrokenExecutor, and the executor goes on. Give it at most as
many pieces at once as `open_executor` says: then the caller decides what comes next. Standard
library only; Ray, Dask and submitit are imported when they are named.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from pathlib import Path
from time import sleep
from typing import Any

from lightfer.errors import ArgumentError

WATCH_S = 0.2
"""Between two looks of a worker at its parent."""
POLL_S = 0.5
"""Between two looks at the jobs of Slurm."""
WHOLE_NODE = {"slurm_exclusive": True, "slurm_mem": "0", "slurm_srun_args": ["--cpu-bind=none"]}
"""A job of Slurm that has all processors and all memory of its node; 0 is all of it."""


def open_executor(
    name: str, folder: Path, workers: int | None = None, cpus: int = 1, gpus: int = 0
) -> tuple[Executor, int]:
    """`pool`, `ray[:ADDRESS]`, `dask:ADDRESS`, `slurm[:local]` or `package.module:factory`, and how
    many pieces it is to be given at once; `workers` where that is not None.

    Every piece has `cpus` and `gpus`. Slurm keeps its files in `folder`. Raises ValueError where
    there is no such executor, ModuleNotFoundError where its package is missing.
    """
    kind, _, rest = name.partition(":")
    here = max(1, (os.cpu_count() or 1) // cpus)
    if name == "pool":
        return _Parts(_process, workers or here), workers or here
    if kind == "ray":
        return _ray(rest or None, workers, cpus, gpus)
    if kind == "dask" and rest:
        return _dask(rest, workers)
    if name in ("slurm", "slurm:local"):
        shape = {"cpus_per_task": cpus, "gpus_per_node": gpus}
        return _slurm(rest or "slurm", folder, workers or here, **shape)
    try:
        factory: Callable[[int], Executor] = getattr(import_module(kind), rest)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(
            f"there is no executor {name!r}: expected pool, ray[:ADDRESS], dask:ADDRESS, "
            f"slurm[:local] or package.module:factory ({error})"
        ) from error
    return _Parts(lambda: factory(workers or here), 1), workers or here


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
        if found := _ray_nodes(rest or None):
            return found
        raise ArgumentError(f"{name} has no node with processors: start one")
    if kind == "dask":
        raise ArgumentError(f"{name} does not say what a node is: expected ray, slurm or your own")
    if name in ("slurm", "slurm:local"):
        engine, count = _slurm(rest or "slurm", folder, nodes or 1, **WHOLE_NODE)
    else:
        engine, _ = open_executor(name, folder, nodes or 1)
        assert isinstance(engine, _Parts)
        count = nodes or getattr(engine.parts[0], "_max_workers", 1)
    return {f"node-{i + 1}": engine for i in range(count)}


class _Parts(Executor):
    """Several executors as one; a part that breaks is opened again.

    The standard pool loses all its processes when one dies, so each of them is a part here.
    """

    def __init__(self, open_part: Callable[[], Executor], parts: int) -> None:
        self.open_part, self.parts = open_part, [open_part() for _ in range(parts)]
        self.given: list[list[Future]] = [[] for _ in self.parts]

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        self.given = [[future for future in part if not future.done()] for part in self.given]
        i = min(range(len(self.parts)), key=lambda i: len(self.given[i]))
        with _undisturbed():
            try:
                future = self.parts[i].submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self.parts[i] = self.open_part()
                future = self.parts[i].submit(fn, *args, **kwargs)
            self.given[i].append(future)
        return future

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self.shutdown(wait=kind is None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Without waiting, processes of this machine that still work are killed."""
        working = [any(not future.done() for future in part) for part in self.given]
        for part, busy in zip(self.parts, working, strict=True):
            processes = [*(getattr(part, "_processes", None) or {}).values()]
            part.shutdown(wait=wait, cancel_futures=cancel_futures)
            for process in processes if busy and not wait else ():
                process.kill()


def _process() -> Executor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, _begin, (os.getpid(),))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes begun in the block never get SIGINT, also not before their first line; a stop of
    this one comes behind the block, as a process that is begun by halves complains.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    asked: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    here = threading.current_thread() is threading.main_thread() and None not in handlers.values()
    for number in handlers if here else ():
        signal.signal(number, lambda number, frame: asked.append(number))
    resource_tracker.ensure_running()  # the first process begins it, which undoes the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        for number in handlers if here else ():
            signal.signal(number, handlers[number])
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in asked[:1]:
            signal.raise_signal(number)


def _begin(parent: int) -> None:
    """In a process of the pool: leave ctrl-c to its parent, and go when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Engine(Executor):
    """Another engine's futures as those of the standard library, its losses as BrokenExecutor."""

    def __init__(
        self,
        start: Callable[..., Future],
        lost: Callable[[BaseException], bool],
        close: Callable[[], object],
    ) -> None:
        self.start, self.lost, self.close = start, lost, close

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_running_or_notify_cancel()

        def hear(ended: Future) -> None:
            error = CancelledError() if ended.cancelled() else ended.exception()
            if error is None:
                future.set_result(ended.result())
            elif isinstance(error, CancelledError) or self.lost(error):
                future.set_exception(BrokenExecutor(str(error)))
            else:
                future.set_exception(error)

        self.start(fn, *args, **kwargs).add_done_callback(hear)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.close()


def _ray(address: str | None, workers: int | None, cpus: int, gpus: int) -> tuple[Executor, int]:
    ray, close = _begun_ray(address)
    engine = _ray_engine(ray, close, num_cpus=cpus, num_gpus=gpus)
    there, needs = ray.cluster_resources(), {"CPU": cpus, "GPU": gpus}
    fit = min(int(there.get(kind, 0)) // number for kind, number in needs.items() if number)
    return engine, workers or max(1, fit)


def _ray_nodes(address: str | None) -> dict[str, Executor]:
    """Every alive node that has processors, by the beginning of its id, which Ray draws by lot."""
    ray, close = _begun_ray(address)
    affinity = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    return {
        f"node-{node['NodeID'][:8]}": _ray_engine(
            ray,
            close,
            num_cpus=cpus,
            num_gpus=node["Resources"].get("GPU", 0),
            scheduling_strategy=affinity(node["NodeID"], soft=False),
        )
        for node in ray.nodes()
        if node["Alive"] and (cpus := node["Resources"].get("CPU"))
    }


def _begun_ray(address: str | None) -> tuple[Any, Callable[[], object]]:
    """Ray, and what ends it where it was begun here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = import_module("ray")
    if ray.is_initialized():
        return ray, lambda: None
    ray.init(address, log_to_driver=False)
    return ray, ray.shutdown


def _ray_engine(ray: Any, close: Callable[[], object], **needs: Any) -> Executor:
    """Nothing is retried by Ray, which knows of no epochs."""

    @ray.remote(max_retries=0, **needs)
    def call(fn: Callable, args: tuple, kwargs: dict) -> Any:
        return fn(*args, **kwargs)

    def lost(error: BaseException) -> bool:
        errors = ray.exceptions
        return isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError)

    return _Engine(lambda fn, *args, **kwargs: call.remote(fn, args, kwargs).future(), lost, close)


def _dask(address: str, workers: int | None) -> tuple[Executor, int]:
    """Raises ValueError where workers have several threads: trainings share a random stream."""
    distributed: Any = import_module("distributed")

    client = distributed.Client(address)
    threads = client.nthreads()
    if max(threads.values(), default=1) > 1:
        client.close()
        raise ArgumentError(f"{address} has workers with several threads: start them --nthreads 1")
    executor = client.get_executor(pure=False, retries=0)
    engine = _Engine(
        executor.submit, lambda error: isinstance(error, distributed.KilledWorker), client.close
    )
    return engine, workers or max(1, len(threads))


def _slurm(cluster: str, folder: Path, workers: int, **shape: Any) -> tuple[Executor, int]:
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
    return _Engine(start, lambda error: True, close), workers
