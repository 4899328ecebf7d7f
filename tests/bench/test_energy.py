"""The main flow with meters: entries, resumption, failures, and a machine without any."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightfer.bench import run as benchmark
from lightfer.bench.entry import with_energy
from lightfer.bench.journal import Journal
from lightfer.bench.plan import BenchConfig, Meters
from lightfer.bench.run import run_benchmark
from lightfer.data import Dataset
from lightfer.measure.energy import EnergyPlan, Meter, MeterError
from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.protocol import now
from lightfer.results import Results, read_results, write_results
from tests.measure.energy.simulated import MissingMeter

pytestmark = pytest.mark.usefixtures("brief")
PLAN = EnergyPlan(seconds=0.02, fewest_blocks=2, most_blocks=3, half_width=1e-9, batch_sizes=(1,))
CONFIG = BenchConfig(
    ("mobilenet_v1_x0_25", "shufflenet_v2_x0_5"),
    rounds=1, seconds=0, passes=1, warmup=1, batch_sizes=(1, 8), energy=PLAN,
)  # fmt: skip


def hundred_watts(dies_after: float = float("inf"), simulated: bool = False) -> CounterMeter:
    """A real-time counter of 100 W; it is not marked unless `simulated`."""
    reads = 0

    def read() -> list[float]:
        nonlocal reads
        reads += 1
        if reads > dies_after:
            raise MeterError("it died")
        return [100 * now()]

    return CounterMeter("gpu", "test counter", read, [None], simulated=simulated)


@pytest.fixture
def run(faces: Dataset) -> Callable[..., Results]:
    return partial(run_bench, faces)


def run_bench(
    faces: Dataset, folder: Path, meters: Meters, config: BenchConfig = CONFIG, **options
) -> Results:
    results, _ = run_benchmark(
        config,
        faces,
        allocator="test",
        journal_path=folder / "journal",
        test_log=folder / "scorings.jsonl",
        meters=meters,
        **options,
    )
    return results


def test_an_entry_has_the_energy_of_both_batch_sizes(run: Callable[..., Results], tmp_path: Path):
    results = run(tmp_path, Meters([hundred_watts()], {"cpu": "none here"}))
    for entry in results.entries:
        assert entry.error is None
        assert entry.energy is not None
        (single,) = entry.energy_other
        assert (entry.energy.batch_size, single.batch_size) == (8, 1)
        for energy in (entry.energy, single):
            assert len(energy.blocks) == 3
            assert energy.measured()
            assert energy.ci95 is not None
            assert energy.components.cpu.reason == "none here"
            assert energy.components.gpu.tick_s is not None
            for block in energy.blocks:
                seconds = block.work_s[1] - block.work_s[0]
                assert seconds >= PLAN.seconds
                joules = block.readings[0].joules
                assert joules is not None
                assert joules > 0.5 * 100 * PLAN.seconds  # a busy machine may stop in between
        assert entry.carbon is not None
        assert entry.carbon.g_co2e_per_1000_images is not None
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results


def test_every_round_visits_all_in_an_order_drawn_by_lot(
    run: Callable[..., Results], tmp_path: Path
):
    seen: list[str] = []
    config = replace(CONFIG, models=("mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "squeezenet1_1"))
    run(
        tmp_path, Meters([hundred_watts()]), config,
        on_step=lambda text, done, of: seen.append(text) if "energy" in text else None,
    )  # fmt: skip
    rounds = [[t for t in seen if t.endswith(f"block {n}")] for n in (1, 2, 3)]
    names = [[t.rpartition(",")[0] for t in r] for r in rounds]
    assert [len(set(n)) for n in names] == [6, 6, 6]
    assert len({tuple(n) for n in names}) == 3


def test_an_interrupted_run_goes_on_with_the_blocks_it_had(
    run: Callable[..., Results], tmp_path: Path
):
    def stop(text: str, done: int, of: int) -> None:
        if "energy" in text and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Meters([hundred_watts()]), on_step=stop)
    measured = []

    def count(text: str, done: int, of: int) -> None:
        if "energy" in text:
            measured.append(text)

    results = run(tmp_path, Meters([hundred_watts()]), on_step=count)
    assert len(measured) == 12 - 5
    assert {len(e.energy.blocks) for e in results.entries if e.energy} == {3}


def test_a_meter_that_dies_costs_nothing_but_its_figure(
    run: Callable[..., Results], tmp_path: Path
):
    results = run(tmp_path, Meters([hundred_watts(dies_after=60)]))
    for entry in results.entries:
        assert entry.error is None
        assert entry.energy is not None
        assert entry.energy.components.gpu.reason == "it died"
        assert entry.energy.components.gpu.joules_per_image is None
        # The CPU's is modelled, as without any meter, and says so.
        assert entry.energy.components.cpu.method == "modelled"
        assert entry.energy.gross is not None
        assert entry.energy.gross.includes == ("cpu",)
        assert not entry.energy.measured()


@pytest.mark.parametrize("meters", [[], [MissingMeter()]])
def test_without_any_meter_everything_runs_and_is_modelled(
    run: Callable[..., Results], tmp_path: Path, meters: list[Meter]
):
    results = run(tmp_path, Meters(meters, {"cpu": "a virtual machine"}))
    for entry in results.entries:
        assert entry.error is None
        assert entry.energy is not None
        assert entry.energy.method() == "modelled"
        assert entry.energy.model is not None
        assert set(entry.energy.model) == {"watts_per_thread", "watts_per_thread_source", "threads"}
        assert entry.energy.components.cpu.reason in ("a virtual machine", None)
        assert entry.latency


def test_a_run_on_a_gpu_has_no_total_without_it(faces: Dataset, tmp_path: Path):
    """As it ends where the GPU's meter died and the processor's goes on."""
    processor = hundred_watts()
    processor.component = "cpu"
    meters, config = Meters([MissingMeter(), processor]), replace(CONFIG, models=CONFIG.models[:1])
    results, journal = run_benchmark(
        config, faces, allocator="test", journal_path=tmp_path / "journal",
        test_log=tmp_path / "scorings.jsonl", meters=meters,
    )  # fmt: skip
    (entry,), (key,) = results.entries, journal.pieces
    assert entry.energy is not None
    assert entry.energy.gross is not None
    assert entry.energy.gross.includes == ("cpu",)
    case: Any = SimpleNamespace(journal_key=key, weights=SimpleNamespace(card=None))
    on_gpu = with_energy(entry, case, journal, replace(config, device="cuda"), None, meters, {})
    for energy in (on_gpu.energy, *on_gpu.energy_other):
        assert energy is not None
        assert energy.gross is None
        assert energy.components.gpu.reason == "simulated, missing: there is no such meter"
        assert energy.components.cpu.joules_per_image is not None


def test_a_model_that_fails_in_its_block_keeps_its_error_and_the_others_go_on(
    run: Callable[..., Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = benchmark.batch_work

    def broken(*args, batch_size: int, **options):
        if batch_size == 1:
            raise RuntimeError("out of paper")
        return real(*args, batch_size=batch_size, **options)

    monkeypatch.setattr(benchmark, "batch_work", broken)
    results = run(tmp_path, Meters([hundred_watts()]))
    assert [e.error for e in results.entries] == ["RuntimeError: out of paper"] * 2
    assert all(len(e.latency) == 2 for e in results.entries)


def test_simulated_energy_is_marked_in_every_record(run: Callable[..., Results], tmp_path: Path):
    results = run(tmp_path, Meters([hundred_watts(simulated=True)]))
    for entry in results.entries:
        assert entry.energy is not None
        assert all(energy.simulated for energy in (entry.energy, *entry.energy_other))
        assert not entry.energy.measured()


def test_a_journal_of_other_meters_is_not_continued(run: Callable[..., Results], tmp_path: Path):
    run(tmp_path, Meters([hundred_watts()]))
    text = (tmp_path / "journal").read_bytes()
    names = {path.name for path in tmp_path.iterdir()}
    other = CounterMeter("gpu", "another counter", lambda: [100 * now()], [None])
    results = run(tmp_path, Meters([other]))
    sources = {
        r.source for e in results.entries if e.energy for b in e.energy.blocks for r in b.readings
    }
    assert sources == {"another counter"}
    assert Journal(tmp_path / "journal", "x", results.environments.popitem()[1]).pieces == {}
    assert text == (tmp_path / "journal").read_bytes()  # it can still be finished
    (new,) = {p.name for p in tmp_path.iterdir() if p.suffix != ".lock"} - names
    assert new.startswith("journal-")
