"""The site in headless Chromium where something fails: the network, storage, a host, an update.

A site of one net, in two builds.
"""

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lightfer.measure.yardstick import sha256
from lightfer.report.site.build import build_site
from lightfer.report.site.serve import _Handler
from lightfer.results import published_counts
from tests.report.browser import until, visiting
from tests.report.test_site_browser import VISITS, fewer_passes, finished, measure

NET = "squeezenet1_1_bn"
READY = "document.body?.dataset.ready === 'true'"
STATUS = "document.getElementById('status').innerText"
LONG_S = 100  # on a machine with other work


class Host(_Handler):
    """A plain host of a folder that can be put in place of another while pages are open."""

    isolated = False
    folder = Path()
    cached = "no-cache"
    redirecting = False  # from live.html to live
    slow: tuple[str, ...] = ()  # paths that take their time

    def translate_path(self, path: str) -> str:
        self.directory = str(self.folder)
        found = super().translate_path(path)
        return f"{found}.html" if self.redirecting and path == "/live" else found

    def do_GET(self) -> None:  # noqa: N802 (its name in http.server)
        if self.path in self.slow:
            time.sleep(2)
        if not (self.redirecting and self.path == "/live.html"):
            return super().do_GET()
        self.send_response(308)
        self.send_header("Location", "/live")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_header(self, keyword: str, value: str) -> None:
        super().send_header(keyword, self.cached if keyword == "Cache-Control" else value)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two builds of the site, of one net."""
    counts = {NET: published_counts()[NET]}
    folders = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightfer.report.site.build.published_counts", lambda: counts)
        for folder, version in zip(folders, ("1.0.0", "2.0.0"), strict=True):
            for part in ("site", "page"):
                patch.setattr(f"lightfer.report.{part}.build.version", lambda _, own=version: own)
            build_site(folder, sha256())
    for path in folders[0].rglob("*"):
        os.utime(path, (0, 0))  # both are made within a second, of which a host could not tell
    return folders


@pytest.fixture
def host(builds: list[Path]) -> Iterator[tuple[type[Host], str]]:
    """A host of the first build, and its address."""
    own = type("Own", (Host,), {"folder": builds[0]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(own))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield own, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


NOTHING_KEPT = """() => {
  Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
}"""
HOURS_AGO = """() => {
  const journal = JSON.parse(localStorage.getItem("lightfer-journal"));
  journal.started = "2020-01-01T00:00:00+00:00";
  localStorage.setItem("lightfer-journal", JSON.stringify(journal));
}"""


def test_a_run_survives_what_fails_around_it(
    running: Any, host: tuple[type[Host], str], tmp_path: Path
):
    """Each of these lost the run, or left the page hanging."""
    errors = {"service_workers": "block", "errors": (503, "ERR_FAILED")}
    with visiting(running, host[1], **errors) as shown:
        fewer_passes(shown)
        shown.reload()
        shown.wait_for_selector("[data-ready]")

        for fail, why in (  # before it began
            (lambda route: route.fulfill(status=503), "shipped.json: the server says 503"),
            (lambda route: route.abort(), "Failed to fetch"),
        ):
            shown.context.route("**/shipped.json", fail)
            measure(shown)
            shown.get_by_text(f"It did not work: {why}").wait_for(timeout=20_000)
            assert not shown.get_by_role("button", name="Stop").is_visible()
            shown.context.unroute("**/shipped.json")

        shown.evaluate("document.getElementById('start').click()")
        shown.evaluate("document.getElementById('stop').click()")
        until(shown, f"{STATUS} === 'Stopped.'", LONG_S)
        assert shown.evaluate(VISITS) == []

        measure(shown)
        until(shown, f"{VISITS}.length === 1", LONG_S)
        shown.get_by_role("button", name="Stop").click()
        shown.get_by_text("Nothing is lost").wait_for(timeout=1e3 * LONG_S)
        shown.evaluate(HOURS_AGO)
        shown.reload()
        shown.wait_for_selector("[data-ready]")
        began = time.monotonic()
        shown.get_by_role("button", name="Go on").click()
        until(shown, f"{STATUS}.startsWith('Opening')", LONG_S)
        shown.evaluate("localStorage.setItem('lightfer-results', '{\"environments\": {}}')")
        shown.evaluate(NOTHING_KEPT)
        shown.context.route("**/shipped.json", lambda route: route.abort())
        results = finished(shown, tmp_path)
        assert "could not keep the results" in shown.evaluate(STATUS)
        assert not shown.get_by_text("Which model should I take?").is_visible()
    (environment,) = results.environments.values()
    assert environment.noise is not None
    assert 0 < environment.noise.seconds < 60 + time.monotonic() - began
    assert results.entries[0].latency[0].rounds == 2


MEASURED = """async (net) => {
  const { shownOf } = await import("./results.js");
  const latency = [{ samples_s: [0.001, 0.002], rounds: 2, yardstick_s: [0.001, 0.001] }];
  const noise = { verdict: "quiet", reasons: [] };
  const about = { cpu: "A phone", cores: 8, threads: 1, versions: {}, started: "", noise };
  const ran = { device: "webgpu", runtime: "onnxruntime-webgpu" };
  const entry = { model: net, precision: "float32", ...ran, latency, error: null };
  const shown = shownOf({ environments: { phone: about }, entries: [entry] }, [12.7]);
  localStorage.setItem("lightfer-shown", JSON.stringify(shown));
}"""
KEPT = """async () => {
  const { keep, kept, stored } = await import("./kept.js");
  keep("results", "the first run");
  Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
  keep("results", "the last run");
  return [kept("results"), stored("results")];
}"""
NO_STORAGE = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("", "SecurityError"); }
})"""


