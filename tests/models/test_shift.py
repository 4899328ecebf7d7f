"""The shift against a literal loop over its definition, bit by bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lightfer.models import shift as shift_file
from lightfer.models.blocks import BatchNormAct
from lightfer.models.shift import (
    Shift,
    copies_win,
    shift_convolution,
    shift_copy,
    shift_norm_relu,
    shift_weight,
)

FORMATS = (torch.contiguous_format, torch.channels_last)
needs_extension = pytest.mark.skipif(
    shift_file._LIBRARY is None, reason="the optional C extension was not built"
)


def literal(x: Tensor, kernel: int, stride: int) -> Tensor:
    """The definition, number by number; differentiable."""
    images, channels, height, width = x.shape
    group = channels // kernel**2
    rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
    y = x.new_zeros(images, channels, rows, columns)
    for c in range(channels):
        direction = c // group if c < group * kernel**2 else kernel**2 // 2
        for h in range(rows):
            for w in range(columns):
                source_h = h * stride + direction // kernel - kernel // 2
                source_w = w * stride + direction % kernel - kernel // 2
                if 0 <= source_h < height and 0 <= source_w < width:
                    y[:, c, h, w] = x[:, c, source_h, source_w]
    return y


def implementations():
    yield "convolution", lambda x, k, s: shift_convolution(x, shift_weight(x.shape[1], k), s)
    yield "module", lambda x, k, s: Shift(x.shape[1], k, s)(x)
    if shift_file._LIBRARY is not None:
        yield "copy", shift_copy


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("channels", [8, 20, 64, 70, 256])
def test_every_implementation_equals_the_literal_loop(channels, kernel, stride):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 7, 6)
    for_loop = x.clone().requires_grad_()
    expected = literal(for_loop, kernel, stride)
    gradient = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad(expected, for_loop, gradient)
    for name, implementation in implementations():
        for memory_format in FORMATS:
            given = x.clone(memory_format=memory_format).requires_grad_()
            y = implementation(given, kernel, stride)
            assert torch.equal(y, expected), (name, memory_format)
            (moved,) = torch.autograd.grad(y, given, gradient)
            assert torch.equal(moved, expected_gradient), (name, memory_format, "gradient")
            with torch.inference_mode():  # the module takes another path here
                y = implementation(given.detach(), kernel, stride)
            assert torch.equal(y, expected), (name, memory_format, "inference")


@needs_extension
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(
    ("dtype", "threads"),
    [
        (torch.float32, 1),
        (torch.bfloat16, 1),
        (torch.float64, 1),
        (torch.float32, 2),
        (torch.bfloat16, 2),
    ],
)
def test_copies_equal_the_convolution_for_all_shapes(dtype, threads, memory_format, monkeypatch):
    monkeypatch.setattr(shift_file, "_BYTES_PER_THREAD", 1)  # threads also for little work
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for channels in (1, 9, 17, 130):
            for height, width in ((1, 1), (2, 9), (4, 3)):
                for kernel, stride in ((1, 1), (3, 1), (5, 2), (7, 1)):
                    x = torch.randn(2, channels, height, width).to(dtype)
                    x = x.contiguous(memory_format=memory_format)
                    weight = shift_weight(channels, kernel).to(dtype)
                    expected = shift_convolution(x, weight, stride)
                    assert torch.equal(shift_copy(x, kernel, stride), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kernel", [3, 5])
def test_nothing_wraps_around(kernel):
    """What leaves on one side must not come in on the other: every output has one source."""
    channels, side = kernel**2, 6
    x = torch.arange(1.0, channels * side * side + 1).view(1, channels, side, side)
    for name, implementation in implementations():
        for memory_format in FORMATS:
            with torch.no_grad():
                y = implementation(x.contiguous(memory_format=memory_format), kernel, 1)
            for direction in range(channels):
                dy, dx = direction // kernel - kernel // 2, direction % kernel - kernel // 2
                kept = y[0, direction].nonzero()
                assert len(kept) == (side - abs(dy)) * (side - abs(dx)), name
                moved = x[0, direction][tuple((kept + torch.tensor([dy, dx])).T)]
                assert torch.equal(y[0, direction][tuple(kept.T)], moved), name


@needs_extension
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("stride", [1, 2])
def test_fused_norm_and_relu_equal_the_three_steps(stride, memory_format):
    """Also at the borders, where a zero that was shifted in becomes relu(norm(0))."""
    torch.manual_seed(0)
    norm = BatchNormAct(70).eval()
    state = {name: torch.randn(70) for name in ("weight", "bias", "running_mean")}
    state["running_var"] = torch.rand(70) + 0.5
    norm.load_state_dict({**state, "num_batches_tracked": torch.tensor(1)})
    x = torch.randn(3, 70, 9, 8).contiguous(memory_format=memory_format)
    with torch.inference_mode():
        expected = torch.relu(norm(shift_convolution(x, shift_weight(70, 3), stride)))
        fused = Shift(70, 3, stride).norm_relu(x, norm)
        torch.testing.assert_close(fused, expected)
        assert fused.is_contiguous(memory_format=memory_format)
        assert expected[..., 0].count_nonzero() > 0  # the border is not merely zero
        x[0, 0, 4, 4] = torch.nan
        assert Shift(70, 3).norm_relu(x, norm).isnan().sum() == 1


@needs_extension
def test_operators_obey_torchs_rules():
    """opcheck: schema, fake tensors, autograd registration and compilation with dynamic shapes."""
    for memory_format in FORMATS:
        x = torch.randn(2, 20, 7, 6).contiguous(memory_format=memory_format)
        torch.library.opcheck(shift_copy, (x, 3, 2))
        torch.library.opcheck(shift_copy, (x.requires_grad_(), 3, 1))
        torch.library.opcheck(shift_copy, (x, 3, 1, True))
        norm = [torch.rand(20) + 0.5 for _ in range(4)]
        torch.library.opcheck(shift_norm_relu, (x.detach(), 3, 1, *norm, 1e-5))


@needs_extension
def test_the_norms_gradient_is_not_lost_behind_a_frozen_convolution():
    norm = BatchNormAct(20).eval()
    Shift(20, 3).norm_relu(torch.randn(1, 20, 4, 4), norm).sum().backward()
    assert norm.weight.grad is not None


@needs_extension
def test_the_operators_are_seen_by_who_records_calls():
    """And by nobody else, at equal results: the module goes around torch's dispatcher."""

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    seen: list[str] = []
    x, norm = torch.randn(1, 20, 4, 4), BatchNormAct(20).eval()
    with torch.no_grad():
        moved, fused = Shift(20, 3)(x), Shift(20, 3).norm_relu(x, norm)
        with Recorder():
            assert torch.equal(Shift(20, 3)(x), moved)
            assert torch.equal(Shift(20, 3).norm_relu(x, norm), fused)
    assert {"lightfer.shift.default", "lightfer.shift_norm_relu.default"} <= set(seen)


