"""Many files as one: nothing lost, the last run stays, whatever the order."""

import random
from itertools import permutations
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from lightfer.cli.console import keep_results
from lightfer.cli.main import app
from lightfer.results import Protocol, Results, read_results, write_results
from lightfer.results.merge import listed, merge
from lightfer.results.validate import violations_of_file
from tests.report.made_up import made_up


def again(results: Results, started: str, median_s: float) -> Results:
    """The same machine and nets in another run, as `bench` names it."""
    (key,) = results.environments
    about = msgspec.structs.replace(results.environments[key], started=started)
    run = f"{key}-{started}"
    entries = []
    for entry in results.entries:
        timed = msgspec.structs.replace(entry.latency[0], median_s=median_s)
        entries.append(msgspec.structs.replace(entry, environment=run, latency=(timed,)))
    return Results(environments={run: about}, entries=tuple(entries), cards=results.cards)


def test_the_run_that_started_last_stays_in_every_order():
    one = made_up(3, 1)
    runs = [again(one, f"2026-11-2{day}T10:00:00+00:00", day) for day in (1, 2, 3)]
    for order in permutations(runs):
        found = merge(order)
        assert [e.latency[0].median_s for e in found.entries] == [3, 3, 3]
        assert list(found.environments) == list(runs[2].environments)


def protocol(*, quick: bool) -> Protocol:
    return Protocol(
        version=3, quick=quick, seconds=1.0, passes=50, warmup=10, rounds=5, batch_sizes=(1,),
        seed=0, processes=False, garbage_collection="off", pinning="not pinned",
    )  # fmt: skip


def worse(results: Results, error: str | None) -> Results:
    """A later run of it that was quick, or that failed with the error."""
    later = again(results, "2026-11-25T10:00:00+00:00", 9)
    ((key, about),) = later.environments.items()
    about = msgspec.structs.replace(about, protocol=protocol(quick=error is None))
    entries = tuple(msgspec.structs.replace(e, error=error) for e in later.entries)
    return Results(environments={key: about}, entries=entries, cards=results.cards)


@pytest.mark.parametrize("error", [None, "out of memory"])
def test_a_quick_or_failed_run_takes_no_good_figures_away(error, tmp_path: Path, capsys):
    """`--append` and `merge` put it in the place of a full run's entry, without a word."""
    good = again(made_up(2, 1), "2026-11-21T10:00:00+00:00", 1)
    bad = worse(good, error)
    write_results(out := tmp_path / "r.json", good)
    keep_results(out, bad, append=True)
    said = capsys.readouterr().err
    assert read_results(out) == good
    assert all(e.id in said for e in bad.entries)
    assert "left out" in said
    assert merge([bad, good]) == merge([good, bad]) == good
    write_results(out, bad)  # nor does it stay where there are better ones
    keep_results(out, good, append=True)
    assert (read_results(out), capsys.readouterr().err) == (good, "")
    write_results(other := tmp_path / "bad.json", bad)
    done = CliRunner().invoke(app, ["merge", str(other), str(out), "--out", str(tmp_path / "all")])
    assert "left out" in done.stderr
    assert read_results(tmp_path / "all") == good


def test_a_failed_full_run_gives_way_to_a_quick_one():
    quick = worse(made_up(2, 1), None)
    failed = worse(made_up(2, 1), "out of memory")
    assert failed.merged(quick).entries == merge([quick, failed]).entries == quick.entries


def test_nothing_of_other_machines_is_lost():
    whole = made_up(4, 6)
    parts = []
    for key, about in whole.environments.items():
        entries = tuple(e for e in whole.entries if e.environment == key)
        parts.append(Results(environments={key: about}, entries=entries, cards=whole.cards))
    random.Random(0).shuffle(parts)
    found = merge(parts)
    assert {e.id: e for e in found.entries} == {e.id: e for e in whole.entries}
    assert found.environments == whole.environments
    assert found.cards == whole.cards


def test_the_command_takes_files_and_folders_and_writes_a_valid_file(tmp_path: Path):
    folder = tmp_path / "community"
    folder.mkdir()
    write_results(folder / "a.json", made_up(2, 2))
    out = tmp_path / "all.json"
    native = Path(__file__).parents[2] / "results.json"
    done = CliRunner().invoke(app, ["merge", str(folder), str(native), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "2 files" in done.output
    assert len(read_results(out).entries) == 4 + len(read_results(native).entries)
    twice = CliRunner().invoke(app, ["merge", str(native), str(native), "--out", str(out)])
    assert "1 files" in twice.output
    assert read_results(out) == read_results(native)
    assert violations_of_file(out) == []


def test_hidden_files_of_a_folder_are_left_out(tmp_path: Path):
    """What editors keep was merged, what macOS adds was a fault, and so was a folder's name."""
    write_results(tmp_path / "a.json", made_up(1, 1))
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write_results(tmp_path / ".ipynb_checkpoints" / "b.json", made_up(2, 2))
    (tmp_path / "._a.json").write_bytes(b"\0\5\26\7")
    (tmp_path / "c.json").mkdir()
    assert listed([tmp_path]) == [tmp_path / "a.json"]


def test_every_bad_file_is_named_and_nothing_is_written(tmp_path: Path):
    good, out = tmp_path / "good.json", tmp_path / "all.json"
    write_results(good, made_up(1, 1))
    out.write_text("old")
    (tmp_path / "half.json").write_text('{"schema": "lightfer/1", "entr')
    (tmp_path / "empty.json").write_text('{"schema": "lightfer/1"}')
    files = [str(tmp_path / f"{name}.json") for name in ("half", "good", "empty", "missing")]
    done = CliRunner().invoke(app, ["merge", *files, "--out", str(out)])
    assert done.exit_code != 0
    assert all(f"{name}.json" in str(done.exception) for name in ("half", "empty", "missing"))
    assert "good.json" not in str(done.exception)
    assert out.read_text() == "old"


def test_an_empty_folder_is_said(tmp_path: Path):
    arguments = ["merge", str(tmp_path), "--out", str(tmp_path / "all.json")]
    with pytest.raises(Exception, match=r"no \.json file"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
