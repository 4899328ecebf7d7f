"""Ways to compute a network, one file each; packages that they need are imported when used."""

from lightfer.inference.backends import compiled, eager, onnxruntime, openvino
from lightfer.inference.backends.protocol import AGREES, Loaded, Runtime

__all__ = ["AGREES", "RUNTIMES", "Loaded", "Runtime", "find_runtime"]

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (eager.RUNTIME, compiled.RUNTIME, onnxruntime.RUNTIME, openvino.RUNTIME)
}


def find_runtime(name: str, precision: str = "float32", device: str = "cpu") -> Runtime:
    """The runtime called `name`, which can be used here as asked.

    Raises ValueError that says why not: unknown, not installed, or without that precision or
    device.
    """
    if name not in RUNTIMES:
        raise ValueError(f"there is no runtime {name!r}; there are {', '.join(RUNTIMES)}")
    runtime = RUNTIMES[name]
    reason = runtime.available()
    if reason:
        raise ValueError(f"runtime {name}: {reason}")
    if precision not in runtime.precisions:
        raise ValueError(
            f"runtime {name} computes in {' or '.join(runtime.precisions)} here, not {precision}"
        )
    if device.partition(":")[0] not in runtime.devices:
        raise ValueError(f"runtime {name} runs on {', '.join(runtime.devices)}, not on {device}")
    return runtime
