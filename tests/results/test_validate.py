"""The exported schema is the records', and every violation of a broken file is named."""

import re
from pathlib import Path

import msgspec
import pytest

from lightfer.results import Accuracy, Latency, Noise, Results, ResultsError, read_results
from lightfer.results.io import BLOCK, check_numbers
from lightfer.results.select import Times
from lightfer.results.validate import (
    FILE_NAME,
    json_schema_text,
    violations,
    violations_of_file,
)
from tests.report.made_up import made_up
from tests.results.measured_energy import measured_energy
from tests.results.test_schema import ENVIRONMENT, entry

ROOT = Path(__file__).parents[2]
ACCURACY = Accuracy(
    split="test", labels="fer2013", view="single", images=6, top1=4 / 6, ci95=(0.3, 0.9),
    confusion=((3, 1), (1, 1)), correct_hex="d8",
)  # fmt: skip
ACCURACY_JSON = msgspec.to_builtins(ACCURACY)


def document() -> dict:
    """A sound results file as it is read from JSON."""
    noise = Noise(
        verdict="noisy", reasons=("rounds differ",), seconds=1.0, load_before=None,
        load_after=0.5, other_cpu_share=0.0, steal_share=None, governor=None,
        throttle_events=None, round_spread=0.2,
    )  # fmt: skip
    environment = msgspec.structs.replace(ENVIRONMENT, noise=noise)
    sound = entry(
        accuracy=ACCURACY,
        latency=(Latency.of([[0.1, 0.3], [0.2, 0.2]], batch_size=1, threads=2),),
        macs=5,
        flops=10,
        inference_total_s=6.0,
        inference_per_image_s=1.0,
        inference_images=6,
    )
    results = Results(environments={"e": environment}, entries=(sound, entry("other")))
    return msgspec.json.decode(msgspec.json.encode(results))


def test_the_copy_in_the_repository_is_up_to_date():
    kept = (ROOT / "schema" / FILE_NAME).read_text(encoding="utf-8")
    assert kept == json_schema_text(), (
        f"run `lightfer validate --print-schema > schema/{FILE_NAME}`"
    )


def test_a_sound_file_has_no_violation_and_later_keys_are_none():
    sound = document()
    sound["entries"][0]["of_a_later_version"] = {"a": 1}
    assert violations(sound) == []


def test_the_published_results_are_valid():
    path = ROOT / "results.json"
    if not path.exists():
        pytest.skip("no results.json yet")
    assert violations_of_file(path) == []


def _set(target, *keys_and_value) -> None:
    *keys, last, value = keys_and_value
    for key in keys:
        target = target[key]
    target[last] = value


def test_every_violation_of_form_is_named_with_its_path():
    broken = document()
    first = broken["entries"][0]
    _set(broken, "schema", "other/9")
    _set(first, "id", 3)
    _set(first, "latency", 0, "samples_s", 2, "fast")
    _set(first, "latency", 0, "rounds", 1.5)
    _set(first, "accuracy", "ci95", [0.1])
    _set(first, "accuracy", "source", "guessed")
    _set(first, "params", True)
    _set(broken, "environments", "e", "versions", "torch", None)
    del broken["entries"][1]["runtime"]
    found = {v.path: v.message for v in violations(broken)}
    assert set(found) == {
        "$.schema",
        "$.entries[0].id",
        "$.entries[0].latency[0].samples_s[2]",
        "$.entries[0].latency[0].rounds",
        "$.entries[0].accuracy.ci95",
        "$.entries[0].accuracy.source",
        "$.entries[0].params",
        "$.environments.e.versions.torch",
        "$.entries[1]",
    }
    assert found["$.schema"] == 'found "other/9", expected "lightfer/1"'
    assert found["$.entries[0].params"] == "found true, expected integer or null"
    assert found["$.entries[1]"] == "'runtime' is missing"


