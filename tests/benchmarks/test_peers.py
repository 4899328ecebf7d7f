"""What the comparison with other tools makes of known times."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import peers


def test_the_median_of_the_ratios_is_printed_and_what_lies_beyond_five_percent_is_bold():
    first = {"ours": [1e-3, 2e-3, 9e-3], "peer": [1e-3, 2e-3, 1e-3]}
    second = {"ours": [1.1e-3], "peer": [1e-3]}
    rows = [
        {"model": "a", "runtime": "openvino", **first},
        {"model": "b", "runtime": "pytorch", **second},
    ]
    text = peers.report(rows, "here")
    assert "| a | openvino | 2.000 | 1.000 | 1.000 | 1.000 to 9.000 |" in text
    assert "| b | pytorch | 1.100 | 1.000 | **1.100** | 1.100 to 1.100 |" in text


def test_the_median_of_benchmark_app_is_read_or_its_output_is_shown(
    monkeypatch: pytest.MonkeyPatch,
):
    def answer(stdout: str):
        done = subprocess.CompletedProcess([], 0, stdout, "")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    monkeypatch.setattr(peers.shutil, "which", lambda *_, **__: "benchmark_app")
    once = peers.benchmark_app(Path("net.onnx"), threads=1, seconds=1.0)
    answer("[ INFO ] Latency:\n[ INFO ]    Median:        0.25 ms\n[ INFO ]    Average: 0.3 ms\n")
    assert once() == pytest.approx(0.25e-3)
    answer("[ INFO ] Latency:\n[ INFO ]    Median:        116.83 us\n[ INFO ]    Average: 120 us\n")
    assert once() == pytest.approx(116.83e-6)
    answer("[ ERROR ] no such device")
    with pytest.raises(SystemExit, match="no such device"):
        once()
