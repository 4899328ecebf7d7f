"""Kill workers, nodes and sessions of `lightfer queue` on every executor, and compare the weights.

    python -m benchmarks.executors pool ray dask slurm:local slurm --kills 10 --out executors.json

The list of `queue_kill.py`, two items side by side on a thousand drawn faces. Ray is a cluster of
three nodes on this machine, a head without processors and two of one each; Dask has two workers of
one thread; `slurm:local` is submitit without Slurm; `slurm` is the Slurm that runs here, whose
nodes are all on this machine (`slurmd -N`). What is killed, always with SIGKILL and by its id: a
process that trains, the session, on Ray also a raylet alone and a raylet with all its workers, for
which a new node comes, on Slurm a slurmd with all its jobs, which is started again. Weights must be
equal to the bit to those of an undisturbed run on the pool. After each kill of a session the
seconds are taken until nothing trains any more.
"""

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.queue_kill import LIGHTFER, check_equal, count_epochs, write_faces, write_list

from lightfer._files import write_text

KINDS = ("pool", "ray", "dask", "slurm:local", "slurm")
NODE = "SLURMD_NODENAME"  # in the environment of what a slurmd has begun
EPOCHS, ITEMS = 60, 3
BUSY_S = 0.15  # of a processor in a second: it trains. An idle worker of Dask takes 0.06 where slow
WAIT_S = 180.0  # for an epoch, before the run is given up


@dataclass
class Engine:
    """What `--executor` is called, how its processes are known, what of it can be killed."""

    name: str
    mark: str  # in the environment of all its processes
    nodes: dict[str, Callable[[], None]] = field(default_factory=dict)


@contextmanager
def started(kind: str) -> Iterator[Engine]:
    """One of `KINDS`, on this machine, until the block ends."""
    mark = uuid.uuid4().hex
    os.environ["LIGHTFER_MARK"] = mark
    try:
        if kind == "ray":
            with _ray(mark) as engine:
                yield engine
        elif kind == "dask":
            distributed: Any = importlib.import_module("distributed")
            with distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            ) as cluster:
                yield Engine(f"dask:{cluster.scheduler_address}", mark)
        else:
            ends = {"node": lambda: _end_slurm_node(mark)} if kind == "slurm" else {}
            yield Engine(kind, mark, ends)
    finally:
        del os.environ["LIGHTFER_MARK"]
        for pid in [*marked(mark)]:  # of a run that failed
            _kill(pid)


@contextmanager
def _ray(mark: str) -> Iterator[Engine]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster: Any = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0}
    )
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def kill(whole: bool) -> None:
        node = nodes.pop(0)
        (raylet,) = node.all_processes["raylet"]
        victims = [raylet.process.pid, *(_children(raylet.process.pid) if whole else ())]
        for pid in victims:
            _kill(pid)
        nodes.append(cluster.add_node(num_cpus=1))

    ends = {"raylet": lambda: kill(False), "node": lambda: kill(True)}
    try:
        yield Engine(f"ray:{cluster.address}", mark, ends)
    finally:
        cluster.shutdown()


def _end_slurm_node(mark: str) -> None:
    """The node of a process that trains dies with all its jobs, and its slurmd is started again."""
    named = (_environment(pid).get(NODE) for pid in marked(mark))
    node = next((name for name in named if name), "")
    (slurmd,) = _pids("pgrep", "-f", f"^[^ ]*slurmd -N {node or '.*'}")[:1]
    words = Path(f"/proc/{slurmd}/cmdline").read_bytes().decode().split("\0")[:-1]
    jobs = [pid for pid in _processes() if node and node == _environment(pid).get(NODE)]
    steps = [pid for pid in _pids("pgrep", "slurmstepd") if {*_children(pid)} & {*jobs}]
    for pid in (slurmd, *steps, *jobs):
        _kill(pid)
    subprocess.run(words, check=True)


def working(mark: str, library: str = "libtorch") -> list[int]:
    """Processes of an engine that have the library loaded and work."""
    before = {pid: _cpu_s(pid) for pid in marked(mark, library)}
    sleep(1.0)
    return [pid for pid in before if _cpu_s(pid) - before[pid] > BUSY_S]


