"""Comparing files: what is found, what is refused and why, on files whose truth is known."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lightfer.cli.main import app
from lightfer.report.compare import (
    NOTHING,
    REFUSED,
    RUN_TO_RUN,
    RUN_TO_RUN_BARE,
    Change,
    Comparison,
    compare_files,
    compare_results,
)
from lightfer.results import (
    Accuracy,
    Data,
    Environment,
    Latency,
    Noise,
    Protocol,
    Results,
    ResultsError,
    write_results,
)
from lightfer.results.select import Times
from tests.report.made_up import made_up
from tests.results.test_schema import ENVIRONMENT, entry

DATA = Data(name="fer2013", label="FER2013", verified=True, sha256={"test": "abc"})


def timed(
    median_s: float = 0.005,
    *,
    seed: int = 0,
    rounds: int = 3,
    batch_size: int = 1,
    threads: int = 2,
    machine: float | list[float] = 1.0,
    yardstick: bool = True,
    clock: str = "wall",
) -> Latency:
    """`machine`: what it slows the model and the yardstick by, in each round."""
    rng = np.random.default_rng(seed)
    slow = np.broadcast_to(machine, rounds)
    samples = median_s * (1 + 0.02 * rng.random((rounds, 50))) * slow[:, None]
    beside = (0.003 * slow).tolist() if yardstick else None
    return Latency.of(samples.tolist(), batch_size, threads, clock, beside)


def scored(
    right: int, images: int = 400, *, bits: bool = True, shift: int = 0, **fields
) -> Accuracy:
    """The first `right` images are right, from image `shift` on."""
    text = "0" * shift + "1" * right + "0" * (images - right - shift)
    digits = f"{int(text, 2):0{images // 4}x}"
    return Accuracy(
        **{
            "split": "test", "labels": "fer2013", "view": "single", "images": images,
            "top1": right / images, "ci95": (0.0, 1.0), "correct_hex": digits if bits else None,
            **fields,
        }
    )  # fmt: skip


def results(*entries, **environment) -> Results:
    known = {"data": DATA, "yardstick": "a net", "versions": {"torch": "2"}, **environment}
    changed = msgspec.structs.replace(ENVIRONMENT, **known)
    return Results(environments={"e": changed}, entries=entries)


def changes(found: Comparison, kind: str) -> list[Change]:
    return [c for c in found.changes if c.kind == kind]


def only(found: Comparison, kind: str) -> Change:
    (change,) = changes(found, kind)
    return change


def test_a_slower_model_is_found_and_the_same_one_is_not():
    a = results(entry("m", latency=(timed(),)), entry("n", latency=(timed(seed=1),)))
    b = results(entry("m", latency=(timed(0.0065, seed=2),)), entry("n", latency=(timed(seed=3),)))
    slower, same = changes(compare_results(a, b), "time")
    assert (slower.verdict, same.verdict) == ("slower", NOTHING)
    assert slower.ratio == pytest.approx(1.3, rel=0.02)
    assert slower.low is not None
    assert slower.high is not None
    assert 1.1 < slower.low < 1.3 < slower.high < 1.6
    assert slower.p_holm == pytest.approx(2 * (slower.p or 0))
    assert changes(compare_results(b, a), "time")[0].verdict == "faster"


def test_the_quoted_times_their_ratio_and_the_interval_are_of_one_estimate():
    """Of half the rounds disturbed, where a median and a mean of any kind lie far apart."""
    a, b = (
        results(entry("m", latency=(Latency.of([[0.001 * f] * 9 for f in factors], 1, 2),)))
        for factors in ([1.0] * 6, [1.0, 1.0, 1.0, 1.3, 1.7, 2.0])
    )
    change = only(compare_results(a, b), "time")
    assert change.a is not None
    assert change.b is not None
    assert change.ratio == pytest.approx(change.b / change.a, rel=0.03)
    quoted = Times(b).at(b.entries[0])
    assert quoted is not None
    assert quoted.estimate_s == change.b
    assert quoted.interval is not None
    assert quoted.interval.low < change.b < quoted.interval.high


def test_a_slower_machine_is_no_slower_model():
    """Truth: the same model; the machine 40 % slower in the second file, or in a part of it."""
    a = results(entry("m", latency=(timed(),)))
    for machine in (1.4, [1.0, 1.4, 1.4]):
        b = results(entry("m", latency=(timed(seed=1, machine=machine),)))
        change = only(compare_results(a, b), "time")
        assert change.verdict == NOTHING
        assert change.ratio == pytest.approx(1.0, abs=0.02)
        assert change.machine == pytest.approx(1.4)
    slow = results(entry("m", latency=(timed(0.0065, seed=1, machine=0.7),)))
    change = only(compare_results(a, slow), "time")
    assert (change.verdict, change.ratio) == ("slower", pytest.approx(1.3, rel=0.02))


@pytest.mark.parametrize(
    ("latency", "environment", "reason"),
    [
        ({"yardstick": False}, {}, "only the first file has a yardstick"),
        ({}, {"yardstick": None}, "only the first file has a yardstick"),
        ({}, {"versions": {"torch": "3"}}, "was computed by torch 2 and 3"),
    ],
)
def test_without_a_common_yardstick_raw_times_have_a_wide_allowance(
    latency: dict, environment: dict, reason: str
):
    """A change of torch changes the yardstick, and must not be taken out of the model's time."""
    a = results(entry("m", latency=(timed(),)))
    b = results(entry("m", latency=(timed(0.0065, **latency),)), **environment)
    change = only(compare_results(a, b), "time")
    assert (change.verdict, change.machine) == (NOTHING, None)
    assert change.ratio == pytest.approx(1.3, rel=0.02)
    assert f"{100 * RUN_TO_RUN_BARE:.1f} % allowed" in change.note
    assert "raw times: " in change.note
    assert reason in change.note


