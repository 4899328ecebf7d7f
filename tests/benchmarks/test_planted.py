"""A planted doubling is found, and nothing else is: by the product's compare, on drawn runs."""

from pathlib import Path

import pytest
import torch
from benchmarks.planted import WITH_BLOCK, WITHOUT, double_the_block, judge, replayed, report

from lightfer.models.blocks import ConvBNAct
from lightfer.models.registry import create_model
from lightfer.report import compare
from lightfer.results import read_results

ROOT = Path(__file__).parents[2]
SLOWED = ("mobilenet_v1", "mobilenet_v2", "shiftnet_b")


def test_every_slowed_net_is_called_slower_and_hardly_ever_another():
    """Must-show 2 on the published file's noise; 40 tries, for each ten of the bar four."""
    pairs = list(replayed(read_results(ROOT / "results.json"), 40, SLOWED))
    found = judge(pairs, SLOWED)
    assert min(found["slower"].values()) >= 36
    assert found["others"] <= 4 + 3 * (40 * 0.1 * 0.9) ** 0.5
    assert found["refused"] == 0
    count = found["slower"]["mobilenet_v1"]
    assert f"| mobilenet_v1, slowed: called slower | {count} of 40 |" in report(pairs, SLOWED)


def test_it_fails_where_runs_differ_by_more_than_the_allowance(monkeypatch: pytest.MonkeyPatch):
    """The judging can fail: without an allowance between runs other nets are called different."""
    pairs = list(replayed(read_results(ROOT / "results.json"), 10, SLOWED, run_to_run=0.15))
    monkeypatch.setattr(compare, "RUN_TO_RUN", 0.0)
    assert judge(pairs, SLOWED)["others"] > 1


def test_the_block_is_in_half_the_nets_and_doubled_in_all_of_it(monkeypatch: pytest.MonkeyPatch):
    once = ConvBNAct.forward
    monkeypatch.setattr(ConvBNAct, "forward", once)  # to be undone behind `double_the_block`
    block = ConvBNAct(1, 2, kernel=3).eval()
    calls: list[int] = []
    block[0].register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(1, 1, 8, 8)
    y = block(x)
    double_the_block()
    assert torch.equal(block(x), y)
    assert len(calls) == 3
    for nets, used in ((WITH_BLOCK, True), (WITHOUT, False)):
        for net in nets:
            modules = create_model(net).modules()
            assert any(isinstance(m, ConvBNAct) for m in modules) is used
