"""Ways to compute a network, one file each; packages that they need are imported when used.

Other packages add theirs by entry points `lightfer.backends`, each of which names a `Runtime`.
"""

from dataclasses import replace
from importlib.metadata import entry_points

from lightfer.errors import ArgumentError
from lightfer.inference.backends import compiled, eager, onnxruntime, openvino
from lightfer.inference.backends.protocol import AGREES, PRECISIONS, Loaded, Runtime

__all__ = [
    "AGREES",
    "PRECISIONS",
    "RUNTIMES",
    "Loaded",
    "Runtime",
    "find_runtime",
    "list_runtimes",
    "runtime_of",
]

ENTRY_POINTS = "lightfer.backends"
RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (eager.RUNTIME, compiled.RUNTIME, onnxruntime.RUNTIME, openvino.RUNTIME)
}
"""Those of this package; `list_runtimes` names all."""


def list_runtimes() -> list[str]:
    """Names of the runtimes of this package, then those of other packages' entry points."""
    return [*RUNTIMES, *sorted(entry_points(group=ENTRY_POINTS).names - RUNTIMES.keys())]


def runtime_of(name: str) -> Runtime:
    """The runtime called `name`; another package is imported only if the name is not known here.

    Raises ValueError if there is none, or if its entry point does not give a `Runtime`.
    """
    if name in RUNTIMES:
        return RUNTIMES[name]
    others = entry_points(group=ENTRY_POINTS)
    if name not in others.names:
        raise ArgumentError(f"there is no runtime {name!r}; there are {', '.join(list_runtimes())}")
    value = others[name].value
    try:
        runtime = others[name].load()
    except (ImportError, AttributeError) as error:
        raise ArgumentError(
            f"runtime {name!r} cannot be imported from {value!r}: {error}; reinstall its package"
        ) from error
    if not isinstance(runtime, Runtime):
        raise ArgumentError(
            f"runtime {name!r}: {value!r} is of type {type(runtime).__name__}, expected a Runtime"
        )
    return replace(runtime, name=name)


def find_runtime(name: str, precision: str = "float32", device: str = "cpu") -> Runtime:
    """The runtime called `name`, which can be used here as asked.

    Raises ValueError that says why not: unknown, not installed, or without that precision or
    device.
    """
    runtime = runtime_of(name)
    reason = runtime.unusable()
    if reason:
        raise ArgumentError(f"runtime {name}: {reason}")
    if precision not in runtime.precisions:
        raise ArgumentError(
            f"runtime {name} computes in {' or '.join(runtime.precisions)} here, not {precision}"
        )
    if device.partition(":")[0] not in runtime.devices:
        raise ArgumentError(f"runtime {name} runs on {', '.join(runtime.devices)}, not on {device}")
    return runtime
