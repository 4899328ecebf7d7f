"""Write the figures of benchmarks/README.md, from what the commands left in measured/.

    python -m benchmarks.figures

Nothing is measured here. A row is (command, figure, measured, aim); bold falls short of its aim.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from lightfer._files import write_text
from lightfer.cli.table import replace_block

FOLDER = Path(__file__).parent
QUIET_S = 20  # ten of silence until a worker knows that its session is lost, ten to be gone
Row = tuple[str, str, str, str]


def block() -> str:
    """The table of all figures, in Markdown."""
    lines = ["| command | figure | measured | aim |", "|---|---|---:|---:|"]
    last = ""
    for command, *cells in rows():
        name = f"`{command}`" if command != last else ""
        lines.append(f"| {name} | {' | '.join(cells)} |")
        last = command
    return "\n".join(lines) + "\n"


def rows() -> Iterator[Row]:
    """Those of every command."""
    yield from shift()
    yield from throughput()
    yield from layers()
    yield from scale()
    yield from runtimes()
    yield from graphs()
    shares = [float(row[-1].rstrip("%")) for row in cells("roofline.md") if len(row) == 9]
    yield "roofline.py", "largest share of a measured peak, %", f"{max(shares):.0f}", ""
    ratio = max(content("predict.json")["ratio"].values())
    figure = "files to labels, best runtime / plain loop of Pillow and eager PyTorch"
    yield "predict.py", figure, *least(ratio, 5, ".1f")
    yield from aa_ab()
    yield from in_a_browser()
    yield from planted()
    held = [gap["held"] for gap in content("calibration_interval.json")["gaps"]]
    figure = "share of samples whose interval holds the true error, %: least, most of six errors"
    both = f"{100 * min(held):.1f}, {100 * max(held):.1f}"
    yield "calibration_interval.py", figure, both, "95"
    yield from deployed()
    yield from int8_bits()
    yield from stops()
    yield from executors()
    yield from overhead()
    yield from labelling()
    yield from peers()
    yield from peer_steps()


def shift() -> Iterator[Row]:
    for row in cells("shift.md"):
        if len(row) == 3 and row[2]:
            yield "shift.py", row[0], *most(float(row[1]), float(row[2]), ".2f")


def throughput() -> Iterator[Row]:
    found = content("train_throughput.json")
    name = "train_throughput.py"
    figure = "images/s, ours / plain float32 loop: geometric mean"
    yield name, figure, *least(found["geometric_mean"], 2.5, ".2f")
    for row in found["models"]:
        yield name, row["model"], *least(row["ratio"], 1.6, ".2f")


def layers() -> Iterator[Row]:
    for row in content("train_layers.json")["rows"]:
        figure = f"{row['model']}: images/s, now / before"
        yield "train_layers.py", figure, *least(row["ratio"], 1.5, ".2f")


def scale() -> Iterator[Row]:
    found = content("rows_scale.json")
    for file in dict.fromkeys(row["file"] for row in found["measured"]):
        rows = [row for row in found["measured"] if row["file"] == file]
        slow = max(rows, key=lambda row: row["processor_seconds"])
        what = f"{found['rows']:,} rows, {file}: processor s of the slowest, {slow['command']}"
        yield "rows_scale.py", what, *most(slow["processor_seconds"], 10, ".1f")
        peak = max(row["peak_bytes"] for row in rows) / 1e6
        yield "rows_scale.py", "the same: MB of the largest", *most(peak, 1000, ".0f")


AIMS = {  # best float32 runtime, int8 / float32, % of the roof: as in runtimes.py
    "mobilenet_v1_relu6": (8.0, 1.3, 50),
    "mobilenet_v2": (11.0, 1.3, 50),
    "mobilenet_v3_small": (10.0, None, None),
    "shufflenet_v2_x1_0": (5.5, 1.3, None),
    "squeezenet1_0": (4.0, 1.3, None),
    "shiftnet_b": (None, None, None),
}


def runtimes() -> Iterator[Row]:
    ways: dict[str, dict[str, list[str]]] = {}
    for net, way, *figures in cells("runtimes.md"):
        if net in AIMS:
            ways.setdefault(net, {})[way] = figures
    for net, found in ways.items():
        faster = {way: float(figures[2]) for way, figures in found.items()}
        best = max(("onnxruntime float32", "openvino float32"), key=lambda way: faster[way])
        peer = (
            next(way for way in found if way.startswith("peer: "))
            .removeprefix("peer: ")
            .removesuffix(", eager")
        )
        int8 = faster["onnxruntime int8"] / faster["onnxruntime float32"]
        share = float(found[best][3].rstrip("%"))
        figures = (
            (f"{net}: {best}, times as fast as {peer}, eager", faster[best], ".1f"),
            (f"{net}: ONNX Runtime, int8 / float32 speed", int8, ".2f"),
            (f"{net}: % of one core's float32 roof", share, ".0f"),
        )
        for (figure, value, form), aim in zip(figures, AIMS[net], strict=True):
            yield "runtimes.py", figure, *least(value, aim, form)


FLOAT = {"QuantizeLinear", "DequantizeLinear", "Mul", "HardSigmoid", "HardSwish"}  # in int8 files
MOVING = {
    "Reshape", "Transpose", "Split", "Concat", "QLinearConcat", "ReorderInput", "ReorderOutput",
}  # fmt: skip


def graphs() -> Iterator[Row]:
    found, name = content("graphs.json"), "graphs.py"
    for row in found["profile"]:
        what = f"{row['model']} {row['precision']}: % of the nodes' time"
        for kinds, said in ((MOVING, "that only moves numbers"), (FLOAT, "in float or converting")):
            share = 100 * sum(kind["share"] for kind in row["kinds"] if kind["kind"] in kinds)
            if share > 10 and (kinds is MOVING or row["precision"] == "int8"):
                yield name, f"{what} {said}", f"{share:.0f}", ""
    for row in found["rewrites"]:
        batch = f"batch {row['batch']}" if row["batch"] else "any batch"
        what = f"{row['model']}, {row['rewrite']}, {batch}: times as fast"
        yield name, what, *least(row["times_as_fast"], 1.3, ".2f")


def aa_ab() -> Iterator[Row]:
    """Of one interleaved run each runtime, of separate runs all three together."""
    name = "aa_ab.py"
    for row in cells("aa_ab.md"):
        if len(row) == 5 and " of " in row[1]:
            (false, of), (three, _), (ten, _) = map(counted, row[1:4])
            runtime = f"{row[0]}, one run, {of} times"
            yield (
                "aa_ab.py",
                f"{runtime}: equal nets called different",
                *most(false, of / 20, ".0f"),
            )
            yield "aa_ab.py", f"{runtime}: 3 % slower found", *least(three, 0.75 * of, ".0f")
            yield "aa_ab.py", f"{runtime}: 10 % slower found", *least(ten, of, ".0f")
        elif len(row) == 3 and " of " in row[1]:
            (false, of), (ten, _) = map(counted, row[1:])
            blocks = f"{row[0]}, one run, {of} times 5 of its rounds"
            yield name, f"{blocks}: equal nets called different", *most(false, of / 20, ".0f")
            yield name, f"{blocks}: 10 % slower found", f"{ten}", ""
        elif len(row) == 7 and row[0] == "all" and row[1].endswith("(in use)"):
            (false, of), (less, _), (more, _) = map(counted, row[2:5])
            runs = f"two runs, {of} times"
            yield name, f"{runs}: equal nets called different", *most(false, of // 12, ".0f")
            yield name, f"{runs}: 15 % slower found", *least(less, 0.75 * of, ".0f")
            yield name, f"{runs}: 30 % slower found", *least(more, 0.9 * of, ".0f")
            yield name, f"{runs}: comparisons refused, of {3 * of}", row[5], ""


def in_a_browser() -> Iterator[Row]:
    found, name = content("browser_aa.json"), "browser_aa.py"
    of = f"of {found['tries']} tries"
    equal = f"two visits to the same page: any net called different, {of}"
    yield name, equal, *most(found["false"], 1, ".0f")
    yield name, f"a net that is 30 % slower called slower, {of}", *least(found["found"], 9, ".0f")
    beside = f"the same: any other net called different, {of}"
    yield name, beside, *most(found["others_called_different_beside_the_slowed"], 1, ".0f")


def planted() -> Iterator[Row]:
    for command, file in (
        ("planted.py", "planted.md"),
        ("planted.py --replay", "planted_replay.md"),
    ):
        for row in cells(file):
            if len(row) == 4 and (bar := re.match(r"(\d+) of 10", row[3])):
                right, tries = counted(row[1])
                bound = most if "other" in row[0] else least
                share, aim = 100 * right / tries, 10 * int(bar[1])
                yield command, f"{row[0]}, % of {tries} tries", *bound(share, aim, ".1f")


def deployed() -> Iterator[Row]:
    name, found = "deployed_accuracy.py", lines("deployed_accuracy.jsonl")
    exact = [row["difference"] for row in found if row["precision"] == "float32"]
    yield name, "float32 files: largest difference of a logit", *most(max(exact), 1e-4, ".1e")
    for split in ("validation", "test"):
        worst = max(found, key=lambda row: row["lost_points"][split])
        figure = f"int8: most points lost on {split}, {worst['model']} as {worst['target']}"
        yield name, figure, *most(worst["lost_points"][split], 1.0, ".2f")


def int8_bits() -> Iterator[Row]:
    found = content("int8_bits.json")
    where = "with VNNI" if found["vnni"] else "without VNNI"
    kinds = [key for key in found["nets"][0] if ", " in key]
    for kind in sorted(kinds):
        lost = {row["net"]: row["float32"] - row[kind]["top1"] for row in found["nets"]}
        net = max(lost, key=lost.__getitem__)
        figure = f"{where}: {kind}: most points lost on validation, {net}"
        if kind.endswith("7 bits"):
            yield "int8_bits.py", figure, *most(lost[net], 1.0, ".2f")
        else:
            yield "int8_bits.py", figure, f"{lost[net]:.2f}", ""


def stops() -> Iterator[Row]:
    commands = content("kill_safety.json").values()
    signals = ("SIGINT", "SIGTERM", "SIGKILL")
    enough = sum(all(command[name]["hit"] >= 20 for name in signals) for command in commands)
    figure = f"of {len(commands)} commands, those stopped at 20 moments by each signal"
    yield "kill_safety.py", figure, *least(enough, len(commands), ".0f")


def executors() -> Iterator[Row]:
    for kind, found in content("executors.json").items():
        assert found["weights_equal_to_the_bit"]
        kills = [kill for kill in found["kills"] if kill["epochs"] < found["epochs"]]
        figure = f"{kind}: kills before the last epoch, weights equal to the bit"
        yield "executors.py", figure, *least(len(kills), 10, ".0f")
        quiet = [kill["quiet_after_s"] for kill in kills if kill["kill"] == "session"]
        figure = f"{kind}: most seconds from the kill of a session until nothing is busy"
        yield "executors.py", figure, *most(max(quiet), QUIET_S, ".0f")


def overhead() -> Iterator[Row]:
    found = content("queue_overhead.json")
    for kind, aim in (("pool", 20), ("ray", 100)):
        figure = f"{kind}, {found[kind]['finished']:,} jobs: ms of one beside its training"
        yield "queue_overhead.py", figure, *most(found[kind]["overhead_ms"], aim, ".0f")
        mib = [look["session"] + look["workers"] for look in found[kind]["memory_mib"]]
        first = found[kind]["memory_mib"][0]["after"]
        figure = f"{kind}: MiB of all processes after {first} jobs, and in the end"
        yield "queue_overhead.py", figure, f"{mib[0]}, {mib[-1]}", ""


def labelling() -> Iterator[Row]:
    found = content("labelling.json")
    for kind in ("pool", "ray"):
        figure = f"{kind}, {found['pictures']:,} pictures: pictures/s and core / plain loop"
        yield "labelling.py", figure, *least(found[kind]["of_plain"], 0.85, ".2f")
        kills = f"{kind}: kills after which every input has one row, equal to the bit"
        yield "labelling.py", kills, f"{len(found[kind]['kills'])}", ""


def peers() -> Iterator[Row]:
    rows = content("peers.json")["rows"]
    for runtime in dict.fromkeys(row["runtime"] for row in rows):
        ratios, more_us = {}, []
        for row in (row for row in rows if row["runtime"] == runtime):
            both = [*zip(row["ours"], row["peer"], strict=True)]
            ratios[row["model"]] = median(ours / peer for ours, peer in both)
            more_us.append(1e6 * median(ours - peer for ours, peer in both))
        net = max(ratios, key=lambda net: abs(ratios[net] - 1))
        figure = f"{runtime}: our median / its own tool's, farthest from 1 ({net})"
        within = abs(ratios[net] - 1) <= 0.05
        yield "peers.py", figure, shown(ratios[net], None, ".3f", within)[0], "1 ± 0.05"
        figure = f"{runtime}: our median less its own tool's, µs: least, median, most of the nets"
        spread = (min(more_us), median(more_us), max(more_us))
        yield "peers.py", figure, ", ".join(f"{us:.0f}" for us in spread), ""


def peer_steps() -> Iterator[Row]:
    found = content("peer_steps.json")["measured"]
    for runtime in dict.fromkeys(row["runtime"] for row in found):
        nets = [row["steps"] for row in found if row["runtime"] == runtime]
        for step in zip(*nets, strict=True):
            if more := sorted(net["more_us"] for net in step if "more_us" in net):
                spread = ", ".join(f"{us:.0f}" for us in (more[0], median(more), more[-1]))
                figure = f"{runtime}, {step[0]['step']}: µs more: least, median, most of the nets"
                yield "peer_steps.py", figure, spread, ""


def least(value: float, aim: float | None, form: str) -> tuple[str, str]:
    """The figure and its aim, which it should reach."""
    return shown(value, aim, form, aim is None or value >= aim)


def most(value: float, aim: float, form: str) -> tuple[str, str]:
    """The figure and its aim, which it should not exceed."""
    return shown(value, aim, form, value <= aim)


def shown(value: float, aim: float | None, form: str, reached: bool) -> tuple[str, str]:
    text = f"{value:{form}}"
    return text if reached else f"**{text}**", "" if aim is None else f"{aim:g}"


def cells(name: str) -> list[list[str]]:
    """The rows of all tables of a Markdown file, without their heads."""
    text = (FOLDER / "measured" / name).read_text(encoding="utf-8")
    text = re.sub(r"^\|.*\n\|[-| :]+\n", "", text, flags=re.M)
    found = [line[1:].rstrip().removesuffix("|") for line in text.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.split("|")] for line in found]


def counted(cell: str) -> tuple[int, int]:
    """`7 of 20` as two numbers."""
    count, of = cell.split(" of ")
    return int(count), int(of)


def content(name: str) -> Any:
    return json.loads((FOLDER / "measured" / name).read_text(encoding="utf-8"))


def lines(name: str) -> Sequence[Any]:
    text = (FOLDER / "measured" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


if __name__ == "__main__":
    page = FOLDER / "README.md"
    write_text(page, replace_block(page.read_text(encoding="utf-8"), block()))