def test_times_beside_different_yardsticks_are_refused():
    a = results(entry("m", latency=(timed(),)))
    b = results(entry("m", latency=(timed(),)), yardstick="another net")
    change = only(compare_results(a, b), "time")
    assert change.verdict == REFUSED
    assert "yardstick 'a net' against 'another net'" in change.note


def test_the_yardstick_of_a_runtime_is_that_of_its_own_version():
    """New files: ONNX Runtime's times stand beside a yardstick in ONNX Runtime."""
    one = msgspec.structs.replace(entry("m", latency=(timed(),)), runtime="onnxruntime")
    told = {"yardstick": "frozen net, in ONNX Runtime beside it, else in eager PyTorch"}
    a = results(one, versions={"torch": "2", "onnxruntime": "1"}, **told)
    b = results(one, versions={"torch": "3", "onnxruntime": "1"}, **told)
    assert "relative to the yardstick" in only(compare_results(a, b), "time").note
    c = results(one, versions={"torch": "2", "onnxruntime": "2"}, **told)
    assert "computed by onnxruntime 1 and 2" in only(compare_results(a, c), "time").note


@pytest.mark.parametrize("runtime", ["onnxruntime-web", "onnxruntime-webgpu"])
def test_the_yardstick_of_a_browser_is_that_of_its_own_version(runtime: str):
    """Two files without torch were of the same version of it, whatever computed the yardstick."""
    one = msgspec.structs.replace(entry("m", latency=(timed(),)), runtime=runtime)
    a, b = (results(one, versions={"onnxruntime-web": version}) for version in ("1.30", "1.31"))
    assert "computed by onnxruntime-web 1.30 and 1.31" in only(compare_results(a, b), "time").note
    assert "relative to the yardstick" in only(compare_results(a, a), "time").note


def test_several_trainings_of_one_net_are_each_compared_with_itself():
    """Finding 1.8: two seeds were one row, and both were compared with the same entry."""

    def trained(seed: int, seconds: float):
        one = entry("m", latency=(timed(seconds, seed=seed),), weights=f"w{seed}", seed=seed)
        return msgspec.structs.replace(one, id=f"e/m/{seed}")

    a = results(trained(1, 0.005), trained(2, 0.005))
    b = results(trained(2, 0.010), trained(1, 0.005))
    assert [c.verdict for c in changes(compare_results(a, b), "time")] == [NOTHING, "slower"]
    alone = compare_results(a, results(trained(1, 0.005)))
    assert only(alone, "time").verdict == NOTHING
    assert alone.only_in_a == ("e/m/2",)


def test_a_row_says_in_which_runtime_and_precision():
    one = msgspec.structs.replace(entry("m", latency=(timed(),)), runtime="openvino")
    assert only(compare_results(results(one), results(one)), "time").model == "m (openvino float32)"


