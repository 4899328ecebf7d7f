"""The page of 200 models on 20 machines: how long it takes to open and to filter.

    python benchmarks/report_scale.py [--models 200] [--machines 20]

Aims: it opens in under 2 s, and each filter is drawn in under 100 ms. Headless Chromium, network
off; the time to open is from the navigation to the end of the scripts, the time of a filter from
the keystroke to the frame after it. The results are drawn by lot.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightfer.report.page.build import page  # noqa: I001
from tests.report.browser import browser, opened
from tests.report.made_up import made_up

FILTER = """async ([id, value, event]) => {
  const box = document.getElementById(id), start = performance.now();
  box.value = value;
  box.dispatchEvent(new Event(event));
  document.body.getBoundingClientRect();
  const script = performance.now() - start;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return [script, performance.now() - start];
}"""
STEPS = [
    ("all machines", ("machine", "", "change")),
    ("a name, all machines", ("find", "net_1", "input")),
    ("a longer name, all machines", ("find", "net_12", "input")),
    ("no name, all machines", ("find", "", "input")),
    ("size on the axis", ("cost", "params", "change")),
    ("one machine", ("machine", "3", "change")),
    ("a name, one machine", ("find", "family_3", "input")),
    ("no name, one machine", ("find", "", "input")),
    ("a limit of time", ("limit-time", "5", "input")),
]


def main() -> None:
    """Build the page, open it five times, filter it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--machines", type=int, default=20)
    args = parser.parse_args()
    results = made_up(args.models, args.machines)
    start = perf_counter()
    html = page(results)
    print(f"{len(results.entries)} rows: {len(html.encode()) / 1e6:.2f} MB in "
          f"{perf_counter() - start:.1f} s")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        path = Path(folder) / "report.html"
        path.write_text(html, encoding="utf-8")
        times = []
        for _ in range(5):
            start = perf_counter()
            with opened(chromium, path) as found:
                times.append(perf_counter() - start)
        print(f"opens in {median(times):.2f} s (median of 5; {min(times):.2f} to {max(times):.2f})")
        with opened(chromium, path) as found:
            for name, step in STEPS:
                script, frame = found.page.evaluate(FILTER, list(step))
                print(f"{name:28} {script:6.0f} ms of script and layout, {frame:6.0f} ms to frame")
            assert not found.errors, found.errors


if __name__ == "__main__":
    main()
