"""Joules per image from blocks: closed forms, coverage of the interval, what is never added."""

from collections.abc import Sequence

import numpy as np
import pytest

from lightfer.measure.energy import EnergyPlan, energy_of_blocks, enough_blocks, measure_block
from lightfer.results import EnergyBlock, EnergyReading, Method
from lightfer.results.stats import two_stage_interval, two_stage_size
from tests.measure.energy.simulated import SimulatedMachine

PLAN = EnergyPlan()


def block(joules: float | None = 1000.0, images: int = 500, seconds: float = 10.0, **more):
    reading = EnergyReading(
        component=more.pop("component", "gpu"),
        method=more.pop("method", "counter"),
        source=more.pop("source", "meter"),
        joules=joules,
        idle_w=more.pop("idle_w", (40.0, 60.0)),
        reason=None if joules is not None else "it died",
    )
    return EnergyBlock(
        work_s=(100.0, 100.0 + seconds),
        idle_before_s=(90.0, 95.0),
        idle_after_s=(111.0, 116.0),
        images=images,
        readings=(reading, *more.pop("others", ())),
    )


def reading(component, joules: float | None, source: str, method: Method = "counter", idle=10.0):
    return EnergyReading(
        component=component, method=method, source=source, joules=joules, idle_w=(idle, idle)
    )


def estimate(blocks: Sequence[EnergyBlock], **options):
    return energy_of_blocks(blocks, PLAN, batch_size=64, **options)


def test_gross_and_net_of_known_blocks():
    energy = estimate([block(j) for j in (990, 1000, 1010, 995, 1005)], ticks={"meter": 0.1})
    assert energy.gross is not None
    assert energy.net is not None
    assert energy.gross.joules_per_image == pytest.approx(2)
    assert energy.net.joules_per_image == pytest.approx((1000 - 50 * 10) / 500)
    half = 2.776445 * np.std([990, 1000, 1010, 995, 1005], ddof=1) / 5**0.5 / 500
    assert energy.ci95 == pytest.approx((2 - half, 2 + half))
    assert energy.net_ci95 == pytest.approx((1 - half, 1 + half))
    assert energy.kwh_test_set == pytest.approx(2 * 3589 / 3.6e6)
    gpu = energy.components.gpu
    assert (gpu.method, gpu.source, gpu.tick_s, gpu.idle_w) == ("counter", "meter", 0.1, 50)
    assert energy.components.cpu.method == "absent"
    assert energy.components.cpu.joules_per_image is None
    assert energy.measured()
    assert energy.method() == "counter"
    assert energy.gross_of_blocks() == pytest.approx([1.98, 2.0, 2.02, 1.99, 2.01])
    assert energy.warnings == ("idle power differs by 50 % before and after work",)


def test_components_are_added_block_by_block_and_named():
    others = (reading("cpu", 300.0, "RAPL"), reading("dram", None, "RAPL dram"))
    energy = estimate([block(others=others)] * 5, reasons={"dram": "none here"})
    assert energy.gross is not None
    assert energy.gross.includes == ("gpu", "cpu")
    assert energy.gross.joules_per_image == pytest.approx(1300 / 500)
    assert energy.components.dram.joules_per_image is None
    assert energy.net is not None
    assert energy.net.joules_per_image == pytest.approx((1300 - 60 * 10) / 500)


def test_a_meter_that_died_half_way_is_null_with_the_reason_and_another_stands_in():
    died = [block(), block(), block(None), block(), block(None)]
    energy = estimate(died)
    assert energy.gross is None
    assert energy.ci95 is None
    assert energy.kwh_test_set is None
    assert (energy.components.gpu.method, energy.components.gpu.reason) == ("counter", "it died")
    assert not energy.measured()
    second = reading("gpu", 900.0, "polled meter", "polled")
    told = [block(j, others=(second,)) for j in (1000.0, None, 1000.0, 1000.0, 1000.0)]
    energy = estimate(told)
    assert energy.components.gpu.method == "polled"
    assert energy.components.gpu.joules_per_image == pytest.approx(900 / 500)


def test_one_failed_reading_costs_its_block_and_no_more():
    values = [1000.0 + i for i in range(-9, 10)]
    energy = estimate([*map(block, values[:7]), block(None), *map(block, values[7:])])
    without = estimate([block(j) for j in values])
    assert energy.gross == without.gross
    assert energy.net == without.net
    assert (energy.ci95, energy.net_ci95) == (without.ci95, without.net_ci95)
    assert len(energy.blocks) == 20
    assert energy.gross_of_blocks() == without.gross_of_blocks()
    assert "meters told 19 of 20 blocks" in energy.warnings
    assert energy.measured()


def test_a_block_counts_where_every_component_was_told():
    cpu = [reading("cpu", None if i == 3 else 300.0, "RAPL") for i in range(10)]
    blocks = [block(None if i == 5 else 1000.0, others=(cpu[i],)) for i in range(10)]
    energy = estimate(blocks)
    assert energy.gross is not None
    assert energy.gross.includes == ("gpu", "cpu")
    assert energy.gross.joules_per_image == pytest.approx(1300 / 500)
    assert len(energy.gross_of_blocks()) == 8
    assert "meters told 8 of 10 blocks" in energy.warnings


def test_a_total_is_of_what_does_the_work_or_none():
    """A GPU's meter that died leaves no total of the processor beside it."""
    cpu, dram = reading("cpu", 300.0, "RAPL"), reading("dram", 20.0, "RAPL dram")
    blocks = [block(None, others=(cpu, dram))] * 5
    energy = estimate(blocks, worker="gpu")
    assert (energy.gross, energy.net, energy.ci95, energy.kwh_test_set) == (None, None, None, None)
    assert energy.components.gpu.reason == "it died"
    assert energy.components.cpu.joules_per_image == pytest.approx(300 / 500)
    energy = estimate(blocks, worker="cpu")
    assert energy.gross is not None
    assert energy.gross.includes == ("cpu", "dram")
    assert estimate([block(None, others=(dram,))] * 5).gross is None
    assert estimate([block()] * 5, worker="gpu").gross is not None


