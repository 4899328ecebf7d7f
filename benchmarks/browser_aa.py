"""Does the page find what differs, and only that? A/A and A/B in a browser, with known answers.

    python -m benchmarks.browser_aa --out out/browser_aa              # about 45 minutes; goes on
    python -m benchmarks.browser_aa --out out/browser_aa --tries 1    # a try

Every run is one visit to the site of `lightfer web` in headless Chromium, at the page's own five
rounds, and its download is kept; a run that is there is not made again, unless other code made the
site, which is refused. A try is two visits to the same site and a third in which one net is 30 %
slower: each of its passes is followed by a busy wait. The order is drawn by lot. The second and the
third visit are compared with the first as `lightfer compare` does. A try is false if any net of two
equal visits is called faster or slower; the slowed net is found if it is called slower.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightfer._files import write_text
from lightfer.measure.environment import code_version
from lightfer.measure.yardstick import sha256
from lightfer.report.compare import REFUSED, compare_results
from lightfer.report.site.build import build_site
from lightfer.report.site.serve import site_server
from lightfer.results import Results, read_results

SLOWED, SHARE = "mobilenet_v2", 0.3
VISITS = ("first", "again", "slower")
ROUNDS = "5"
LONG_MS = 1_800_000
PASS = "const pass = rotating(net);"  # in worker.js
SLOWER_PASS = f"""const plain = rotating(net);
      const pass = name !== "{SLOWED}" ? plain : async () => {{
        const start = performance.now();
        await plain();
        const end = performance.now(), until = end + {SHARE} * (end - start);
        while (performance.now() < until);
      }};"""


@contextmanager
def site() -> Iterator[str]:
    """The address of the site, as `lightfer web --serve` serves it."""
    with tempfile.TemporaryDirectory() as folder:
        build_site(Path(folder), sha256())
        with site_server(Path(folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}/"
            server.shutdown()


class SlowWorker:
    """worker.js as it would be if one net were slower, and how often it was asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, route: Any) -> None:
        answer = route.fetch()
        text = answer.text()
        if PASS not in text:
            raise SystemExit(f"worker.js has no {PASS!r} any more")
        self.times += 1
        route.fulfill(response=answer, body=text.replace(PASS, SLOWER_PASS))  # headers stay


def visit(shown: Any, path: Path, rounds: str = ROUNDS) -> None:
    """Press the button, and keep what the page measured."""
    again = shown.get_by_role("button", name="Begin anew")
    shown.get_by_label("Rounds").select_option(rounds)
    start = again if again.is_visible() else shown.get_by_role("button", name="Measure this device")
    start.click()
    shown.get_by_text("Finished.").wait_for(timeout=LONG_MS)
    with shown.expect_download() as download:
        shown.get_by_role("button", name="Download results").click()
    download.value.save_as(path)


def visits(folder: Path, tries: int, say: Any) -> list[dict[str, Results]]:
    """Of each try its three visits, measured here unless they are there."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no chromium on the PATH: apt-get install chromium")
    about = folder / "code.json"
    if about.exists() and json.loads(about.read_text()) != code_version():
        raise SystemExit(f"{folder} is of other code: give another --out")
    write_text(about, json.dumps(code_version()))
    found = []
    with site() as address, sync_playwright() as playwright:
        profile = folder / "profile"  # one visitor: the page tells devices apart by what it keeps
        options = {"executable_path": chromium, "args": ["--no-sandbox", "--disable-gpu"]}
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            **options,
            service_workers="block",  # it would answer in place of `route`
        )
        for number in range(tries):
            for name in random.Random(number).sample(VISITS, len(VISITS)):
                path = folder / f"{name}-{number}.json"
                if path.exists():
                    continue
                page = context.new_page()
                slow = SlowWorker()
                if name == "slower":
                    page.route("**/worker.js", slow)
                page.goto(address)
                page.wait_for_selector("[data-ready]")
                visit(page, path)
                if name == "slower" and not slow.times:
                    path.unlink()
                    raise SystemExit("the page's worker came from elsewhere: nothing was slowed")
                page.close()
            found.append({name: read_results(folder / f"{name}-{number}.json") for name in VISITS})
            say(f"{number + 1} of {tries}: {judge(found[-1])}")
        context.close()
    return found


def judge(of: dict[str, Results]) -> dict[str, Any]:
    """What `lightfer compare` says of a try."""
    said = {}
    for name in VISITS[1:]:
        changes = compare_results(of["first"], of[name]).changes
        said[name] = {c.model: c.verdict for c in changes if c.kind == "time"}
    return {
        "different": [m for m, v in said["again"].items() if v in ("faster", "slower")],
        "found": next((v == "slower" for m, v in said["slower"].items() if SLOWED in m), False),
        "others": [
            m for m, v in said["slower"].items() if SLOWED not in m and v in ("faster", "slower")
        ],
        "refused": sum(v == REFUSED for verdicts in said.values() for v in verdicts.values()),
        "noise": [e.noise.verdict for r in of.values() for e in r.environments.values() if e.noise],
    }


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures, beside their bars."""
    return {
        "tries": len(rows),
        "false": sum(bool(row["different"]) for row in rows),
        "found": sum(row["found"] for row in rows),
        "others_called_different_beside_the_slowed": sum(bool(row["others"]) for row in rows),
        "refused_times": sum(row["refused"] for row in rows),
        "quiet_visits": sum(row["noise"].count("quiet") for row in rows),
        "bars": {"false": "at most 1 of 10", "found": "9 of 10"},
        "rows": list(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/browser_aa"))
    parser.add_argument("--tries", type=int, default=10)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = visits(
        options.out, options.tries, lambda text: print(text, file=sys.stderr, flush=True)
    )
    text = json.dumps(report([judge(each) for each in found]), indent=1)
    write_text(options.out / "browser_aa.json", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
