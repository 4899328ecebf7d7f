"""A browser, and the site on two hosts."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightfer.measure.yardstick import sha256
from lightfer.report.page.build import page
from lightfer.report.site.build import build_site
from lightfer.report.site.serve import site_server
from lightfer.results import Results, published_counts
from tests.report import browser


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Chromium, once for the tests of a file."""
    with browser.browser() as started:
        yield started


@pytest.fixture
def show(running: Any, tmp_path: Path) -> Iterator[Any]:
    """Open results as a page; at the end there was no error and no request."""
    contexts = []

    def open_page(results: Results, **options: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(page(results), encoding="utf-8")
        context = browser.opened(running, path, **options)
        contexts.append((context, found := context.__enter__()))
        return found.page

    yield open_page
    for context, found in contexts:
        context.__exit__(None, None, None)
        assert found.errors == []
        assert found.requests == []


FEW = ("mobilenet_v3_small", "shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1_bn")
"""Nets of three families, quick to measure."""


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the site: on a host that isolates, and on a plain one, in a folder of it."""
    above = tmp_path_factory.mktemp("host")
    build_site(above / "people" / "site", sha256())
    yield from serving(above)


@pytest.fixture(scope="session")
def few_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same of a site that has the nets `FEW`: measuring them all takes long."""
    counts = {name: counted for name, counted in published_counts().items() if name in FEW}
    above = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightfer.report.site.build.published_counts", lambda: counts)
        build_site(above / "people" / "site", sha256())
    yield from serving(above)


def serving(above: Path) -> Iterator[dict[str, str]]:
    isolating, plain = site_server(above / "people" / "site"), site_server(above, isolated=False)
    for server in (isolating, plain):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "isolating": f"http://127.0.0.1:{isolating.server_address[1]}/",
        "plain": f"http://127.0.0.1:{plain.server_address[1]}/people/site/",
    }
    for server in (isolating, plain):
        server.shutdown()
        server.server_close()