def quiet_s(mark: str, most_s: float = 60.0) -> float:
    """Seconds until nothing trains any more. Raises AssertionError if that takes too long."""
    begun = monotonic()
    while busy := working(mark):
        assert monotonic() - begun < most_s, f"orphans after {most_s} s: {busy}"
    return monotonic() - begun


def run_killed(
    engine: Engine, command: list[str], folder: Path, kills: list[str], draw: random.Random
) -> list[dict[str, Any]]:
    """Run the command to its end, with one kill of each kind named, in this order."""
    told: list[dict[str, Any]] = []
    session = _session(command, folder)
    for kind in kills:
        wanted, until = count_epochs(folder) + draw.randint(1, 3), monotonic() + WAIT_S
        while count_epochs(folder) < wanted and session.poll() is None:
            log = folder.with_name(f"{folder.name}.log")
            assert monotonic() < until, f"no epoch in {WAIT_S:.0f} s: {log.read_text()[-2000:]}"
            sleep(0.05)
        sleep(draw.uniform(0, 0.3))
        if session.poll() is not None:  # an item was lost too often: the same command goes on
            session = _session(command, folder)
            sleep(5)
        about: dict[str, Any] = {"kill": kind, "epochs": count_epochs(folder)}
        if kind == "session":
            session.kill()
            session.wait()
            about["quiet_after_s"] = round(quiet_s(engine.mark), 1)
            session = _session(command, folder)
        elif kind == "worker":
            busy = [pid for pid in working(engine.mark) if pid != session.pid]
            about["hit"] = bool(busy)  # else nothing trained just then
            if busy:
                _kill(draw.choice(busy))
        else:
            engine.nodes[kind]()
        told.append(about)
    if session.wait():
        subprocess.run(command, check=True, capture_output=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="+", choices=KINDS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="what it holds of other engines is kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, path = str(write_faces(folder)), write_list(folder, EPOCHS)
        command = [*LIGHTFER, str(path), "--data", data, "--workers", "2"]
        subprocess.run([*command, "--out", str(folder / "whole")], check=True, capture_output=True)
        for kind in args.engines:
            with started(kind) as engine:
                victims = ["worker", "session", *engine.nodes]
                kills = [victims[i % len(victims)] for i in range(args.kills)]
                begun, out = monotonic(), folder / kind
                run = [*command, "--executor", engine.name, "--out", str(out)]
                told = run_killed(engine, run, out, kills, random.Random(args.seed))
                check_equal(folder / "whole", out)
                left_s = quiet_s(engine.mark)
            found = {
                "epochs": ITEMS * EPOCHS,
                "kills": told,
                "wall_s": round(monotonic() - begun, 1),
                "weights_equal_to_the_bit": True,
                "quiet_at_the_end_s": round(left_s, 1),
            }
            print(kind, json.dumps(found))
            if args.out:
                known = json.loads(args.out.read_text()) if args.out.exists() else {}
                write_text(args.out, json.dumps({**known, kind: found}, indent=1) + "\n")


def _session(command: list[str], folder: Path) -> subprocess.Popen:
    with folder.with_name(f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def marked(mark: str, library: str = "libtorch") -> Iterator[int]:
    for pid in _processes():
        with suppress(OSError):  # it has ended
            ours = _environment(pid).get("LIGHTFER_MARK") == mark
            if ours and library in Path(f"/proc/{pid}/maps").read_text():
                yield pid


def _processes() -> list[int]:
    return [int(place.name) for place in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> dict[str, str]:
    with suppress(OSError):
        held = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        return dict(entry.split("=", 1) for entry in held.split("\0") if "=" in entry)
    return {}


def _children(parent: int) -> list[int]:
    return _pids("ps", "-o", "pid=", "--ppid", str(parent))


def _pids(*command: str) -> list[int]:
    return [int(pid) for pid in subprocess.run(command, capture_output=True).stdout.split()]


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
