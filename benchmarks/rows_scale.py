"""A file of thousands of rows: how long each reader of results takes, and how much memory.

    python benchmarks/rows_scale.py [--rows 10000] [--folder out/rows] [--out FILE]

Aims: 10,000 rows validate, rank, compare and report in under 10 s and 1 GB each. Two files: one of
rows drawn by lot (200 nets on each machine, 3 rounds of 5 passes), one of the published rows, with
all their passes, classes and predictions, repeated under other names. Each command runs in a
process of its own; memory is the most that it held.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightfer.results import Results, read_results, write_results  # noqa: I001
from tests.report.made_up import made_up

ROOT = Path(__file__).parents[1]
RUN = """
import resource, sys
from lightfer.cli.main import main
sys.argv = ["lightfer", *sys.argv[1:]]
try:
    main()
finally:
    print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
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


def measured(*arguments: str) -> dict:
    """Seconds and peak bytes of one command."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False
    )
    peak = [line for line in done.stderr.splitlines() if line.startswith("PEAK")]
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "command": arguments[0],
        "seconds": round(perf_counter() - start, 2),
        "peak_bytes": int(peak[0].split()[1]) * scale if peak else None,
        "code": done.returncode,
        "error": done.stderr[-300:] if done.returncode else "",
    }


def main() -> None:
    """Write both files, run each command on each, print and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("out/rows"))
    parser.add_argument("--out", type=Path, help="keep the figures here, as JSON")
    args = parser.parse_args()
    files = {
        "drawn by lot": made_up(200, args.rows // 200),
        "published rows, repeated": repeated(read_results(ROOT / "results.json"), args.rows),
    }
    found = []
    for name, results in files.items():
        path = args.folder / f"{name.split()[0]}.json"
        write_results(path, results)
        for command in (
            ("validate", str(path)),
            ("rank", str(path), "--json"),
            ("compare", str(path), str(path), "--json"),
            ("report", str(path), "--html", str(args.folder / "report.html")),
        ):
            row = {"file": name, "file_bytes": path.stat().st_size, **measured(*command)}
            found.append(row)
            print(
                f"{name:26} {row['command']:9} {row['seconds']:6.1f} s "
                f"{(row['peak_bytes'] or 0) / 1e6:6.0f} MB  {row['error']}"
            )
    if args.out:
        args.out.write_text(json.dumps({"rows": args.rows, "measured": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
