"""The page's recipe for torchrun: two processes that are killed, and what one process computes."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
import torch
from benchmarks.executors import marked
from safetensors.torch import load_file

from tests.conftest import by_day
from tests.test_docs import write_files

NET = "squeezenet1_1"  # without batch norm
EPOCHS = 5
SETTINGS = {"epochs": EPOCHS, "warmup_epochs": 0.5, "batch_size": 37, "precision": "float32"}
SETTINGS |= {"dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.02}
ENV = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
TORCHRUN += ["--nproc-per-node", "2", "--max-restarts", "1"]


class Together:
    """The script of the page in `here`, on `data`."""

    def __init__(self, here: Path, data: Path) -> None:
        self.here, self.data = here, data
        self.mark = uuid.uuid4().hex
        write_files("queue.md", here)

    def begin(self, folder: str, processes: int = 2, **changes: int) -> subprocess.Popen:
        """Two by torchrun; one as it would begin it, without a second process that loads torch."""
        start, alone = (TORCHRUN, {}) if processes == 2 else ([sys.executable], ALONE)
        settings = json.dumps({**SETTINGS, **changes})
        with (self.here / f"{folder}.log").open("a") as log:
            return subprocess.Popen(
                [*start, "together.py", NET, str(self.data), folder, settings],
                cwd=self.here,
                env={**os.environ, **ENV, **alone, "LIGHTFER_MARK": self.mark},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def weights(self, folder: str) -> dict[str, torch.Tensor]:
        return load_file(self.here / folder / f"{NET}.safetensors")

    def epochs(self, folder: str) -> int:
        path = self.here / folder / "history.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, blind_csv: Path) -> Iterator[Together]:
    one = Together(tmp_path_factory.mktemp("together"), blind_csv)
    yield one
    for pid in marked(one.mark):  # of a test that failed
        os.kill(pid, signal.SIGKILL)


def test_two_processes_do_what_one_does_but_for_rounding(together: Together):
    """In batches of 37 images, whose shares are unequal, as those of the last one of 22 are not."""
    for processes in (1, 2):
        assert together.begin(f"of{processes}", processes, epochs=1).wait() == 0
    one, two = (load_file(together.here / f"of{n}" / "state.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name in one:  # the gradients of all steps among it, as momentum
        largest = one[name].abs().max().item()
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-4 * largest)


def test_killed_processes_go_on_to_the_undisturbed_weights(together: Together):
    """First a process, by night, which torchrun starts again with the other; then all."""
    assert together.begin("whole").wait() == 0, (together.here / "whole.log").read_text()
    running = together.begin("killed")
    for epochs, all_of_them in by_day([(3, True)], [(1, False), (3, True)]):
        kill_at(together, running, epochs=epochs, all_of_them=all_of_them)
    assert running.wait() < 0
    assert together.epochs("killed") < EPOCHS
    assert together.begin("killed").wait() == 0, (together.here / "killed.log").read_text()
    assert together.epochs("killed") == EPOCHS
    found, whole = together.weights("killed"), together.weights("whole")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())
    assert together.begin("killed", processes=1).wait() != 0
    assert "2 processes, now it is equal, 1 processes" in (together.here / "killed.log").read_text()


def kill_at(together: Together, running: subprocess.Popen, *, epochs: int, all_of_them: bool):
    """Kill a process that trains, or them and torchrun, once the history holds `epochs`."""
    until = monotonic() + 240
    while together.epochs("killed") < epochs:
        assert running.poll() is None, (together.here / "killed.log").read_text()
        assert monotonic() < until
        sleep(0.01)
    training = [pid for pid in marked(together.mark) if pid != running.pid]
    for pid in (running.pid, *training) if all_of_them else training[:1]:
        os.kill(pid, signal.SIGKILL)