def test_rows_of_several_machines_or_devices_are_told_apart():
    """Which of them was slower nobody could tell."""
    merged = made_up(2, 2)
    cuda = [
        msgspec.structs.replace(e, id=f"{e.id}@cuda", device="cuda")
        for e in merged.entries
        if e.environment == "machine-0"
    ]
    once = msgspec.structs.replace(merged, entries=(*merged.entries[:2], *cuda))
    both = msgspec.structs.replace(merged, entries=(*merged.entries, *cuda))
    alike = dict.fromkeys(merged.environments, merged.environments["machine-0"])
    unnamed = msgspec.structs.replace(merged, environments=alike)
    for file, named in (
        (made_up(2, 1), "net_000"),
        (merged, "net_000 on Processor 0"),
        (once, "net_000 on cpu"),
        (both, "net_000 on Processor 0, cpu"),
        (unnamed, "net_000, machine-0/net_000"),
    ):
        found = compare_results(file, file).changes
        assert found[0].model == named
        assert len({(c.model, c.kind, c.what) for c in found}) == len(found)


def test_each_clock_is_compared_with_itself():
    both = (timed(0.005), timed(0.001, clock="cuda events"))
    a, b = results(entry("m", latency=both)), results(entry("m", latency=both[::-1]))
    found = changes(compare_results(a, b), "time")
    assert [c.verdict for c in found] == [NOTHING, NOTHING]
    assert found[1].what == "batch 1, 2 threads, cuda events"


def test_three_percent_between_separate_runs_is_not_claimed():
    a, b = results(entry(latency=(timed(),))), results(entry(latency=(timed(0.00515, seed=1),)))
    assert only(compare_results(a, b), "time").verdict == NOTHING


PROTOCOL = Protocol(
    version=2, quick=False, seconds=1, passes=50, warmup=10, rounds=5, batch_sizes=(1,), seed=0,
    processes=False, garbage_collection="off", pinning="none",
)  # fmt: skip
NOISE = Noise(
    verdict="unusable", reasons=("steal",), seconds=1, load_before=None, load_after=None,
    other_cpu_share=None, steal_share=0.5, governor=None, throttle_events=None, round_spread=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "environment", "reason"),
    [
        ({"device": "cuda"}, {}, "device cpu against cuda"),
        ({"runtime": "onnx"}, {}, "runtime pytorch against onnx"),
        ({"precision": "bf16"}, {}, "precision float32 against bf16"),
        ({}, {"cpu": "other"}, "processor a [1, 2] cpu against other"),
        ({}, {"threads": 1}, "threads 2 against 1"),
        ({}, {"protocol": PROTOCOL}, "protocol before version 2 against version 2"),
        ({"macs": 9, "weights": "w"}, {}, "input: 5 against 9 MACs at equal parameters"),
        ({}, {"noise": NOISE}, "second file's machine was unusable: steal"),
        ({"latency": (timed(batch_size=8),)}, {}, "has batch 8, 2 threads"),
        ({"latency": (timed(threads=1),)}, {}, "has batch 1, 1 thread"),
        ({"latency": (timed(rounds=1),)}, {}, "one round shows no spread"),
    ],
)
def test_times_that_do_not_match_are_refused_and_the_reason_is_named(
    fields: dict, environment: dict, reason: str
):
    a = results(entry(params=1, macs=5, latency=(timed(),)))
    same = msgspec.structs.replace(entry(params=1, macs=5, latency=(timed(),)), **fields)
    b = results(same, **environment)
    first = changes(compare_results(a, b), "time")[0]
    assert first.verdict == REFUSED
    assert first.p is None
    assert reason in first.note
    assert (changes(compare_results(a, b, anyway=True), "time")[0].verdict == NOTHING) == (
        "unusable" in reason
    )


@pytest.mark.parametrize("weights", ["w", None])
def test_code_that_does_more_work_on_the_same_weights_is_compared(weights: str | None):
    """A block that computed twice was refused as of another input, at equal parameters."""
    a, b = (
        results(entry(params=1, macs=macs, weights=weights, latency=(timed(seconds, seed=macs),)))
        for macs, seconds in ((5, 0.005), (9, 0.009))
    )
    found = compare_results(a, b)
    assert only(found, "time").verdict == "slower"
    assert only(found, "macs").verdict == "changed"


