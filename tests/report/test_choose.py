"""The rule that says which model to take, on entries whose answer is known."""

import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from lightfer._files import published_results, sha256_of, shipped
from lightfer.cli.choose import how_to_get
from lightfer.cli.main import app
from lightfer.report.choose import Candidate, Choice, Limits, choose
from lightfer.results import Entry, Latency, Results, read_results, write_results
from lightfer.results.select import Times
from tests.report.test_rank import measured
from tests.results.test_schema import ENVIRONMENT

# Accuracies within 0.02: "good", "even" and "near" are alike, "fast" differs from "good".
ENTRIES = [
    measured("good", 0.004, 0.70, deployed_bytes=4_000_000),
    measured("even", 0.003, 0.69, deployed_bytes=3_000_000),
    measured("near", 0.00301, 0.695, deployed_bytes=3_500_000),
    measured("fast", 0.001, 0.60, deployed_bytes=1_000_000),
]


def answer(entries: Sequence[Entry], limits: Limits | None = None) -> Choice:
    return choose(entries, Times(Results(entries=tuple(entries))), limits)


def name(candidate: Candidate | None) -> str | None:
    return candidate and candidate.entry.model


def test_of_those_as_accurate_as_the_best_the_fastest_is_taken():
    found = answer(ENTRIES)
    assert (name(found.pick), name(found.best)) == ("even", "good")
    assert [name(c) for c in found.equals] == ["near"]
    assert [name(c) for c in found.faster] == ["fast"]


@pytest.mark.parametrize(
    ("limits", "pick", "fitting"),
    [
        (Limits(seconds=0.003), "even", 2),  # a limit that is met exactly is kept
        (Limits(seconds=0.002999), "fast", 1),
        (Limits(stored_bytes=3_000_000), "even", 2),
        (Limits(stored_bytes=2_999_999), "fast", 1),
        (Limits(top1=0.695), "near", 2),
        (Limits(top1=0.6951), "good", 1),
        (Limits(seconds=0.002, top1=0.65), None, 0),
    ],
)
def test_limits(limits: Limits, pick: str | None, fitting: int):
    found = answer(ENTRIES, limits)
    assert name(found.pick) == pick
    assert len(found.fitting) == fitting


def test_a_limit_changes_no_test_of_times():
    """Fewer pairs of times were corrected together where a limit left fewer nets."""

    def rounds(name: str, top1: float, *seconds: float) -> Entry:
        timed = Latency.of([[s] * 5 for s in seconds], 1, 2)
        return replace(measured(name, 1.0, top1), latency=(timed,))

    fast = rounds("fast", 0.60, 1.0e-3, 1.1e-3, 1.2e-3)
    good = rounds("good", 0.70, 1.2e-3, 1.25e-3, 1.4e-3)
    slow = [  # six that are alike
        rounds(f"slow{i}", 0.5, *(0.01 + 5e-4 * ((7 * i + 3 * k) % 5) for k in range(3)))
        for i in range(6)
    ]
    without, most = answer([fast, good]), Limits(seconds=0.005)
    assert [name(c) for c in without.faster] == ["fast"]
    among = answer([fast, good, *slow])
    assert among.faster == ()
    assert answer([fast, good, *slow], most).faster == ()


def test_an_unknown_size_keeps_no_limit_of_size():
    unknown = measured("unknown", 0.001, 0.70)
    assert name(answer([unknown, *ENTRIES]).pick) == "unknown"
    assert name(answer([unknown, *ENTRIES], Limits(stored_bytes=10**9)).pick) == "even"


def test_what_was_scored_on_other_images_or_failed_is_not_looked_at():
    other = measured("other", 0.0001, 0.99)
    assert other.accuracy
    elsewhere = replace(other, accuracy=replace(other.accuracy, split="validation"))
    failed = replace(other, error="it failed")
    assert name(answer([elsewhere, failed, *ENTRIES]).pick) == "even"