def test_a_violation_inside_an_optional_record_is_named_where_it_is():
    broken = document()
    environment = broken["environments"].pop("e")
    broken["environments"] = {"amd-2t": environment}
    del broken["entries"][0]["accuracy"]["top1"]
    _set(broken, "entries", 0, "accuracy", "ci95", [0.1, 0.2, "much", 4])
    _set(broken, "entries", 0, "accuracy", "confusion", 1, 1, "one")
    _set(environment, "noise", "load_after", "high")
    _set(environment, "data", 7)
    assert sorted(map(str, violations(broken))) == [
        "$.entries[0].accuracy.ci95: found 4 items, expected 2",
        '$.entries[0].accuracy.confusion[1][1]: found "one", expected integer',
        "$.entries[0].accuracy: 'top1' is missing",
        "$.environments.amd-2t.data: found 7, expected Data or null",
        '$.environments.amd-2t.noise.load_after: found "high", expected number or null',
    ]


def test_what_lies_on_the_end_of_its_interval_but_for_rounding_is_valid():
    """A file written with 0.9999999999999999 as the end of a perfect score's interval."""
    sound = document()
    perfect = {
        "images": 48, "top1": 1.0, "ci95": [0.93, 0.9999999999999999],
        "confusion": None, "correct_hex": "f" * 12,
    }  # fmt: skip
    sound["entries"][0]["accuracy"].update(perfect)
    assert violations(sound) == []
    none = {"top1": 0.0, "ci95": [1e-17, 0.08], "correct_hex": "0" * 12}
    sound["entries"][0]["accuracy"].update(none)
    assert violations(sound) == []
    assert violations(with_energy(ci95=(2.0000000000000004, 4.0))) == []


@pytest.mark.parametrize(
    ("where", "path", "message"),
    [
        (("entries", 0, "accuracy", "images", 0), "$.entries[0].accuracy.images", "at least 1"),
        (("entries", 0, "accuracy", "images", -6), "$.entries[0].accuracy.images", "at least 1"),
        (
            ("entries", 0, "latency", 0, "batch_size", 0),
            "$.entries[0].latency[0].batch_size",
            "t 1",
        ),
        (("entries", 0, "params", -5), "$.entries[0].params", "found -5, expected at least 0"),
        (("entries", 1, "id", "e/m"), "$.entries[1].id", "twice"),
        (("entries", 0, "environment", "f"), "$.entries[0].environment", "'f' is not one of: e"),
        (("entries", 0, "flops", 5), "$.entries[0].flops", "2 x macs = 10"),
        (("entries", 0, "accuracy", "images", 7), "$.entries[0].accuracy.confusion", "sums to 6"),
        (("entries", 0, "accuracy", "top1", 0.5), "$.entries[0].accuracy.top1", "4 / 6"),
        (
            ("entries", 0, "accuracy", "top1", 66.7),
            "$.entries[0].accuracy.top1",
            "found 66.7, expected at most 1, as a fraction, not percent",
        ),
        (("entries", 0, "accuracy", "ci95", [0.7, 0.9]), "$.entries[0].accuracy.ci95", "hold"),
        (("entries", 0, "accuracy", "correct_hex", "ff"), "$.entries[0].accuracy.correct_hex", "8"),
        (("entries", 0, "accuracy", "correct_hex", "d"), "$.entries[0].accuracy.correct_hex", "2"),
        (("entries", 0, "latency", 0, "median_s", 0.3), "$.entries[0].latency[0].median_s", "0.2"),
        (("entries", 0, "latency", 0, "rounds", 3), "$.entries[0].latency[0].rounds", "not 3"),
        (("entries", 0, "latency", 0, "samples_s", []), "$.entries[0].latency[0].samples_s", "em"),
        (("entries", 0, "inference_total_s", 9.0), "$.entries[0].inference_per_image_s", "1.5"),
    ],
)
def test_figures_that_contradict_one_another(where: tuple, path: str, message: str):
    broken = document()
    _set(broken, *where)
    assert message in {v.path: v.message for v in violations(broken)}[path]


