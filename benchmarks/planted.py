"""A block that half the nets use takes twice as long: does `lightfer compare` say just that?

    python benchmarks/planted.py --out out/planted               # a quarter of an hour or more
    python benchmarks/planted.py --out out/planted --tries 1     # goes on where it was
    python benchmarks/planted.py --replay results.json           # seconds; nothing is measured

Every try is two runs of `lightfer bench --quick --batch-size 1` in eager PyTorch, each in a process
of its own and in an order drawn by lot: in one `ConvBNAct.forward` computes its result twice. They
are compared by what `lightfer compare` calls, Holm's correction included. The runs are kept, and a
run that is there is not made again, unless other code made it, which is refused.

With `--replay` both runs are drawn as a results file was measured: the times that it quotes, the
spread of their rounds, the machine's states that the yardstick showed, and `RUN_TO_RUN` between
whole runs. The times of half the nets are doubled in the second.

Bars, of ten tries: each slowed net is called slower in nine, and in one at most is any other net
called different.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from lightfer.measure.environment import code_version
from lightfer.report.compare import REFUSED, RUN_TO_RUN, compare_results
from lightfer.results import Entry, Latency, Results, read_results
from lightfer.results.select import Times, by_variant

WITH_BLOCK = ("mobilenet_v2", "shiftresnet20_e3", "vgg_slim")
WITHOUT = ("mobilenet_v3_small", "shiftnet_b", "squeezenet1_1_bn")
RUNS = ("before", "after")


def double_the_block() -> None:
    """From now on every `ConvBNAct` computes its result twice."""
    from lightfer.models.blocks import ConvBNAct

    once = ConvBNAct.forward

    def twice(self: ConvBNAct, input):
        once(self, input)
        return once(self, input)

    ConvBNAct.forward = twice


def bench(path: Path, run: str, nets: Sequence[str]) -> Results:
    """What `lightfer bench` measures in a process of its own, or what it did before.

    Raises SystemExit where that fails, or where other code measured what is there.
    """
    if not path.exists():
        options = ["--runtime", "pytorch", "--data", "none", "--quick", "--batch-size", "1"]
        command = [sys.executable, __file__, "--bench", run, *nets, *options, "--out", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"lightfer bench failed:\n{done.stdout}{done.stderr}")
    results = read_results(path)
    code = {environment.code for environment in results.environments.values()}
    if code != {code_version()}:
        raise SystemExit(f"{path} is of code {code}, not {code_version()}: give another --out")
    return results


def measured(folder: Path, tries: int, nets: Sequence[str]) -> Iterator[tuple[Results, Results]]:
    """Each try's runs, before and after."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(tries):
        order = random.Random(number).sample(RUNS, 2)
        found = {run: bench(folder / f"{run}-{number}.json", run, nets) for run in order}
        yield found["before"], found["after"]


def replayed(
    results: Results, tries: int, slowed: Sequence[str], run_to_run: float = RUN_TO_RUN
) -> Iterator[tuple[Results, Results]]:
    """Runs drawn as one variant of a file was measured, the `slowed` nets doubled in the second of
    each try.
    """
    entries, times = max(by_variant(results.entries).values(), key=len), Times(results)
    for number in range(tries):
        rng = np.random.default_rng(number)
        runs = []
        for factors in ({}, dict.fromkeys(slowed, 2.0)):
            drawn = (_drawn(e, times, rng, factors.get(e.model, 1.0), run_to_run) for e in entries)
            runs.append(msgspec.structs.replace(results, entries=tuple(drawn)))
        yield runs[0], runs[1]


