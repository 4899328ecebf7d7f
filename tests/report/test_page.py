"""The page as text: nothing of a file becomes markup, nothing is loaded, little is needed."""

import base64
import hashlib
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lightfer.report import significance
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


def differ(tables: list[dict], pairs: str, of: Sequence[int]) -> NDArray[np.bool_]:
    """Which pairs of some differ, as the page finds it: by tables, else not."""
    found = np.zeros((len(of), len(of)), bool)
    for table in tables:
        lines = [f"{int(line, 16):0{len(table['of'])}b}" for line in table[pairs]]
        at = {place: i for i, place in enumerate(table["of"])}
        for (i, a), (j, b) in itertools.product(enumerate(of), repeat=2):
            if a in at and b in at:
                found[i, j] = lines[at[a]][at[b]] == "1"
    return found


def test_the_tables_of_pairs_are_those_of_the_library():
    """One table for a variant, as in `rank`; one for all variants of a machine, other families."""
    made = made_up(6, 1)
    other = [
        msgspec.structs.replace(e, id=f"{e.id}-o", runtime="onnxruntime") for e in made.entries
    ]
    both = msgspec.structs.replace(made, entries=(*made.entries, *other))
    page_of, times = page_data(both), Times(both)
    place = page_of["columns"].index("accuracy")
    assert [len(s["rows"]) for s in page_of["sets"]] == [6, 6, 12]
    assert len(page_of["accuracyTables"]) == 1  # which all three share
    for found in page_of["sets"]:
        chosen = [both.entries[i] for i in found["rows"]]
        accuracies = tuple(e.accuracy for e in chosen if e.accuracy)
        tables = [page_of["accuracyTables"][i] for i in found["accuracy"]]
        of = [page_of["rows"][i][place] for i in found["rows"]]
        assert (differ(tables, "differ", of) == accuracies_differ(accuracies)).all()
        assert (differ(tables, "differFrom", of) == accuracies_differ_from(accuracies)).all()
        timed = times_differ([t for e in chosen if (t := times.at(e))])
        assert (differ(found["times"]["1"], "differ", found["rows"]) == timed).all()
    assert timed.any()


def test_what_is_not_compared_stands_in_no_table_of_pairs():
    """A net that failed, or was scored on other labels, made those that are compared more alike:
    `choose` does not count it. One of another number of rounds is compared by intervals.
    """
    made = made_up(6, 1)
    failed, voted, more, *rest = made.entries
    assert voted.accuracy is not None
    of_votes = msgspec.structs.replace(voted.accuracy, labels="fer+")
    rounds = made_up(3, 1, rounds=4).entries[2].latency
    entries = (
        msgspec.structs.replace(failed, error="no luck"),
        msgspec.structs.replace(voted, accuracy=of_votes),
        msgspec.structs.replace(more, latency=rounds),
        *rest,
    )
    page_of = page_data(msgspec.structs.replace(made, entries=entries))
    place = page_of["columns"].index("accuracy")
    (table,), ((times,), _) = page_of["accuracyTables"], page_of["sets"][0]["times"].values()
    assert [page_of["rows"][i][place] for i in range(2, 6)] == list(table["of"])
    assert times["of"] == [3, 4, 5]


def test_above_a_number_of_accuracies_or_times_no_table_of_pairs_is_made(
    monkeypatch: pytest.MonkeyPatch,
):
    """Not of rows: those of several runtimes share their accuracies."""
    monkeypatch.setattr(significance, "MOST_PAIRED", 5)
    five, six = (page_data(made_up(n, 1)) for n in (5, 6))
    assert (len(five["accuracyTables"]), len(six["accuracyTables"])) == (1, 0)
    assert six["sets"] == [{"rows": [*range(6)], "accuracy": [], "times": {"1": [], "64": []}}]
    made = made_up(4, 1)
    other = (msgspec.structs.replace(e, id=f"{e.id}-o", precision="int8") for e in made.entries)
    several = page_data(msgspec.structs.replace(made, entries=(*made.entries, *other)))
    assert len(several["accuracyTables"]) == 1
    assert [found["accuracy"] for found in several["sets"]] == [[0]] * 3
    assert [len(found["times"]["1"]) for found in several["sets"]] == [1, 1, 0]


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
