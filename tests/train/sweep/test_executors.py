"""One contract for the executors; those whose package is not installed are skipped.

`benchmarks/executors.py` kills more often. Ray and Zeus cannot share an environment, so the tests
of Ray need one without Zeus.
"""

import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from time import monotonic
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from benchmarks.executors import Engine, quiet_s, run_killed, started
from benchmarks.queue_kill import LIGHTFER, check_equal, write_list

from lightfer.errors import ArgumentError, LightferError
from lightfer.executors import open_executor
from lightfer.executors.pool import Parts
from lightfer.train.sweep.items import Item
from lightfer.train.sweep.run import Options, run_queue
from tests.train.sweep.conftest import EPOCHS, SMALL

PACKAGES = {"pool": "os", "ray": "ray", "dask": "distributed", "slurm:local": "submitit"}


@pytest.fixture(scope="module", params=PACKAGES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    pytest.importorskip(PACKAGES[request.param])
    with started(request.param) as one:
        yield one


def test_values_and_errors_come_back_and_a_lost_worker_is_not_the_end(
    engine: Engine, tmp_path: Path
):
    executor, slots = open_executor(engine.name, tmp_path, 1)
    try:
        assert slots == 1
        assert executor.submit(pow, 2, 5).result(timeout=120) == 32
        with pytest.raises(ZeroDivisionError, match="zero"):
            executor.submit(divmod, 1, 0).result(timeout=120)
        with pytest.raises(BrokenExecutor):
            executor.submit(die).result(timeout=240)
        assert executor.submit(pow, 2, 6).result(timeout=120) == 64
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def test_a_process_that_cannot_be_begun_is_no_reader_who_has_enough():
    """A command ended with 0 and nothing done, as if whoever read its output had gone."""

    class Nothing(Executor):
        def submit(self, fn, /, *args, **kwargs):
            raise BrokenPipeError("the server of forks is gone")

    with pytest.raises(ChildProcessError, match="no process can be begun here"):
        Parts(Nothing, 1).submit(print)


STOPPED_IN_THE_POOL = """
import os, signal, threading, time
from multiprocessing import resource_tracker
from lightfer.cli import stop
from lightfer.executors.pool import Parts, open_process

send, remove = resource_tracker._resource_tracker._send, stop.remove_unfinished

def slowly(cmd, name, rtype):
    if threading.current_thread() is not threading.main_thread():
        time.sleep(1)
    send(cmd, name, rtype)

def late():
    time.sleep(0.5)  # the threads of the pool are ahead of this one
    remove()

if __name__ == "__main__":
    resource_tracker._resource_tracker._send, stop.remove_unfinished = slowly, late
    with stop.Stoppable("bench"), Parts(open_process, 1) as pool:
        working = pool.submit(time.sleep, 100)
        while not working.running():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(100)
"""


def test_a_stopped_pool_leaves_no_semaphore(tmp_path: Path):
    """Its own thread was taking them away when the process ended: a warning came after the line."""
    (tmp_path / "stopped.py").write_text(STOPPED_IN_THE_POOL)
    done = subprocess.run([sys.executable, tmp_path / "stopped.py"], capture_output=True, text=True)
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert line.startswith("lightfer: stopped; what was measured is kept")


def test_ctrl_c_is_for_the_parent_from_the_first_line_of_a_process():
    """While it loads torch a process used to print a traceback of its own."""
    with open_executor("pool", Path(), 1)[0] as executor:
        for _ in range(2):
            assert signal.SIGINT in executor.submit(blocked).result()
            with pytest.raises(BrokenExecutor):
                executor.submit(die).result()
    assert signal.SIGINT not in blocked()


def blocked() -> set[int]:
    return {*signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_workers_and_sessions_change_no_weight(
    engine: Engine, whole: Path, blind_csv: Path, tmp_path: Path
):
    path, out = write_list(tmp_path, EPOCHS), tmp_path / "q"
    command = [*LIGHTFER, str(path), "--data", str(blind_csv), "--workers", "2"]
    command += ["--executor", engine.name, "--out", str(out)]
    told = run_killed(engine, command, out, ["worker", "session"], random.Random(0))
    assert [kill["kill"] for kill in told] == ["worker", "session"]
    assert told[1]["quiet_after_s"] < 20  # ten of silence, and ten to be gone
    check_equal(whole, out)
    assert quiet_s(engine.mark) < 10


def test_a_session_ends_in_time_and_leaves_nothing_running(
    engine: Engine, blind_csv: Path, tmp_path: Path
):
    long = Item(model="shufflenet_v2_x0_5", name="long", settings={**SMALL, "epochs": 5000})
    options = Options(tmp_path, str(blind_csv), budget_s=8.0, executor=engine.name)
    begun = monotonic()
    session = run_queue((long,), options, begun=begun)
    assert 5 < monotonic() - begun < 18  # two seconds are kept free for stopping
    assert (session.finished, session.failed) == ({}, {})
    assert quiet_s(engine.mark) < 10


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned here")
def test_the_pool_has_a_process_for_each_core_that_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6})
    executor, slots = open_executor("pool", tmp_path)
    executor.shutdown()
    assert slots == 3


