"""The site in headless Chromium: what a visitor measures, on plain and isolating hosts, offline.

The oracle of the logits is ONNX Runtime on the file that Python assembles; that of the intervals
and of the verdict on noise is what this package computes from the file that was downloaded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightfer._files import shipped
from lightfer.bench.case import PROTOCOL
from lightfer.inference.onnx_from_weights import assembled
from lightfer.inference.session import open_session
from lightfer.measure.noise import snapshot, verdict
from lightfer.measure.yardstick import sha256
from lightfer.models.registry import list_models
from lightfer.report.page.build import page
from lightfer.report.page.data import page_data
from lightfer.report.rank import standings
from lightfer.report.site.serve import _Handler
from lightfer.results import Results, read_results
from lightfer.results.select import Times
from lightfer.results.validate import violations_of_file
from tests.report import browser as chromium
from tests.report.browser import visiting
from tests.report.conftest import FEW

ROOT = Path(__file__).parents[2]
NETS = list_models(pretrained=True)
VISITS = "JSON.parse(localStorage.getItem('lightfer-journal')).visits"
LONG_MS = 400_000  # on a machine with other work


def until(shown: Any, condition: str) -> None:
    chromium.until(shown, condition, LONG_MS / 1e3)


def measure(shown: Any, rounds: str = "2") -> None:
    shown.get_by_label("Rounds").select_option(rounds)
    shown.get_by_role("button", name="Measure this device").click()


def measure_only(shown: Any, net: str) -> None:
    """Loads the page anew as if the site had this one net."""

    def of_one_net(route: Any) -> None:
        answer = route.fetch().json()
        for part, key in (("nets", "name"), ("entries", "id")):
            if part in answer:
                answer[part] = [one for one in answer[part] if one[key] == net]
        route.fulfill(json=answer)

    for name in ("site.json", "shipped.json"):
        shown.context.route(f"**/{name}", of_one_net)
    shown.reload()
    shown.wait_for_selector("[data-ready]", timeout=20_000)


def fewer_passes(shown: Any) -> None:
    """Makes visits short, once the page is loaded anew: their times are of no use."""
    fewer = {"PASSES = 50": "PASSES = 4", "WARMUP = 10": "WARMUP = 2", "GROUPS = 20": "GROUPS = 3"}
    fewer |= {"FEWEST = 4": "FEWEST = 2", "COOLED = 3": "COOLED = 0"}

    def short(route: Any) -> None:
        text = route.fetch().text()
        for usual, here in fewer.items():
            assert usual in text
            text = text.replace(usual, here)
        route.fulfill(body=text, content_type="text/javascript")

    shown.context.route("**/protocol.js", short)


def finished(shown: Any, tmp_path: Path) -> Results:
    """The downloaded file, once the benchmark has ended."""
    shown.get_by_text("Finished.").wait_for(timeout=LONG_MS)
    with shown.expect_download() as download:
        shown.get_by_role("button", name="Download results").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert violations_of_file(path) == []
    return read_results(path)


LOGITS = """async ([names, threads, backend]) => {
  const { netBytes } = await import("./nets.js");
  const { noise, openNet, startRuntime } = await import("./runtime.js");
  await startRuntime(threads, backend);
  const faces = noise(backend === "wasm" ? 2 : 1), found = {};
  for (const name of names) {
    const net = await openNet(await netBytes({ name }));
    found[name] = [...await net(faces)];
  }
  return [[...faces], found];
}"""


def assert_native(names: Sequence[str], faces: list[float], found: dict[str, list[float]]) -> None:
    """The logits of these nets are ONNX Runtime's on the files that Python assembles."""
    x = np.array(faces, np.float32).reshape(-1, 1, 48, 48)
    assert sorted(found) == sorted(names)
    for name in names:
        path = shipped(name)
        assert path is not None
        model = assembled(path)
        assert model is not None
        expected = open_session(model, "onnxruntime").run(x)
        assert np.abs(expected - np.reshape(found[name], (-1, 7))).max() <= 1e-4, name