def test_the_report_of_what_was_measured(running: Any, host: tuple[type[Host], str]):
    """A run on WebGPU stood as one of the processor; without storage the report was empty, and
    with a full one an older run was taken for the last.
    """
    with visiting(running, host[1], service_workers="block") as shown:
        shown.evaluate(MEASURED, NET)
        assert shown.evaluate(KEPT) == ["the last run", "the first run"]
        shown.goto(f"{host[1]}results.html")
        shown.wait_for_selector("[data-ready]")
        data = shown.evaluate("JSON.parse(document.getElementById('data').textContent)")
        (row,) = data["rows"]
        named = dict(zip(data["columns"], row, strict=True))
        assert (named["device"], named["runtime"]) == ("webgpu", "onnxruntime-webgpu")
        shown.add_init_script(NO_STORAGE)
        shown.reload()
        until(shown, f"location.pathname === '/index.html' && {READY}", 20)


CONTROLLED = f"{READY} && !!navigator.serviceWorker.controller"
VERSION = "document.querySelector('.brand').innerText"


def test_an_update_is_never_mixed_with_what_was_before(
    running: Any, host: tuple[type[Host], str], builds: list[Path]
):
    """On a host whose files browsers may keep for a day. The old ones stayed until yet another
    build, and a page that was open measured files of both.
    """
    server, address = host
    server.cached = "max-age=86400"
    with visiting(running, address) as shown:
        until(shown, CONTROLLED, 20)
        shown.evaluate("fetch('live.html').then((answer) => answer.text())")
        server.folder = builds[1]
        server.slow = ("/page.css",)  # so that the update takes longer than the press of a button
        shown.goto(address)
        shown.wait_for_selector("[data-ready]")
        assert shown.evaluate(VERSION) == "lightfer 1.0.0"
        measure(shown)
        shown.get_by_text("It did not work: this site was updated").wait_for(timeout=1e3 * LONG_S)
        shown.reload()
        shown.wait_for_selector("[data-ready]")
        assert shown.evaluate(VERSION) == "lightfer 2.0.0"
        shown.goto(f"{address}live.html")
        shown.wait_for_selector("[data-ready]")
        assert shown.evaluate(VERSION) == "lightfer 2.0.0"


def test_full_storage_and_a_redirecting_host(running: Any, host: tuple[type[Host], str]):
    """What was received is shown, whether or not it can be kept, and wherever it lies."""
    server, address = host
    server.redirecting = True
    with visiting(running, address) as shown:
        until(shown, CONTROLLED, 20)
        storage = shown.context.new_cdp_session(shown)
        full = {"origin": address[:-1], "quotaSize": 1}
        storage.send("Storage.overrideQuotaForOrigin", full)
        fetched = "fetch('ort/ort-wasm-simd-threaded.wasm.gz').then((answer) => answer.status)"
        assert shown.evaluate(fetched) == 200
        shown.goto(f"{address}live.html")
        shown.wait_for_selector("[data-ready]")
        assert shown.url == f"{address}live"