def test_a_slurm_that_tells_nothing_of_its_jobs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Submitit would wait for a lost job for ever."""
    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArgumentError, match=r"no Slurm here .* slurm:local"):
        open_executor("slurm", tmp_path)
    sacct = tmp_path / "sacct"
    sacct.write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    sacct.chmod(0o755)
    with pytest.raises(
        ArgumentError, match=r"does not answer \(Slurm accounting storage is disabled\)"
    ):
        open_executor("slurm", tmp_path)


class Submitit(ModuleType):
    """As submitit 1.5: a job, here in this process, leaves a value or a text, and a signal before
    the end of its time raises an error within it.
    """

    def __init__(self, refusal: str = "") -> None:
        super().__init__("submitit")
        self.refusal, self.AutoExecutor = refusal, lambda *_, **__: self

    def update_parameters(self, **_: object) -> None: ...

    def submit(self, fn: Any, *args: Any) -> SimpleNamespace:
        if self.refusal:
            raise RuntimeError(self.refusal)

        def end(*_: object) -> None:
            raise RuntimeError("Job not requeued because: timed-out and not checkpointable.")

        error, left = None, b""
        number = preempt_signal()
        before = signal.signal(number, end)
        try:
            left = pickle.dumps(fn(*args))
        except Exception as problem:
            error = RuntimeError(f"failed during processing with trace: {problem!r}")
        finally:
            signal.signal(number, before)

        def result() -> Any:
            if error:
                raise error
            return pickle.loads(left)

        return SimpleNamespace(done=lambda: True, exception=lambda: error, result=result)


class Unreadable:
    """A value that nobody can read."""

    def __reduce__(self) -> tuple:
        return divmod, (1, 0)


def preempt_signal() -> signal.Signals:
    """As submitit finds it."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


def signalled() -> int:
    os.kill(os.getpid(), preempt_signal())
    return 1


@pytest.mark.parametrize("name", [None, "USR1"])
def test_a_job_of_slurm_works_to_the_end_of_its_time_and_says_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
):
    """An item had failed where it was not finished within the hour, and why a shard of pictures
    could not be labelled was not to be learnt.
    """
    if name:
        monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", name)
    monkeypatch.setitem(sys.modules, "submitit", Submitit())
    with open_executor("slurm:local", tmp_path, 1)[0] as executor:
        assert executor.submit(signalled).result(timeout=10) == 1
        with pytest.raises(ZeroDivisionError, match="zero"):
            executor.submit(divmod, 1, 0).result(timeout=10)
        with pytest.raises(BrokenExecutor):
            executor.submit(Unreadable).result(timeout=10)


def test_that_slurm_takes_no_job_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It was a traceback."""
    monkeypatch.setitem(sys.modules, "submitit", Submitit("sbatch: error: Invalid account"))
    with (
        open_executor("slurm:local", tmp_path, 1)[0] as executor,
        pytest.raises(LightferError, match=r"takes no job \(sbatch: error: Invalid account\)"),
    ):
        executor.submit(pow, 2, 5)
