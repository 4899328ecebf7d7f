"""Exports: one row per entry, the same in both forms, unknown empty."""

import csv
import io
import os
from pathlib import Path

import pyarrow.parquet

from lightfer.report.exchange.flat import csv_text, flat_rows, write_parquet
from lightfer.results import Latency, Results
from tests.results.test_schema import ENVIRONMENT, entry
from tests.results.test_validate import ACCURACY

RESULTS = Results(
    environments={"e": ENVIRONMENT},
    entries=(
        entry("a", accuracy=ACCURACY, latency=(Latency.of([[0.1, 0.2, 0.3]], 64, 2),)),
        entry("b", params=7, error="it, failed"),
    ),
)


def test_a_row_per_entry_with_equal_columns():
    a, b = flat_rows(RESULTS)
    assert list(a) == list(b)
    assert (a["latency_b64_t2_median_s"], a["latency_b64_t2_passes"]) == (0.2, 3)
    assert (a["accuracy_top1"], a["accuracy_images"]) == (4 / 6, 6)
    assert (b["params"], b["latency_b64_t2_median_s"], b["energy_test_set_kwh"]) == (7, None, None)
    assert (a["cpu"], a["noise_verdict"]) == ("a [1, 2] cpu", None)


def test_times_of_both_clocks_have_columns_of_their_own():
    wall, events = Latency.of([[0.2]], 1, 2), Latency.of([[0.1]], 1, 2, clock="cuda events")
    results = Results(
        environments={"e": ENVIRONMENT}, entries=(entry("a", latency=(wall, events)),)
    )
    (row,) = flat_rows(results)
    assert row["latency_b1_t2_median_s"] == 0.2
    assert row["latency_b1_t2_cuda_events_median_s"] == 0.1


def test_csv_and_parquet_hold_the_rows(tmp_path: Path):
    expected = flat_rows(RESULTS)
    write_parquet(tmp_path / "new" / "r.parquet", RESULTS)
    assert pyarrow.parquet.read_table(tmp_path / "new" / "r.parquet").to_pylist() == expected
    read = list(csv.DictReader(csv_text(RESULTS).splitlines()))
    assert read == [{k: "" if v is None else str(v) for k, v in r.items()} for r in expected]
    assert csv_text(Results()) == "id\n"


def test_no_text_is_a_formula_and_no_number_becomes_text():
    words = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " \n=1", "\uff1d1", "plain", "a=1")
    entries = tuple(entry(word, error=word, seed=-1) for word in words)
    text = csv_text(Results(environments={"e": ENVIRONMENT}, entries=entries))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["error"] for row in rows] == [*(f"'{word}" for word in words[:7]), "plain", "a=1"]
    assert {row["seed"] for row in rows} == {"-1"}


def test_a_parquet_file_may_have_any_name(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"r\xff.parquet")
    write_parquet(path, RESULTS)
    assert path.read_bytes().startswith(b"PAR1")
