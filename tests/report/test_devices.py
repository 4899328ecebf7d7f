"""Devices as rows: spreads and rankings of made-up devices whose order is known."""

import msgspec
import numpy as np
import pytest

from lightfer.report.cells import conditions
from lightfer.report.devices import fleets
from lightfer.report.matching import match
from lightfer.report.page.build import page
from lightfer.results import Latency, Results
from lightfer.results.stats import concordance
from tests.report.made_up import made_up


def fleet_of(times_s: list[list[float]]) -> Results:
    """Times [device][net] of one image, everything else drawn."""
    made = made_up(len(times_s[0]), len(times_s))
    entries = []
    for i, entry in enumerate(made.entries):
        device, net = divmod(i, len(times_s[0]))
        timed = Latency.of([[times_s[device][net]] * 4] * 2, batch_size=1, threads=1)
        entries.append(msgspec.structs.replace(entry, latency=(timed,)))
    return msgspec.structs.replace(made, entries=tuple(entries))


def test_spreads_and_rankings_are_those_of_the_devices():
    results = fleet_of([[4e-3, 1e-3, 2e-3], [8e-3, 2e-3, 4e-3], [1e-3, 3e-3, 2e-3]])
    (found,) = fleets(results)
    assert [s.model for s in found.spreads] == ["net_001", "net_002", "net_000"]
    assert [s.median_s for s in found.spreads] == pytest.approx([2e-3, 2e-3, 4e-3])
    assert (found.spreads[2].fastest_s, found.spreads[2].slowest_s) == pytest.approx((1e-3, 8e-3))
    assert [d.key for d in found.devices] == ["machine-2", "machine-0", "machine-1"]
    assert found.devices[0].ranking == ("net_000", "net_002", "net_001")
    text = page(results)
    assert "3 devices" in text
    assert "net_000 1.00, net_002 2.00, net_001 3.00" in text


def test_equal_nodes_of_a_fleet_are_told_apart_everywhere():
    """Tables, page and comparison; a later run's nodes are compared each with itself."""
    found = fleet_of([[4e-3, 1e-3, 2e-3], [8e-3, 2e-3, 4e-3], [1e-3, 3e-3, 2e-3]])
    (one, *_) = found.environments.values()
    named = {
        key: msgspec.structs.replace(one, node=f"node-{i}")
        for i, key in enumerate(found.environments)
    }
    found = msgspec.structs.replace(found, environments=named)
    (fleet,) = fleets(found)
    assert sorted(d.name for d in fleet.devices) == [f"{one.name}, node-{i}" for i in range(3)]
    text = page(found)
    for i, environment in enumerate(named.values()):
        assert f"{one.cpu}, node-{i}" in text
        assert f"{one.name}, node-{i}" in conditions(environment)
    later = msgspec.structs.replace(
        found,
        environments={f"later-{key}": about for key, about in named.items()},
        entries=tuple(
            msgspec.structs.replace(e, id=f"later-{e.id}", environment=f"later-{e.environment}")
            for e in reversed(found.entries)
        ),
    )
    matched = match(found, later)
    assert [(a.id, b.id) for a, b, *_ in matched] == [
        (e.id, f"later-{e.id}") for e in found.entries
    ]
    assert not any(reasons for _, _, reasons, _ in matched)


def test_a_device_that_timed_a_net_again_is_one_device():
    """The nets of its other run were lost, and with them the agreement of the rankings."""
    results = fleet_of([[4e-3, 1e-3, 2e-3], [8e-3, 2e-3, 4e-3], [1e-3, 3e-3, 2e-3]])
    (once,) = fleets(results)
    first, *others = results.entries
    again = msgspec.structs.replace(results.environments[first.environment], started="2099")
    results = msgspec.structs.replace(
        results,
        environments={**results.environments, "machine-0-0a1b2c": again},
        entries=(msgspec.structs.replace(first, environment="machine-0-0a1b2c"), *others),
    )
    (found,) = fleets(results)
    assert len(found.devices) == 3
    assert found.agreement is not None
    assert [d.ranking for d in found.devices] == [d.ranking for d in once.devices]


