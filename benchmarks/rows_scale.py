"""A file of thousands of rows: how long each reader of results takes, and how much memory.

    python benchmarks/rows_scale.py [--rows 10000] [--folder out/rows]
        [--out benchmarks/measured/rows_scale.json]

Aims: 10,000 rows validate, rank, compare and report in under 10 s and 1 GB each. Two files: one of
rows drawn by lot (200 nets on each machine, 3 rounds of 5 passes), one of the published rows, with
all their passes, classes and predictions, repeated under other names. Each command runs in a
process of its own. Seconds are of the clock, and of the processor, which a machine that does other
things beside inflates less; memory is the most that the process held.
"""

import argparse
import json
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightfer.results import Results, read_results, write_results  # noqa: I001
from tests.report.made_up import made_up

ROOT = Path(__file__).parents[1]
RUN = """
import resource, sys
from lightfer.__main__ import main
sys.argv = ["lightfer", *sys.argv[1:]]
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("USED", used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
"""


def repeated(results: Results, rows: int) -> Results:
    """The same rows again and again, each time as other nets on another machine."""
    entries, environments = [], {}
    for i in range(rows):
        e = results.entries[i % len(results.entries)]
        key = f"{e.environment}-{i // len(results.entries)}"
        environments[key] = results.environments[e.environment]
        entries.append(msgspec.structs.replace(e, id=f"{i}", environment=key))
    return Results(environments=environments, entries=tuple(entries), cards=results.cards)


def write(path: Path, name: str, rows: int) -> None:
    """One of FILES."""
    write_results(path, FILES[name](rows))


FILES = {
    "drawn by lot": lambda rows: made_up(200, rows // 200),
    "published rows, repeated": lambda rows: repeated(read_results(ROOT / "results.json"), rows),
}


def measured(*arguments: str) -> dict:
    """Seconds and peak bytes of one command, which must succeed."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stdout[-300:]}{done.stderr[-300:]}")
    used = next(line for line in done.stderr.splitlines() if line.startswith("USED")).split()
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "command": arguments[0],
        "seconds": round(seconds, 2),
        "processor_seconds": round(float(used[1]), 2),
        "peak_bytes": int(used[2]) * scale,
    }


def main() -> None:
    """Write both files, run each command on each, print and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("out/rows"))
    parser.add_argument("--out", type=Path, help="keep the figures here, as JSON")
    args = parser.parse_args()
    found = []
    for name in FILES:
        path = args.folder / f"{name.split()[0]}.json"
        # In another process: Linux counts the memory of the one that starts a command to it.
        writer = get_context("spawn").Process(target=write, args=(path, name, args.rows))
        writer.start()
        writer.join()
        for command in (
            ("validate", str(path)),
            ("rank", str(path), "--json"),
            ("compare", str(path), str(path), "--json"),
            ("report", str(path), "--html", str(args.folder / "report.html")),
        ):
            row = {"file": name, "file_bytes": path.stat().st_size, **measured(*command)}
            found.append(row)
            print(
                f"{name:26} {row['command']:9} {row['seconds']:6.1f} s, of the processor "
                f"{row['processor_seconds']:6.1f} s, {row['peak_bytes'] / 1e6:5.0f} MB"
            )
    if args.out:
        args.out.write_text(json.dumps({"rows": args.rows, "measured": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