@pytest.mark.parametrize(
    ("packed", "threads"), [("as files", 1), ("as files", 2), ("decoded by the server", 1)]
)
def test_logits_are_those_of_native_onnx_runtime(
    running: Any, hosts: dict[str, str], packed: str, threads: int, monkeypatch: pytest.MonkeyPatch
):
    if packed != "as files":  # as some hosts serve .gz: the browser unpacks it itself

        def headers(self: Any) -> None:
            if self.path.endswith(".gz"):
                self.send_header("Content-Encoding", "gzip")
            plain(self)

        plain = _Handler.end_headers
        monkeypatch.setattr(_Handler, "end_headers", headers)
    with visiting(running, hosts["isolating"], service_workers="block") as shown:
        faces, found = shown.evaluate(LOGITS, [NETS, threads, "wasm"])
        assert bool(shown.workers) == (threads > 1)  # the other threads
    assert_native(NETS, faces, found)


def test_what_a_visitor_measures_stands_beside_native_files(
    running: Any, few_hosts: dict[str, str], tmp_path: Path
):
    with visiting(running, few_hosts["isolating"]) as shown:
        assert shown.evaluate("crossOriginIsolated")
        shown.get_by_label("Name of this device").fill("A phone, one of mine")
        shown.get_by_label("Threads").select_option("2")
        measure(shown)
        results = finished(shown, tmp_path)
        kept = shown.evaluate("JSON.parse(localStorage.getItem('lightfer-shown')).nets")
        shown.get_by_text("Which model should I take?").click()
        shown.wait_for_selector("[data-ready]", timeout=20_000)
        assert shown.locator("#answer .take").inner_text().removeprefix("Take ") in FEW
        assert shown.locator("#table tbody tr").count() == len(FEW)
        assert "A phone, one of mine" in shown.locator("#machines").inner_text()

    ((key, environment),) = results.environments.items()
    assert key.startswith("a-phone-one-of-mine-2t-")
    assert sha256()[:16] in str(environment.yardstick)
    assert environment.protocol is not None
    assert (environment.protocol.version, environment.protocol.quick) == (PROTOCOL, True)
    assert (environment.cpu, environment.threads) == ("A phone, one of mine", 2)
    assert sorted(e.model for e in results.entries) == sorted(FEW)
    for entry in results.entries:
        (timed,) = entry.latency
        assert (timed.rounds, timed.clock) == (2, "wall")
        assert 100 <= len(timed.samples_s) <= 400
        assert timed.passes is not None
        assert min(timed.passes) >= len(timed.samples_s) // 2
        assert entry.load_s is not None
        assert entry.load_s > 0
        assert entry.runtime_settings is not None
        step_us, passes = (
            entry.runtime_settings[k] for k in ("timer_step_us", "passes_per_sample")
        )
        assert 25 * int(step_us) * 1e-6 <= 1.01 * min(timed.samples_s) * int(passes)
    data = page_data(results)
    for values in data["rows"]:
        row = dict(zip(data["columns"], values, strict=True))
        shown_times = kept[row["model"]]
        assert shown_times["time"] == pytest.approx(row["times"]["1"], rel=1e-5)
        assert shown_times["raw"] == pytest.approx(row["raw"]["1"], rel=1e-5)
    assert len(standings(results.entries, Times(results))) == len(FEW)

    latencies = [e.latency[0] for e in results.entries]
    yardsticks = [t.yardstick_s or () for t in latencies]
    judged = verdict(snapshot(), snapshot(), [t.visits() for t in latencies], yardsticks)
    noise = environment.noise
    assert noise is not None
    assert noise.round_spread == pytest.approx(judged.round_spread, rel=1e-5)
    assert noise.yardstick_spread == pytest.approx(judged.yardstick_spread, rel=1e-5)

    native = read_results(ROOT / "results.json")
    both = native.merged(results)
    assert len(both.entries) == len(native.entries) + len(FEW)
    assert "A phone, one of mine" in page(both)


