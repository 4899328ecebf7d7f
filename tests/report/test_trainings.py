"""Several trainings (seeds) of one net: rows of their own, and a mean with its spread."""

import re
from statistics import mean, stdev

import msgspec
import pytest

from lightfer.report.choose import choose
from lightfer.report.claims import macs_and_time
from lightfer.report.compare import compare_results
from lightfer.report.devices import fleets
from lightfer.report.notes import training_notes
from lightfer.report.page.build import page
from lightfer.report.rank import correlations, standings
from lightfer.report.readme import block, finding, shown
from lightfer.report.tables import markdown, summary
from lightfer.results import Entry, Results, TeacherWeights, Teaching
from lightfer.results.select import Times, net_names, over_nets, trainings
from tests.report.made_up import made_up

NETS, MACHINES = 4, 3


def several(seeds: int = 3) -> Results:
    """Every net trained from each seed: other weights, accuracies and times, the same work."""
    parts = [made_up(NETS, MACHINES, seed=seed) for seed in range(seeds)]
    entries: list[Entry] = []
    for seed, part in enumerate(parts):
        for net, e in zip(parts[0].entries, part.entries, strict=True):
            fields = {"params": net.params, "macs": net.macs, "flops": net.flops}
            entries.append(
                msgspec.structs.replace(
                    e, id=f"{e.id}/{seed}", family=net.family, seed=seed, recipe="equal", **fields
                )
            )
    return Results(environments=parts[0].environments, entries=tuple(entries))


def on(machine: str, results: Results) -> list[Entry]:
    return [e for e in results.entries if e.environment == machine]


def test_every_training_has_a_row_and_a_name_of_its_own():
    results = several()
    lines = markdown(results).splitlines()
    for net in range(NETS):
        for seed in range(3):
            named = [line for line in lines if line.startswith(f"| net_{net:03d}, seed {seed} |")]
            assert len(named) == MACHINES
    some = on("machine-0", results)
    assert {s.model for s in standings(some, Times(results))} == set(net_names(some).values())
    changes = compare_results(results, results).changes
    assert len({(c.model, c.kind, c.what) for c in changes}) == len(changes)


def test_one_column_per_runtime_does_not_let_one_training_hide_another():
    """The cell of a model held the last of its trainings, whichever it was."""
    eager = on("machine-0", several())
    other = [
        msgspec.structs.replace(e, id=f"{e.id}/onnx", runtime="onnxruntime", latency=e.latency)
        for e in eager
    ]
    results = Results(environments=several().environments, entries=(*eager, *other))
    rows = [line for line in summary(results).splitlines() if line.startswith("| net_000, seed")]
    assert len({row.split("|")[1] for row in rows}) == 3
    assert len(rows) == 2 * 3


def test_the_mean_and_the_spread_are_those_of_the_trainings():
    results = several()
    times = Times(results)
    some = on("machine-1", results)
    notes = training_notes(some, times, {})
    assert len(notes) == NETS
    group = [e for e in some if e.model == "net_002"]
    note = next(n for n in notes if n.startswith("net_002, mean ± standard deviation over 3 "))
    assert "recipe equal, seeds 0, 1, 2" in note
    top1s = [100 * e.accuracy.top1 for e in group if e.accuracy]
    assert f"top-1 {mean(top1s):.2f} ± {stdev(top1s):.2f} %" in note
    ms = [1e3 * s for e in group if (s := times.seconds(e))]
    assert f"batch 1 {mean(ms):.2f} ± {stdev(ms):.2f} ms" in note
    assert all(f"\n{n}" in markdown(results) for n in notes)
    text = page(results)
    assert text.count("mean ± standard deviation over 3 trainings") == NETS * MACHINES
    assert "standard deviation over" not in page(made_up(NETS, 1))


def test_other_recipes_images_and_unknown_figures_have_no_mean():
    a, b = (e for e in on("machine-0", several(2)) if e.model == "net_000")
    times = Times(Results(entries=(a, b)))
    other = msgspec.structs.replace(b, recipe="third_light")
    assert trainings([a, other], {}) == []
    assert trainings([a, msgspec.structs.replace(a, id="again")], {}) == []
    assert trainings([a, msgspec.structs.replace(b, error="no memory")], {}) == []
    assert a.accuracy is not None
    flipped = msgspec.structs.replace(a.accuracy, view="flip")
    (note,) = training_notes([a, msgspec.structs.replace(b, accuracy=flipped)], times, {})
    assert "top-1" not in note
    assert "batch 1 " in note
    (note,) = training_notes([a, msgspec.structs.replace(b, latency=())], times, {})
    assert "top-1" in note
    assert "batch" not in note