@given(
    st.lists(
        st.tuples(st.floats(1e-4, 1e-2), st.floats(0.3, 0.7), st.integers(1, 9)),
        min_size=1, max_size=8,
    ),
    st.one_of(st.none(), st.floats(1e-4, 1e-2)),
    st.one_of(st.none(), st.floats(0.3, 0.7)),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_answer_keeps_the_limits_and_nothing_as_accurate_is_faster(nets, seconds, top1):
    assume(seconds is None or all(abs(t / seconds - 1) > 1e-12 for t, *_ in nets))  # of rounding
    entries = [measured(f"n{i}", t, a, deployed_bytes=b) for i, (t, a, b) in enumerate(nets)]
    limits = Limits(seconds, None, top1)
    found = answer(entries, limits)
    keeping = [
        e
        for (_, a, _), e in zip(nets, entries, strict=True)
        if (seconds is None or e.latency[0].median_s <= seconds) and (top1 is None or a >= top1)
    ]
    assert [c.entry for c in found.fitting] == keeping
    if not keeping:
        assert found.pick is None
        return
    assert found.pick is not None
    kept = [c for c in found.candidates if c.entry in keeping]
    best = max(c.accuracy.top1 for c in kept)
    assert best - found.pick.accuracy.top1 <= 0.04 + 1e-9  # intervals of 0.02 to each side touch
    for c in kept:
        if best - c.accuracy.top1 < 0.04 - 1e-9:
            assert found.pick.time.estimate <= c.time.estimate


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["choose", *arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_command_answers_from_the_published_file():
    """The answer is the rule's, and the command that it prints names shipped weights."""
    results = read_results(published_results())
    pick = choose(results.entries, Times(results), Limits(0.001, 3_000_000, 0.6)).pick
    assert pick is not None
    text = run("--max-ms", "1", "--max-mb", "3", "--min-accuracy", "0.6")
    assert f"Take {pick.entry.model} in {pick.entry.runtime} {pick.entry.precision}" in text
    file = shipped(pick.entry.model)
    assert file is not None
    if sha256_of(file) == pick.entry.weights:
        assert f"lightfer export {pick.entry.model} --to" in text


def test_the_command_says_why(tmp_path: Path):
    path = tmp_path / "r.json"
    write_results(path, Results(environments={"e": ENVIRONMENT}, entries=tuple(ENTRIES)))
    text = run(str(path))
    assert "Of all 4, good in pytorch float32 is the most accurate" in text
    assert "4.0 times as fast" not in text
    assert "3.0 times as fast, 9.0 points less: fast in pytorch float32." in text
    write_results(
        tmp_path / "1.json", Results(environments={"e": ENVIRONMENT}, entries=(ENTRIES[0],))
    )
    assert "The only model here." in run(str(tmp_path / "1.json"))
    none = run(str(path), "--max-ms", "0.5", code=1)
    assert "None of 4 keeps the limits" in none
    assert "- smallest: fast" in none
    assert "reaches beyond the limit" in run(str(path), "--max-ms", "3.001")
    rank = CliRunner().invoke(app, ["rank", str(path), "--json"], catch_exceptions=False).stdout
    assert json.loads(rank)[0]["take"] == "even"


def test_how_to_get_it_is_said_of_the_way_it_was_timed_in():
    """A net in torch.compile or bfloat16, or a file of the browser's, was one in eager float32."""
    (eager,) = [e for e in read_results(published_results(), passes=False).entries
                if (e.model, e.runtime) == ("mobilenet_v1", "pytorch")]  # fmt: skip
    assert "torch.compile" in " ".join(how_to_get(replace(eager, runtime="compile")))
    assert "torch.bfloat16" in " ".join(how_to_get(replace(eager, precision="bfloat16")))
    web = how_to_get(replace(eager, runtime="onnxruntime-web", precision="int8"))
    assert web == how_to_get(replace(eager, runtime="onnxruntime", precision="int8"))
    for runtime in ("pytorch", "openvino"):
        (line,) = how_to_get(replace(eager, runtime=runtime, weights=None))
        assert "random" in line


def test_names_of_a_file_are_one_word_of_a_command():
    other = replace(ENTRIES[0], weights="f" * 64)
    for model, key, out in (
        ("x; touch y #", "WEIGHT_FILE", "x; touch y #.onnx"),
        ("own_nets:TinyNet", "own_nets:TinyNet=WEIGHT_FILE", "own_nets.TinyNet.onnx"),
    ):
        command, which = how_to_get(replace(other, model=model, runtime="onnxruntime"))
        words = ["lightfer", "export", key, "--to", "onnx", "--out", out]
        assert shlex.split(command.removeprefix("Export it: ")) == words
        assert f"the sha256 {'f' * 64}" in which
    line, which = how_to_get(replace(other, model='"); y("'))
    made = ast.parse(line.removeprefix("In Python: "), mode="eval").body
    assert isinstance(made, ast.Call)
    assert [ast.literal_eval(arg) for arg in made.args] == ['"); y("', "WEIGHT_FILE"]


def test_it_needs_no_torch():
    code = (
        "import sys; from lightfer.cli.main import app\n"
        "try: app(['choose'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
