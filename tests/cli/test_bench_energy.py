"""`lightfer bench` with the flags of energy and carbon, from the command line."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.measure.energy.log import PowerLog
from lightfer.results import read_results

MODEL = "mobilenet_v1_x0_25"
pytestmark = pytest.mark.usefixtures("brief")


def bench(*arguments: str, out: Path):
    return CliRunner().invoke(
        app,
        [
            "bench",
            MODEL,
            "--data",
            "synthetic",
            "--rounds",
            "1",
            "--quick",
            "--out",
            str(out),
            *arguments,
        ],
    )


@pytest.fixture
def power_log(tmp_path: Path) -> Path:
    """A log of 30 W from a minute ago to 20 minutes ahead, by a clock that is two hours ahead."""
    path, start = tmp_path / "power.csv", datetime.now() + timedelta(hours=2, minutes=-1)
    moments = (start + timedelta(seconds=i) for i in range(1260))
    lines = [f"{moment:%Y/%m/%d %H:%M:%S.%f}"[:-3] + ", 30.00 W\n" for moment in moments]
    path.write_text("timestamp, power.draw [W]\n" + "".join(lines))
    return path


@pytest.mark.usefixtures("_small_synthetic")
def test_a_power_log_of_a_gpu_is_refused_for_a_run_on_the_processor(
    tmp_path: Path, power_log: Path
):
    out = tmp_path / "results.json"
    done = bench("--power-log", str(power_log), "--energy-seconds", "0.1", out=out)
    assert done.exit_code != 0
    assert "power log of a GPU, but the run is on cpu" in f"{done.output} {done.exception}"
    assert not out.exists()


@pytest.mark.usefixtures("_small_synthetic")
def test_a_power_log_is_read_over_the_windows_of_the_run(
    tmp_path: Path, power_log: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on a GPU: the log is taken for the one of the device that does the work."""
    meters = [PowerLog(power_log, 7200)]
    monkeypatch.setattr("lightfer.measure.energy.open_meters", lambda *_: (meters, {}))
    out = tmp_path / "results.json"
    done = bench(
        "--power-log", str(power_log), "--clock-offset", "7200", "--energy-seconds", "0.1",
        "--pue", "1.5", "--intensity", "100", "--batch-size", "1", "--batch-size", "8", out=out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (entry,) = read_results(out).entries
    energy, carbon = entry.energy, entry.carbon
    assert energy is not None
    assert energy.gross is not None
    assert carbon is not None
    assert (energy.method(), energy.clock_offset_s) == ("log", 7200)
    assert energy.components.gpu.source == "power log power.csv"
    for block in energy.blocks:
        seconds = block.work_s[1] - block.work_s[0]
        assert block.readings[0].joules == pytest.approx(30 * seconds, rel=0.005)
    each = energy.gross.joules_per_image
    assert each is not None
    assert carbon.g_co2e_per_1000_images == pytest.approx(each * 1000 / 3.6e6 * 1.5 * 100)
    assert (carbon.intensity.g_co2e_per_kwh, carbon.intensity.source) == (100, "given")
    assert "(log)" in done.output
    assert [e.batch_size for e in entry.energy_other] == [1]


@pytest.fixture
def _small_synthetic(monkeypatch: pytest.MonkeyPatch, faces) -> None:
    monkeypatch.setattr("lightfer.cli.console.find_data", lambda source, needed: faces)


@pytest.mark.usefixtures("_small_synthetic")
def test_the_default_reads_no_meter_and_models_from_time(tmp_path: Path):
    out = tmp_path / "results.json"
    done = bench("--watts-per-thread", "7", out=out)
    assert done.exit_code == 0, done.output
    (entry,) = read_results(out).entries
    assert entry.energy is not None
    assert entry.energy.method() == "modelled"
    assert entry.energy.model is not None
    assert entry.energy.model["watts_per_thread"] == 7
    assert entry.energy.model["watts_per_thread_source"] == "given with --watts-per-thread"
    assert entry.energy.blocks == ()
    assert "(modelled)" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--power-log", "no.csv"), "No such file"),
        (("--zone", "XX"), "there is no zone 'XX'"),
        (("--pue", "0.5"), "'--pue'"),
    ],
)
def test_mistakes_stop_before_anything_runs(tmp_path: Path, arguments: tuple, message: str):
    out = tmp_path / "results.json"
    done = bench(*arguments, out=out)
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"
    assert not out.exists()
