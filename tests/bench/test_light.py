"""`lightfer bench` where torch is not installed: the same loop, on shipped nets as ONNX files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lightfer.bench.case import PROTOCOL, Case, _inputs, load_case
from lightfer.cli.bench import QUICK_S, knows_bfloat16
from lightfer.measure.yardstick import description
from lightfer.models.find import find_weights
from lightfer.results import published_counts, read_results
from lightfer.results.validate import violations

NETS = ("squeezenet1_1_bn", "mobilenet_v3_small")
ABSENT = ("torch", "torchvision", "onnx", "onnxscript", "pyarrow", "jsonschema")
QUICK = ("--quick", "--rounds", "2", "--batch-size", "1", "--threads", "1")
Lightfer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lightfer(tmp_path: Path) -> Lightfer:
    """The command line in a process, and children of it, that cannot import what is absent."""
    block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(block)
    places = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places, "LIGHTFER_DATA": "synthetic"}

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lightfer", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    with pytest.raises(AssertionError, match="torch is not installed"):
        run("models")
    return run


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_shipped_nets_are_measured_by_the_protocol_and_the_file_is_read(
    runtime: str, lightfer: Lightfer, tmp_path: Path
):
    pytest.importorskip(runtime)
    out = tmp_path / "r.json"
    done = lightfer("bench", *NETS, *QUICK, "--runtime", runtime, "--out", out)
    assert "accuracy is quoted from the weights' cards" in done.stderr
    assert f"squeezenet1_1_bn ({runtime} float32)" in done.stdout
    assert violations(json.loads(out.read_text())) == []
    results = read_results(out)
    (about,) = results.environments.values()
    assert about.protocol is not None
    assert (about.protocol.version, about.protocol.quick) == (PROTOCOL, True)
    assert (about.threads, about.yardstick) == (1, description())
    assert [entry.model for entry in results.entries] == list(NETS)
    for entry in results.entries:
        counts, weights = published_counts()[entry.model], find_weights(entry.model)
        assert (entry.error, entry.weights) == (None, weights.sha256)
        assert (entry.family, entry.output_stride) == (counts.family, counts.output_stride)
        assert (entry.params, entry.macs, entry.work) == (counts.params, counts.macs, counts.work)
        assert entry.flops == 2 * counts.macs
        assert entry.runtime_settings is not None
        assert entry.runtime_settings["threads"] == 1
        assert entry.accuracy is not None
        assert weights.card is not None
        assert weights.card.test is not None
        assert (entry.accuracy.source, entry.accuracy.top1) == ("reference", weights.card.test.top1)
        (timed,) = entry.latency
        assert (timed.rounds, len(timed.yardstick_s or ())) == (2, 2)
        assert timed.passes is not None
        assert timed.images_per_s is not None
        assert sum(timed.passes) / timed.images_per_s >= 2 * QUICK_S  # seconds
    for command in ("rank", "table"):
        assert NETS[0] in lightfer(command, out).stdout
    assert "vgg_slim" not in lightfer("compare", out, out, "--anyway").stdout
    lightfer("report", out, "--html", tmp_path / "page.html")


def test_rounds_in_fresh_processes_need_no_torch_either(lightfer: Lightfer, tmp_path: Path):
    """The default runtime is the first that does without, and the default nets are all shipped."""
    out = tmp_path / "r.json"
    lightfer("bench", NETS[0], *QUICK, "--processes", "--out", out)
    (entry,) = read_results(out).entries
    assert (entry.runtime, entry.error) == ("onnxruntime", None)
    assert [timed.rounds for timed in entry.latency] == [2]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--data", "synthetic"], "--data synthetic: data is read with torch"),
        (["--runtime", "pytorch"], "runtime pytorch: torch is not installed"),
        (["mobilenet_v2_x1_4"], "only nets with published counts are measured (mobilenet_v1, "),
        (["absent.safetensors"], "absent.safetensors: no such weight file"),
        (["--precision", "int8"], "int8 is calibrated with PyTorch, and torch is not installed"),
        (["--device", "cuda"], "device 'cuda' is not available here; available: cpu"),
    ],
)
def test_what_needs_torch_is_refused_in_a_line(
    options: list[str], reason: str, lightfer: Lightfer, tmp_path: Path
):
    done = lightfer("bench", *options, "--out", tmp_path / "r.json", code=2)
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("flags", ["avx2", "asimd bf16", "avx2 avx512f avx512_bf16"])
def test_bfloat16_is_measured_unasked_where_the_processor_has_it(
    flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Else OpenVINO computes in float32, and every row of it is an error."""
    (tmp_path / "cpuinfo").write_text(f"flags\t: fpu {flags}\n")
    monkeypatch.setattr("lightfer.measure.process.CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("lightfer.measure.process.torch_installed", lambda: False)
    assert knows_bfloat16("cpu") == ("avx512" in flags)
    assert ("without bfloat16" in capsys.readouterr().err) != ("avx512" in flags)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_arrays_are_shown_as_tensors_are_and_give_the_same_logits(
    runtime: str, monkeypatch: pytest.MonkeyPatch
):
    """The visits are one function; here is that what they show a net does not differ."""
    pytest.importorskip(runtime)
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 48, 48), np.uint8)
    shown, tensors = _inputs(images, 2), _inputs(torch.from_numpy(images), 2)
    weights = find_weights(NETS[0])
    with torch.inference_mode():
        expected = weights.build()(tensors[0]).numpy()
    monkeypatch.setattr("lightfer.bench.case.torch_installed", lambda: False)
    run = load_case(Case(weights, runtime), "cpu", threads=1)
    for x, tensor in zip(shown, tensors, strict=True):
        np.testing.assert_array_equal(x, tensor.numpy())
    logits = run(shown[0])
    run(shown[1])  # which must not write over them
    np.testing.assert_allclose(logits, expected, atol=1e-4)
