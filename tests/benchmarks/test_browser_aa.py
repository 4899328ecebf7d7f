"""The judging on visits whose truth is known, and that a slowed net is slower in the page."""

import msgspec
from benchmarks.browser_aa import PASS, SLOWED, judge, report

from lightfer.results import Results
from tests.benchmarks.test_aa_ab import run
from tests.report.test_site import PACKAGE

NETS = {"mobilenet_v1": 1.0, SLOWED: 0.0, "vgg_slim": 3.0}


def visit(seed: int, **slower: float) -> Results:
    """Five rounds in a page, of nets beside their yardstick."""
    shares = {name: (1 + share) * (1 + slower.get(name, 0.0)) - 1 for name, share in NETS.items()}
    made = run(shares, seed, rounds=5, drift=0.05)
    entries = tuple(
        msgspec.structs.replace(e, model=e.model.partition(":")[2], runtime="onnxruntime-web")
        for e in made.entries
    )
    return msgspec.structs.replace(made, entries=entries)


def test_equal_visits_are_equal_and_the_slowed_net_is_found():
    tries = [
        {
            "first": visit(3 * i),
            "again": visit(3 * i + 1),
            "slower": visit(3 * i + 2, **{SLOWED: 0.3}),
        }
        for i in range(10)
    ]
    told = report([judge(one) for one in tries])
    assert told["false"] <= 1
    assert told["found"] >= 9
    backwards = report(
        [judge({**one, "again": one["slower"], "slower": one["again"]}) for one in tries]
    )
    assert backwards["false"] >= 9
    assert backwards["found"] <= 1


def test_the_page_has_the_line_that_is_slowed():
    assert PASS in (PACKAGE / "report" / "site" / "worker.js").read_text()
