"""The results file: round trips, and what a reader is told of a broken one."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lightfer._files import InputError
from lightfer.results import (
    SCHEMA,
    Accuracy,
    Entry,
    Environment,
    Latency,
    Results,
    ResultsError,
    add_results,
    read_results,
    write_results,
)
from lightfer.results.select import Times

ENVIRONMENT = Environment(
    cpu="a [1, 2] cpu",
    cores=2,
    threads=2,
    memory_bytes=None,
    gpu=None,
    system="Linux",
    python="3.11",
    versions={"torch": "2.13.0"},
    allocator="default",
    flush_denormal=True,
    code="abc",
    command="lightfer bench [1,2]",
    data=None,
    started="2026-01-01T00:00:00+00:00",
)


def entry(name: str = "m", **fields) -> Entry:
    return Entry(
        id=f"e/{name}",
        environment="e",
        model=name,
        family="f",
        device="cpu",
        runtime="pytorch",
        precision="float32",
        output_stride=32,
        **fields,
    )


def test_without_passes_each_round_keeps_its_median_and_times_stay_the_same(tmp_path: Path):
    samples = [[1.0, 5.0, 2.0], [3.0, 1.5, 9.0]], [[0.5], [0.25]]
    latencies = tuple(
        Latency.of(s, size, 2, yardstick_s=(1.0, 1.5))
        for size, s in zip((1, 64), samples, strict=True)
    )
    about = msgspec.structs.replace(ENVIRONMENT, yardstick="a net")
    results = Results(environments={"e": about}, entries=(entry(latency=latencies),))
    write_results(path := tmp_path / "r.json", results)
    found = read_results(path, passes=False)
    assert found.entries[0].latency[0].samples_s == (2.0, 3.0)
    (whole,), (thin,) = results.entries, found.entries
    for a, b in zip(whole.latency, thin.latency, strict=True):
        assert a.median_s == b.median_s
        ours, theirs = Times(results).of(whole, a), Times(found).of(thin, b)
        assert ours is not None
        assert theirs is not None
        assert (ours.interval, ours.raw) == (theirs.interval, theirs.raw)
        assert ours.corrected


def test_equal_accuracies_are_kept_once(tmp_path: Path):
    accuracy = Accuracy(
        split="test", labels="l", view="single", images=4, top1=0.5, ci95=(0.1, 0.9)
    )
    other = msgspec.structs.replace(accuracy, view="flip")
    entries = tuple(entry(n, accuracy=accuracy, accuracy_other=(other,)) for n in ("a", "b"))
    write_results(path := tmp_path / "r.json", Results(entries=entries))
    a, b = read_results(path).entries
    assert a.accuracy == accuracy
    assert a.accuracy is b.accuracy
    assert a.accuracy_other[0] is b.accuracy_other[0]


def test_round_trip_keeps_everything_and_unknown_is_null(tmp_path: Path):
    accuracy = Accuracy(
        split="test", labels="fer2013", view="single", images=3, top1=1 / 3, ci95=(0.1, 0.7),
        confusion=((1, 0), (2, 0)),
    )  # fmt: skip
    latency = Latency.of([[0.1, 0.3], [0.2, 1e-9]], batch_size=1, threads=2)
    results = Results(
        environments={"e": ENVIRONMENT},
        entries=(entry(accuracy=accuracy, latency=(latency,)), entry("failed", error="no")),
    )
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    written = json.loads(path.read_text())
    assert written["schema"] == SCHEMA
    assert written["environments"]["e"]["command"] == "lightfer bench [1,2]"
    assert written["entries"][1]["params"] is None
    assert "[0.1, 0.3, 0.2, 1e-09]" in path.read_text()


def test_median_and_rounds_come_from_all_samples():
    latency = Latency.of([[5.0, 1.0], [2.0, 9.0], [3.0, 3.0]], batch_size=64, threads=1)
    assert (latency.median_s, latency.rounds) == (3.0, 3)


def test_merging_replaces_entries_of_the_same_id_and_keeps_the_others():
    old = Results(environments={"e": ENVIRONMENT}, entries=(entry("a", params=1), entry("b")))
    new = Results(environments={"e": ENVIRONMENT}, entries=(entry("a", params=2),))
    merged = old.merged(new)
    assert {e.id: e.params for e in merged.entries} == {"e/a": 2, "e/b": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "truncated"),
        ('{"schema": "other/9"}', "expected 'lightfer/1'"),
        ('{"schema": 1}', "schema is 1, expected 'lightfer/1'"),
        ("{}", "no key 'schema', expected 'lightfer/1'"),
        ('{"name": "a package", "entries": []}', "no key 'schema', expected 'lightfer/1'"),
        ("[]", "Expected `object`"),
        ('{"schema": "lightfer/1", "entries": [{"id": 3}]}', r"\$\.entries\[0\]"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, text: str, message: str):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=message) as error:
        read_results(path)
    assert str(path) in str(error.value)


def test_what_is_not_utf8_is_named(tmp_path: Path):
    path = tmp_path / "broken.json"
    path.write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(ResultsError, match=r"broken\.json"):
        read_results(path)


def test_a_path_may_be_a_string(tmp_path: Path):
    path = tmp_path / "results.json"
    write_results(path, Results(environments={"e": ENVIRONMENT}, entries=(entry(),)))
    assert read_results(str(path)) == read_results(path)


@pytest.mark.parametrize(("name", "message"), [("x" * 300, "too long"), ("a\0b", "zero byte")])
def test_a_name_that_no_file_can_have_is_one_error(name: str, message: str):
    with pytest.raises(InputError, match=message):
        read_results(name)


def test_a_key_of_a_later_version_is_no_error(tmp_path: Path):
    path = tmp_path / "results.json"
    write_results(path, Results(environments={}, entries=(entry(),)))
    later = json.loads(path.read_text())
    later["entries"][0]["new_key"] = 1
    path.write_text(json.dumps(later))
    assert read_results(path).entries == (entry(),)


def test_the_published_names_of_the_schema():
    """Keys that issue and readers rely on; a rename must fail here."""
    keys = set(msgspec.to_builtins(entry()))
    assert keys >= {
        "id", "environment", "model", "family", "device", "runtime", "precision", "weights",
        "recipe", "seed", "output_stride", "params", "macs", "flops", "accuracy",
        "accuracy_other", "latency", "inference_total_s", "inference_per_image_s", "energy",
        "carbon",
    }  # fmt: skip


ADDER = """
import sys
from pathlib import Path
from lightfer.results import Results, add_results
from tests.results.test_schema import entry
path, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    add_results(path, Results(entries=(entry(f"{name}{i}"),)))
"""


def test_two_processes_add_to_one_file_and_nothing_vanishes(tmp_path: Path):
    path = tmp_path / "results.json"
    write_results(path, Results(entries=(entry("before"),)))
    (tmp_path / "link.json").symlink_to(path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, tmp_path / file, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for file, name in (("results.json", "a"), ("link.json", "b"))
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    names = {e.model for e in read_results(path).entries}
    assert names == {"before", *(f"{name}{i}" for name in "ab" for i in range(20))}


def test_adding_makes_the_file_where_there_is_none(tmp_path: Path):
    add_results(tmp_path / "new" / "results.json", Results(entries=(entry(),)))
    assert len(read_results(tmp_path / "new" / "results.json").entries) == 1
