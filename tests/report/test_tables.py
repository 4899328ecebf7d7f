"""Tables: rounding, units, and that nothing unknown or quoted passes for a measurement."""

from msgspec.structs import replace

from lightfer.measure.carbon import carbon_of
from lightfer.measure.energy import CpuModel, model_cpu_energy
from lightfer.measure.noise import snapshot
from lightfer.measure.noise import verdict as judge
from lightfer.report.cells import DASH, conditions, top1
from lightfer.report.page.data import page_data
from lightfer.report.tables import HEADER, markdown, row, summary, table
from lightfer.results import (
    Accuracy,
    Entry,
    Latency,
    Protocol,
    Results,
    TeacherWeights,
    Teaching,
    Waiting,
)
from lightfer.results.select import Times
from tests.report.made_up import made_up
from tests.results.test_schema import ENVIRONMENT, entry

ACCURACY = Accuracy(
    split="test", labels="fer2013", view="single", images=3589, top1=0.61234,
    ci95=(0.5963, 0.6281), macro_f1=0.5555,
)  # fmt: skip


def cells_of(one: Entry) -> tuple[str, ...]:
    return row(one, Times(Results(environments={"e": ENVIRONMENT}, entries=(one,))))


def test_units_and_rounding():
    energy = model_cpu_energy(0.001, threads=2, power=CpuModel(5.0, "given"))
    cells = cells_of(
        entry(
            accuracy=ACCURACY,
            params=2_232_263,
            macs=16_243_584,
            latency=(
                Latency.of([[0.0051]], batch_size=1, threads=2),
                Latency.of([[0.064]], batch_size=64, threads=2),
            ),
            inference_total_s=3.589,
            inference_batch_size=64,
            energy=energy,
            carbon=carbon_of(energy),
        )
    )
    assert dict(zip(HEADER, cells, strict=True)) == {
        "Model": "m",
        "Top-1 %": "61.23 [59.6, 62.8]",
        "Macro-F1": "0.555",
        "Params M": "2.232",
        "FLOPs M": "32.5",
        "1 image ms": "5.10",
        "1 image ms, raw": DASH,
        "64 images, ms each": "1.000",
        "mJ/image": "10.00 (modelled)",
        "g CO2e/1M images": "1.34 (modelled)",
    }


def test_unknown_is_a_dash_and_never_zero():
    assert set(cells_of(entry())[1:]) == {DASH}


def test_what_was_not_measured_here_is_marked():
    assert top1(replace(ACCURACY, source="reference")).endswith("(ref)")
    assert "(synthetic)" in top1(replace(ACCURACY, labels="synthetic"))


def test_markdown_has_a_row_per_entry_and_names_failures():
    results = Results(
        environments={"e": ENVIRONMENT},
        entries=(entry("good", params=1), entry("bad", error="RuntimeError: no")),
    )
    text = markdown(results)
    assert text.count("\n| ") == 4
    assert "`bad` failed: RuntimeError: no" in text
    assert "a [1, 2] cpu" in text


def test_a_run_of_single_images_has_no_column_of_batches():
    one, batch = (Latency.of([[0.0051]], batch_size=size, threads=2) for size in (1, 64))
    for latency, shown in (((one,), False), ((one, batch), True), ((), True)):
        titles, rows = table(
            [entry(latency=latency)], Times(Results(environments={"e": ENVIRONMENT}))
        )
        assert ("64 images, ms each" in titles) == shown
        assert len(rows[0]) == len(titles)


def test_of_several_batch_sizes_the_largest_stands_under_its_own_title():
    sizes = (1, 8, 64)
    latency = tuple(Latency.of([[0.001 * s]], batch_size=s, threads=2) for s in (1, 8))
    latency += (Latency.of([[0.032]], batch_size=64, threads=2),)
    titles, (cells,) = table(
        [entry(latency=latency, inference_batch_size=max(sizes))],
        Times(Results(environments={"e": ENVIRONMENT})),
    )
    assert dict(zip(titles, cells, strict=True))["64 images, ms each"] == "0.500"


def test_how_energy_was_obtained_stands_once_where_it_is_the_same_for_all():
    energies = [model_cpu_energy(0.001 * n, threads=2) for n in (1, 2)]
    nets = [entry(f"n{i}", energy=e, carbon=carbon_of(e)) for i, e in enumerate(energies)]
    times = Times(Results(environments={"e": ENVIRONMENT}))
    titles, rows = table(nets, times)
    assert titles[-2:] == ("mJ/image (modelled)", "g CO2e/1M images (modelled)")
    assert not any("modelled" in cell for cells in rows for cell in cells)
    measured = replace(energies[0], simulated=True)
    titles, rows = table([nets[0], entry("other", energy=measured)], times)
    assert titles[-2:] == ("mJ/image", "g CO2e/1M images")
    assert [cells[-2].partition(" ")[2] for cells in rows] == ["(modelled)", "(simulated)"]


def test_conditions_say_which_instructions_the_processor_has():
    about = replace(ENVIRONMENT, microarchitecture="vendor_id A, cpu family 25, avx2, avx512f")
    assert conditions(about).startswith("a [1, 2] cpu (avx2, avx512f), 2 threads of 2 cores, ")
    assert conditions(ENVIRONMENT).startswith("a [1, 2] cpu, 2 threads")