@pytest.mark.parametrize("name", ["{e.model} on {e.environment}", "run/{e.model}/{e.environment}"])
def test_ids_of_any_form_make_no_devices(name: str):
    """Each net was a device of its own where ids name no machine, and all machines were one where
    their ids begin alike.
    """
    results = fleet_of([[4e-3, 1e-3, 2e-3], [8e-3, 2e-3, 4e-3], [1e-3, 3e-3, 2e-3]])
    renamed = tuple(msgspec.structs.replace(e, id=name.format(e=e)) for e in results.entries)
    assert fleets(msgspec.structs.replace(results, entries=renamed)) == fleets(results)


def test_a_device_to_which_all_nets_are_equal_ranks_none():
    results = fleet_of([[4e-3, 1e-3, 2e-3], [8e-3, 2e-3, 4e-3], [1e-3, 1e-3, 1e-3]])
    (found,) = fleets(results)
    assert found.agreement is None
    text = page(results)
    assert "3 devices" in text
    assert "or on one of them all took equally long, so rankings are not compared" in text


def test_what_failed_has_no_place_in_a_ranking():
    """The one round that was left of a net was its time on that device."""
    results = fleet_of([[4e-3, 1e-3, 2e-3, 3e-3]] * 3)
    *others, last = results.entries
    failed = msgspec.structs.replace(last, error="no memory", latency=(Latency.of([[5.0]], 1, 1),))
    (found,) = fleets(msgspec.structs.replace(results, entries=(*others, failed)))
    assert max(spread.slowest_s for spread in found.spreads) == pytest.approx(4e-3)
    assert sorted(len(device.ranking) for device in found.devices) == [3, 4, 4]


def test_two_devices_are_no_fleet():
    assert fleets(made_up(3, 2)) == []
    assert 'id="devices"' not in page(made_up(3, 2))


@pytest.mark.parametrize(
    ("table", "w"),
    [
        ([[1, 2, 3], [10, 20, 30], [5, 6, 7]], 1.0),
        # Kendall & Gibbons' formula 12 S / (m^2 (n^3 - n)): rank sums 6, 6, 6 and 5, 4, 9.
        ([[1, 2, 3], [2, 3, 1], [3, 1, 2]], 0.0),
        ([[1, 2, 3], [2, 1, 3], [2, 1, 3]], 12 * ((5 - 6) ** 2 + (4 - 6) ** 2 + 9) / (9 * 24)),
    ],
)
def test_kendalls_w_is_the_textbooks(table: list[list[float]], w: float):
    found = concordance(table)
    assert found.estimate == pytest.approx(w, abs=1e-12)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize("table", [[[1, 2, 3]] * 3, [[1, 2, 3]] * 2 + [[2, 1, 3]] * 2])
def test_few_who_agree_by_luck_leave_it_open(table: list[list[float]]):
    """The interval had no width at all, and the page said that the ranking holds."""
    assert concordance(table).low < 0.7
    assert concordance([[1, 2, 3]] * 20).low > 0.7


@pytest.mark.parametrize(
    ("m", "nets", "noise", "most"), [(20, 7, 2, 0.99), (4, 3, 0.9, 1.0), (3, 3, 0.9, 1.0)]
)
def test_its_interval_covers(m: int, nets: int, noise: float, most: float):
    """Devices that share an order and add noise of their own; the truth is a large sample's W. Of
    few nets there are few rankings, so it covers more.
    """
    lot = np.random.default_rng(0)
    order = np.arange(float(nets))

    def drawn(devices: int) -> np.ndarray:
        return order + lot.normal(0, noise, (devices, nets))

    truth = (concordance(drawn(4000)).estimate * 4000 - 1) / 3999  # mean rho
    hits = 0
    for _ in range(300):
        found = concordance(drawn(m))
        low, high = ((m * w - 1) / (m - 1) for w in (found.low, found.high))
        hits += low <= truth <= high
    assert 0.91 <= hits / 300 <= most


@pytest.mark.parametrize("table", [[[1, 2], [1, 2]], [[1], [1], [1]], [[1, 1], [1, 2], [1, 2]]])
def test_what_ranks_nothing_is_refused(table: list[list[float]]):
    with pytest.raises(ValueError, match=r"expected 3 rankers|ranks nothing"):
        concordance(table)