def test_the_fitting_entry_is_chosen_among_several():
    a = results(entry("m", latency=(timed(),)))
    other = msgspec.structs.replace(entry("m", latency=(timed(),)), runtime="onnx", id="e/other")
    found = compare_results(a, results(other, entry("m", latency=(timed(seed=1),))))
    assert only(found, "time").verdict == NOTHING
    assert found.only_in_b == ("e/other",)
    once, twice = (
        msgspec.structs.replace(entry("m", latency=(timed(),)), id=f"e/{name}")
        for name in ("once", "twice")
    )
    found = compare_results(a, results(once, twice))
    assert "2 entries of the second file fit" in only(found, "time").note
    assert compare_results(a, results(entry("n"))).only_in_a == ("e/m",)


def test_of_several_that_fit_none_is_taken():
    """Another seed was compared with whichever came first, and the gate's exit code with it."""
    a = results(entry("m", latency=(timed(),), accuracy=scored(200)))
    seeds = [
        msgspec.structs.replace(
            entry("m", latency=(timed(),), accuracy=scored(right), weights=f"w{right}", seed=right),
            id=f"e/{right}",
        )
        for right in (150, 250)
    ]
    for b in (results(*seeds), results(*reversed(seeds))):
        found = only(compare_results(a, b), "accuracy")
        assert (found.verdict, found.p) == (REFUSED, None)
        assert "2 entries of the second file fit" in found.note
        assert changes(compare_results(a, b), "macs") == []


def test_an_accuracy_that_runtimes_share_is_tested_once():
    """Each runtime took its net's accuracy over, and made the others' tests less sure."""

    def file(*right: int) -> Results:
        entries = [
            msgspec.structs.replace(entry(f"n{i}", accuracy=scored(r)), runtime=way, id=f"{i}{way}")
            for i, r in enumerate(right)
            for way in ("pytorch", "onnxruntime", "openvino")
        ]
        return results(*entries)

    found = changes(compare_results(file(200, 200), file(206, 201)), "accuracy")
    assert [c.p for c in found] == [2 / 2**6] * 3 + [1.0] * 3
    assert [c.p_holm for c in found] == [2 * 2 / 2**6] * 3 + [1.0] * 3


def test_equal_accuracies_of_two_nets_or_two_trainings_are_two_tests():
    """They were one, so the correction was for too few: without the images' bits, equal figures."""

    def file(right: int) -> Results:
        accuracy = scored(right, bits=False)
        nets = (("n0", "w0"), ("n1", "w1"), ("n1", "w2"))
        entries = [
            msgspec.structs.replace(entry(name, accuracy=accuracy), weights=weights, id=weights)
            for name, weights in nets
        ]
        return results(*entries)

    found = changes(compare_results(file(200), file(225)), "accuracy")
    assert len(found) == 3
    for change in found:
        assert change.p
        assert change.p_holm == pytest.approx(3 * change.p)


def test_accuracy_is_paired_where_the_files_say_which_images_were_right():
    """Twenty images more right of 400, all of which b has right too: exact p = 2 / 2^20."""
    a, b = results(entry(accuracy=scored(200))), results(entry(accuracy=scored(220)))
    found = only(compare_results(a, b), "accuracy")
    assert (found.verdict, found.difference) == ("better", 0.05)
    assert found.p == pytest.approx(2 / 2**20)
    assert "20 discordant of 400" in found.note
    assert only(compare_results(b, a), "accuracy").verdict == "worse"


def test_without_them_it_is_unpaired_and_says_so():
    a, b = results(entry(accuracy=scored(200))), results(entry(accuracy=scored(220, bits=False)))
    found = only(compare_results(a, b), "accuracy")
    assert (found.verdict, found.difference) == (NOTHING, pytest.approx(0.05))
    assert "unpaired" in found.note


@pytest.mark.parametrize("digits", ["zz", "f" * 101, "-5"])
def test_digits_that_are_of_other_images_say_nothing(digits: str):
    odd = scored(200, correct_hex=digits)
    a, b = (results(entry(accuracy=x)) for x in (odd, scored(220)))
    found = compare_results(a, b)
    assert "unpaired" in only(found, "accuracy").note


def test_bits_behind_the_last_image_are_none():
    a, b = (scored(1, 1, correct_hex=digit) for digit in "8f")
    found = compare_results(results(entry(accuracy=a)), results(entry(accuracy=b)))
    assert "0 discordant of 1 images" in only(found, "accuracy").note


