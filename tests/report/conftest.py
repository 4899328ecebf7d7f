"""A browser, and the site on two hosts."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lightfer.measure.yardstick import sha256
from lightfer.report.site.build import build_site
from lightfer.report.site.serve import site_server
from tests.report import browser


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Chromium, once for the tests of a file."""
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the site: on a host that isolates, and on a plain one, in a folder of it."""
    above = tmp_path_factory.mktemp("host")
    build_site(above / "people" / "site", sha256())
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
