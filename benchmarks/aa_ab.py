"""Does the benchmark find what differs, and only that? A/A and A/B with known answers.

    python benchmarks/aa_ab.py --out out/aa_ab               # hours; goes on where it was
    python benchmarks/aa_ab.py --out out/aa_ab --repeats 2   # a try

Everything is measured by `lightfer bench --quick --batch-size 1`, as a user runs it, each run in a
process of its own, and judged by what the product judges by. Nets are slower by a known share: each
pass in the runtime is followed by a busy wait of so much of what it has just taken, as of a slower
net on a machine in any state. The runs are kept as results files, and a run that is there is not
made again, unless other code made it, which is refused.

Interleaved: one run of five nets, the same one under five names, of which one is 3 % and one 10 %
slower, in 48 rounds, judged by `significance.times_differ`, as `lightfer rank` does. A family is
false if any two of the three equal nets are called different. The same in blocks of five rounds, as
many as a run at its defaults has, where the test is another one.

Separate runs: of one net, at the default number of rounds. Each repeat makes a run A, a run B1
(15 % slower) and a run B2 (30 % slower), in an order drawn by lot; the run A of the repeat before
is compared with each by `report.compare`, as `lightfer compare` does. False is any time of two A
that is called faster or slower; a slowdown is found if the time is called slower. Runs on a machine
whose verdict is `unusable` are refused, and then neither false nor found. The table shows other
allowances between runs beside that in use, and what would be found if nothing were refused. Last
comes the smallest slowdown that would be found in three of four pairs of runs A, had each new one
been slower by it.
"""

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median, stdev
from time import perf_counter

import numpy as np
from torch import Tensor, nn

from lightfer.inference.backends import RUNTIMES, Loaded
from lightfer.measure.environment import code_version
from lightfer.models.registry import create_model
from lightfer.report.compare import ALPHA, REFUSED, RUN_TO_RUN, compare_results
from lightfer.report.significance import times_differ
from lightfer.results import Results, read_results
from lightfer.results.select import Time, Times
from lightfer.results.stats import compare_runs

NET = "mobilenet_v1_x0_25"
FEW = 5  # rounds: of a run at its defaults
SLOWER = "AA_AB_SLOWER"  # the variable that tells a child by how much `alone` is slower
ARMS = {"base": 0.0, "again": 0.0, "again_too": 0.0, "slower_3": 0.03, "slower_10": 0.10}
RUNS = {"a": 0.0, "b15": 0.15, "b30": 0.30}
ALLOWANCES = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08)
Say = Callable[[str], None]


def _net(share: float) -> nn.Module:
    net = create_model(NET)
    net.slower = share  # pyright: ignore[reportArgumentType]
    return net


# The arms by name, for `lightfer bench aa_ab:base`, called as (num_classes, in_channels).
def alone(*_: int) -> nn.Module:
    return _net(float(os.environ.get(SLOWER, "0")))


def base(*_: int) -> nn.Module:
    return _net(ARMS["base"])


def again(*_: int) -> nn.Module:
    return _net(ARMS["again"])


def again_too(*_: int) -> nn.Module:
    return _net(ARMS["again_too"])


def slower_3(*_: int) -> nn.Module:
    return _net(ARMS["slower_3"])


def slower_10(*_: int) -> nn.Module:
    return _net(ARMS["slower_10"])


def slowed(run: Callable[[Tensor], Tensor], share: float) -> Callable[[Tensor], Tensor]:
    """The same, and a busy wait for `share` of what the pass took."""

    def slower(x: Tensor) -> Tensor:
        start = perf_counter()
        y = run(x)
        end = perf_counter()
        while perf_counter() < end + share * (end - start):
            pass
        return y

    return slower


