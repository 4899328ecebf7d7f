"""`lightfer bench --fleet`: every node once, in one file that names no machine."""

import json
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benchmarks.executors import started

from lightfer.__main__ import run
from lightfer._files import cache_folder
from lightfer.results import Environment, Results, read_results, write_results
from lightfer.results.merge import merge
from lightfer.results.validate import violations, violations_of_file

SHORT = ["bench", "squeezenet1_1_bn", "--rounds", "1", "--quick", "--passes", "1", "--batch-size"]
SHORT += ["1", "--warm-up", "0"]


class Nodes(Executor):
    """Two nodes, each a process; the piece of the second is lost where the file `lost` is."""

    def __init__(self, workers: int) -> None:
        self._max_workers = 2
        self.parts = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(2)]

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        part = self.parts[args[1] == "node-2"]
        if part is self.parts[1] and Path("lost").exists():
            return part.submit(die)
        return part.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for part in self.parts:
            part.shutdown(wait, cancel_futures=cancel_futures)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unopened(workers: int) -> Executor:
    raise AssertionError("opened, though the file cannot be written")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command as it is typed, in a folder of its own; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str) -> int:
        words = [*SHORT, "--fleet", *arguments]
        monkeypatch.setattr("sys.argv", ["/usr/bin/lightfer", *words])
        return run(words)

    return typed


def about(results: Results) -> dict[str | None, Environment]:
    return {environment.node: environment for environment in results.environments.values()}


def test_the_pool_is_one_node_and_its_scorings_are_told_of(
    bench: Callable[..., int], small_csv: Path
):
    assert bench("--data", str(small_csv), "--out", "one.json") == 0
    found = read_results("one.json")
    assert [*about(found)] == ["node-1"]
    assert about(found)["node-1"].command.endswith("--fleet --data fer2013.csv --out one.json")
    accuracy = found.entries[0].accuracy
    assert accuracy
    assert accuracy.source == "measured"
    assert len(Path("test_scorings.jsonl").read_text().splitlines()) == 1
    assert {path.name for path in Path().iterdir()} == {"one.json", "test_scorings.jsonl"}
    assert not any((cache_folder() / "fleet").iterdir())


def test_two_equal_nodes_are_two_machines_of_one_file_also_after_a_loss(
    bench: Callable[..., int], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    command = ["--data", "none", "--executor", f"{__name__}:Nodes", "--out", "two.json"]
    Path("lost").touch()
    assert bench(*command) == 1
    assert "node-2 failed: its process was lost" in capsys.readouterr().err
    before = read_results("two.json")
    assert [*about(before)] == ["node-1"]

    Path("lost").unlink()
    assert bench(*command) == 0
    found = read_results("two.json")
    assert {*about(found)} == {"node-1", "node-2"}
    assert about(found)["node-1"] == about(before)["node-1"], "measured anew"
    machines = {key.rpartition("-")[0] for key in found.environments}
    assert {entry.id.split("/")[0] for entry in found.entries} == machines
    assert len(found.entries) == len(machines) == 2

    text = Path("two.json").read_text()
    for environment in found.environments.values():
        assert environment.command == " ".join(["lightfer", *SHORT, "--fleet", *command])
    for private in (f'"{socket.gethostname()}', "127.0.0.1", str(Path.cwd()), str(cache_folder())):
        assert private not in text
    assert violations_of_file(Path("two.json")) == []
    assert {path.name for path in Path().iterdir()} == {"two.json"}

    write_results(Path("other.json"), read_results("two.json"))
    assert bench("--data", "none", "--out", "other.json", "--append") == 0
    assert {*about(read_results("other.json"))} == {"node-1", "node-2"}


def test_a_node_that_cannot_measure_says_why_and_nothing_is_replaced(
    bench: Callable[..., int], capsys: pytest.CaptureFixture
):
    Path("kept.json").write_text("mine")
    assert bench("--data", "nowhere.csv", "--out", "kept.json") == 1
    assert "node-1 failed: nowhere.csv" in capsys.readouterr().err
    assert Path("kept.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", ".", "--executor", f"{__name__}:unopened"), "is a folder, expected a file"),
        (("--nodes", "2"), "pool knows how many nodes it has"),
        (("--executor", "dask:tcp://localhost:1"), "expected ray, slurm or your own"),
        (("--executor", "nothing:here"), "there is no executor 'nothing:here'"),
        (("--node", "node-2"), "--fleet names its nodes itself"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    bench: Callable[..., int],
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture,
):
    assert bench(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--nodes", "2"), ("--node", socket.gethostname())])
def test_without_a_fleet_there_is_no_executor_and_a_node_has_no_name_of_its_own(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture
):
    assert run([*SHORT, *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_schema_knows_no_host_names():
    environment = read_results(Path(__file__).parents[2] / "results.json").environments
    (one, *_) = environment.values()
    for node, faults in ((None, 0), ("node-2", 0), ("gpu07.cluster", 1), ("10.0.0.5", 1)):
        named = msgspec.structs.replace(one, node=node)
        document = msgspec.json.encode(Results(environments={"a": named}))
        assert len(violations(json.loads(document))) == faults, node


def test_nodes_of_ray_measure_at_the_same_time_into_one_file(bench: Callable[..., int]):
    pytest.importorskip("ray")
    with started("ray") as engine:
        assert bench("--data", "none", "--executor", engine.name, "--out", "ray.json") == 0
    found = read_results("ray.json")
    assert len(found.environments) == len(about(found)) == len(found.entries) == 2
    assert engine.name.partition(":")[2] not in Path("ray.json").read_text()
    assert merge([found, found]) == found
