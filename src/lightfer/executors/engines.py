"""The executors of other packages: Ray, Dask, and Slurm by submitit."""

import os
import signal
import subprocess
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lightfer.errors import ArgumentError, LightferError

POLL_S = 0.5
"""Between two looks at the jobs of Slurm."""
WHOLE_NODE = {"slurm_exclusive": True, "slurm_mem": "0", "slurm_srun_args": ["--cpu-bind=none"]}
"""A job of Slurm that has all processors and all memory of its node; 0 is all of it."""


@dataclass(eq=False)
class Engine(Executor):
    """Another engine's futures as those of the standard library, its losses as BrokenExecutor."""

    start: Callable[..., Future]
    lost: Callable[[BaseException], bool]
    close: Callable[[], object]

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


def open_dask(address: str, workers: int | None) -> tuple[Executor, int]:
    """A cluster. Raises ValueError where its workers have several threads: trainings in one process
    share a random stream.
    """
    distributed: Any = import_module("distributed")
    client = distributed.Client(address)
    threads = client.nthreads()
    if max(threads.values(), default=1) > 1:
        client.close()
        raise ArgumentError(f"{address} has workers with several threads: start them --nthreads 1")
    start = client.get_executor(pure=False, retries=0).submit
    engine = Engine(start, lambda error: isinstance(error, distributed.KilledWorker), client.close)
    return engine, workers or max(1, len(threads))


def open_slurm(cluster: str, folder: Path, **shape: Any) -> Executor:
    """A job of Slurm for each piece, or a process of this machine where `cluster` is local. Raises
    ValueError where there is no Slurm, or one without accounting; `submit` raises LightferError
    where Slurm takes no job.
    """
    submitit: Any = import_module("submitit")
    if cluster == "slurm":
        _check_accounting()
    executor = submitit.AutoExecutor(folder / ".slurm", cluster=cluster)
    # whoever gave a job of a lost node away gives it away again, at once: Slurm waits for minutes
    shape["slurm_additional_parameters"] = {"no-requeue": True}
    executor.update_parameters(name="lightfer", timeout_min=60, **shape)
    jobs: dict[Future, Any] = {}
    closed = threading.Event()

    def poll() -> None:
        while not closed.wait(POLL_S):
            for future, job in [*jobs.items()]:
                if job.done():
                    del jobs[future]
                    try:
                        value, error = job.result()
                    except Exception as lost:  # it left nothing, or nothing that can be read
                        value, error = None, BrokenExecutor(str(lost))
                    future.set_exception(error) if error else future.set_result(value)

    def start(fn: Callable, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            jobs[future] = executor.submit(_in_job, fn, args, kwargs)
        except RuntimeError as error:  # in the words of sbatch
            raise LightferError(
                f"Slurm takes no job ({error}): choose a partition or an account by the variables "
                "of sbatch, or fewer --workers"
            ) from error
        return future

    def close() -> None:
        closed.set()
        for job in [*jobs.values()]:  # the thread may still take one away
            job.cancel(check=False)

    threading.Thread(target=poll, daemon=True).start()
    return Engine(start, lambda error: False, close)


def _in_job(fn: Callable, args: tuple, kwargs: dict) -> tuple[Any, Exception | None]:
    """What `fn` gives, and what it raises, which submitit would tell as a text.

    At the signal that comes before the end of a job's time submitit would raise an error within
    `fn`; it is to go on until Slurm ends it, which counts as a lost worker.
    """
    name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")  # as submitit reads it
    signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
    try:
        return fn(*args, **kwargs), None
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error


def _check_accounting() -> None:
    """Raise ArgumentError where Slurm does not tell what became of a job."""
    try:
        asked = subprocess.run(["sacct", "-nX", "-S", "now"], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ArgumentError(
            "there is no Slurm here (sacct is not found): give the command where jobs are "
            "submitted, or --executor slurm:local, which needs none"
        ) from error
    if asked.returncode:
        raise ArgumentError(
            f"Slurm's accounting does not answer ({asked.stderr.strip()}): without it a lost job "
            "goes unnoticed; start slurmdbd, or use --executor ray"
        )


def open_ray(
    address: str | None, workers: int | None, cpus: int, gpus: int
) -> tuple[Executor, int]:
    """A cluster, or a Ray that is begun here."""
    ray, close = _begun(address)
    engine = _of_ray(ray, close, num_cpus=cpus, num_gpus=gpus)
    there, needs = ray.cluster_resources(), {"CPU": cpus, "GPU": gpus}
    fit = min(int(there.get(kind, 0)) // number for kind, number in needs.items() if number)
    return engine, workers or max(1, fit)


def ray_nodes(address: str | None) -> dict[str, Executor]:
    """Every alive node that has processors, by the beginning of its id, which Ray draws by lot."""
    ray, close = _begun(address)
    affinity = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    return {
        f"node-{node['NodeID'][:8]}": _of_ray(
            ray,
            close,
            num_cpus=cpus,
            num_gpus=node["Resources"].get("GPU", 0),
            scheduling_strategy=affinity(node["NodeID"], soft=False),
        )
        for node in ray.nodes()
        if node["Alive"] and (cpus := node["Resources"].get("CPU"))
    }


def _begun(address: str | None) -> tuple[Any, Callable[[], object]]:
    """Ray, and what ends it where it was begun here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = import_module("ray")
    if ray.is_initialized():
        return ray, lambda: None
    ray.init(address, log_to_driver=False)
    return ray, ray.shutdown


def _of_ray(ray: Any, close: Callable[[], object], **needs: Any) -> Executor:
    """Nothing is retried by Ray, which knows of no epochs."""

    @ray.remote(max_retries=0, **needs)
    def call(fn: Callable, args: tuple, kwargs: dict) -> Any:
        return fn(*args, **kwargs)

    def lost(error: BaseException) -> bool:
        errors = ray.exceptions
        return isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError)

    return Engine(lambda fn, *args, **kwargs: call.remote(fn, args, kwargs).future(), lost, close)
