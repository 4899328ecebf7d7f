"""The site on WebGPU, in a Chromium with an adapter in software.

In a file of its own: Playwright drives one browser at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightfer.report.page.data import page_data
from tests.conftest import by_day
from tests.report import browser as chromium
from tests.report.browser import visiting
from tests.report.test_site_browser import (
    LOGITS,
    NETS,
    assert_native,
    fewer_passes,
    finished,
    measure,
    measure_only,
)

# By day those that have all operations between them.
FEW_NETS = ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0", "shiftnet_b"]
COMPARED = by_day(FEW_NETS, NETS)


@pytest.fixture(scope="module")
def graphics() -> Iterator[Any]:
    """Chromium with WebGPU on an adapter in software."""
    options = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    with chromium.browser(*options, without=("--disable-gpu",)) as started:
        yield started


def offers_graphics(shown: Any) -> None:
    if not shown.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("this Chromium has no adapter for WebGPU, not even in software")


def test_logits_on_webgpu_are_those_of_native_onnx_runtime(graphics: Any, hosts: dict[str, str]):
    with visiting(graphics, hosts["isolating"], service_workers="block") as shown:
        offers_graphics(shown)
        faces, found = shown.evaluate(LOGITS, [COMPARED, 1, "webgpu"])
    assert_native(COMPARED, faces, found)


def test_a_visitor_measures_the_graphics_processor(
    graphics: Any, hosts: dict[str, str], tmp_path: Path
):
    """The whole way with one net and few passes, which an adapter in software takes long for."""
    net = "squeezenet1_1_bn"

    with visiting(graphics, hosts["isolating"], service_workers="block") as shown:
        fewer_passes(shown)
        measure_only(shown, net)
        offers_graphics(shown)
        shown.get_by_label("Name of this device").fill("A phone")
        shown.get_by_label("Runs on").select_option("webgpu")
        assert not shown.get_by_label("Threads").is_visible()
        measure(shown)
        results = finished(shown, tmp_path)
    (environment,) = results.environments.values()
    (entry,) = results.entries
    assert (entry.model, entry.device, entry.runtime) == (net, "webgpu", "onnxruntime-webgpu")
    assert entry.id.endswith("/onnxruntime-webgpu-float32")
    assert entry.runtime_settings is not None
    assert entry.runtime_settings["backend"] == "webgpu"
    assert (entry.latency[0].rounds, environment.threads) == (2, 1)
    assert str(environment.gpu).startswith("A phone, ")
    assert len(page_data(results)["rows"]) == 1