@pytest.mark.parametrize(
    ("accuracy", "environment", "reason"),
    [
        (scored(200), {"data": msgspec.structs.replace(DATA, sha256={"test": "x"})}, "data abc"),
        (scored(200, labels="fer+"), {}, "labels fer2013 against fer+"),
        (scored(200, view="flip"), {}, "view single against flip"),
        (scored(200, images=800), {}, "images 400 against 800"),
        (scored(200, source="reference"), {}, "source measured against reference"),
        (None, {}, "one file only has an accuracy"),
    ],
)
def test_accuracies_on_other_images_are_refused(accuracy, environment: dict, reason: str):
    a, b = results(entry(accuracy=scored(200))), results(entry(accuracy=accuracy), **environment)
    found = only(compare_results(a, b), "accuracy")
    assert found.verdict == REFUSED
    assert reason in found.note


def test_counts_and_conditions():
    a = results(entry(params=1, macs=5), versions={"torch": "1"})
    b = results(entry(params=2, macs=5), versions={"torch": "2"}, code="def")
    found = compare_results(a, b)
    assert (only(found, "params").verdict, only(found, "macs").verdict) == ("changed", "same")
    assert found.conditions == ("code: abc -> def", "torch: 1 -> 2")


def test_settings_of_the_runtimes_that_differ_are_conditions():
    """Whether float32 was TF32 stands in the file, and the comparison did not say it."""
    old, off, on = (
        results(entry(latency=(timed(),), runtime_settings={"threads": 2, **more}))
        for more in ({}, {"tf32": "off", "timer_step_us": 5}, {"tf32": "on", "timer_step_us": 100})
    )
    assert compare_results(old, off).conditions == ("pytorch tf32: unknown -> off",)
    assert compare_results(on, off).conditions == ("pytorch tf32: on -> off",)
    untold = results(entry(latency=(timed(),)))
    assert compare_results(untold, off).conditions == ()
    whole, part = (
        results(entry("m", latency=(timed(),), runtime_settings={"int8_convolutions": n}))
        for n in ("52 of 52", "50 of 52")
    )  # of one net: another has another number of them
    (said,) = compare_results(whole, part).conditions
    assert said == "m, pytorch int8_convolutions: 52 of 52 -> 50 of 52"


def predecessor(path: Path, **figures) -> Path:
    """A file of the predecessor's form."""
    row = {
        "accuracy": 60.0, "inference_time_sec": 9.9, "energy_consumed_kwh": 0.0001,
        "co2_emissions_kg": 0.0001, "flops": "4.21 MMac", "parameters": "1.52 M", **figures,
    }  # fmt: skip
    path.write_text(json.dumps({"MobileNetV3": row, "Another": row}))
    return path


def ours() -> Results:
    both = scored(4500, 7178, bits=False, split="validation + test")
    return results(
        entry("mobilenet_v3_small", params=1_524_743, macs=3_984_776, accuracy_other=(both,))
    )


def test_the_predecessors_file_is_compared_only_where_it_can_be(tmp_path: Path):
    path = tmp_path / "ours.json"
    write_results(path, ours())
    found = compare_files(predecessor(tmp_path / "old.json"), path)
    accuracy = only(found, "accuracy")
    assert (accuracy.verdict, accuracy.a, accuracy.b) == ("better", 0.6, 4500 / 7178)
    assert "chose its weights on these images" in accuracy.note
    assert only(found, "time").verdict == REFUSED
    assert only(found, "params").verdict == "same"
    assert (only(found, "macs").verdict, only(found, "macs").a) == ("changed", 4_210_000)
    assert "ptflops" in only(found, "macs").note
    assert found.only_in_a == ("Another",)
    back = compare_files(path, tmp_path / "old.json")
    assert only(back, "accuracy").verdict == "worse"
    assert back.only_in_b == ("Another",)
    with pytest.raises(ValueError, match="both of the predecessor's form"):
        compare_files(tmp_path / "old.json", tmp_path / "old.json")


def test_an_accuracy_is_compared_once_with_the_predecessors(tmp_path: Path):
    """It was tested once for each runtime, and no row said which."""
    (one,) = ours().entries
    both = one.accuracy_other[0]
    other, int8 = (
        msgspec.structs.replace(one, id=f"e/{precision}", runtime="openvino", precision=precision)
        for precision in ("float32", "int8")
    )
    less = msgspec.structs.replace(both, top1=4450 / 7178)
    int8 = msgspec.structs.replace(int8, accuracy_other=(less,))
    path = tmp_path / "ours.json"
    write_results(path, results(one, other, int8))
    found = changes(compare_files(predecessor(tmp_path / "old.json"), path), "accuracy")
    p = [c.p or 0.0 for c in found]
    assert p[0] == p[1] < p[2]
    assert [c.p_holm for c in found] == pytest.approx([2 * p[0], 2 * p[0], max(2 * p[0], p[2])])
    name = "mobilenet_v3_small"
    named = [name, f"{name} (openvino float32)", f"{name} (openvino int8)"]
    assert [c.model for c in found] == named