def _drawn(
    entry: Entry, times: Times, rng: np.random.Generator, factor: float, run_to_run: float
) -> Entry:
    """The entry with new rounds of one pass: `factor` times what is quoted, with the spread of its
    rounds, on a machine in the states that the yardstick showed.
    """
    latencies = []
    for known in entry.latency:
        time = times.of(entry, known)
        if time is None or time.reference_s is None:
            continue
        spread = np.log(time.rounds_s).std(ddof=1)
        run = time.estimate_s * factor * np.exp(run_to_run * rng.normal())
        beside = rng.choice(known.yardstick_s or (), known.rounds)
        rounds = run * np.exp(spread * rng.normal(size=known.rounds)) * beside / time.reference_s
        latencies.append(
            Latency.of(
                rounds[:, None].tolist(),
                known.batch_size,
                known.threads,
                known.clock,
                beside.tolist(),
            )
        )
    return msgspec.structs.replace(entry, latency=tuple(latencies))


def judge(
    pairs: Sequence[tuple[Results, Results]], slowed: Sequence[str], anyway: bool = False
) -> dict:
    """Of how many tries each slowed net is called slower, and another net different; refusals, of
    runs on a machine that was unusable, unless `anyway`.
    """
    found = {"tries": len(pairs), "slower": dict.fromkeys(slowed, 0), "others": 0, "refused": 0}
    for before, after in pairs:
        said: dict[str, set[str]] = {}
        for change in compare_results(before, after, anyway=anyway).changes:
            if change.kind == "time":
                said.setdefault(change.model.split(" ")[0], set()).add(change.verdict)
        for net in slowed:
            found["slower"][net] += "slower" in said[net] and "faster" not in said[net]
        others = [verdicts for net, verdicts in said.items() if net not in slowed]
        found["others"] += any({"slower", "faster"} & verdicts for verdicts in others)
        found["refused"] += any(REFUSED in verdicts for verdicts in said.values())
    return found


def report(pairs: Sequence[tuple[Results, Results]], slowed: Sequence[str]) -> str:
    """The counts beside their bars, and what they were if nothing were refused."""
    both = [judge(pairs, slowed, anyway) for anyway in (False, True)]

    def row(what: str, bar: str, counts: list[int]) -> str:
        return f"| {what} | " + " | ".join(f"{c} of {len(pairs)}" for c in counts) + f" | {bar} |"

    return "\n".join(
        [
            "| | tries | if none were refused | bar |",
            "| --- | ---: | ---: | ---: |",
            *(
                row(f"{net}, slowed: called slower", "9 of 10", [f["slower"][net] for f in both])
                for net in slowed
            ),
            row("any other net called different", "1 of 10", [f["others"] for f in both]),
            row("any time refused", "", [f["refused"] for f in both]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/planted"), help="folder of the runs")
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--replay", type=Path, help="draw the runs from this results file")
    options = parser.parse_args()
    if options.replay:
        results = read_results(options.replay)
        slowed = sorted({e.model for e in results.entries})[::2]
        pairs = list(replayed(results, options.tries, slowed))
        print(f"drawn from {options.replay}\n\n{report(pairs, slowed)}")
        return
    pairs = []
    for pair in measured(options.out, options.tries, (*WITH_BLOCK, *WITHOUT)):
        pairs.append(pair)
        print(f"try {len(pairs)}: {judge(pairs[-1:], WITH_BLOCK)}", file=sys.stderr, flush=True)
    noises = [e.noise.verdict for p in pairs for r in p for e in r.environments.values() if e.noise]
    counts = ", ".join(f"{noises.count(v)} {v}" for v in dict.fromkeys(noises))
    about = next(iter(pairs[0][0].environments.values()))
    text = f"{about.cpu}, {about.threads} threads, code {about.code}, runs: {counts}\n\n"
    text += report(pairs, WITH_BLOCK)
    (options.out / "planted.md").write_text(text + "\n")
    print(text)


def child() -> None:
    """`lightfer bench`: sys.argv is --bench RUN NET... OPTIONS."""
    from lightfer.__main__ import main as command

    if sys.argv[2] == "after":
        double_the_block()
    sys.argv = ["lightfer", "bench", *sys.argv[3:]]
    command()


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--bench"] else main()
