"""A results file in which every string tries to be something else than text."""

import json
from pathlib import Path
from typing import Any

import msgspec

from lightfer.results import Results
from tests.report.made_up import made_up

STRINGS = (
    "<script>window.broken = 1</script>",
    '"><img src=x onerror="window.broken = 2">',
    "</script><script>window.broken = 3</script>",
    "<!--<script>",
    "\u202eright to left\u202d \u2028 line \u2029 {{ 7 * 7 }} {% raw %}",
    "x" * 400,
    "javascript:window.broken=4",
    "' onmouseover='window.broken=5",
)
KEPT = {
    "schema",
    "verdict",
    "clock",
    "method",
    "source",
    "correct_hex",
    "started",
}  # of a fixed form


def hostile(path: Path) -> list[str]:
    """Write such a file at `path`; returns the names of its models."""
    document = msgspec.to_builtins(made_up(8, 2))
    count = iter(range(10**6))

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [spoil(v, key) for v in value]
        if isinstance(value, str) and key not in KEPT:
            number = next(count)
            return f"{STRINGS[number % len(STRINGS)]} {number}"
        return value

    spoiled = spoil(document)
    machines = {old: f"{STRINGS[i]} {old}" for i, old in enumerate(document["environments"])}
    spoiled["environments"] = {machines[k]: v for k, v in spoiled["environments"].items()}
    weights = {key: f"{STRINGS[i]} {key}" for i, key in enumerate(document["cards"])}
    spoiled["cards"] = {weights[k]: v for k, v in spoiled["cards"].items()}
    for old, new in zip(document["entries"], spoiled["entries"], strict=True):
        new["environment"] = machines[old["environment"]]
        new["weights"] = weights[old["weights"]]
        new["error"] = None
    spoiled["entries"][0]["error"] = STRINGS[1]
    spoiled["entries"][1]["latency"][0]["clock"] = "__proto__"
    path.write_text(json.dumps(spoiled), encoding="utf-8")
    msgspec.convert(spoiled, Results)  # still a valid results file
    return [entry["model"] for entry in spoiled["entries"]]
