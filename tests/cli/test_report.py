"""lightfer report and the tables: files in, files out, one line for what is wrong."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.results import read_results, write_results
from tests.report.made_up import made_up
from tests.results.test_merge import worse

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lightfer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_several_files_are_one_page(tmp_path: Path):
    out = tmp_path / "new" / "report.html"
    write_results(tmp_path / "a.json", made_up(2, 2))
    done = CliRunner().invoke(
        app, ["report", str(ROOT / "results.json"), str(tmp_path / "a.json"), "--html", str(out)]
    )
    assert done.exit_code == 0, done.output
    published = read_results(ROOT / "results.json")
    assert f"{len(published.entries) + 4} entries written" in done.output
    text = out.read_text()
    machines = {environment.cpu for environment in published.environments.values()}
    assert all(name in text for name in (*machines, "Processor 0", "Processor 1"))


def test_what_gave_way_to_better_figures_is_named(tmp_path: Path):
    """`merge` and `bench --append` named it, and a page was without it."""
    good = made_up(2, 1)
    write_results(tmp_path / "good.json", good)
    write_results(tmp_path / "bad.json", worse(good, "out of memory"))
    files = [str(tmp_path / name) for name in ("good.json", "bad.json")]
    done = CliRunner().invoke(app, ["report", *files, "--html", str(tmp_path / "report.html")])
    assert "left out" in done.stderr
    assert all(e.id in done.stderr for e in good.entries)


def test_a_broken_file_is_one_line_and_keeps_the_old_page(tmp_path: Path):
    out = tmp_path / "report.html"
    out.write_text("old")
    for name, text, said in (
        ("half.json", '{"schema": "lightfer/1", "entries": [', "half.json"),
        ("other.json", '{"schema": "other/9"}', "expected 'lightfer/1'"),
        ("foreign.json", '{"entries": []}', "expected 'lightfer/1'"),
        ("empty.json", '{"schema": "lightfer/1"}', "holds no entries"),
        ("wrong.json", '{"schema": "lightfer/1", "entries": [{"id": 7}]}', "$.entries[0].id"),
    ):
        path = tmp_path / name
        path.write_text(text)
        done = run("report", path, "--html", out)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
        assert said in done.stderr
        assert out.read_text() == "old"


def test_a_foreign_json_file_is_refused_and_nothing_is_overwritten(tmp_path: Path):
    foreign, readme = tmp_path / "package.json", tmp_path / "README.md"
    foreign.write_text('{"name": "something else"}')
    readme.write_text("<!-- results:begin -->\nold\n<!-- results:end -->\n")
    kept = {path: path.read_bytes() for path in (foreign, readme)}
    net = ("mobilenet_v1_x0_25", "--data", "none", "--rounds", "1")
    for arguments in (
        ("bench", *net, "--append", "--out", foreign),
        ("table", foreign, "--into", readme),
        ("rank", foreign),
        ("compare", ROOT / "results.json", foreign),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "package.json: no key 'schema', expected 'lightfer/1'" in done.stderr
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_latex_is_written_to_a_file(tmp_path: Path):
    out = tmp_path / "t.tex"
    done = CliRunner().invoke(app, ["table", str(ROOT / "results.json"), "--latex", str(out)])
    assert done.exit_code == 0, done.output
    assert r"mobilenet\_v1 &" in out.read_text()
