"""The documentation: it builds without a warning and without a request, and its code runs."""

import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.conftest import by_day
from tests.report import browser as chromium

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
METERS = ROOT / "src/lightfer/measure/energy/counter.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; `--strict` makes every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path):
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists()


def test_nothing_is_requested_from_elsewhere(site: Path):
    """Links to read on are fine; what a browser loads by itself comes from the site."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(
            r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=[\"']?(?:https?:)?//", text
        )
        loaded += re.findall(r"<link\b[^>]*?\bhref=[\"']?(?:https?:)?//[^>]*", text)
        assert loaded == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text())


def test_generated_figures_are_those_of_the_results(site: Path):
    """Each model's accuracy, computed here from the file, stands in the table of the first page."""
    from lightfer.results import read_results

    text = (site / "index.html").read_text(encoding="utf-8")
    entries = read_results(ROOT / "results.json").entries
    assert len(entries) >= 6
    for entry in entries:
        assert entry.accuracy
        shown = f"{100 * entry.accuracy.top1:.2f} "
        assert shown + ("[" if entry.precision == "float32" else "%") in text
    assert "generated:" not in text


def test_every_shipped_weight_file_has_its_card(site: Path):
    from lightfer.models.registry import list_models, shipped
    from lightfer.models.weights import load_checkpoint

    for name in list_models(pretrained=True):
        path = shipped(name)
        assert path
        _, card = load_checkpoint(path)
        text = (site / f"weights/{name}.html").read_text(encoding="utf-8")
        final = card.config.get("keep") == "final"
        kept = (
            f"last of {card.epochs}" if final else f"epoch {card.epoch} of {card.epochs}, the best"
        )
        assert kept in text
        assert card.data_sha256["train"] in text
        assert card.not_intended_use[:40] in text
        assert (site / f"weights/{path.name}").read_bytes() == path.read_bytes()
        assert f'href="weights/{path.name}"' in (site / "zoo.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["/work/", "/home/", "/tmp/", "/root/"])
def test_no_path_of_a_machine_is_in_the_site(site: Path, name: str):
    for page in [*site.rglob("*.html"), *site.rglob("*.json")]:
        assert name not in page.read_text(encoding="utf-8"), page.name


class _Links(HTMLParser):
    """Where the links of a page lead, and what they can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            if name in ("href", "src") and value:
                self.links.append(value)


def test_every_link_of_the_site_leads_somewhere(site: Path):
    """Those within it: the page and the anchor are there."""
    pages = {p: _Links(p.read_text(encoding="utf-8")) for p in site.rglob("*.html")}
    broken, found = [], 0
    for page, parsed in pages.items():
        if page.name == "404.html":  # its links are of the root of a host
            continue
        for link in parsed.links:
            address, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:", address) or (not address and not anchor):
                continue
            found += 1
            target = (page.parent / address).resolve() if address else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                anchor and anchor != "__top" and anchor not in pages[target].anchors
            ):
                broken.append(f"{page.name}: {link}")
    assert found > 1000
    assert broken == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_every_link_of_a_file_of_the_repository_leads_somewhere(name: str):
    from markdown.extensions.toc import slugify

    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        address, _, anchor = link.partition("#")
        if re.match(r"https?:", address):
            continue
        target = page.parent / address if address else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in {slugify(h, "-") for h in headings}, link


def test_only_studies_are_filed_under_studies(site: Path):
    """What is measured once and written by a script of `benchmarks`; other pages have a place."""
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {p.name for p in DOCS.glob("*.md") if p.name not in listed} == {"recipe.md"}


def test_no_table_has_an_empty_heading(site: Path):
    for page in site.rglob("*.html"):
        heads = re.findall(r"<thead>(.*?)</thead>", page.read_text(encoding="utf-8"), re.S)
        assert not any(re.fullmatch(r"(\s|<[^>]*>)*", head) for head in heads), page.name


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The site on a host of this machine."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """Chromium, once for the tests of this file."""
    with chromium.browser() as started:
        yield started


@pytest.mark.parametrize("where", ["disk", "host"])
def test_the_search_finds_a_page(running: Any, site: Path, served: str, where: str):
    context, errors = running.new_context(), []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(f"{served if where == 'host' else site.as_uri()}/index.html")
        page.get_by_placeholder("Search").click()
        page.keyboard.type("crop contract")
        results = page.locator(".md-search-result__item a")
        results.first.wait_for(timeout=60_000)
        found = [link.get_attribute("href") or "" for link in results.all()]
        assert any("/predict.html" in link for link in found)
        assert errors == []
    finally:
        context.close()


MOST_READ = [(name, "light") for name in ("index", "choosing", "accuracy", "predict", "extending")]
IN_DARK = [(name, "dark") for name, _ in MOST_READ]


@pytest.mark.parametrize(("name", "scheme"), [*MOST_READ, *by_day(IN_DARK[:2], IN_DARK)])
def test_the_most_read_pages_can_be_read_at_every_width(
    running: Any, served: str, name: str, scheme: str
):
    context, errors = running.new_context(color_scheme=scheme), []
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(f"{served}/{name}.html")
        page.add_style_tag(content="* { transition: none !important }")  # no colour on its way
        for width in chromium.at_every_width(page, scheme):
            assert page.evaluate("document.documentElement.scrollWidth") == width
        assert errors == []
    finally:
        context.close()


HANDWRITTEN = [
    *(p for p in PAGES if p.name in re.findall(r"[\w]+\.md", (ROOT / "mkdocs.yml").read_text())),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "community")),
]


MEASURED = re.compile(
    r"\d[\d.,]* ?(?:%|(?:ms|mJ|kJ|points|seconds|minutes|hours|[MG]i?B)\b|times (?:as|faster))"
    r"|\b\w+ (?:and a half )?(?:hours|minutes|points) of\b"
    r"|(?<![\w./^-])0\.\d{2,}(?![\d.]*/)"
)
CONSTANTS = {
    "README.md": ["0.508", "0.255"],  # of the input
    "accuracy.md": ["84.7 %"],  # of FER+'s paper
    "export.md": ["0.0001", "0.508", "0.255", "48 %"],  # largest difference; input; head of a PGM
    "index.md": ["0.508", "0.255"],
    "measuring.md": [
        "100 ms",
        "95 %",
        "3 %",
        "10%",
    ],  # of a counter; of an interval; what it may be wide
    "predict.md": ["3 %", "256 MiB", "1 GiB"],  # the smallest face; the largest file, row group
    "protocol.md": [
        "95 %",
        "0.0625",
        "2 %",
        "10 %",
        "25 %",
        "50 %",
        "3 %",
        "5 %",
    ],  # its rules, and their power
}
"""What the code sets, which a page may state."""


@pytest.mark.parametrize("page", HANDWRITTEN, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_measured_number_is_typed_by_hand(page: Path):
    text = re.sub(r"<!-- results:begin -->.*<!-- results:end -->", "", page.read_text(), flags=re.S)
    found = [number.strip() for number in MEASURED.findall(text)]
    name = page.relative_to(ROOT).as_posix().removeprefix("docs/")
    assert set(found) <= set(CONSTANTS.get(name, ()))


@pytest.mark.parametrize("name", ["predict.md", "data.md"])
def test_the_crop_of_a_page_is_that_of_the_code(name: str):
    from lightfer.data.crop import SCALE

    text = (DOCS / name).read_text(encoding="utf-8")
    assert re.findall(r"square[^.;]*? 1/(0\.\d+) times", text) == [f"{1 / SCALE:g}"]


def python_blocks(page: str) -> list[tuple[str, str]]:
    """The heading above each block of Python, and its code."""
    parts = re.split(r"^## (.+)$", (DOCS / page).read_text(encoding="utf-8"), flags=re.M)
    sections = zip(["", *parts[1::2]], parts[0::2], strict=True)
    return [
        (h, code) for h, text in sections for code in re.findall(r"```python\n(.*?)```", text, re.S)
    ]


def run_blocks(blocks: list[str], page: str) -> dict[str, object]:
    """Run them one after the other in one namespace, as a reader would."""
    namespace: dict[str, object] = {"__name__": "documentation"}
    for code in blocks:
        exec(compile(code, page, "exec"), namespace)
    return namespace


def write_files(page: str, folder: Path) -> None:
    """Write the blocks that have the name of a file; one that has it again goes on in that file."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, code in re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)```', text, re.S | re.M):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(code)


def install(folder: Path) -> None:
    """What pip writes of the entry points of `folder`/pyproject.toml, beside it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    installed = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    (installed / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in groups
        )
    )


@pytest.fixture
def _forgotten():
    """The modules of the page are afterwards not imported."""
    yield
    for name in ("own_data", "own_nets", "own_runtimes"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_forgotten", "brief")
def test_the_model_data_set_and_runtime_of_the_page_are_measured(tmp_path, monkeypatch):
    from lightfer.results import read_results

    monkeypatch.chdir(tmp_path)
    page = "extending.md"
    write_files(page, tmp_path)
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run_blocks([code for heading, code in python_blocks(page) if heading != "A meter"], page)
    entries = read_results(tmp_path / "results.json").entries
    assert [e.runtime for e in entries] == ["pytorch", "exported"]
    assert {(e.model, e.family) for e in entries} == {("tiny_net", "tiny_net")}
    for entry in entries:
        assert entry.error is None
        # Closed form: kernels, two numbers per channel of a batch norm, the classifier.
        convolutions = 9 * 16 + 9 * (16 + 32 + 64) + 16 * 32 + 32 * 64 + 64 * 128
        norms = 2 * (16 + 16 + 32 + 32 + 64 + 64 + 128)
        assert entry.params == convolutions + norms + 128 * 7 + 7
        assert len(entry.latency) == 2
    assert (entries[1].logit_difference or 0) < 1e-4


@pytest.mark.skipif(not METERS.exists(), reason=f"there is no {METERS.name} of meters")
def test_the_meter_of_the_page_reads_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "extending.md"
    blocks = [code for heading, code in python_blocks(page) if heading == "A meter"]
    assert len(blocks) == 2
    run_blocks(blocks, page)


def test_the_citation_file_is_complete():
    """The required keys of the Citation File Format 1.2.0, and what the package says of itself."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"]
    assert citation["type"] == "software"
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"].split(" AND ")[0]  # that of the code
    assert citation["repository-code"] == project["urls"]["Repository"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{citation['version']}] - {citation['date-released']}" in changelog
    assert all({"name"} <= set(a) or {"family-names"} <= set(a) for a in citation["authors"])
    assert [a["name"] for a in citation["authors"]] == [a["name"] for a in project["authors"]]


def test_a_recording_shows_what_a_command_prints_and_fetches_nothing(tmp_path: Path):
    path = tmp_path / "version.svg"
    command = [sys.executable, ROOT / "docs" / "recording.py", path, sys.executable, "-c"]
    subprocess.run([*command, "print('measured')"], check=True)
    text = path.read_text(encoding="utf-8")
    assert "measured" in text
    assert "@font-face" not in text
    assert "cdnjs" not in text
