"""The page as text: nothing of a file becomes markup, nothing is loaded, little is needed."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from lightfer.report.page import data
from lightfer.report.page.build import page
from lightfer.report.page.data import as_script, page_data
from lightfer.report.significance import (
    accuracies_differ,
    accuracies_differ_from,
    times_differ,
)
from lightfer.results import Results, read_results
from lightfer.results.select import Times
from tests.report.hostile import STRINGS, hostile
from tests.report.made_up import made_up
from tests.results.test_schema import ENVIRONMENT, entry

ROOT = Path(__file__).parents[2]


class Tags(HTMLParser):
    """Every tag with its attributes, and the texts of scripts and styles."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.cdata_elem in self.raw:
            self.raw[self.cdata_elem].append(data)


def embedded(html: str) -> dict:
    """The data inside a page, read as JSON."""
    return json.loads(html.split('id="data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def published() -> str:
    return page(read_results(ROOT / "results.json"))


def test_the_page_is_small_and_names_no_address(published: str):
    assert len(published.encode()) < 3_000_000
    tags = Tags(published).found
    assert not [a for _, attributes in tags for a in attributes if a in ("src", "srcset", "action")]
    assert all(href.startswith("#") for _, a in tags if (href := a.get("href")))
    assert re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", published) == []


def test_the_policy_allows_this_style_and_this_script_alone(published: str):
    tags = Tags(published)
    policy = next(a["content"] for t, a in tags.found if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for text in (tags.raw["style"][0], tags.raw["script"][-1]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_hostile_strings_are_neither_tags_nor_ends_of_scripts(tmp_path: Path):
    path = tmp_path / "hostile.json"
    models = hostile(path)
    results = read_results(path)
    html, plain = page(results), page(made_up(8, 2))
    hostile_tags, plain_tags = Tags(html).found, Tags(plain).found
    assert {t for t, _ in hostile_tags} == {t for t, _ in plain_tags}
    names = {a for _, attributes in hostile_tags for a in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert [t for t, _ in hostile_tags].count("script") == 2
    page_of = embedded(html)
    place = page_of["columns"].index("model")
    assert [row[place] for row in page_of["rows"]] == models
    assert "{{ 7 * 7 }}" in html


@pytest.mark.parametrize("text", [*STRINGS, "\ud800 half a character"])
def test_data_comes_back_as_it_was_and_holds_no_markup(text: str):
    script = as_script({"text": text})
    assert not set("<>&\u2028\u2029") & set(script)
    assert json.loads(script)["text"] == text.replace("\ud800", "?")


def test_little_is_needed():
    """No environment, no figures: the file is valid, so there is a page."""
    html = page(Results(entries=(entry(),)))
    page_of = embedded(html)
    row = dict(zip(page_of["columns"], page_of["rows"][0], strict=True))
    assert row["model"] == "m"
    assert [row[k] for k in ("macs", "energy", "carbon", "accuracy", "method")] == [None] * 5
    assert page_of["machines"][0]["about"] is None


def test_failures_are_rows_and_unknown_energy_is_null():
    made = made_up(3, 1)
    energy = made.entries[0].energy
    assert energy is not None
    unknown = msgspec.structs.replace(energy, gross=None, net=None, ci95=None)
    entries = (
        msgspec.structs.replace(made.entries[0], energy=unknown, carbon=None),
        msgspec.structs.replace(made.entries[1], error="RuntimeError: no", latency=()),
    )
    page_of = page_data(msgspec.structs.replace(made, entries=entries))
    rows = [dict(zip(page_of["columns"], row, strict=True)) for row in page_of["rows"]]
    assert [rows[0][k] for k in ("energy", "method", "carbon")] == [None, None, None]
    assert rows[1]["error"] == "RuntimeError: no"


def test_samples_that_are_no_times_are_left_out_and_break_nothing():
    from lightfer.results import Latency

    odd = [
        Latency(batch_size=1, threads=1, samples_s=samples, median_s=0.1, rounds=rounds)
        for samples, rounds in (((), 0), ((0.1,), 0), ((0.0, 0.1), 2), ((0.1,), 3))
    ]
    results = Results(
        environments={"e": ENVIRONMENT}, entries=tuple(entry(latency=(x,)) for x in odd)
    )
    page_of = page_data(results)
    place = page_of["columns"].index("times")
    assert [row[place] for row in page_of["rows"]] == [{}] * 4


def bits(table: dict) -> list[list[bool]]:
    n = len(table["rows"])
    return [[digit == "1" for digit in f"{int(line, 16):0{n}b}"] for line in table["differ"]]


def test_the_tables_of_pairs_are_those_of_the_library():
    """One table for a variant, as in `rank`; one for all variants of a machine, other families."""
    made = made_up(6, 1)
    other = [
        msgspec.structs.replace(e, id=f"{e.id}-o", runtime="onnxruntime") for e in made.entries
    ]
    both = msgspec.structs.replace(made, entries=(*made.entries, *other))
    sets, times = page_data(both)["sets"], Times(both)
    assert [len(s["rows"]) for s in sets] == [6, 6, 12]
    for found in sets:
        chosen = [both.entries[i] for i in found["rows"]]
        accuracies = tuple(e.accuracy for e in chosen if e.accuracy)
        assert bits(found["accuracy"]) == accuracies_differ(accuracies).tolist()
        assert bits(found["accuracyFrom"]) == accuracies_differ_from(accuracies).tolist()
        timed = [t for e in chosen if (t := times.at(e))]
        assert bits(found["times"]["1"]) == times_differ(timed).tolist()
    assert sum(map(sum, bits(sets[0]["times"]["1"]))) > 0


def test_above_a_number_of_rows_no_table_of_pairs_is_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "MOST_PAIRED", 5)
    (found,) = page_data(made_up(6, 1))["sets"]
    assert (found["accuracy"], found["accuracyFrom"], found["times"]) == (None, None, {})


def test_torch_is_not_needed_and_heavy_libraries_only_when_used(tmp_path: Path):
    """In a process that cannot import torch: the command works from the file alone."""
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "torch":
            raise ImportError("no torch here")
sys.meta_path.insert(0, NoTorch())
import lightfer.report.thesis, lightfer.report.figures, lightfer.report.page.build
assert not {{"altair", "jinja2", "pandas", "scipy"}} & set(sys.modules)
from lightfer.cli.main import app
app(["report", {str(ROOT / "results.json")!r}, "--html", {str(tmp_path / "r.html")!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Which model should I take?" in (tmp_path / "r.html").read_text()


def test_without_jinja_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ValueError, match=r'pip install "lightfer\[report\]"'):
        page(Results(entries=(entry(),)))
