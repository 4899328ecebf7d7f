"""How times are taken, and what a results file says of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lightfer.bench import case
from lightfer.bench.case import MOST_KEPT, _inputs, visit_case
from lightfer.bench.plan import BenchConfig
from lightfer.cli.main import app
from lightfer.inference.backends import Loaded
from lightfer.measure.yardstick import Yardstick
from lightfer.results import read_results
from lightfer.results.validate import violations
from tests.bench.test_run import run

NET = "mobilenet_v1_x0_25"
IMAGES = torch.arange(300, dtype=torch.uint8).repeat_interleave(48 * 48).view(300, 1, 48, 48)
TINY = BenchConfig(
    (NET,), rounds=2, seconds=0, passes=4, warmup=0, batch_sizes=(3, 1, 3), quick=True
)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightfer.bench.run.QUICK_IMAGES", 8)


def visit(seconds: float, net=lambda x: x, sizes=(1,)):
    protocol = replace(TINY, seconds=seconds, batch_sizes=sizes).protocol()
    return visit_case(Loaded(net, {}), Yardstick("pytorch"), IMAGES[:8], "cpu", protocol)


def test_a_round_times_passes_for_as_long_as_it_should_and_keeps_200_of_them():
    (timed,) = visit(0.2).timed
    assert timed.passes > 1000
    assert timed.seconds >= 0.2
    assert len(timed.samples_s) == MOST_KEPT
    assert timed.p50_s is not None
    assert timed.p99_s is not None
    assert timed.samples_s[100] == pytest.approx(timed.p50_s, rel=0.05)
    assert timed.samples_s[0] <= timed.p50_s <= timed.p99_s


def test_images_rotate_in_both_sizes():
    seen: list[tuple[int, float]] = []

    def net(x):
        seen.append((len(x), x[0].mean().item()))
        return x

    visit(0.0, net, sizes=(1, 2))
    for size in (1, 2):
        values = {value for n, value in seen if n == size}
        assert len(values) > 1
    assert len(_inputs(IMAGES, 1)) == case.ROTATING
    assert [len(x) for x in _inputs(IMAGES, 64)] == [64] * 4
    assert [len(x) for x in _inputs(IMAGES[:5], 64)] == [64]  # some of them twice


def test_garbage_is_not_collected_inside():
    import gc

    states = []
    visit(0.0, lambda x: states.append(gc.isenabled()))
    assert set(states) == {False}
    assert gc.isenabled()


def test_the_file_says_how_times_were_taken(tmp_path: Path):
    results = run(TINY, None, tmp_path)
    (entry,), (environment,) = results.entries, results.environments.values()
    protocol = environment.protocol
    assert protocol is not None
    assert (protocol.version, protocol.quick, protocol.batch_sizes) == (3, True, (1, 3))
    assert (protocol.rounds, protocol.passes, protocol.warmup, protocol.seed) == (2, 4, 0, 0)
    assert protocol.garbage_collection == "off while passes are timed"
    assert protocol.pinning.startswith("not pinned")
    single, batch = entry.latency
    assert (single.batch_size, batch.batch_size, entry.inference_batch_size) == (1, 3, 3)
    assert (single.passes, single.p99_s, entry.inference_images) == ((4, 4), (None, None), 8)
    assert single.images_per_s is not None
    assert 1 / max(single.samples_s) <= single.images_per_s <= 1 / min(single.samples_s)
    assert entry.load_s is not None
    assert entry.peak_memory_bytes is not None
    assert entry.peak_memory_bytes > 50e6  # Python and PyTorch


def test_a_fresh_process_measures_each_round(tmp_path: Path):
    (entry,) = run(replace(TINY, processes=True, batch_sizes=(1,)), None, tmp_path).entries
    assert entry.error is None
    assert [t.rounds for t in entry.latency] == [2]


def test_each_appended_run_keeps_its_own_command_and_replaces_what_it_measured_again(
    tmp_path: Path,
):
    out = tmp_path / "results.json"
    options = ("--data", "none", "--quick", "--passes", "1", "--rounds", "1", "--warm-up", "0")

    def bench(*models: str, seed: int) -> None:
        arguments = ["bench", *models, *options, "--append", "--seed", str(seed)]
        done = CliRunner().invoke(app, [*arguments, "--batch-size", "1", "--out", str(out)])
        assert done.exit_code == 0, done.output
        assert "quick" in done.output

    bench(NET, "vgg_slim", seed=1)
    bench("shufflenet_v2_x0_5", seed=2)
    bench(NET, seed=3)
    results = read_results(out)
    assert len(results.environments) == 3
    seeds = {}
    for entry in results.entries:
        protocol = results.environments[entry.environment].protocol
        seeds[entry.model] = protocol and protocol.seed
    assert seeds == {"vgg_slim": 1, "shufflenet_v2_x0_5": 2, NET: 3}
    bench("vgg_slim", seed=4)
    assert len(read_results(out).environments) == 3  # that of seed 1 has nothing left
    assert violations(json.loads(out.read_text())) == []