@pytest.fixture(scope="module")
def published() -> bytes:
    """One entry with every figure, whatever the machine that was measured: with few passes there
    are no 99th percentiles.
    """
    whole = msgspec.json.decode((ROOT / "results.json").read_bytes())
    latency = whole["entries"][0]["latency"][0]
    latency["p99_s"] = latency["p90_s"]
    return msgspec.json.encode({**whole, "entries": whole["entries"][:1]})


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("accuracy", "macro_f1"), 0.99, "by the confusion matrix"),
        (("accuracy", "balanced_accuracy"), 0.2, "by the confusion matrix"),
        (("accuracy", "per_class", 3, "images"), 500, "by the confusion matrix"),
        (("accuracy", "per_class", 3, "precision"), 0.5, "by the confusion matrix"),
        (("accuracy", "per_class", 3, "recall"), 0.5, "by the confusion matrix"),
        (("accuracy", "per_class", 3, "f1"), 0.5, "by the confusion matrix"),
        (("accuracy", "per_class"), [], "found 0, expected 7 by"),
        (("accuracy_other", 0, "macro_f1"), 0.5, "by the confusion matrix"),
        (("latency", 0, "p50_s", 1), 1e3, "as its samples"),
        (("latency", 0, "p50_s", 1), 1e-9, "as its samples"),
        (("latency", 0, "p90_s", 2), 1e3, "as its samples"),
        (("latency", 0, "p90_s", 1), lambda of: 0.99 * of["p50_s"][1], "expected at least p50_s, "),
        (("latency", 0, "p99_s", 1), lambda of: 0.99 * of["p90_s"][1], "expected at least p90_s, "),
        (("latency", 0, "p99_s", 2), -1.0, "as its samples"),
        (("latency", 0, "images_per_s"), 9e9, "by the fastest sample"),
        (("latency", 1, "images_per_s"), 0.0, "expected above 0"),
        (("energy", "gross", "joules_per_image"), 99, "by the components that are included"),
        (("energy", "kwh_test_set"), 1.0, "by the components that are included"),
        (("carbon", "g_co2e_per_1000_images"), 9.0, "by gross energy, intensity and PUE"),
        (("carbon", "kg_co2e_test_set"), 9.0, "by gross energy, intensity and PUE"),
        (("carbon", "sensitivity", 0, "g_co2e_per_1000_images"), 9.0, "by gross energy, inten"),
        (("carbon", "sci", "g_co2e_per_1000_faces"), 9.0, "by gross energy, intensity and PUE"),
        (("training", "kg_co2e"), 9.0, "by joules"),
        (("training", "images_until_repaid"), 9.0, "by joules"),
    ],
)
def test_figures_that_follow_from_others(published: bytes, where: tuple, value, message: str):
    """All of them were valid, whatever they said."""
    document = msgspec.json.decode(published)
    assert violations(document) == []
    if callable(value):
        value = value(document["entries"][0]["latency"][0])
    _set(document, "entries", 0, *where, value)
    path = "$.entries[0]" + "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in where)
    assert any(message in v.message for v in violations(document) if v.path == path)


def test_components_and_blocks_make_the_gross_energy():
    for part in (("components", "gpu", "joules_per_image"), ("gross", "joules_per_image")):
        odd = with_energy(ci95=None)
        _set(odd, "entries", 0, "energy", *part, 99)
        found = [v for v in violations(odd) if v.path.endswith("energy.gross.joules_per_image")]
        assert found[0].message.endswith("by the components that are included")
    both = with_energy(ci95=None, kwh_test_set=None)
    _set(both, "entries", 0, "energy", "components", "gpu", "joules_per_image", 99)
    _set(both, "entries", 0, "energy", "gross", "joules_per_image", 99)
    (found,) = violations(both)
    assert found.message.startswith("found 99")
    assert found.message.endswith("by the blocks")


