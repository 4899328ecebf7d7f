"""The ablation page is what its records say, and says it rightly."""

import json

import pytest
from benchmarks.ablations import PAGE, RECORDS, page

RUNS = [
    {"choice": "the recipe", "seed": 0, "epochs": 4, "cpu_s": 61.0, "validation_top1": 0.40},
    {"choice": "the recipe", "seed": 1, "epochs": 4, "cpu_s": 63.0, "validation_top1": 0.42},
    {"choice": "bfloat16", "seed": 0, "epochs": 5, "cpu_s": 60.0, "validation_top1": 0.43},
    {"choice": "bfloat16", "seed": 1, "epochs": 6, "cpu_s": 60.0, "validation_top1": 0.43},
    {"choice": "SGD", "seed": 0, "epochs": 4, "cpu_s": 60.0, "validation_top1": 0.30},
]


def test_differences_are_means_over_equal_seeds():
    lines = page({"model": "m", "budget_s": 60.0, "runs": RUNS}).splitlines()
    assert "| choice | epochs | CPU s | seed 0 % | seed 1 % | difference |" in lines
    assert "| the recipe | 4 | 62 | 40.00 | 42.00 |  |" in lines
    assert "| bfloat16 | 5/6 | 60 | 43.00 | 43.00 | +2.00 |" in lines
    assert "| SGD | 4 | 60 | 30.00 |  | -10.00 |" in lines
    assert len([line for line in lines if line.startswith("| ")]) == 5


def test_the_published_page_is_that_of_the_published_records():
    if not RECORDS.exists():
        pytest.skip("no ablations are recorded yet")
    assert PAGE.read_text() == page(json.loads(RECORDS.read_text()))
