"""A page in headless Chromium with the network off, watched for errors and requests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic")


def chromium() -> str | None:
    """Where the system's Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Opened:
    """A page, and everything that it should not do."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, started by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(OPTIONS))
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
