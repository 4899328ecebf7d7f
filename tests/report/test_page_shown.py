"""The page in headless Chromium: which rows are compared, named and printed."""

from typing import Any

import pytest
from msgspec.structs import replace

from lightfer.report.choose import choose
from lightfer.report.rank import standings
from lightfer.results import Entry, Latency
from lightfer.results.select import Times
from tests.report.browser import column, take
from tests.report.made_up import made_up


def test_one_round_is_on_no_front_as_in_rank(show: Any):
    """The most accurate net in a hundredth of the time, of one round: it tied all others."""
    made = made_up(4, 1)
    best = max(made.entries, key=lambda e: e.accuracy.top1 if e.accuracy else 0)
    once = Latency.of([[1e-6] * 5], batch_size=1, threads=2)
    entries = tuple(replace(e, latency=(once,)) if e is best else e for e in made.entries)
    made = replace(made, entries=entries)
    ranked = {s.model: s.status for s in standings(entries, Times(made))}
    assert best.model not in ranked
    shown = show(made)
    found = dict(zip(column(shown, "Model"), column(shown, "Front"), strict=True))
    assert found == {**ranked, best.model: "–"}  # noqa: RUF001


def test_nets_of_other_labels_are_answered_when_they_alone_are_shown(show: Any):
    """It said that no model has both an accuracy and a time, above one that has both."""
    made = made_up(5, 1)
    *others, last = made.entries
    assert last.accuracy is not None
    of_votes = replace(last, model="voted_ferplus", accuracy=replace(last.accuracy, labels="fer+"))
    shown = show(replace(made, entries=(*others, of_votes)))
    assert take(shown) == f"Take {choose(others, Times(made)).pick.entry.model}"  # pyright: ignore
    shown.get_by_label("Models named").fill("ferplus")
    assert take(shown) == "Take voted_ferplus"
    assert "fer+" not in column(shown, "Top-1")[0]


def test_many_rows_are_answered_as_by_choose(show: Any):
    """Above 400 rows intervals decided, which find less: another net was taken."""
    made = made_up(12, 1, seed=1)
    entries = tuple(
        replace(e, id=f"{e.id}/{way}", precision=f"way {way}", latency=slower(e, 1 + way / 50))
        for way in range(35)
        for e in made.entries
    )
    results = replace(made, entries=entries)
    pick = choose(entries, Times(results)).pick
    assert pick is not None
    shown = show(results)
    shown.locator("#variant").select_option("")
    assert take(shown) == f"Take {pick.entry.model} · pytorch {pick.entry.precision}"


def slower(entry: Entry, times: float) -> tuple[Latency, ...]:
    return tuple(
        replace(t, samples_s=tuple(times * s for s in t.samples_s)) for t in entry.latency[:1]
    )


def test_a_variant_is_answered_by_the_images_that_it_was_scored_on(show: Any):
    made = made_up(3, 1)
    voted = [
        replace(
            e,
            id=f"{e.id}/int8",
            precision="int8",
            accuracy=e.accuracy and replace(e.accuracy, labels="fer+"),
        )
        for e in made.entries[:2]
    ]
    results = replace(made, entries=(*made.entries, *voted))
    shown = show(results)
    shown.locator("#variant").select_option("cpu pytorch int8")
    assert take(shown) == f"Take {choose(voted, Times(results)).pick.entry.model}"  # pyright: ignore
    assert set(column(shown, "Front")) <= {"front", "tied", "dominated"}


def side_by_side(shown: Any) -> dict[str, list[float]]:
    """Name -> milliseconds on each machine, 0 where it was not timed, once they are drawn."""
    shown.evaluate("new Promise((done) => setTimeout(done, 100))")
    return {
        row.locator("th").inner_text(): [
            0.0 if "–" in cell else float(cell.split()[0])  # noqa: RUF001
            for cell in row.locator("td").all_inner_texts()
        ]
        for row in shown.locator("#across tbody tr").all()
    }


def test_side_by_side_names_the_runtime_where_there_are_several(show: Any):
    """Another runtime's time stood under a net's plain name, over its own."""
    made = made_up(2, 2)
    *eager, last = made.entries
    int8 = replace(last, id="int8", runtime="onnxruntime", precision="int8")
    cuda = replace(eager[2], id="cuda", device="cuda", precision="float16")
    results = replace(made, entries=(*eager, int8, cuda))
    shown, times = show(results), Times(results)
    machine = shown.get_by_label("Machine", exact=True)

    def ms(*entries: Entry | None) -> Any:
        return pytest.approx(
            [1e3 * (times.seconds(e) or 0) if e else 0.0 for e in entries], rel=5e-3
        )

    machine.select_option("1")
    shown.locator("#variant").select_option("")
    every = {
        "net_000 · cpu": ms(eager[0], eager[2]),
        "net_001 · cpu": ms(eager[1], None),
        "net_001 · onnxruntime int8 · cpu": ms(None, int8),
        "net_000 · pytorch float16 · cuda": ms(None, cuda),
    }
    assert side_by_side(shown) == every
    shown.get_by_label("Models named").fill("net_001")  # on this machine in int8 alone
    assert side_by_side(shown) == {name: ms for name, ms in every.items() if "net_001" in name}
    shown.get_by_label("Models named").fill("")
    machine.select_option("0")  # which has one variant
    assert side_by_side(shown) == {
        "net_000": ms(eager[0], eager[2]),
        "net_001": ms(eager[1], None),
    }


def test_every_warning_on_energy_is_shown(show: Any):
    """Of several only the last stood in the table."""
    made = made_up(2, 1)
    first, other = made.entries
    assert first.energy is not None
    warned = replace(first.energy, warnings=("windows of 1 s", "net energy is not told from 0"))
    shown = show(replace(made, entries=(replace(first, energy=warned), other)))
    shown.locator("#first").select_option("0")
    line = shown.locator(".facts tr", has_text="Warning on energy")
    assert line.locator("div").all_inner_texts() == list(warned.warnings)


def test_a_print_has_all_rows_in_dark_on_light(show: Any):
    """It had the first 40, and the dark colours where the button had chosen them."""
    shown = show(made_up(45, 1))
    shown.get_by_role("button", name="Switch to the dark theme").click()
    shown.evaluate("""() => {
      for (const when of ["beforeprint", "afterprint"]) window.addEventListener(when, () => {
        document.body.dataset[when] = document.querySelectorAll("#table tbody tr").length;
      });
    }""")
    shown.pdf()
    assert shown.evaluate("document.body.dataset.beforeprint") == "45"
    assert shown.evaluate("document.body.dataset.afterprint") == "40"
    shown.emulate_media(media="print")
    background = "getComputedStyle(document.body).backgroundColor"
    assert shown.evaluate(background) == "rgb(255, 255, 255)"