def test_a_run_that_started_at_no_time(tmp_path: Path):
    odd, path = document(), tmp_path / "odd.json"
    _set(odd, "environments", "e", "started", "yesterday")
    path.write_bytes(msgspec.json.encode(odd))
    assert violations(odd) == violations_of_file(path)
    assert [str(v) for v in violations(odd)] == [
        "$.environments.e.started: found 'yesterday', expected a time as 2026-01-31T12:00:00+00:00"
    ]


def test_files_drawn_by_lot_are_valid():
    """Those that tests of the page show: nothing there is wrong but by intention."""
    drawn = msgspec.json.decode(msgspec.json.encode(made_up(3, 2)))
    assert violations(drawn) == []


def test_what_is_valid_is_what_can_be_read(tmp_path: Path):
    """Oracle: msgspec's own decoder accepts the sound file and refuses each broken form."""
    path = tmp_path / "results.json"
    path.write_bytes(msgspec.json.encode(document()))
    assert violations_of_file(path) == []
    read_results(path)
    for where in (("id", 3), ("accuracy", {}), ("latency", [{}]), ("seed", "x")):
        broken = document()
        _set(broken, "entries", 0, *where)
        path.write_bytes(msgspec.json.encode(broken))
        assert violations_of_file(path)
        with pytest.raises(ResultsError):
            read_results(path)


def test_two_entries_of_one_id_are_refused_by_every_reader(tmp_path: Path):
    """`validate` alone said so; a table showed both."""
    path, twice = tmp_path / "results.json", document()
    _set(twice, "entries", 1, "id", twice["entries"][0]["id"])
    path.write_bytes(msgspec.json.encode(twice))
    with pytest.raises(ResultsError, match="'e/m' stands there twice: remove one"):
        read_results(path)


def test_two_figures_of_one_thing_are_refused_by_every_reader(tmp_path: Path):
    """A table showed the first time of a batch size, its CSV the last."""
    path, first = tmp_path / "results.json", with_energy()["entries"][0]
    for key, kept in (("latency", document()["entries"][0]["latency"]), ("energy", first)):
        twice = document()
        entry = twice["entries"][0]
        if key == "latency":
            entry["latency"] = [*kept, kept[0] | {"median_s": 9.0}]
        else:
            entry |= {"energy": kept["energy"], "energy_other": [kept["energy"]]}
        path.write_bytes(msgspec.json.encode(twice))
        assert "$.entries[0]" in {v.path for v in violations_of_file(path)}
        with pytest.raises(ResultsError, match=r"stands there twice: remove one - at .\$\.entries"):
            read_results(path)


def test_bits_that_tell_another_accuracy_are_refused_by_every_reader(tmp_path: Path):
    """`choose` drew its decision from the bits and printed the accuracy, which lay outside."""
    path, odd = tmp_path / "results.json", document()
    _set(odd, "entries", 0, "accuracy", "correct_hex", "ff")
    _set(odd, "entries", 1, "accuracy_other", [ACCURACY_JSON | {"top1": 0.95, "ci95": [0, 1]}])
    for where in ("entries[0].accuracy", "entries[1].accuracy_other[0]"):
        path.write_bytes(msgspec.json.encode(odd))
        with pytest.raises(ResultsError, match=r"hits, expected .* x 6") as caught:
            read_results(path)
        assert f"at `$.{where}.correct_hex`; see `lightfer validate`" in str(caught.value)
        _set(odd, "entries", 0, "accuracy", "correct_hex", "d8")


def test_rounds_without_samples_are_not_counted_one_by_one():
    """A number of rounds such as 2^62 was a loop without an end."""
    timed = Latency.of([[0.1, 0.3]], batch_size=1, threads=2)
    assert msgspec.structs.replace(timed, rounds=2**62).visits() == []