def test_a_net_without_parameters_has_no_ratio(tmp_path: Path):
    path = tmp_path / "ours.json"
    write_results(path, results(entry("mobilenet_v3_small", params=0)))
    found = only(compare_files(path, predecessor(tmp_path / "old.json")), "params")
    assert (found.verdict, found.ratio) == ("changed", None)


def test_the_predecessors_accuracy_needs_the_same_images(tmp_path: Path):
    path = tmp_path / "ours.json"
    headline_only = msgspec.structs.replace(ours().entries[0], accuracy_other=())
    write_results(path, results(headline_only))
    found = only(compare_files(predecessor(tmp_path / "old.json"), path), "accuracy")
    assert found.verdict == REFUSED
    assert "7,178 images" in found.note


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"flops": "many"}, r"\$\.MobileNetV3\.flops: found 'many'"),
        ({"parameters": None}, r"\$\.MobileNetV3\.parameters"),
        ({"parameters": f"{'9' * 400} M"}, r"\$\.MobileNetV3\.parameters"),
        ({"accuracy": 0.6e3}, r"\$\.MobileNetV3\.accuracy: found 600.0, expected percent"),
    ],
)
def test_a_broken_predecessors_file_names_the_place(tmp_path: Path, figures: dict, message: str):
    path = tmp_path / "ours.json"
    write_results(path, ours())
    with pytest.raises(ResultsError, match=message):
        compare_files(predecessor(tmp_path / "old.json", **figures), path)


