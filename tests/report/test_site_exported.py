"""An exported file, as of int8, in the site: beside the shipped nets, measured in Chromium."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lightfer._files import sha256_of, shipped
from lightfer.cli.main import app
from lightfer.cli.web import _opened
from lightfer.data import Dataset
from lightfer.errors import ArgumentError
from lightfer.inference.export import ExportConfig, export
from lightfer.inference.session import open_session
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models
from lightfer.report.site.build import exported_entry, shipped_results
from lightfer.report.site.serve import site_server
from lightfer.results import read_results
from tests.report.browser import visiting
from tests.report.test_site_browser import finished, measure, measure_only

pytest.importorskip("onnxruntime")
NET = "squeezenet1_1_bn"
INT8 = f"{NET} int8"


@pytest.fixture(scope="module")
def small(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file of a shipped net, calibrated on drawn faces, which it therefore reads badly."""
    folder = tmp_path_factory.mktemp("int8")
    config = ExportConfig("onnx", folder / "small.onnx", "int8", None, False, 100.0)
    export(find_weights(NET), config, faces, test_log=folder / "scorings.jsonl")
    return config.out


@pytest.fixture(scope="module")
def site(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = CliRunner().invoke(app, ["web", str(small), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_it_stands_beside_the_shipped_nets(site: Path, small: Path):
    nets = json.loads((site / "site.json").read_text())["nets"]
    assert [net["name"] for net in nets] == [*list_models(pretrained=True), INT8]
    assert (site / nets[-1]["file"]).read_bytes() == small.read_bytes()
    assert nets[-1]["bytes"] == small.stat().st_size
    assert f">{len(nets)} small networks" in (site / "index.html").read_text()
    entry = read_results(site / "shipped.json").entries[-1]
    assert (entry.model, entry.precision, entry.accuracy) == (NET, "int8", None)


def test_its_accuracy_is_quoted_where_it_is_of_the_same_images(small: Path):
    results, (_, card) = shipped_results([NET]), _opened(small)
    card = replace(card, accuracy={"test": 0.5})
    (float32,) = results.entries
    path = shipped(NET)
    assert path is not None
    assert card.weights_sha256 == float32.weights == sha256_of(path)
    assert exported_entry(small, card, results).accuracy is None  # drawn faces
    quoted = exported_entry(small, replace(card, accuracy_on="FER2013"), results).accuracy
    assert quoted is not None
    same = exported_entry(small, card, results)
    assert (same.recipe, same.seed) == (float32.recipe, float32.seed)
    assert (quoted.top1, quoted.images, quoted.source) == (0.5, 3589, "reference")
    assert quoted.ci95 == pytest.approx((0.484, 0.516), abs=1e-3)
    other = replace(card, accuracy_on="FER2013", weights_sha256="0" * 64)
    mine = exported_entry(small, other, results)
    assert (mine.accuracy, mine.recipe, mine.seed) == (None, None, None)  # of another training


def test_what_cannot_stand_there_is_refused(small: Path, faces: Dataset, tmp_path: Path):
    results, (_, card) = shipped_results([NET]), _opened(small)
    with pytest.raises(ArgumentError, match=f"is of own_net; expected one of {NET}"):
        exported_entry(small, replace(card, model="own_net"), results)
    with pytest.raises(ArgumentError, match=f"{NET} in float32 is there already"):
        exported_entry(small, replace(card, precision="float32"), results)
    larger = replace(card.input, height=64, width=64)
    for other in ({"input": larger}, {"classes": (*card.classes, "contempt")}):
        with pytest.raises(ArgumentError, match="as the shipped nets"):
            exported_entry(small, replace(card, **other), results)
    config = ExportConfig("onnx", tmp_path / "rgb.onnx", "float32", None, True, 1.0)
    export(find_weights(NET), config, None, test_log=tmp_path / "scorings.jsonl")
    for paths, why in (
        ([small, small], "is there already"),
        ([config.out], "export it without --preprocess"),
        ([tmp_path / "net.xml"], "expected an .onnx file"),
        ([tmp_path / "none.onnx"], "no such file"),
    ):
        out = tmp_path / "site"
        done = CliRunner().invoke(app, ["web", *map(str, paths), "--out", str(out)])
        assert done.exit_code != 0
        assert why in str(done.exception)
        assert not list(tmp_path.glob("site/*"))


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    server = site_server(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


LOGITS = """async () => {
  const { netBytes } = await import("./nets.js");
  const { noise, openNet, startRuntime } = await import("./runtime.js");
  const { nets } = await (await fetch("site.json")).json();
  await startRuntime();
  const faces = noise(2), net = await openNet(await netBytes(nets.at(-1)));
  return [[...faces], [...await net(faces)]];
}"""


def test_a_visitor_measures_it(running: Any, address: str, site: Path, small: Path, tmp_path: Path):
    with visiting(running, address, service_workers="block") as shown:
        faces, logits = shown.evaluate(LOGITS)
        x = np.array(faces, np.float32).reshape(2, 1, 48, 48)
        expected = open_session(small, "onnxruntime").run(x)
        assert np.abs(expected - np.reshape(logits, (2, 7))).max() <= 1e-4
        unknown = shown.locator(f"#nets tr[data-net='{INT8}'] td").first.inner_text()
        assert unknown == "–"  # noqa: RUF001 (it was 0.0)
        measure_only(shown, INT8)
        measure(shown)
        (entry,) = finished(shown, tmp_path).entries
        assert (entry.model, entry.precision, entry.error) == (NET, "int8", None)
        assert entry.latency[0].rounds == 2
        assert (
            shown.locator(f"#nets tr[data-net='{INT8}']").inner_text().split("\t")[-1] == "2 of 2"
        )
        shown.get_by_text("Which model should I take?").click()
        shown.wait_for_selector("[data-ready]", timeout=20_000)
        row = shown.evaluate("JSON.parse(document.getElementById('data').textContent)")
    at = row["columns"].index
    timed = [r for r in row["rows"] if r[at("times")]]
    assert [(r[at("model")], r[at("precision")]) for r in timed] == [(NET, "int8")]
