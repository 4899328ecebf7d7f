"""What other tools count, rebuilt from our list of operators to the last operation.

    python -m tests.measure.counters     # write the table of docs/operations.md anew

Each `*_explained` states in one line what that tool counts; the tests hold it against the tool.
"""

from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightfer.cli.table import replace_block
from lightfer.measure.operations import Operator, list_operators
from lightfer.models.registry import DEFAULT_MODELS, ZOO

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
INPUTS = {"48x48x1, 7 classes": (7, 1, 48), "224x224x3, 1000 classes": (1000, 3, 224)}
DOUBLED = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
COLUMNS = (
    "Model", "MACs", "+ shifts", "= FlopCounterMode / 2", "+ batch norm", "+ pools", "= fvcore",
    "biases", "MACs + shifts + biases = ptflops",
)  # fmt: skip


def flop_counter_explained(operators: list[Operator]) -> int:
    """Half of its count: MACs, those of a shift computed as a convolution among them."""
    return sum(o.macs + o.shift_macs for o in operators)


def biases(operators: list[Operator]) -> int:
    """One addition per output number of a layer that has a bias."""
    return sum(o.output_numbers for o in operators if o.has_bias)


def batch_norms(operators: list[Operator]) -> int:
    """Two operations per number."""
    return sum(2 * o.output_numbers for o in operators if o.name == "native_batch_norm")


def pools_of_fvcore(model: nn.Module, operators: list[Operator]) -> int:
    """It counts adaptive pools, but not the same mean written as `x.mean((2, 3))`."""
    if not any(isinstance(m, nn.AdaptiveAvgPool2d) for m in model.modules()):
        return 0
    return sum(o.elementwise for o in operators if o.name == "mean")


def fvcore_explained(model: nn.Module, operators: list[Operator]) -> int:
    parts = flop_counter_explained(operators), batch_norms(operators)
    return sum(parts) + pools_of_fvcore(model, operators)


def ptflops_aten_explained(operators: list[Operator]) -> int:
    """Its default."""
    return flop_counter_explained(operators) + biases(operators)


def ptflops_modules_explained(model: nn.Module, operators: list[Operator], side: int) -> int:
    """Its backend "pytorch": modules and patched functions, so that some are counted twice.

    nn.ReLU and pools count as module and again as the function that the module calls; ReLU6
    counts once, hard-swish, torch.relu, x.mean, `+` and our shift not at all.
    """
    total = sum(o.macs for o in operators) + biases(operators) + batch_norms(operators)
    return total + _numbers(model, side, DOUBLED) * 2 + _numbers(model, side, (nn.ReLU6,))


def _numbers(model: nn.Module, side: int, kinds: tuple[type[nn.Module], ...]) -> int:
    """How many numbers enter the modules of these kinds; all of them run once per `forward`."""
    seen: list[int] = []
    hooks = [
        m.register_forward_hook(lambda m, x, y: seen.append(x[0].numel()))
        for m in model.modules()
        if isinstance(m, kinds)
    ]
    channels = next(p for p in model.parameters() if p.ndim == 4).shape[1]
    device = next(model.parameters()).device
    with torch.no_grad():
        model(torch.zeros(1, channels, side, side, device=device))
    for hook in hooks:
        hook.remove()
    return sum(seen)


def counted(name: str, classes: int, channels: int, side: int):
    """The net on the meta device, our operators, and half of what FlopCounterMode counts."""
    with torch.device("meta"):
        model = ZOO[name](classes, channels).eval()
    with FlopCounterMode(display=False) as counter:
        operators, _ = list_operators(model, (channels, side, side))
    return model, operators, counter.get_total_flops() / 2


def tables() -> str:
    """Markdown: a table per input size, the race in its rows."""
    parts = []
    for title, (classes, channels, side) in INPUTS.items():
        parts += [f"{title}:\n", _line(COLUMNS), _line(("---", *["---:"] * (len(COLUMNS) - 1)))]
        for name in DEFAULT_MODELS:
            model, operators, _ = counted(name, classes, channels, side)
            figures = (
                sum(o.macs for o in operators),
                sum(o.shift_macs for o in operators),
                flop_counter_explained(operators),
                batch_norms(operators),
                pools_of_fvcore(model, operators),
                fvcore_explained(model, operators),
                biases(operators),
                ptflops_aten_explained(operators),
            )
            parts.append(_line((name, *(f"{n:,}" for n in figures))))
        parts.append("")
    return "\n".join(parts)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    DOCS.write_text(replace_block(DOCS.read_text(), tables()))
