"""What the steps between a tool's pass and ours are made of, on passes of known length."""

from itertools import cycle, repeat

import pytest
import torch

from benchmarks import peer_steps
from lightfer.inference.backends.onnx_file import to_onnx
from lightfer.models.registry import create_model


def test_a_step_is_the_middle_of_its_differences_in_the_same_round():
    slowing = cycle([1e-6, 9e-6, 2e-6, 5e-6])  # the machine's drift, the same for both in a round
    both: list[float] = []

    def variant(more: float):
        def block() -> float:
            if len(both) == 0:
                both.extend(repeat(next(slowing), 2))
            return both.pop() + more

        return block

    rows = peer_steps.measured({"tool": variant(0.0), "ours": variant(3e-6)}, rounds=8)
    assert [row["step"] for row in rows] == ["tool", "ours"]
    assert rows[1]["more_us"] == pytest.approx(3)
    assert rows[1]["quartiles_us"] == pytest.approx([3, 3])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_step_of_a_runtime_computes_and_takes_time(runtime: str):
    pytest.importorskip(runtime)
    content = to_onnx(create_model("squeezenet1_1_bn").eval(), peer_steps.SHAPE)
    steps = {"onnxruntime": peer_steps.of_onnxruntime, "openvino": peer_steps.of_openvino}
    with torch.inference_mode():
        rows = peer_steps.measured(steps[runtime](content, 1), rounds=2)
    assert len(rows) >= 5
    assert all(row["us"] > 0 for row in rows)