def slow_down(runtime: str) -> None:
    """From now on `runtime` computes a net that has an attribute `slower` so much more slowly."""
    load = RUNTIMES[runtime].load

    def loader(model: nn.Module, *arguments, **options) -> Loaded:
        return slower(load(model, *arguments, **options), getattr(model, "slower", 0.0))

    def slower(loaded: Loaded, share: float) -> Loaded:
        reopen = loaded.reopen
        again = reopen and (lambda: slower(reopen(), share))
        return replace(loaded, run=slowed(loaded.run, share), reopen=again)

    RUNTIMES[runtime] = replace(RUNTIMES[runtime], load=loader)


def bench(
    path: Path, runtime: str, nets: Sequence[str], *options: str, slower: float = 0
) -> Results:
    """What `lightfer bench` measures in a process of its own, or what it did before.

    Raises SystemExit where that fails, or where other code measured what is there.
    """
    if not path.exists():
        command = [sys.executable, __file__, "--bench", runtime, *(f"aa_ab:{net}" for net in nets)]
        fixed = ["--runtime", runtime, "--data", "none", "--quick", "--batch-size", "1"]
        done = subprocess.run(
            [*command, "--", *fixed, "--out", str(path), *options],
            env={**os.environ, SLOWER: str(slower)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"lightfer bench failed:\n{done.stdout}{done.stderr}")
    results = read_results(path)
    for environment in results.environments.values():
        if environment.code != code_version():
            here = code_version()
            raise SystemExit(
                f"{path} is of code {environment.code}, not {here}: give another --out"
            )
    return results


def interleaved(folder: Path, runtime: str, repeats: int, rounds: int, say: Say) -> list[dict]:
    """One row per repeat: which arms are called different from the first, and the ratios."""
    rows = []
    for repeat in range(repeats):
        path = folder / f"{runtime}-interleaved-{repeat}.json"
        options = ("--rounds", str(rounds), "--seed", str(repeat))
        row = judge_interleaved(bench(path, runtime, list(ARMS), *options))
        rows.append({"runtime": runtime, **row})
        say(f"{runtime} interleaved {repeat + 1}/{repeats}: {row}")
    return rows


def judge_interleaved(results: Results) -> dict:
    """By the product's test of the times of one run."""
    found, of = {e.model.partition(":")[2]: e for e in results.entries}, Times(results)
    times = [of.at(found[name]) for name in ARMS]
    if None in times:
        raise SystemExit(f"not every arm was timed: {[e.error for e in results.entries]}")
    known = [time for time in times if time is not None]
    differ = times_differ(known)
    equal = np.ix_(*[[i for i, share in enumerate(ARMS.values()) if share == 0]] * 2)
    starts = range(0, len(known[0].rounds_s) - FEW + 1, FEW)
    blocks = [times_differ([some_rounds(time, k) for time in known]) for k in starts]
    (environment,) = results.environments.values()
    return {
        "false": bool(differ[equal].any()),
        "blocks": len(blocks),
        "false_blocks": sum(bool(block[equal].any()) for block in blocks),
        "found_blocks": sum(bool(block[0, list(ARMS).index("slower_10")]) for block in blocks),
        "found": {n: bool(differ[0, i]) for i, n in enumerate(ARMS) if ARMS[n]},
        "ratio": {n: t.estimate_s / known[0].estimate_s for n, t in zip(ARMS, known, strict=True)},
        "noise": environment.noise and environment.noise.verdict,
    }


def some_rounds(time: Time, first: int) -> Time:
    """Of five rounds, corrected as those of the whole run."""
    raw, quoted = (r[None, first : first + FEW] for r in (time.raw_rounds_s, time.rounds_s))
    return Time.of(raw, quoted, [time.reference_s])[0]


Runs = tuple[Results, dict[str, Results]]  # the earlier run A, and the new runs by name


def separate_runs(folder: Path, runtime: str, repeats: int, say: Say) -> list[Runs]:
    """Per repeat the earlier run A, the new A, and both slower runs."""
    earlier = bench(folder / f"{runtime}-a-0.json", runtime, ["alone"])
    found = []
    for repeat in range(1, repeats + 1):
        new: dict[str, Results] = {}
        for name in random.Random(repeat).sample(list(RUNS), len(RUNS)):
            path = folder / f"{runtime}-{name}-{repeat}.json"
            new[name] = bench(path, runtime, ["alone"], slower=RUNS[name])
        found.append((earlier, new))
        told = {name: verdicts(earlier, new[name]) for name in RUNS}
        say(f"{runtime} separate runs {repeat}/{repeats}: {told}")
        earlier = new["a"]
    return found


def verdicts(a: Results, b: Results, allowance: float | None = None, anyway: bool = False) -> list:
    """What `lightfer compare` says of the times."""
    changes = compare_results(a, b, allowance, anyway=anyway).changes
    return [change.verdict for change in changes if change.kind == "time"]


def judge_separate(runs: Sequence[Runs], allowance: float = RUN_TO_RUN) -> dict:
    """How many are false and found with an allowance between runs."""
    row: dict = {"run_to_run": allowance}
    for suffix, anyway in (("", False), ("_if_none_refused", True)):
        said = {n: [verdicts(e, new[n], allowance, anyway) for e, new in runs] for n in RUNS}
        row[f"false{suffix}"] = sum(bool({"faster", "slower"} & set(v)) for v in said["a"])
        for name in ("b15", "b30"):
            found = ("slower" in v and "faster" not in v for v in said[name])
            row[f"{name}{suffix}"] = sum(found)
        row[f"refused{suffix}"] = sum(REFUSED in v for each in said.values() for v in each)
    return row


def smallest_found(runs: Sequence[Runs], allowance: float = RUN_TO_RUN) -> int | None:
    """The least slowdown in percent that is called slower in three of four comparisons, if every
    new run A had been slower by it; None beyond 100.
    """

    def called_slower(earlier: Results, new: Results, share: float) -> bool:
        if REFUSED in verdicts(earlier, new, allowance):
            return False
        times = [Times(run).at(run.entries[0]) for run in (earlier, new)]
        a, b = (time.rounds_s / (time.reference_s or 1.0) for time in times if time)
        found = compare_runs(a, b * (1 + share), allowance)
        return found.p < ALPHA and found.interval.estimate > 1

    for percent in range(1, 101):
        found = sum(called_slower(earlier, new["a"], percent / 100) for earlier, new in runs)
        if found >= 0.75 * len(runs):
            return percent
    return None


def spread_of_runs(runs: Sequence[Runs]) -> tuple[float, float]:
    """Standard deviation of log time over the runs A, raw and relative to the yardstick."""
    all_a = [runs[0][0], *(new["a"] for _, new in runs)]
    times = [Times(a).at(a.entries[0]) for a in all_a]
    raw = [np.log(time.raw_s) for time in times if time]
    relative = [np.log(time.estimate_s / (time.reference_s or 1.0)) for time in times if time]
    return stdev(raw), stdev(relative)


def report(rows: Sequence[dict], runs: dict[str, list[Runs]], conditions: str) -> str:
    """Both tables, with the bars."""
    lines = [conditions, ""]
    if rows:
        lines += [
            "Interleaved; bars: false at most 1 of 20, 3 % slower found 15 of 20, 10 % 20 of 20",
            "",
            "| runtime | false families | 3 % slower found | 10 % slower found | not quiet |",
            "| --- | --- | --- | --- | --- |",
        ]
    for runtime in dict.fromkeys(row["runtime"] for row in rows):
        own = [row for row in rows if row["runtime"] == runtime]
        counts = [sum(r["false"] for r in own)]
        counts += [sum(r["found"][arm] for r in own) for arm in ("slower_3", "slower_10")]
        counts.append(sum(r["noise"] != "quiet" for r in own))
        lines.append(f"| {runtime} | " + " | ".join(f"{c} of {len(own)}" for c in counts) + " |")
    if rows:
        lines += [
            "",
            f"The same in blocks of {FEW} rounds",
            "",
            "| runtime | false families | 10 % slower found |",
            "| --- | --- | --- |",
        ]
    for runtime in dict.fromkeys(row["runtime"] for row in rows):
        own = [row for row in rows if row["runtime"] == runtime]
        of = sum(row["blocks"] for row in own)
        counts = (sum(row[key] for row in own) for key in ("false_blocks", "found_blocks"))
        lines.append(f"| {runtime} | " + " | ".join(f"{c} of {of}" for c in counts) + " |")
    if runs:
        lines += [
            "",
            "Separate runs; bars over three runtimes of 20: false at most 5 of 60, 30 % slower "
            "found 54, 15 % slower 45",
            "",
            "| runtime | allowed | false | 15 % found | 30 % found | refused | if none were |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
    for name, own in [*runs.items(), ("all", [r for each in runs.values() for r in each])]:
        for allowance in sorted({*ALLOWANCES, RUN_TO_RUN}) if own else ():
            row, n = judge_separate(own, allowance), len(own)
            mark = " (in use)" if allowance == RUN_TO_RUN else ""
            counts = " | ".join(f"{row[key]} of {n}" for key in ("false", "b15", "b30"))
            others = ", ".join(str(row[f"{k}_if_none_refused"]) for k in ("false", "b15", "b30"))
            lines.append(
                f"| {name} | {allowance:.0%}{mark} | {counts} | {row['refused']} | {others} |"
            )
    for name, own in runs.items():
        if len(own) > 1:
            raw, relative = spread_of_runs(own)
            lines.append(
                f"\n{name}: runs A differ by {raw:.1%}, relative to the yardstick {relative:.1%}"
            )
    if runs:
        least = smallest_found([run for own in runs.values() for run in own])
        lines.append(f"\nall: the smallest slowdown found in three of four: {least or '> 100'} %")
    return "\n".join(lines)


def conditions(results: Sequence[Results]) -> str:
    """Of all runs together."""
    environments = [e for r in results for e in r.environments.values()]
    first, noises = environments[0], [e.noise.verdict for e in environments if e.noise]
    counts = ", ".join(f"{noises.count(v)} {v}" for v in dict.fromkeys(noises))
    seconds = median(e.noise.seconds for e in environments if e.noise)
    return (
        f"{NET}, batch 1, {first.cpu}, {first.threads} threads of {first.cores} cores, torch "
        f"{first.versions.get('torch')}, code {first.code}, from {first.started}; "
        f"{len(environments)} runs: {counts}; median run {seconds:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/aa_ab"), help="folder of the runs")
    parser.add_argument("--runtime", action="append", help="default: these three that are known")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=48, help="of the interleaved part")
    parser.add_argument("--only", choices=["interleaved", "separate"], help="one of the two parts")
    options = parser.parse_args()
    start = perf_counter()

    def say(text: str) -> None:
        print(f"[{perf_counter() - start:4.0f} s] {text}", file=sys.stderr, flush=True)

    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    runs: dict[str, list[Runs]] = {}
    for runtime in options.runtime or ["pytorch", "onnxruntime", "openvino"]:
        if options.only != "separate":
            rows += interleaved(options.out, runtime, options.repeats, options.rounds, say)
        if options.only != "interleaved":
            runs[runtime] = separate_runs(options.out, runtime, options.repeats, say)
    every = [read_results(path) for path in sorted(options.out.glob("*-*.json"))]
    text = report(rows, runs, conditions(every))
    (options.out / "aa_ab.md").write_text(text + "\n")
    print(text)


def child() -> None:
    """`lightfer bench` on these nets: sys.argv is --bench RUNTIME NET... -- OPTIONS."""
    from lightfer.__main__ import main as command

    sys.path.insert(0, str(Path(__file__).parent))  # for aa_ab:base
    slow_down(sys.argv[2])
    split = sys.argv.index("--")
    sys.argv = ["lightfer", "bench", *sys.argv[3:split], *sys.argv[split + 1 :]]
    command()


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--bench"] else main()
