"""Every runtime against eager PyTorch: the same logits from the same weights.

Random weights have batch norms drawn too, so that folding them is tested; shipped weights are those
of the package, where it has some: of one net by day, of all in a night's work, see
`tests/test_campaign.py`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightfer.cli.bench import usable as usable_here
from lightfer.inference.backends import (
    RUNTIMES,
    find_runtime,
    list_runtimes,
    protocol,
    runtime_of,
)
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.models.registry import DEFAULT_MODELS, create_model, list_models
from lightfer.models.shiftnet import ConvShiftConv
from tests.conftest import by_day

SHAPE = (1, 1, 48, 48)
READ_ONNX = ("onnxruntime", "openvino")
TOLERANCE = 1e-4  # of logits of the order of one, in float32
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"  # torch about itself
)


@lru_cache(maxsize=1)
def network(name: str, kind: str) -> nn.Module:
    if kind == "shipped":
        return create_model(name, pretrained=True)
    torch.manual_seed(0)
    model = create_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif isinstance(module, nn.Linear):  # so that logits are of the order of one
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model


@lru_cache(maxsize=2)
def exported(model: nn.Module) -> bytes:
    return to_onnx(model, SHAPE)


@pytest.fixture
def _export_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runtimes that read ONNX get the same export; making it takes seconds."""

    def export(model, shape, path=None):
        content = exported(model)
        if path is not None:
            path.write_bytes(content)
        return content

    for name in READ_ONNX:
        monkeypatch.setattr(import_module(f"lightfer.inference.backends.{name}"), "to_onnx", export)


def usable(name: str):
    reason = RUNTIMES[name].available()
    if reason:
        pytest.skip(reason)
    return RUNTIMES[name]


def difference(run: Callable[[Tensor], Tensor], model: nn.Module) -> tuple[float, float]:
    """The largest one, over a batch of one and one of three; and the largest logit."""
    x = torch.randn(3, *SHAPE[1:], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(x)
        found = [(run(x[:1]), expected[:1]), (run(x), expected)]
    for ours, theirs in found:
        assert ours.dtype == torch.float32
        assert ours.shape == theirs.shape
    largest = max((ours - theirs).abs().max().item() for ours, theirs in found)
    return largest, expected.abs().max().item()


SHIPPED = [(name, "shipped") for name in list_models(pretrained=True) if name in DEFAULT_MODELS]
KINDS = [*((name, "random") for name in DEFAULT_MODELS), *by_day(SHIPPED[:1], SHIPPED)]


@pytest.mark.usefixtures("_export_once")
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_float32_agrees_with_eager(kind: tuple[str, str]):
    """In both runtimes one after the other, as another process would export the net again."""
    model = network(*kind)
    missing = {name: reason for name in READ_ONNX if (reason := RUNTIMES[name].available())}
    for name in (name for name in READ_ONNX if name not in missing):
        loaded = RUNTIMES[name].load(model, SHAPE, threads=1, precision="float32")
        assert (loaded.settings["precision"], loaded.settings["threads"]) == ("float32", 1), name
        largest, logit = difference(loaded, model)
        assert logit > 0.01
        assert largest < TOLERANCE * max(1.0, logit), name
    if missing:
        pytest.skip(str(missing))


@pytest.mark.usefixtures("_export_once")
@pytest.mark.parametrize("name", ["pytorch", "openvino"])
def test_bfloat16_is_near_and_is_not_float32(name: str):
    runtime, model = usable(name), network("shufflenet_v2_x1_0", "random")
    loaded = runtime.load(model, SHAPE, threads=1, precision="bfloat16")
    if loaded.settings["precision"] != "bfloat16":
        pytest.skip(f"this processor computes in {loaded.settings['precision']}")
    largest, logit = difference(loaded, model)
    assert 1e-6 < largest < 0.2 * max(1.0, logit)


def test_bfloat16_leaves_the_model_as_it_is():
    model = network("shufflenet_v2_x1_0", "random")
    RUNTIMES["pytorch"].load(model, SHAPE, threads=1, precision="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def shift_blocks() -> nn.Module:
    """A block that grows and one that adds: all kinds of node that ShiftNet has."""
    torch.manual_seed(0)
    blocks = ConvShiftConv(8, 16, 3, 2, 2), ConvShiftConv(16, 16, 3, 2, 1)
    end = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7)
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, padding=1), *blocks, *end).eval()


@pytest.mark.parametrize(
    "model_name", by_day(["blocks"], ["blocks", "shufflenet_v2_x0_5", "shiftnet_small"])
)
def test_compiled_agrees_with_eager(model_name: str):
    runtime = usable("compile")
    model = shift_blocks() if model_name == "blocks" else network(model_name, "random")
    loaded = runtime.load(model, SHAPE, threads=1, precision="float32")
    largest, logit = difference(loaded, model)
    assert largest < TOLERANCE * max(1.0, logit)


