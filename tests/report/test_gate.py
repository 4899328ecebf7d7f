"""`compare` as a gate: significantly worse and beyond the limit fails, what is not told is 3."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.results import Results, write_results
from tests.report.test_compare import results, scored, timed
from tests.results.test_schema import entry


def gate(tmp_path: Path, a: Results, b: Results, *options: str) -> tuple[int, str]:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, found in zip(paths, (a, b), strict=True):
        write_results(path, found)
    done = CliRunner().invoke(app, ["compare", *map(str, paths), *options])
    return done.exit_code, done.stdout


def nets(*seconds: float, right: int = 300) -> Results:
    return results(
        *(
            entry(f"n{i}", latency=(timed(s, seed=i, rounds=5),), accuracy=scored(right))
            for i, s in enumerate(seconds)
        )
    )


@pytest.mark.parametrize(
    ("after", "right", "options", "code"),
    [
        ((0.005, 0.005), 300, ("--fail-slower", "10%"), 0),
        ((0.005, 0.010), 300, ("--fail-slower", "10%"), 1),
        ((0.005, 0.010), 300, ("--fail-slower", "150%"), 0),  # significant, but within the limit
        ((0.005, 0.0053), 300, ("--fail-slower", "5%"), 0),  # beyond it, but not significant
        ((0.005, 0.010), 300, ("--fail-accuracy", "0.5"), 0),  # times were not asked for
        ((0.005, 0.005), 280, ("--fail-accuracy", "0.5"), 1),
        ((0.005, 0.005), 280, ("--fail-accuracy", "9"), 0),
        ((0.005, 0.005), 280, ("--fail-slower", "10"), 0),
        ((0.005,), 300, ("--fail-slower", "10%"), 3),
        ((0.010,), 300, ("--fail-slower", "10%"), 1),  # what failed is more than what is missing
        ((0.005, 0.010), 300, (), 0),
    ],
)
def test_the_exit_code(
    tmp_path: Path, after: tuple[float, ...], right: int, options: tuple[str, ...], code: int
):
    before = nets(0.005, 0.005)
    assert gate(tmp_path, before, nets(*after, right=right), *options)[0] == code


def test_refused_rows_are_3(tmp_path: Path):
    a, b = nets(0.005), results(*nets(0.005).entries, threads=1)
    assert gate(tmp_path, a, b, "--fail-slower", "10%")[0] == 3
    assert gate(tmp_path, a, b, "--fail-accuracy", "1")[0] == 0  # the accuracies can be compared


def test_what_was_not_timed_is_3(tmp_path: Path):
    """Nets that failed in both files passed."""
    failed = results(entry("n0", error="RuntimeError: no", accuracy=scored(300)))
    code, text = gate(tmp_path, failed, failed, "--fail-slower", "10%")
    assert (code, "neither file has times" in text) == (3, True)
    assert gate(tmp_path, failed, failed, "--fail-accuracy", "1")[0] == 0


def test_a_net_that_failed_is_3(tmp_path: Path):
    """What was left of its rounds was compared, and passed."""
    failed = results(entry("n0", error="no memory", latency=(timed(), timed(batch_size=8))))
    for a, b, which in ((nets(0.005), failed, "second"), (failed, nets(0.005), "first")):
        code, text = gate(tmp_path, a, b, "--fail-slower", "10%", "--markdown")
        assert code == 3
        assert f"the {which} file's net failed: no memory" in text


def test_the_comment_names_what_one_file_alone_has_and_every_reason(tmp_path: Path):
    """Without a limit a net was gone without a word, and a row refused without its reason."""
    a, b = nets(0.005, 0.005), results(*nets(0.005).entries, entry("new"), cores=99)
    text = gate(tmp_path, a, b, "--markdown")[1]
    assert "- only in the first file: e/n1" in text
    assert "- only in the second file: e/new" in text
    assert "- not comparable: n0: number of cores 2 against 99" in text


def test_a_limit_that_is_none_is_said(tmp_path: Path):
    for text in ("fast", "-1", "inf"):
        done = CliRunner().invoke(
            app, ["compare", str(tmp_path), str(tmp_path), f"--fail-slower={text}"]
        )
        assert isinstance(done.exception, ValueError)
        assert "as 10%" in str(done.exception)


def test_the_comment_has_the_verdict_first_and_no_markup_of_a_file(tmp_path: Path):
    a, b = nets(0.005, 0.005), nets(0.005, 0.012)
    code, text = gate(tmp_path, a, b, "--fail-slower", "10%", "--markdown")
    assert code == 1
    lines = text.splitlines()
    assert lines[0] == "**Failed: 1 significantly worse and beyond the limit.**"
    assert lines[2].startswith("| Model | What |")
    assert lines[4].startswith("| n1 | time, batch 1, 2 threads |")
    assert lines[4].endswith("| slower |")
    assert sum(line.startswith("| n") for line in lines) == 5
    evil = results(entry("<b>x|y", latency=(timed(),)))
    assert "&lt;b>x\\|y" in gate(tmp_path, evil, evil, "--markdown")[1]