def test_the_command_prints_a_table_or_json(tmp_path: Path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    write_results(a, results(entry("m", latency=(timed(),), accuracy=scored(200)), entry("gone")))
    write_results(b, results(entry("m", latency=(timed(0.0065),), accuracy=scored(220))))
    done = CliRunner().invoke(app, ["compare", str(a), str(b)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "slower" in done.stdout
    assert "+5.00 points" in done.stdout
    assert "only in" in done.stdout
    done = CliRunner().invoke(app, ["compare", str(a), str(b), "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert [c["verdict"] for c in found["changes"]] == ["slower", "better"]
    assert found["only_in_a"] == ["e/gone"]


def test_validate_and_exports_as_commands(tmp_path: Path):
    path = tmp_path / "r.json"
    environment: Environment = ENVIRONMENT
    write_results(path, Results(environments={"e": environment}, entries=(entry(),)))

    def lightfer(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        return done.exit_code, done.stdout

    assert lightfer("validate", str(path)) == (0, f"{path} is valid\n")
    csv, parquet = tmp_path / "r.csv", tmp_path / "r.parquet"
    code, text = lightfer("table", str(path), "--csv", str(csv), "--parquet", str(parquet))
    assert (code, text.count("1 rows written")) == (0, 2)
    assert csv.read_text().startswith("id,environment,model")
    assert parquet.exists()
    path.write_text(path.read_text().replace('"id": "e/m"', '"id": 3'))
    assert lightfer("validate", str(path)) == (
        1,
        "$.entries[0].id: found 3, expected string\n",
    )
    assert '"urn:lightfer:1"' in lightfer("validate", "--print-schema")[1]


def test_another_memory_is_another_machine_and_another_kernel_a_condition():
    def of(gib: float, system: str):
        noted = {"memory_bytes": int(gib * 2**30), "system": system}
        return results(entry("m", latency=(timed(),)), **noted)

    other = compare_results(of(4, "Linux 1"), of(25, "Linux 1"))
    change = only(other, "time")
    assert (change.verdict, change.note) == (REFUSED, "memory 4.0 GiB against 25.0 GiB")
    same = compare_results(of(4, "Linux 1"), of(3.98, "Linux 2"))
    assert only(same, "time").verdict == NOTHING
    assert "system: Linux 1 -> Linux 2" in same.conditions


def on(machine: str, name: str, seconds: float, seed: int = 0, **fields):
    """An entry of an environment of that name."""
    made = entry(name, latency=(timed(seconds, seed=seed),), **fields)
    return msgspec.structs.replace(made, id=f"{machine}/{name}", environment=machine)


def of_machines(*entries, **machines: dict) -> Results:
    known = {"data": DATA, "yardstick": "a net", "versions": {"torch": "2"}}
    environments = {
        name: msgspec.structs.replace(ENVIRONMENT, **known, **fields)
        for name, fields in machines.items()
    }
    return Results(environments=environments, entries=entries)


def test_a_machine_is_compared_with_itself_though_another_stands_before_it():
    """The first file's first entry took the only one of the second, and every time was refused."""
    first = of_machines(on("x", "m", 0.005), on("y", "m", 0.009), x={"cpu": "X"}, y={"cpu": "Y"})
    found = compare_results(first, of_machines(on("y", "m", 0.018, seed=1), y={"cpu": "Y"}))
    assert only(found, "time").verdict == "slower"
    assert found.only_in_a == ("x/m",)


def test_a_node_is_compared_with_itself_and_another_one_is_named():
    nodes = {f"n{i}": {"node": f"node-{i}"} for i in (1, 2)}
    fleet = of_machines(on("n1", "m", 0.005), on("n2", "m", 0.009), **nodes)
    second = of_machines(on("n2", "m", 0.009, seed=1), n2=nodes["n2"])
    found = compare_results(fleet, second)
    assert only(found, "time").verdict == NOTHING
    assert found.only_in_a == ("n1/m",)
    first = of_machines(on("n1", "m", 0.005), n1=nodes["n1"])
    assert "node: node-1 -> node-2" in compare_results(first, second).conditions


def test_another_microarchitecture_of_the_same_name_is_another_machine():
    older, newer = ({"microarchitecture": f"cpu family {n}"} for n in (23, 25))
    for second, reason in ((newer, "cpu family 23 against cpu family 25"), (older, ""), ({}, "")):
        a, b = (
            of_machines(on("e", "m", 0.005, seed=i), e=about)
            for i, about in enumerate((older, second))
        )
        change = only(compare_results(a, b), "time")
        assert (change.verdict == REFUSED) == bool(reason)
        assert reason in change.note


def test_two_browsers_that_hide_their_processors_are_no_one_machine():
    """Another visitor's phone of as many cores was a slower net on the same one."""
    hidden = {"cpu": "unknown processor (browsers hide its name)"}
    key, other = "unknown-1t-aaaa", "unknown-1t-bbbb"

    def run(machine: str, of: str, seconds: float) -> Results:
        return of_machines(on(f"{machine}-{of}", "m", seconds), **{f"{machine}-{of}": hidden})

    first = run(key, "111111", 0.005)
    change = only(compare_results(first, run(other, "222222", 0.008)), "time")
    assert change.verdict == REFUSED
    assert "in both files: name the device on the page" in change.note
    later = only(compare_results(first, run(key, "333333", 0.008)), "time")
    assert later.verdict == "slower"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"precision": "int8"}, "precision float32 against int8"), ({"runtime": "onnx"}, "runtime")],
)
def test_accuracy_in_another_precision_or_runtime_is_refused(fields: dict, reason: str):
    a, b = results(entry(accuracy=scored(220))), results(entry(accuracy=scored(200)))
    other = results(msgspec.structs.replace(b.entries[0], **fields))
    assert only(compare_results(a, b), "accuracy").verdict == "worse"
    found = only(compare_results(a, other), "accuracy")
    assert found.verdict == REFUSED
    assert reason in found.note


def test_how_rounds_were_made_is_a_condition():
    alone = msgspec.structs.replace(PROTOCOL, processes=True, pinning="cores 0 of 2")
    a, b = (
        results(entry(latency=(timed(seed=i),)), protocol=how)
        for i, how in enumerate((PROTOCOL, alone))
    )
    told = " ".join(compare_results(a, b).conditions)
    assert "in one process, groups of 10 passes to warm up -> each in a fresh process" in told
    assert "threads on cores: none -> cores 0 of 2" in told


def test_the_written_allowances_are_those_in_use():
    command = get_command(app).commands["compare"]  # type: ignore[attr-defined]
    (option,) = (p for p in command.params if p.name == "run_to_run")
    assert f"default: {RUN_TO_RUN}, of raw times and energies {RUN_TO_RUN_BARE}." in option.help
