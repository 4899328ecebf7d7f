"""A cluster of Ray, or a Ray that is begun here."""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from importlib import import_module
from typing import Any

from lightfer.executors.engine import Engine


def open_ray(
    address: str | None, workers: int | None, cpus: int, gpus: int
) -> tuple[Executor, int]:
    ray, close = _begun(address)
    engine = _engine(ray, close, num_cpus=cpus, num_gpus=gpus)
    there, needs = ray.cluster_resources(), {"CPU": cpus, "GPU": gpus}
    fit = min(int(there.get(kind, 0)) // number for kind, number in needs.items() if number)
    return engine, workers or max(1, fit)


def ray_nodes(address: str | None) -> dict[str, Executor]:
    """Every alive node that has processors, by the beginning of its id, which Ray draws by lot."""
    ray, close = _begun(address)
    affinity = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    return {
        f"node-{node['NodeID'][:8]}": _engine(
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


def _engine(ray: Any, close: Callable[[], object], **needs: Any) -> Executor:
    """Nothing is retried by Ray, which knows of no epochs."""

    @ray.remote(max_retries=0, **needs)
    def call(fn: Callable, args: tuple, kwargs: dict) -> Any:
        return fn(*args, **kwargs)

    def lost(error: BaseException) -> bool:
        errors = ray.exceptions
        return isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError)

    return Engine(lambda fn, *args, **kwargs: call.remote(fn, args, kwargs).future(), lost, close)