def test_what_no_pass_takes_is_no_time():
    """The interval of 1e-300 s and 1 s was infinite: `inf` in a table, a traceback of JSON."""
    for seconds in (1e-300, 9e6):
        odd = document()
        odd["entries"][0]["latency"][0] |= {"samples_s": [seconds, 1.0], "median_s": seconds}
        (found,) = [v for v in violations(odd) if v.path.endswith("samples_s")]
        assert found.message == f"holds {seconds}, expected seconds, 1e-09 to 1e+06"
        results = msgspec.convert(odd, Results)
        assert Times(results).at(results.entries[0]) is None


@pytest.mark.parametrize("text", ["{", '{"schema": NaN}', "\udcff"])
def test_what_is_not_json_is_named(tmp_path: Path, text: str):
    path = tmp_path / "results.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ResultsError, match=r"results\.json"):
        violations_of_file(path)


def with_energy(**changes) -> dict:
    energy = msgspec.structs.replace(measured_energy(2.0), **changes)
    results = Results(environments={"e": ENVIRONMENT}, entries=(entry(energy=energy),))
    return msgspec.json.decode(msgspec.json.encode(results))


@pytest.mark.parametrize("odd", ['"a\\ud83d"', "1" + "0" * 400, "1e308", "-2.5E+120"])
def test_what_cannot_be_computed_with_is_refused_by_all(tmp_path: Path, odd: str):
    """A whole number too large for a float was a traceback of `table`; half a character is valid
    to one reader of JSON and not to another.
    """
    text = (ROOT / "results.json").read_text()
    path = tmp_path / "odd.json"
    for key in ("params", "median_s"):
        path.write_text(
            re.sub(rf'"{key}": [^,}}]+', lambda _, k=key: f'"{k}": {odd}', text, count=1)
        )
        with pytest.raises(ResultsError):
            read_results(path)
        if "ud83d" in odd:
            assert violations_of_file(path)
            continue
        with pytest.raises(ResultsError, match="too large"):
            violations_of_file(path)


@pytest.mark.parametrize("start", [0, BLOCK - 120, BLOCK - 50, BLOCK])
def test_a_number_is_too_large_wherever_it_stands_and_a_text_never(start: int):
    """Large files are looked through in blocks; hashes and predictions look like numbers."""
    for number in ("1" * 101, "-" + "7" * 300, "1e100", "-2.5E+120", "0.0001e400", "1e0100"):
        text = b"{" + b" " * start + f'"a": [1.0, {number}]}}'.encode()
        with pytest.raises(ValueError, match=f"the number {number[:6]}.*is too large"):
            check_numbers(text)
    for fine in ("1" * 99, "0." + "3" * 300, "1e99", "1e-300", f'"{"5" * 150}"', '" :e150"'):
        check_numbers(b"{" + b" " * start + f'"a": [1.0, {fine}]}}'.encode())


def test_rounds_that_are_no_times_cost_only_their_own_row():
    """One round of 0 s in a stranger's file was an error of the whole report."""
    rounds = {"fine": (1.0, 1.5), "odd": (0.0, 1.0)}
    entries = [
        msgspec.structs.replace(entry(k), inference_rounds_s=v, inference_batch_size=64)
        for k, v in rounds.items()
    ]
    times = Times(Results(environments={"e": ENVIRONMENT}, entries=tuple(entries)))
    found = times.all_images(entries[0])
    assert found is not None
    assert found.rounds_s.tolist() == [1.0, 1.5]
    assert times.all_images(entries[1]) is None


def test_energies_that_no_results_file_may_hold():
    assert violations(with_energy()) == []
    found = violations(with_energy(simulated=True))
    assert [v.path for v in found] == ["$.entries[0].energy"]
    assert "simulated meter" in found[0].message
    (outside,) = violations(with_energy(ci95=(3.0, 4.0)))
    assert outside.path == "$.entries[0].energy.ci95"
    mixed = with_energy()
    mixed["entries"][0]["energy"]["gross"]["includes"] = ["gpu", "cpu"]
    mixed["entries"][0]["energy"]["components"]["cpu"]["method"] = "modelled"
    assert "adds what is measured and what is modelled" in violations(mixed)[0].message