def test_conditions_say_that_waiting_for_quiet_was_in_vain():
    """193 of 200 published rounds were disturbed, and no page said so."""
    waiting = Waiting(minutes=15, waited_s=900, repeated=0, disturbed=193, gave_up=True)
    noise = replace(judge(snapshot(), snapshot()), verdict="noisy", reasons=("rounds differ",))
    protocol = Protocol(
        version=3, quick=False, seconds=1.0, passes=50, warmup=10, rounds=5, batch_sizes=(1, 64),
        seed=0, processes=False, garbage_collection="off", pinning="none", waiting=waiting,
    )  # fmt: skip
    about = replace(ENVIRONMENT, noise=noise, protocol=protocol)
    said = "noisy machine: rounds differ, 193 rounds disturbed in spite of 15 min to wait."
    assert conditions(about).endswith(said)
    page = page_data(Results(environments={"e": about}, entries=(entry(),)))
    assert page["machines"][0]["about"]["noise"]["reasons"][1].startswith("193 rounds disturbed")


def test_energy_says_of_how_many_images_at_once_it_is():
    """At batch 64 it stood beside the time of single images, and ranks otherwise."""
    for size in (1, 64):
        energy = replace(model_cpu_energy(0.001, threads=1), batch_size=size)
        one = entry("n", energy=energy, carbon=carbon_of(energy))
        titles, (cells,) = table([one], Times(Results()))
        expected = (f"mJ/image (modelled, batch {size})", "g CO2e/1M images (modelled)")
        assert titles[-2:] == expected
        assert not any("batch" in cell for cell in cells)


def test_a_row_whose_rounds_failed_says_so_itself():
    latency = (Latency.of([[0.001]], batch_size=1, threads=2),)
    names = [cells_of(entry(latency=latency, error=error))[0] for error in (None, "1 of 2 rounds")]
    assert names == ["m", "m (failed rounds)"]


def test_another_runtime_or_precision_is_named_with_the_model():

    other = replace(entry(), runtime="openvino", precision="bfloat16")
    assert (cells_of(entry())[0], cells_of(other)[0]) == ("m", "m (openvino bfloat16)")


def test_a_summary_has_a_column_per_way_and_says_what_int8_leaves():
    slow, fast = ((Latency.of([[t]], batch_size=1, threads=2),) for t in (0.002, 0.0004))
    good, bad = entry("a", accuracy=ACCURACY, latency=slow), entry("b", latency=slow)
    deployed = replace(good, runtime="openvino", latency=fast)
    failed = replace(bad, runtime="openvino", precision="int8", error="RuntimeError: no")
    entries = (good, bad, deployed, replace(deployed, precision="int8"), failed)
    lines = summary(Results(environments={"e": ENVIRONMENT}, entries=entries)).splitlines()
    assert "| Model | pytorch float32 | openvino float32 | openvino int8 |" in lines
    assert "| a | 2.00 | 0.40 | 0.40 (61.23 %) |" in lines
    assert f"| b | 2.00 | {DASH} | failed |" in lines
    assert "`b (openvino int8)` failed: RuntimeError: no" in lines
    assert sum(line.startswith("| a |") for line in lines) == 2


def test_a_summary_has_every_view_and_set_in_a_table_of_its_own():
    flip = replace(ACCURACY, view="flip", top1=0.625)
    votes = replace(ACCURACY, labels="fer+", top1=0.7)
    fresh = replace(ACCURACY, split="test without copies", top1=0.5)
    scored = entry("a", accuracy=ACCURACY, accuracy_other=(flip, fresh, votes))
    entries = (scored, entry("b", accuracy=ACCURACY))
    lines = summary(Results(environments={"e": ENVIRONMENT}, entries=entries)).splitlines()
    header = "| Model | single view | flip | test without copies | FER+ majority |"
    at = lines.index(header)
    assert lines[at + 2] == "| a | 61.23 | 62.50 | 50.00 | 70.00 |"
    assert lines[at + 3] == f"| b | 61.23 | {DASH} | {DASH} | {DASH} |"


def test_images_made_worse_have_a_table_of_their_own():
    """Means over the strengths, then over the kinds; not where another variant's are quoted."""
    shares = {"blur 1": 0.5, "blur 2": 0.4, "blur 3": 0.3, "noise 1": 0.6, "noise 2": 0.6}
    worse = tuple(replace(ACCURACY, corruption=k, top1=v) for k, v in shares.items())
    sure = replace(ACCURACY, top1_at_80_coverage=0.7, ece=0.05)
    scored = entry("a", accuracy=sure, accuracy_other=worse)
    quoted = replace(scored, id="q", runtime="openvino", accuracy_of="pytorch-float32")
    results = Results(environments={"e": ENVIRONMENT}, entries=(scored, quoted))
    lines = summary(results).splitlines()
    at = lines.index("| Model | Variant | As they are | blur | noise | Mean | Surest 80 % | ECE |")
    assert lines[at + 2] == "| a | pytorch float32 | 61.2 | 40.0 | 60.0 | 50.0 | 70.0 | 5.0 |"
    assert lines[at + 3] == ""
    assert "blur 1" not in summary(results)


def test_students_of_other_nets_are_named_with_their_teachers():
    card = made_up(1, 1).cards.popitem()[1]
    teachers = tuple(TeacherWeights(model=name, sha256="0") for name in ("big", "bigger"))
    teaching = Teaching(temperature=4, weight=0.9, view="plain", teachers=teachers)
    results = Results(
        environments={"e": ENVIRONMENT},
        entries=(entry("taught", weights="1"), entry("alone", weights="2"), entry("bare")),
        cards={"1": replace(card, distillation=teaching), "2": card},
    )
    assert (
        "KD (knowledge distillation), taught by big, bigger beside the labels: taught\n"
        in markdown(results)
    )


def test_a_summary_without_other_ways_is_the_table():
    results = Results(environments={"e": ENVIRONMENT}, entries=(entry("a"), entry("b")))
    assert summary(results) == markdown(results)