def test_export_and_gradients_at_stride_2_take_the_convolution():
    x = torch.randn(1, 18, 4, 4)
    built = shift_file._LIBRARY is not None
    assert copies_win(x) == copies_win(x, stride=2) == built
    assert copies_win(x.requires_grad_()) == built
    assert not copies_win(x, stride=2)
    assert not copies_win(x.detach().to("meta"))
    for stride in (1, 2):
        program = torch.export.export(Shift(18, 3, stride).eval(), (x.detach(),))
        targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
        assert targets == ["aten.conv2d.default"]


@needs_extension
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_copies_equal_the_convolutions(dtype, memory_format, monkeypatch):
    """Oracle: autograd through the depthwise convolution; also above the size fetched ahead."""
    monkeypatch.setattr(shift_file, "_BYTES_PER_THREAD", 1)
    torch.manual_seed(0)
    for shape in ((2, 20, 1, 1), (3, 20, 5, 4), (2, 3, 2, 9), (16, 64, 13, 12)):
        for kernel, stride, opposite in ((3, 1, False), (5, 1, False), (3, 1, True), (3, 2, True)):
            x = torch.randn(shape).to(dtype).contiguous(memory_format=memory_format)
            x.requires_grad_()
            weight = shift_weight(shape[1], kernel).to(dtype)
            weight = weight.flip(2, 3) if opposite else weight
            expected = shift_convolution(x, weight, stride)
            y = shift_copy(x, kernel, stride, opposite)
            assert torch.equal(y, expected)
            gradient = torch.randn_like(expected)
            (wanted,) = torch.autograd.grad(expected, x, gradient)
            (moved,) = torch.autograd.grad(y, x, gradient)
            assert torch.equal(moved, wanted)
            assert moved.is_contiguous(memory_format=memory_format) or stride > 1


def test_without_the_extension_everything_still_works(tmp_path):
    """A copy of the package without the built file, in a process of its own."""
    package = Path(shift_file.__file__).parents[1]
    for source in package.rglob("*.py"):
        target = tmp_path / "lightfer" / source.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    program = (
        "import torch; from lightfer.models import shift; from lightfer.models.registry import ZOO;"
        "assert shift._LIBRARY is None;"
        "net = ZOO['shiftnet_small']().eval();"
        "print(tuple(net(torch.randn(2, 1, 48, 48)).shape))\n"
        "try: shift.shift_copy(torch.randn(1, 9, 3, 3), 3, 1)\n"
        "except RuntimeError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "(2, 7)" in run.stdout
    assert "extension was not built" in run.stdout


FEWER = """
import sys, torch
from lightfer.models import shift
shift._BYTES_PER_THREAD = 1
torch.set_num_threads(8)
for order in (torch.contiguous_format, torch.channels_last):
    x = torch.randn(16, 90, 12, 12).contiguous(memory_format=order)
    y = shift._run(x, 3, 1)
    y.fill_(torch.nan)
    del y  # the next output lies where this one lay
    expected = shift.shift_convolution(x, shift.shift_weight(90, 3))
    sys.exit(1) if not shift._run(x, 3, 1).equal(expected) else None
"""


@needs_extension
@pytest.mark.parametrize("limit", ["1", "2"])
def test_fewer_threads_than_asked_for_leave_nothing_out(limit: str):
    """OpenMP may grant fewer threads than a call asks for, as it does under OMP_THREAD_LIMIT."""
    environment = {**os.environ, "OMP_THREAD_LIMIT": limit}
    subprocess.run([sys.executable, "-W", "ignore", "-c", FEWER], env=environment, check=True)
