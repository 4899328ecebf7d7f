"""The yardstick stays what it is, whatever else of the package changes."""

from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lightfer.measure import yardstick
from lightfer.measure.yardstick import Yardstick, of_passes
from lightfer.measure.yardstick.net import Yardstick as Net
from tests.test_layers import imported_parts

FOLDER = Path(yardstick.__file__).parent


def net() -> Net:
    net = Net().eval()
    net.load_state_dict({**net.state_dict(), **load_file(FOLDER / "net.safetensors")})
    return net


def test_it_is_the_one_that_published_files_were_measured_beside():
    """Change it knowingly: times beside another one are not compared with those of before."""
    assert yardstick.sha256() == "58a4991fd87591f3073f102c09f69577e148e112de71f59635d970fae95aa611"
    assert yardstick.sha256()[:16] in yardstick.description()


def test_it_shares_no_line_with_what_it_stands_beside():
    for file in ("__init__.py", "net.py"):
        assert set(imported_parts((FOLDER / file).read_text())) <= {"measure"}
    assert "import lightfer" not in (FOLDER / "net.py").read_text()
    assert "from lightfer" not in (FOLDER / "net.py").read_text()


@pytest.mark.parametrize("size", [1, 3])
def test_the_file_is_the_same_net(size: int):
    onnxruntime = pytest.importorskip("onnxruntime")
    x = torch.randn(size, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(FOLDER / "net.onnx")
    (logits,) = session.run(["logits"], {"image": x.numpy()})
    with torch.inference_mode():
        expected = net()(x).numpy()
    assert np.abs(logits - expected).max() < 1e-4
    assert expected.std() > 0.1  # it computes something


def test_the_file_tells_nothing_of_the_machine_that_made_it():
    content = (FOLDER / "net.onnx").read_bytes()
    assert b"/tmp" not in content
    assert b".py" not in content


@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime", "openvino", "of another package"])
def test_each_runtime_has_one(runtime: str):
    if runtime in ("onnxruntime", "openvino"):
        pytest.importorskip(runtime)
    beside = Yardstick(runtime)
    found = beside.time(2, seconds=0.01)
    assert len(found) >= yardstick.FEWEST
    assert 0 < min(found) <= of_passes(found) == median(found)
    assert beside.runtime == ("pytorch" if runtime == "of another package" else runtime)


def test_a_block_lasts_as_long_as_it_should():
    start = perf_counter()
    Yardstick("pytorch").time(1, seconds=0.2)
    assert perf_counter() - start >= 0.2
