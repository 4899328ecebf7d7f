"""The loops that training is compared with compute as the page says."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from benchmarks import train_throughput
from lightfer.train.recipes import second_light


class Probe(nn.Conv2d):
    """A layer that keeps what it saw and made."""

    seen: ClassVar[list[tuple[Tensor, Tensor, Tensor]]] = []

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        self.seen.append((input.detach(), out.detach(), self.weight))
        return out


def probe() -> nn.Module:
    return nn.Sequential(Probe(1, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7))


@pytest.mark.parametrize(
    ("side", "out", "layout"),
    [
        ("plain", torch.float32, torch.contiguous_format),
        ("plain_bf16", torch.bfloat16, torch.channels_last),
    ],
)
def test_a_plain_loop_has_the_precision_and_layout_of_its_name(
    side: str, out: torch.dtype, layout: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train_throughput, "BATCH", 4)
    monkeypatch.setattr(train_throughput, "WORKERS", 0)  # forks of this process end others' tests
    monkeypatch.setitem(train_throughput.ZOO, "probe", probe)
    monkeypatch.setattr(Probe, "seen", [])
    batches = train_throughput.SKIPPED + 2
    train_throughput._write_faces(tmp_path, 4 * batches)
    assert train_throughput.SIDES[side]("probe", tmp_path, batches) > 0
    assert len(Probe.seen) == batches
    for _, made, weight in Probe.seen:
        assert (made.dtype, weight.dtype) == (out, torch.float32)
        assert made.is_contiguous(memory_format=layout)


def test_ours_computes_in_bfloat16_so_one_of_the_loops_must():
    assert second_light.config_for("mobilenet_v2").precision == "bfloat16"