def test_weights_that_differ_by_more_than_their_seed_have_no_mean():
    """A net of other data or teachers, and one trained again from the same seed, were averaged."""
    a, b, c = (e for e in on("machine-0", several(3)) if e.model == "net_000")
    replace = msgspec.structs.replace
    assert trainings([a, replace(b, seed=0)], {}) == []
    assert trainings([a, replace(b, seed=0), c], {}) == []  # whether a or b belongs to c?
    card = next(iter(made_up(1, 1).cards.values()))
    taught = Teaching(
        temperature=4.0, weight=0.9, view="single",
        teachers=(TeacherWeights(model="vgg_slim", sha256="f" * 64),),
    )  # fmt: skip
    alike = replace(card, seed=1, settings={**card.settings, "seed": 1}, epoch=9)
    for other, together in (
        (alike, True),
        (replace(alike, data="synthetic"), False),
        (replace(alike, settings={"epochs": 40}), False),
        (replace(alike, distillation=taught), False),
    ):
        cards = {a.weights or "": card, b.weights or "": other}
        assert trainings([a, b], cards) == ([[a, b]] if together else [])


def test_names_say_no_more_than_tells_apart():
    a, b = (e for e in on("machine-0", several(2)) if e.model == "net_000")
    replace = msgspec.structs.replace
    assert set(net_names([a]).values()) == {"net_000"}
    assert set(net_names([a, replace(a, id="x", runtime="onnxruntime")]).values()) == {"net_000"}
    assert set(net_names([a, b]).values()) == {"net_000, seed 0", "net_000, seed 1"}
    twin = replace(b, seed=0, recipe="third_light")
    assert set(net_names([a, twin]).values()) == {
        "net_000, equal, seed 0",
        "net_000, third_light, seed 0",
    }
    twin = replace(b, seed=0)
    assert set(net_names([a, twin]).values()) == {
        f"net_000, {(e.weights or '')[:8]}" for e in (a, twin)
    }
    random = replace(b, weights=None, seed=None, recipe=None)
    assert set(net_names([a, random]).values()) == {"net_000, seed 0", "net_000, random weights"}


def test_trainings_of_one_net_are_no_independent_nets():
    """Sibling of finding 1.18: 4 nets of 3 seeds gave the narrow interval of 12 nets."""
    results = several()
    times, some = Times(results), on("machine-0", results)
    pairs = over_nets(some, lambda e: e.macs, times.seconds)
    assert len(pairs) == NETS
    group = [e for e in some if e.model == "net_003"]
    assert pairs[3] == (group[0].macs, pytest.approx(mean(times.seconds(e) or 0 for e in group)))
    assert correlations(some, times)["macs"].method == f"Spearman, {NETS} models"
    assert f"{NETS} nets" in macs_and_time(some, times)[1]
    found = shown(results)
    assert found is not None
    assert f"over {NETS} nets" in "\n".join(finding(found))
    assert "mean ± standard deviation over 3 trainings" in block(found)


def test_the_choice_names_the_training():
    results = several()
    pick = choose(on("machine-0", results), Times(results)).pick
    assert pick is not None
    assert pick.name == f"{pick.entry.model}, seed {pick.entry.seed}"


def test_devices_take_the_mean_of_the_trainings():
    results = several()
    times = Times(results)
    (fleet,) = fleets(results)
    for device in fleet.devices:
        for model, seconds in zip(device.ranking, device.times_s, strict=True):
            own = [times.seconds(e) for e in on(device.key, results) if e.model == model]
            assert seconds == pytest.approx(mean(s for s in own if s))


def test_names_are_escaped_as_any_string_of_a_file():
    results = several(2)
    hostile = "<img src=x>"
    entries = tuple(msgspec.structs.replace(e, recipe=hostile) for e in results.entries)
    text = page(msgspec.structs.replace(results, entries=entries))
    assert not re.search(r"<img", text.partition('<script type="application/json"')[0])
