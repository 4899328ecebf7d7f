"""The machine, the software and the command: what a reader needs to judge or repeat a figure."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np

from lightfer._files import in_utf8
from lightfer.measure.process import device_name, threads_used
from lightfer.results import Data, Environment

PACKAGES = ("lightfer", "torch", "torchvision", "numpy", "onnxruntime", "openvino")
INSTRUCTIONS = (  # that decide how fast a net is, as Linux names them on x86 and ARM
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)


def describe_environment(
    *, data: Data | None, allocator: str, device: str, node: str | None = None
) -> Environment:
    """Read everything off this process and machine, now; `node` is what tells it from its like."""
    info = Path("/proc/cpuinfo")
    told = info.read_text(errors="replace") if info.exists() else ""
    return Environment(
        cpu=cpu_name(told),
        microarchitecture=microarchitecture(told),
        cores=os.cpu_count() or 1,
        threads=threads_used(),
        memory_bytes=_memory_bytes(),
        gpu=device_name(device) if device.startswith("cuda") else None,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: v for name in PACKAGES if (v := package_version(name))},
        allocator=allocator,
        flush_denormal=bool(np.float32(1e-38) * np.float32(1e-2) == 0),  # a subnormal result
        code=code_version(),
        command=command_text(sys.argv),
        data=data,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        node=node,
    )


def command_text(arguments: Sequence[str]) -> str:
    """The command line with files and folders by name, and a cluster without its address: where
    these are concerns no reader.
    """
    named = (re.sub(r"^((--executor=)?(ray|dask)):.*", r"\1", a) for a in arguments)
    shown = [re.sub(r"[^=,]*[/\\](?=[^=,])", "", a.rstrip("/\\")) for a in named]
    words = ("lightfer" if word == "__main__.py" else word for word in shown)  # python -m
    return in_utf8(" ".join(words))


def without_folders(text: str) -> str:
    """An error's text with files by name, and names that are not UTF-8 as escapes."""
    folder = r"""(?<![\w.:/\\])(?:[A-Za-z]:|~)?(?:[\\/][^\\/\s'"]+)+[\\/](?=[^\\/\s'"])"""
    return in_utf8(re.sub(folder, "", text))


def environment_id(environment: Environment) -> str:
    """A short name: the processor, and a hash of all but the moment, its noise and the command."""
    fixed = msgspec.structs.replace(environment, started="", command="", noise=None)
    digest = hashlib.sha256(msgspec.json.encode(fixed)).hexdigest()[:8]
    name = environment.gpu or environment.cpu
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{slug}-{environment.threads}t-{digest}"


def run_id(environment: Environment) -> str:
    """That of its machine, and a hash of all, the command, the moment and its noise among it."""
    digest = hashlib.sha256(msgspec.json.encode(environment)).hexdigest()[:6]
    bare = msgspec.structs.replace(environment, yardstick=None, protocol=None)
    return f"{environment_id(bare)}-{digest}"


def code_version() -> str:
    """The commit of the checkout this package runs from, or its version.

    If files differ from the commit, `+dirty` follows with the beginning of a hash of what differs.
    The commit is that of the package's own repository, or what an installed copy was built from.
    """
    package = Path(__file__).resolve().parents[1]
    if (package.parents[1] / ".git").exists():
        commit = _git(package, "rev-parse", "--short=12", "HEAD")
        if commit:
            return commit + _changes(package)
    built_from = package / "commit.txt"  # by setup.py
    if built_from.exists():
        return built_from.read_text().strip()
    return package_version("lightfer") or "unknown"


def _changes(package: Path) -> str:
    """What is behind the commit in `code_version`; nothing where no file differs."""
    listed = _git(package, "ls-files", "--modified", "--deleted", "--others", "--exclude-standard")
    if not listed and not _git(package, "status", "--porcelain", "."):
        return ""
    digest = hashlib.sha256((_git(package, "diff", "HEAD", "--", ".") or "").encode())
    for path in map(package.joinpath, (listed or "").splitlines()):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return f"+dirty.{digest.hexdigest()[:6]}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def package_version(name: str) -> str | None:
    """That of an installed package, or of another one that has its module, as `onnxruntime-gpu`
    has `onnxruntime`; None where there is neither.
    """
    try:
        return version(name)
    except PackageNotFoundError:
        others = packages_distributions().get(name) if find_spec(name) else None
        return version(others[0]) if others else None


def cpu_name(told: str) -> str:
    """The processor's name, by Linux's `/proc/cpuinfo` or else by the system."""
    if match := re.search(r"^(?:model name|Model)\s*:\s*(.+)$", told, re.M):
        return match[1].strip()
    if sys.platform == "darwin":  # where every processor is called arm otherwise
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            named = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            named = ""
        if named:
            return named
    return platform.processor() or platform.machine()


def microarchitecture(told: str) -> str | None:
    """Which design of processor it is, and which instructions it offers, by `/proc/cpuinfo`: names
    as `AMD EPYC` hide both. None where that does not say.
    """

    def every(key: str) -> list[str]:
        return sorted(set(re.findall(rf"^{key}\s*:\s*(.+?)\s*$", told, re.M)))

    keys = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    design = [f"{key} {value}" for key in keys for value in every(key)]
    flags = set(" ".join(every("flags") + every("Features")).split())
    known = [*design, *(name for name in INSTRUCTIONS if name in flags)]
    return ", ".join(known) or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
