"""A page in headless Chromium with the network off, watched for errors and requests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.conftest import by_day

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic")
WIDTHS = (1400, 768, 390)
LOOKED = {"light": by_day([1400, 390], WIDTHS), "dark": by_day([1400], WIDTHS)}
"""Where axe looks: at the width that shows every part of a page, and at that of a phone, with its
menu."""
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass
class Opened:
    """A page, and everything that it should not do."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def every_core() -> Iterator[None]:
    """What is started in here may use every core, also where this worker has one for itself: a
    browser of one core offers no threads.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@contextmanager
def browser(*options: str, without: tuple[str, ...] = ()) -> Iterator[Any]:
    """Chromium, started by Playwright; the test is skipped where one of them is not there."""
    api = pytest.importorskip("playwright.sync_api", reason="the browser test needs Playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with every_core(), api.sync_playwright() as playwright:
        given = [o for o in OPTIONS if o not in without]
        started = playwright.chromium.launch(executable_path=path, args=[*given, *options])
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(
    browser: Any, path: Path, *, width: int = 1400, scheme: str = "light"
) -> Iterator[Opened]:
    """The file at `path`, once its scripts have run; every request but its own is written down."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda m: found.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    try:
        page.goto(path.as_uri())
        page.wait_for_selector("[data-ready]", timeout=20_000)
        found.requests.remove(path.as_uri())
        yield found
    finally:
        context.close()


@contextmanager
def visiting(
    running: Any,
    address: str,
    errors: tuple[int | str, ...] = (),
    *,
    file: str = "",
    **options: Any,
) -> Iterator[Any]:
    """A page of a new visitor: `file` of the site at `address`. At the end there was no error but
    answers of the statuses `errors`, or network errors of these names, and no request elsewhere.
    """
    context = running.new_context(**options)
    shown, told, requests = context.new_page(), [], []
    shown.on("console", lambda m: told.append(m.text) if m.type == "error" else None)
    shown.on("pageerror", lambda error: told.append(str(error)))
    context.on("request", lambda request: requests.append(request.url))
    try:
        shown.goto(address + file)
        shown.wait_for_selector("[data-ready]", timeout=20_000)
        yield shown
    finally:
        context.close()
    known = [
        f"status of {error}" if isinstance(error, int) else f"net::{error}" for error in errors
    ]
    assert [t for t in told if not any(error in t for error in known)] == []
    foreign = [r for r in requests if not r.startswith((address, "data:", "blob:"))]
    assert foreign == []


def until(shown: Any, condition: str, seconds: float) -> None:
    """Playwright's own `wait_for_function` evaluates text, which the page's policy forbids."""
    end = monotonic() + seconds
    while not shown.evaluate(condition):
        assert monotonic() < end, f"still not: {condition}"
        shown.wait_for_timeout(100)


def column(shown: Any, title: str) -> list[str]:
    """The first line of every cell under a title."""
    titles = [t.split()[0] for t in shown.locator("#table thead th").all_inner_texts()]
    place = titles.index(title) + 1
    cells = shown.locator(f"#table tbody tr > :nth-child({place})").all_inner_texts()
    return [cell.strip().split("\n")[0] for cell in cells]


def take(shown: Any) -> str:
    return shown.locator("#answer .take").inner_text()


CUT = """() => {
  const found = [], drawing = document.createElement("canvas").getContext("2d");
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  for (const select of document.querySelectorAll("select")) {
    if (!shown(select) || !select.selectedOptions.length) continue;
    drawing.font = getComputedStyle(select).font;
    const wide = drawing.measureText(select.selectedOptions[0].text).width;
    if (wide + 20 > select.clientWidth) found.push(`select: ${select.selectedOptions[0].text}`);
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange(), other = "pre, svg, script, style";
  for (let node; (node = walker.nextNode()); ) {
    if (!shown(node.parentElement) || node.parentElement.closest(other)) continue;
    for (const { 0: word, index } of node.data.matchAll(/[A-Za-z0-9]{2,10}/g)) {
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const lines = new Set([...range.getClientRects()].map((r) => Math.round(r.bottom)));
      if (lines.size > 1) found.push(`broken: ${word}`);
    }
  }
  return found;
}"""


def cut_text(shown: Any) -> list[str]:
    """What is seen in part: chosen options wider than their box, short words on two lines."""
    return shown.evaluate(CUT)


def at_every_width(shown: Any, scheme: str) -> Iterator[int]:
    """Each width in turn, once the page is drawn: no text is seen in part, axe finds nothing."""
    for width in WIDTHS:
        shown.set_viewport_size({"width": width, "height": 900})
        shown.evaluate(DRAWN)
        assert cut_text(shown) == [], width
        assert width not in LOOKED[scheme] or barriers(shown) == [], width
        yield width


def barriers(shown: Any) -> list[str]:
    """What axe-core finds against WCAG 2.1, levels A and AA: rule and element."""
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    shown.evaluate(files(package).joinpath("axe.min.js").read_text(encoding="utf-8"))
    return shown.evaluate("""async () => {
      const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
      const { passes, violations } = await axe.run(document, { runOnly });
      if (!passes.some((rule) => rule.id === "color-contrast")) return ["nothing was looked at"];
      return violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`));
    }""")
