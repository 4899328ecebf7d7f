"""The site's files: complete, small, and of the nets that the package ships."""

import gzip
import hashlib
import json
import posixpath
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import lightfer
from lightfer._files import shipped
from lightfer.data import CLASSES
from lightfer.inference.export.graph import counts
from lightfer.inference.predict.network import DEFAULT_MODEL
from lightfer.measure.yardstick import sha256
from lightfer.models.registry import list_models
from lightfer.report.site.build import build_site, shipped_results, site_files
from lightfer.results import Counts, published_counts
from tests.report import cascade

PACKAGE = Path(lightfer.__file__).parent
NETS = list_models(pretrained=True)
WASM_SHA256 = {  # of onnxruntime-web 1.30.0's files in dist/, as npm has them
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    "ort-wasm-simd-threaded.asyncify.wasm": (
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
    ),
}


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    return site_files(sha256())


def test_every_file_that_a_page_names_is_there(content: dict[str, bytes]):
    worker = content["offline-worker.js"].decode()
    shell = json.loads(worker.split("SHELL = ")[1].split(";")[0])
    assert {"./", "index.html", "benchmark.js", "page.css", "site.json"} <= set(shell)
    assert set(shell) - {"./"} <= set(content)
    assert "{{" not in worker + content["index.html"].decode() + content["live.html"].decode()
    assert not [name for name in shell if "live" in name]  # which its first visitor fetches
    for name, data in content.items():
        if name.endswith(".js"):
            for line in data.decode().splitlines():
                if line.startswith("import ") or line.startswith("export * from"):
                    module = posixpath.join(posixpath.dirname(name), line.split('"')[1])
                    assert posixpath.normpath(module) in content, f"{name} imports {module}"


def test_the_page_counts_its_nets(content: dict[str, bytes]):
    assert f">{len(NETS)} small networks" in content["index.html"].decode()


def test_the_live_page_begins_with_the_net_of_predict_and_the_smallest(content: dict[str, bytes]):
    site = json.loads(content["site.json"])
    nets = {net["name"]: net for net in site["nets"]}
    assert site["live"]["first"] == DEFAULT_MODEL
    assert nets[site["live"]["second"]]["bytes"] == min(net["bytes"] for net in nets.values())
    assert tuple(site["live"]["classes"]) == CLASSES


def test_the_cascade_is_opencvs_with_its_licence():
    pytest.importorskip("cv2")
    xml = cascade.original()
    text = (cascade.FOLDER / "cascade.json").read_text()
    assert text == cascade.as_text(cascade.converted(xml))
    assert len(text) < 200_000
    licence = (cascade.FOLDER / "LICENSE").read_text()
    assert licence == cascade.licence(xml)
    assert "Redistribution and use in source and binary forms" in licence


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "onnx", "onnxruntime"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocked())
from lightfer.cli.main import app
app(["web", "--out", sys.argv[1]])
"""


def test_it_is_written_whole_without_torch_or_onnx(tmp_path: Path):
    site = str(tmp_path / "site")
    done = subprocess.run([sys.executable, "-c", BLOCKED, site], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ready for any file host" in done.stdout
    for name in NETS:
        assert (tmp_path / f"site/nets/{name}.safetensors").stat().st_size > 1e6
    first = (tmp_path / "site/site.json").read_bytes()
    assert build_site(tmp_path / "site", sha256()) > 2e7
    assert (tmp_path / "site/site.json").read_bytes() == first  # the same package, the same site


def test_the_counts_beside_the_graphs_are_those_of_the_nets():
    assert published_counts() == msgspec.convert(
        {name: counts(name) for name in NETS}, dict[str, Counts]
    )
    assert list(published_counts()) == NETS


def test_accuracies_are_the_cards_and_marked():
    results = shipped_results(NETS)
    assert [e.model for e in results.entries] == NETS
    for entry in results.entries:
        path = shipped(entry.model)
        assert path is not None
        assert entry.weights == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry.accuracy is not None
        assert entry.accuracy.source == "reference"
        assert results.cards[str(entry.weights)].model == entry.model


def test_the_runtime_is_the_pinned_one_with_its_licences():
    folder = PACKAGE / "report" / "site" / "ort"
    for name, sha in WASM_SHA256.items():
        packed = (folder / f"{name}.gz").read_bytes()
        assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == sha, name
    assert "MIT License" in (folder / "LICENSE").read_text()
    for name in ("ort.wasm.min.mjs", "ort.webgpu.min.mjs"):
        text = (folder / name).read_text()
        assert "ONNX Runtime" in text[:200]
        assert '"1.30.0"' in text
    assert sum(path.stat().st_size for path in folder.iterdir()) < 11e6


def test_nothing_to_do_is_said():
    done = subprocess.run([sys.executable, "-m", "lightfer", "web"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--out FOLDER" in done.stderr
