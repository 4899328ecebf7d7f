"""The benchmark of a GPU's meters: its arithmetic on drawn runs, and all of it on the CPU."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.gpu_meter import (
    Order,
    Sample,
    cut,
    joules_per_image,
    main,
    markdown,
    measure_meters,
    orders,
    ratio,
    spread,
    steady_run,
    variation,
    window_s,
)

from lightfer.measure.energy import MeterError
from lightfer.results import read_results
from lightfer.results.validate import violations_of_file
from tests.measure.energy.simulated import SimulatedMachine

ROOT = Path(__file__).parents[2]


def machine_and_work(pass_s: float = 0.01, images: int = 10):
    machine = SimulatedMachine(lambda t: 100 * t)

    def work() -> int:
        machine.spend(pass_s)
        return images

    return machine, work


def test_a_steady_run_and_its_windows():
    """100 W, 10 images each 10 ms: 0.1 J per image, whatever the window."""
    machine, work = machine_and_work()
    samples = steady_run(machine.counter(tick_s=0.1), work, 30.0)
    assert samples[-1].images == pytest.approx(30_000, abs=20)
    assert samples[-1].joules == pytest.approx(3000, abs=10.1)
    for length in (0.5, 1.0, 5.0):
        found = spread(samples, length)
        assert found.windows == pytest.approx(30 / length, abs=1.5)
        assert found.cov_ticks == pytest.approx(0, abs=1e-3)
    assert spread(samples, 20.0).cov is None


def test_ticks_cost_the_short_windows_most():
    """A tick of 0.33 s misplaces edges at passes; at ticks nothing is misplaced."""
    machine, work = machine_and_work()
    samples = steady_run(machine.counter(tick_s=0.33), work, 60.0)
    short, long = spread(samples, 0.5), spread(samples, 10.0)
    assert short.cov is not None
    assert long.cov is not None
    assert short.cov_ticks is not None
    assert short.cov > 0.1 > 0.02 > long.cov
    assert short.cov_ticks < 0.03


def test_cut_and_variation_against_numpy():
    samples = [Sample(t, t * t, 10 * t) for t in range(11)]
    assert cut(samples, 2.0) == pytest.approx([(4 - 0) / 20, 12 / 20, 20 / 20, 28 / 20, 36 / 20])
    values = [1.0, 2.0, 4.0]
    assert variation(values) == pytest.approx(np.std(values, ddof=1) / np.mean(values))
    assert variation(values[:2]) is None
    assert cut([], 1.0) == []


def test_ratio_of_counter_and_polled_power():
    machine, work = machine_and_work()
    counter = machine.counter(tick_s=0.01)
    polled = machine.polled(lambda t: 80.0)
    assert ratio([counter, polled], counter, work, 5.0) == pytest.approx(100 / 80, rel=0.005)


def test_order_shows_a_drift_and_what_alternation_makes_of_it():
    """Power grows by 1 % each second; both models are alike, so the true ratio is 1."""
    machine = SimulatedMachine(lambda t: 100 * t + 0.5 * t * t)

    def work() -> int:
        machine.spend(0.01)
        return 10

    counter = machine.counter(tick_s=0.01)
    assert joules_per_image(counter, work, 1.0) == pytest.approx(0.1, rel=0.02)
    alternating, grouped = orders(counter, {"A": work, "B": work}, 2.0, 4)
    assert alternating.order == "ABABABAB"
    assert grouped.order == "AAAABBBB"
    assert alternating.ratio == pytest.approx(1.02, abs=0.005)
    assert grouped.ratio > 1.05
    assert alternating.drift > 1.08
    assert Order("ABAB", (1.0, 3.0, 1.0, 5.0)).ratio == 4.0


def test_without_a_counter_the_tables_say_why():
    machine, work = machine_and_work()
    polled = machine.polled(lambda t: 80.0)
    with pytest.raises(MeterError, match="no energy counter") as error:
        measure_meters([polled], {"A": work, "B": work}, 1.0, lambda text, done, of: None)
    assert "no energy counter" in markdown({"failed": str(error.value)})


def test_the_windows_fit_into_the_time():
    blocks = 6 * 2 * 5
    assert window_s(60, 12) == 10
    assert 3 < window_s(8.5, 12) < 5
    assert 60 + 80 + 10 + 32 + blocks * 1.7 * window_s(8.5, 12) <= 8.5 * 60 + 1e-6
    assert window_s(1, 12) == 1


def test_without_a_gpu_it_says_so_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "results.json"
    assert main(["--out", str(out), "--table", str(tmp_path / "t.json")]) == 2
    assert "no NVIDIA GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_writes_no_results_json(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["--simulated", "--out", str(tmp_path / "results.json")]) == 2
    assert "writes no results.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("brief")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_whole_run_on_simulated_meters(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("benchmarks.gpu_meter.PAIR", ("mobilenet_v3_small", "shufflenet_v2_x0_5"))
    out, table = tmp_path / "simulated.json", tmp_path / "table.json"
    assert main(
        ["mobilenet_v3_small", "--simulated", "--out", str(out), "--table", str(table),
         "--batch-sizes", "8", "1"]
    ) == 0  # fmt: skip
    (entry,) = read_results(out).entries
    for energy, size in zip((entry.energy, *entry.energy_other), (8, 1), strict=True):
        assert energy is not None
        assert energy.batch_size == size
        assert len(energy.blocks) == 5
        assert energy.simulated
        assert energy.ci95 is not None
        assert energy.net_ci95 is not None
        assert energy.cross_check is not None
        assert energy.cross_check.ratio_loaded == pytest.approx(1, abs=0.5)
    assert any("simulated meter" in v.message for v in violations_of_file(out))
    assert "simulated" in capsys.readouterr().out
    found = json.loads(table.read_text())
    assert found["simulated"] is True
    assert found["period_s"] > 0
    assert [s["window_s"] for s in found["spread"]] == pytest.approx(
        [0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    )
    assert [o["order"] for o in found["order"]] == ["ABABABAB", "AAAABBBB"]