def test_the_file_has_named_ends_any_batch_a_shift_as_one_node_and_no_path_of_its_maker():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = network("shiftnet_b", "random")
    content = exported(model)
    assert b".py" not in content
    assert str(Path(protocol.__file__).parents[3]).encode() not in content
    graph = onnx.load_from_string(content).graph
    assert [i.name for i in graph.input] == ["image"]
    assert [o.name for o in graph.output] == ["logits"]
    batch, *rest = graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param
    assert [d.dim_value for d in rest] == [1, 48, 48]
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    assert convolutions == sum(isinstance(m, nn.Conv2d) for m in model.modules()) + 21  # shifts


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="there are pytorch, "):
        find_runtime("tensorrt")
    monkeypatch.setattr(protocol, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"openvino, onnx, onnxscript not installed: pip install"):
        find_runtime("openvino")


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with runtimes, of which only one is right."""
    (tmp_path / "own_runtimes.py").write_text(
        "from dataclasses import replace\n"
        "from lightfer.inference.backends import RUNTIMES\n"
        "RUNTIME = replace(RUNTIMES['pytorch'], name='any', precisions=('float32',))\n"
    )
    installed = tmp_path / "own_runtimes-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-runtimes\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[lightfer.backends]\nmine = own_runtimes:RUNTIME\nabsent = own_runtimes:ABSENT\n"
        "gone = no_such_module:RUNTIME\nwrong = own_runtimes:replace\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_runtimes", None)


@pytest.mark.usefixtures("others")
def test_a_runtime_of_another_package():
    assert list_runtimes() == [*RUNTIMES, "absent", "gone", "mine", "wrong"]
    assert runtime_of("pytorch") is RUNTIMES["pytorch"]
    assert "own_runtimes" not in sys.modules
    mine = find_runtime("mine")
    assert (mine.name, mine.precisions, mine.load) == (
        "mine",
        ("float32",),
        RUNTIMES["pytorch"].load,
    )
    with pytest.raises(ValueError, match="runtime mine computes in float32 here, not bfloat16"):
        find_runtime("mine", "bfloat16")
    assert usable_here(["pytorch", "mine"], "cpu") == ["pytorch", "mine"]  # what --thorough takes


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorrt", "there is no runtime 'tensorrt'; there are pytorch, .*, mine, wrong"),
        ("absent", "'absent' cannot be imported from 'own_runtimes:ABSENT': .*; reinstall"),
        ("gone", "No module named 'no_such_module'; reinstall its package"),
        ("wrong", "'own_runtimes:replace' is of type function, expected a Runtime"),
    ],
)
def test_what_is_no_runtime_is_refused_in_one_line(name: str, message: str):
    with pytest.raises(ValueError, match=message) as error:
        find_runtime(name)
    assert "\n" not in str(error.value)


def test_no_heavy_package_is_imported_by_the_list():
    code = (
        "import sys; import lightfer.inference.backends; "
        "print(sorted({'onnx', 'onnxruntime', 'openvino', 'onnxscript'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_tells_its_makers_nothing(tmp_path: Path):
    """Where it does, it leaves a file with the time of its first session among temporary files."""
    pytest.importorskip("onnxruntime")
    code = "import lightfer, onnxruntime, onnxruntime.datasets\n"
    code += "path = onnxruntime.datasets.get_example('sigmoid.onnx')\n"
    code += "onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])"
    said = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI")
    environment = {name: value for name, value in os.environ.items() if name not in said}
    subprocess.run(
        [sys.executable, "-c", code], env={**environment, "TMPDIR": str(tmp_path)}, check=True
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pytorch", *READ_ONNX])
def test_a_net_that_is_opened_again_computes_the_same_elsewhere_at_every_batch_size(name: str):
    model = network("squeezenet1_1_bn", "random").eval()
    first = usable(name).load(model, SHAPE, threads=1, precision="float32")
    assert first.reopen
    second = first.reopen()
    assert second.reopen
    third = second.reopen()
    assert len({id(loaded.run) for loaded in (first, second, third)}) == 3
    assert second.settings == first.settings
    for count in (1, 3):
        x = torch.randn(count, *SHAPE[1:], generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.equal(third(x), first(x))


def test_a_net_that_cannot_be_copied_stays_where_it_is_and_says_so():
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo: dict):
            raise TypeError("no copy of this")

    net, x = Stubborn(2, 3), torch.ones(1, 2)
    loaded = RUNTIMES["pytorch"].load(net, (1, 2), threads=1, precision="float32")
    assert loaded.reopen is None
    assert torch.equal(loaded(x), net(x))