def test_a_failed_reading_asks_for_one_block_more():
    calm = [block(j) for j in (999, 1000, 1001, 1000, 1000)]
    assert enough_blocks([block(None), *calm[:4]], PLAN) is None
    assert enough_blocks([block(None), *calm], PLAN) is not None
    most = [block(None) if i % 6 == 0 else block() for i in range(PLAN.most_blocks)]
    assert enough_blocks(most, PLAN) is not None  # it ends


def test_two_meters_of_one_component_are_checked_and_never_added():
    for joules, idle, alarm in ((980.0, 50.0, False), (600.0, 50.0, True), (1000.0, 90.0, True)):
        second = reading("gpu", joules, "polled meter", "polled", idle)
        energy = estimate([block(idle_w=(50.0, 50.0), others=(second,))] * 5)
        check = energy.cross_check
        assert check is not None
        assert check.ratio_loaded == pytest.approx(1000 / joules)
        assert check.ratio_idle == pytest.approx(50 / idle)
        assert check.alarm is alarm
        assert any("ratio" in warning for warning in energy.warnings) is alarm
        assert energy.gross is not None
        assert energy.gross.joules_per_image == pytest.approx(2)


def test_one_block_has_no_interval_and_no_block_no_figure():
    energy = estimate([block()])
    assert energy.gross is not None
    assert (energy.ci95, energy.net_ci95) == (None, None)
    assert estimate([]).gross is None


def test_simulated_energy_is_marked_and_never_measured():
    energy = estimate([block()] * 5, simulated=True)
    assert energy.simulated
    assert not energy.measured()


def test_short_windows_and_a_net_around_zero_are_said():
    blocks = [block(j, seconds=2.0, idle_w=(499.0, 499.0)) for j in (990, 1000, 1010, 995, 1005)]
    assert estimate(blocks).warnings == (
        "windows of 2 s, shorter than 10 s",
        "net energy is not told apart from 0",
    )


def test_more_blocks_are_taken_only_where_the_first_ones_spread():
    calm = [block(j) for j in (999, 1000, 1001, 1000, 1000)]
    assert enough_blocks(calm[:4], PLAN) is None
    assert enough_blocks(calm, PLAN) == "5 blocks: 3 % half-width asked for 5 from the first 5"
    wild = [block(j) for j in (948, 1052, 1000, 970, 1030)]  # (2.776 x 42.45 / 30)^2 = 15.4
    assert enough_blocks([*wild, *calm], PLAN) is None
    assert enough_blocks(wild * 3, PLAN) is None
    assert enough_blocks([*wild * 3, block()], PLAN) is not None
    wilder = [block(j) for j in (800, 1200, 1000, 900, 1100)]
    assert "the most" in (enough_blocks(wilder * 4, PLAN) or "")
    assert "no meter has told" in (enough_blocks([block(None)] * 5, PLAN) or "")


def test_the_two_stage_rule_against_its_formula():
    """Oracle: Stein's N = ceil(t^2 s^2 / d^2), by hand for s = 1, mean 100, t(4) = 2.7764."""
    first = 100 + np.array([-1, 1, 0, -1, 1]) / 1.0
    assert two_stage_size(first, 0.01, 50) == int(np.ceil((2.7764451 / 1.0) ** 2 * 1.0))
    assert two_stage_size(first, 0.1, 50) == 5
    assert two_stage_size(first, 1e-6, 50) == 50
    values = [*first, 104.0, 96.0, 100.0]
    interval = two_stage_interval(values, 5)
    assert interval.estimate == 100
    assert interval.high - 100 == pytest.approx(2.7764451 / 8**0.5)
    with pytest.raises(ValueError, match="at least 2 blocks"):
        two_stage_interval([1.0], 5)


def run_to_the_end(seed: int, noise_j: float, tick_s: float = 0.1) -> tuple[float, float, int]:
    """The interval of gross joules per image of a noisy meter at 100 W, and the blocks it took."""
    draw = np.random.default_rng(seed)
    errors: dict[int, float] = {}
    machine = SimulatedMachine(lambda t: 100 * t)
    counter = machine.counter(
        tick_s=tick_s,
        noise_j=lambda tick: errors.setdefault(tick, float(draw.normal(0, noise_j))),
    )

    def work() -> int:
        machine.spend(0.1)
        return 10

    blocks: list[EnergyBlock] = []
    while enough_blocks(blocks, PLAN) is None:
        blocks.append(
            measure_block(
                work, [counter], 10.0, align_to=counter, clock=machine.clock,
                pause=lambda s: machine.spend(max(s, 0.1)),
            )
        )  # fmt: skip
    low, high = estimate(blocks).ci95 or (0.0, 0.0)
    return low, high, len(blocks)


@pytest.mark.parametrize("noise_j", [5.0, 30.0])
def test_the_interval_contains_the_truth_in_92_to_98_percent_of_500_trials(noise_j: float):
    """The meter is off by a normal error at each tick; the number of blocks is the rule's own."""
    truth = 100 * 0.1 / 10
    found = [run_to_the_end(seed, noise_j) for seed in range(500)]
    hits = sum(low <= truth <= high for low, high, _ in found)
    assert 0.92 * 500 <= hits <= 0.98 * 500
    blocks = [count for *_, count in found]
    assert min(blocks) == 5
    assert (max(blocks) > 10) is (noise_j > 10)
