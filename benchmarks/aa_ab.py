"""Does the benchmark find what differs, and only that? A/A and A/B with known answers.

    python benchmarks/aa_ab.py --out out/aa_ab               # about 10 minutes on 2 quiet cores
    python benchmarks/aa_ab.py --out out/aa_ab --repeats 2   # a try

Prints two tables and writes everything as JSON. The slower models are slower by a known delay: a
busy wait after each pass.

Interleaved, in one process: each round visits five arms in an order drawn by lot, for a block of
warmed passes each: the model; twice the same model again, under other names; the model with 3 % and
with 10 % added of the median that it has just been measured at. Every arm is tested against the
first (`stats.compare_paired`), the four p-values corrected (Holm) at a level of 1 %. Not 5 %,
because the bar is one false alarm in 20 repeats: a correct test at 5 % would miss that bar in a
quarter of all attempts, at 1 % in 2 %.
An alarm is either of the same models being called different.

Separate runs: `lightfer bench` as a user runs it, each in a process of its own, at its defaults on
one model. Each repeat makes a run A and a run B, 30 % slower (each pass waits for 30 % of what it
has just taken, as a slower model would on a machine in any state), in an order drawn by lot; the
run A of the repeat before is compared with both, by `lightfer compare`. An alarm is any time
between the two A that is called faster or slower; B is found if a time is called slower and none
faster. Runs on a machine whose verdict is `unusable` are refused, and then neither an alarm nor a
find. The table shows other allowances between runs beside that in use (`compare.RUN_TO_RUN`), to
choose it by, and what would be found if nothing were refused.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles, stdev
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from lightfer.measure.environment import describe_environment
from lightfer.measure.latency import time_passes
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.process import tune_process
from lightfer.models.registry import create_model
from lightfer.report.compare import NOTHING, REFUSED, RUN_TO_RUN, Comparison, compare_results
from lightfer.results import Entry, Results, read_results
from lightfer.results.stats import compare_paired, holm, round_values

LEVEL = 0.01  # of a family of the interleaved part
WARMUP = 5  # passes after a change of arms
ARMS = {"again": 0.0, "again too": 0.0, "3 % slower": 0.03, "10 % slower": 0.10}
SLOWDOWN = 0.30  # of the separate runs
ALLOWANCES = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08)


class Slowed(nn.Module):
    """A network that keeps its core busy after each pass: for `delay_s`, and for `share` of what
    the pass took.
    """

    passes = 0  # of all instances: shows that the benchmark did use them

    def __init__(self, model: nn.Module, delay_s: float = 0.0, share: float = 0.0) -> None:
        super().__init__()
        self.model, self.delay_s, self.share = model, delay_s, share

    def forward(self, x: Tensor) -> Tensor:
        start = perf_counter()
        y = self.model(x)
        end = perf_counter()
        until = end + self.delay_s + self.share * (end - start)
        while perf_counter() < until:
            pass
        Slowed.passes += 1
        return y


def interleaved(
    model_name: str, repeats: int, rounds: int, passes: int, say: Callable[[str], None]
) -> list[dict]:
    """One row per repeat: delay, verdicts and ratios of every arm."""
    network = create_model(model_name).eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x = torch.randn(1, 1, 48, 48).contiguous(memory_format=torch.channels_last)
    arms = {name: Slowed(network) for name in ("base", *ARMS)}
    rows = []
    for repeat in range(repeats):
        lot = random.Random(repeat)
        calibration = time_passes(arms["base"], x, passes=3 * passes, warmup=WARMUP)
        delays = {name: share * median(calibration) for name, share in ARMS.items()}
        for name, delay in delays.items():
            arms[name].delay_s = delay
        blocks: dict[str, list[list[float]]] = {name: [] for name in arms}
        before = snapshot()
        for _ in range(rounds):
            for name in lot.sample(list(arms), len(arms)):
                blocks[name].append(time_passes(arms[name], x, passes=passes, warmup=WARMUP))
        noise = verdict(before, snapshot(), list(blocks.values()))
        times = {name: round_values(visits) for name, visits in blocks.items()}
        found = {name: compare_paired(times["base"], times[name]) for name in ARMS}
        corrected = holm([found[name].p for name in ARMS])
        logs = {name: np.log(values) for name, values in times.items()}
        rows.append(
            {
                "median_s": median(calibration),
                "delays_s": delays,
                "p_holm": dict(zip(ARMS, corrected, strict=True)),
                "ratio": {name: asdict(f.interval) for name, f in found.items()},
                "pair_sd": float(np.std(np.subtract(logs["again"], logs["base"]), ddof=1)),
                "noise": noise.verdict,
                "noise_reasons": noise.reasons,
                "medians_s": {n: v.tolist() for n, v in times.items()},
            }
        )
        ratios = ", ".join(f"{name} {f.interval.estimate:.3f}" for name, f in found.items())
        say(f"interleaved {repeat + 1}/{repeats}: {ratios}; {noise.verdict}")
    return rows


def separate_runs(
    model_name: str, repeats: int, folder: Path, say: Callable[[str], None]
) -> list[tuple[Results, Results, Results]]:
    """Per repeat the earlier run A, the new A, and B."""
    earlier = _bench(model_name, folder / "a-0.json", slower=0.0)
    found = []
    for repeat in range(1, repeats + 1):
        new: dict[str, Results] = {}
        for name in random.Random(repeat).sample(["a", "b"], 2):
            path = folder / f"{name}-{repeat}.json"
            new[name] = _bench(model_name, path, slower=SLOWDOWN if name == "b" else 0.0)
        found.append((earlier, new["a"], new["b"]))
        same, slower = (compare_results(earlier, new[name], anyway=True) for name in "ab")
        say(f"separate runs {repeat}/{repeats}: A/A {_told(same)}; A/B {_told(slower)}")
        earlier = new["a"]
    return found


def _bench(model_name: str, path: Path, slower: float) -> Results:
    """`lightfer bench MODEL --data none` in a process of its own, slowed down."""
    command = [sys.executable, __file__, "--bench", model_name, "--out", str(path)]
    done = subprocess.run([*command, "--slower", str(slower)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"lightfer bench failed:\n{done.stdout}{done.stderr}")
    return read_results(path)


def bench_slowed(model_name: str, path: Path, slower: float) -> None:
    """In the child: the command, on networks that are wrapped."""
    from lightfer.bench import case as subject
    from lightfer.cli import main as cli

    subject.create_model = lambda *a, **k: Slowed(create_model(*a, **k), share=slower)  # pyright: ignore
    sys.argv = ["lightfer", "bench", model_name, "--data", "none", "--out", str(path)]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise
    if not Slowed.passes:
        raise SystemExit("`lightfer bench` no longer builds its networks by create_model")


def _times(found: Comparison) -> list[str]:
    return [c.verdict for c in found.changes if c.kind == "time"]


def _told(found: Comparison) -> str:
    cells = [
        f"{c.what.split(',')[0]} {c.verdict if c.verdict != NOTHING else 'alike'}"
        + (f" ({c.ratio:.2f})" if c.ratio else f" ({c.note})")
        for c in found.changes
        if c.kind == "time"
    ]
    return ", ".join(cells)


def allowances(runs: Sequence[tuple[Results, Results, Results]]) -> list[dict]:
    """Alarms and finds if each allowance between runs were in use."""
    rows = []
    for allowance in sorted({*ALLOWANCES, RUN_TO_RUN}):
        row: dict = {"run_to_run": allowance, "in_use": allowance == RUN_TO_RUN}
        for suffix, anyway in (("", False), ("_if_none_refused", True)):
            same, slow = (
                [_times(compare_results(r[0], r[i], allowance, anyway=anyway)) for r in runs]
                for i in (1, 2)
            )
            row |= {
                f"alarms{suffix}": sum(bool({"faster", "slower"} & set(v)) for v in same),
                f"found{suffix}": sum("slower" in v and "faster" not in v for v in slow),
                f"refused{suffix}": sum(REFUSED in v for v in (*same, *slow)),
            }
        rows.append(row)
    return rows


def spread_of_runs(runs: Sequence[tuple[Results, Results, Results]]) -> dict[str, float]:
    """Standard deviation of log time over the runs A, per batch size: what is to be allowed for."""
    entries: list[Entry] = [runs[0][0].entries[0], *(a.entries[0] for _, a, _ in runs)]
    logs: dict[int, list[float]] = {}
    for entry in entries:
        for timed in entry.latency:
            quartile = quantiles(timed.samples_s, n=4, method="inclusive")[0]
            logs.setdefault(timed.batch_size, []).append(float(np.log(quartile)))
    return {f"batch {size}": stdev(values) for size, values in logs.items()}


def report(data: dict) -> str:
    """Both tables, with their conditions and whether the bars are met."""
    lines = [data["conditions"], ""]
    rows = data["interleaved"]
    if rows:
        n = len(rows)
        alarms = sum(min(r["p_holm"][a] for a in ("again", "again too")) < LEVEL for r in rows)
        counts = {name: sum(r["p_holm"][name] < LEVEL for r in rows) for name in ARMS}
        sd, noisy = median(r["pair_sd"] for r in rows), sum(r["noise"] != "quiet" for r in rows)
        lines += [
            f"Interleaved, {data['rounds']} rounds of {data['passes']} passes, median pass "
            f"{1e3 * median(r['median_s'] for r in rows):.2f} ms, two neighbours differ by "
            f"{sd:.1%} (standard deviation), {noisy} of {n} repeats not quiet",
            "",
            "| arm | called different | bar |",
            "| --- | --- | --- |",
            f"| the same model, twice (family) | {alarms} of {n} | at most 1 of 20 |",
            f"| 3 % slower | {counts['3 % slower']} of {n} | at least 15 of 20 |",
            f"| 10 % slower | {counts['10 % slower']} of {n} | 20 of 20 |",
            "",
        ]
    if data["separate_runs"]:
        n = data["repeats"]
        spread = ", ".join(f"{k} {v:.1%}" for k, v in data["spread_of_runs"].items())
        lines += [
            f"Separate runs of `lightfer bench` at its defaults; runs A differ by {spread} "
            f"(standard deviation); bars: alarms at most 2 of 20, found at least 18 of 20",
            "",
            "| allowed between runs | A/A alarms | 30 % slower found | refused | if none were |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in data["separate_runs"]:
            mark = " (in use)" if row["in_use"] else ""
            lines.append(
                f"| {row['run_to_run']:.0%}{mark} | {row['alarms']} of {n} | {row['found']} of {n} "
                f"| {row['refused']} | {row['alarms_if_none_refused']} alarms, "
                f"{row['found_if_none_refused']} found |"
            )
    return "\n".join([*lines, "", f"{data['seconds']:.0f} s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/aa_ab"), help="folder to write")
    parser.add_argument("--model", default="mobilenet_v1_x0_25")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=40, help="blocks of each arm per repeat")
    parser.add_argument("--passes", type=int, default=50, help="timed passes per block")
    parser.add_argument("--threads", type=int, help="of the interleaved part; default: all cores")
    parser.add_argument("--only", choices=["interleaved", "separate"], help="one of the two parts")
    parser.add_argument("--bench", help=argparse.SUPPRESS)  # the child's model
    parser.add_argument("--slower", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bench:
        bench_slowed(options.bench, options.out, options.slower)
        return

    start = perf_counter()

    def say(text: str) -> None:
        print(f"[{perf_counter() - start:4.0f} s] {text}", file=sys.stderr, flush=True)

    allocator = tune_process(options.threads)
    environment = describe_environment(data=None, allocator=allocator, device="cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    before = snapshot()
    rows, runs = [], []
    if options.only != "separate":
        rows = interleaved(options.model, options.repeats, options.rounds, options.passes, say)
    if options.only != "interleaved":
        runs = separate_runs(options.model, options.repeats, options.out, say)
    noise = verdict(before, snapshot())
    data = {
        "conditions": f"{options.model}, batch 1, PyTorch eager, {environment.cpu}, "
        f"{environment.threads} threads of {environment.cores} cores, torch "
        f"{environment.versions.get('torch')}, code {environment.code}, {environment.started}; "
        + "; ".join([f"{noise.verdict} machine", *noise.reasons]),
        "rounds": options.rounds,
        "passes": options.passes,
        "repeats": options.repeats,
        "level": LEVEL,
        "interleaved": rows,
        "separate_runs": allowances(runs) if runs else [],
        "spread_of_runs": spread_of_runs(runs) if runs else {},
        "seconds": perf_counter() - start,
    }
    (options.out / "aa_ab.json").write_text(json.dumps(data, indent=1) + "\n")
    text = report(data)
    (options.out / "aa_ab.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