def test_a_plain_host_in_a_folder_stop_go_on_and_offline(running: Any, few_hosts: dict[str, str]):
    with visiting(running, few_hosts["plain"]) as shown:
        assert not shown.evaluate("crossOriginIsolated")
        assert not shown.get_by_label("Threads").is_visible()
        measure(shown)
        until(shown, "document.getElementById('bar').value >= 2")
        shown.get_by_role("button", name="Stop").click()
        shown.get_by_text("Nothing is lost").wait_for(timeout=LONG_MS)
        before = shown.evaluate(VISITS)
        shown.get_by_role("button", name="Go on").click()
        until(shown, f"{VISITS}.length >= {len(before) + 2}")
        shown.get_by_role("button", name="Stop").click()
        shown.get_by_text("Nothing is lost").wait_for(timeout=LONG_MS)
        journal = shown.evaluate("JSON.parse(localStorage.getItem('lightfer-journal'))")
        assert journal["visits"][: len(before)] == before
        assert not journal["isolated"]
        for visit in journal["visits"]:  # a coarse clock, and yet no sample of 0
            assert min(visit["samples"]) * visit["passes"] > 24 * journal["step"] >= 24 * 50e-6

        shown.context.set_offline(True)
        shown.get_by_role("button", name="Reload for a finer clock").click()
        until(shown, "crossOriginIsolated && document.body.dataset.ready === 'true'")
        shown.get_by_role("button", name="Measure this device").click()
        journal = "JSON.parse(localStorage.getItem('lightfer-journal'))"
        until(shown, f"{journal}.isolated && {journal}.visits.length >= 2")
        journal = shown.evaluate("JSON.parse(localStorage.getItem('lightfer-journal'))")
        assert journal["isolated"]
        assert journal["step"] < 50e-6
        assert shown.evaluate("fetch('results.html').then((answer) => answer.status)") == 200


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_waits_and_its_blocks_are_thrown_away(running: Any, few_hosts: dict[str, str]):
    with visiting(running, few_hosts["isolating"]) as shown:
        measure(shown)
        until(shown, "document.getElementById('bar').value >= 1")
        shown.evaluate(HIDE, True)
        assert "Waiting" in shown.locator("#status").inner_text()
        shown.wait_for_timeout(2_500)
        waiting = len(shown.evaluate(VISITS))
        shown.wait_for_timeout(2_500)
        assert len(shown.evaluate(VISITS)) == waiting
        shown.evaluate(HIDE, False)
        until(shown, f"{VISITS}.length > {waiting}")
        assert shown.evaluate(VISITS)[waiting]["thrownAway"] == 1
        shown.get_by_role("button", name="Stop").click()
        shown.get_by_text("Nothing is lost").wait_for(timeout=LONG_MS)


def test_a_net_that_fails_costs_only_itself(running: Any, few_hosts: dict[str, str]):
    def broken(route: Any) -> None:
        route.fulfill(status=404, body="gone")

    net = "squeezenet1_1_bn"
    with visiting(running, few_hosts["isolating"], service_workers="block", errors=(404,)) as shown:
        shown.context.route(f"**/nets/{net}.safetensors", broken)
        measure(shown)
        until(shown, f"{VISITS}.length >= {len(FEW)}")
        visits = shown.evaluate(VISITS)[: len(FEW)]  # the first round
        row = shown.locator(f"#nets tr[data-net={net}]").inner_text()
    assert [v["net"] for v in visits if "error" in v] == [net]
    assert "the server says 404" in next(v["error"] for v in visits if "error" in v)
    assert "failed" in row


@pytest.mark.parametrize("file", ["index.html", "live.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_can_be_read_at_every_width(
    running: Any, hosts: dict[str, str], scheme: str, file: str
):
    with visiting(running, hosts["isolating"], file=file, color_scheme=scheme) as shown:
        wide = "[document.documentElement, ...document.querySelectorAll('.scroll')]"
        for width in chromium.at_every_width(shown, scheme):
            assert shown.evaluate(f"{wide}.every((e) => e.scrollWidth <= e.clientWidth)"), width


def test_little_is_fetched_before_a_net_is_chosen(running: Any, hosts: dict[str, str]):
    sizes = "performance.getEntriesByType('resource').map((r) => r.transferSize)"
    with visiting(running, hosts["plain"], service_workers="block") as shown:
        assert 10_000 < sum(shown.evaluate(sizes)) < 300_000
        named = "performance.getEntriesByType('resource').map((r) => r.name)"
        assert [name for name in shown.evaluate(named) if "/live" in name] == []
