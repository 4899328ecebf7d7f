"""What the energy meters of a GPU can tell, and joules per image of every shipped model on it.

    python benchmarks/gpu_meter.py --out results.json     # under 9 minutes on an NVIDIA GPU

Meters, on one model at batch 256 (first 2 minutes), into out/gpu_meter.json and as tables:
  period   seconds between two updates of NVML's energy counter
  ratio    energy by the counter / by polled instant power, over the same window, idle and loaded
  spread   coefficient of variation of J/image against window length 0.5 to 20 s: one steady run,
           cut into windows at passes, and at the counter's ticks, as `lightfer bench` does
  order    J/image of one model over another's when blocks alternate (ABAB...) and when they do not
           (AA...BB...), and how far the blocks drift
Models: `lightfer bench` on the GPU with energy at batch 1 and 256, five blocks each in random
order, gross and net with 95 % intervals, added to --out as that machine's entries. The windows are
as long as --minutes allows, at most 10 s; shorter ones are marked, and `spread` says what they
cost. An interrupted run goes on where it was.

Without a GPU it says so and writes nothing. `--simulated` is for the tests of this program: small
windows and invented meters on the CPU, refused for a file named results.json.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

from lightfer._files import write_text
from lightfer.bench.case import Case, batch_work, load_case
from lightfer.bench.journal import Journal
from lightfer.bench.plan import BenchConfig, Meters
from lightfer.bench.run import run_benchmark
from lightfer.cli.console import print_results, progress
from lightfer.measure.energy import EnergyPlan, Meter, MeterError, open_meters
from lightfer.measure.energy.counter import CounterMeter, measure_tick_s
from lightfer.measure.energy.protocol import Mark
from lightfer.measure.energy.windows import Window, Work
from lightfer.measure.process import tune_process
from lightfer.models.find import find_weights
from lightfer.models.registry import list_models
from lightfer.results import Results, ResultsError, read_results, write_results

WINDOWS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
STEADY_S, RATIO_S, ORDER_S = 80.0, 5.0, 2.0  # of one run, one window, one block
REPEATS = 4  # blocks of each model in each order
BLOCKS, IDLE_SHARE = 5, 0.2
LOADING_S, SHORTEST_S, LONGEST_S = 60.0, 1.0, 10.0
PAIR = ("mobilenet_v2", "shufflenet_v2_x1_0")


@dataclass(frozen=True)
class Sample:
    """A moment of a steady run, at the end of a pass."""

    time_s: float
    joules: float
    images: int  # since the start


@dataclass(frozen=True)
class Spread:
    """J/image of windows of one length; None where fewer than three fit into the run."""

    window_s: float
    windows: int
    cov: float | None  # edges at pass boundaries
    cov_ticks: float | None  # edges at ticks of the counter


@dataclass(frozen=True)
class Order:
    """Joules per image of each block in its order, "A" and "B" in turn or not."""

    order: str
    joules_per_image: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """B / A by their means."""
        return self._mean("B") / self._mean("A")

    @property
    def drift(self) -> float:
        """Last / first block of A."""
        of_a = [j for j, name in zip(self.joules_per_image, self.order, strict=True) if name == "A"]
        return of_a[-1] / of_a[0]

    def _mean(self, name: str) -> float:
        pairs = zip(self.joules_per_image, self.order, strict=True)
        return fmean(j for j, n in pairs if n == name)


def joules_per_image(meter: CounterMeter, work: Work, seconds: float) -> float:
    """Of one window, from tick to tick."""
    done = Window([meter], meter, meter.clock).of(work, seconds)
    start, end = done.marks[0]
    if isinstance(start, MeterError) or isinstance(end, MeterError):
        raise MeterError(f"{meter.source} failed during the run: {start} {end}")
    return meter.joules(start, end) / done.images


def ratio(
    meters: Sequence[Meter], counter: CounterMeter, work: Work | None, seconds: float
) -> float:
    """Energy by the first meter over that by the second, over one window of work, or idle."""
    window = Window(meters[:2], counter, counter.clock)
    done = window.of(work, seconds) if work else window.idle(seconds)
    joules = []
    for meter, (start, end) in zip(meters, done.marks, strict=False):
        if isinstance(start, MeterError) or isinstance(end, MeterError):
            raise MeterError(f"{meter.source} failed during the run")
        joules.append(meter.joules(start, end))
    return joules[0] / joules[1]


def steady_run(counter: CounterMeter, work: Work, seconds: float) -> list[Sample]:
    """Passes one after another, the counter read after each."""
    first = counter.mark()
    samples, images = [Sample(first.time_s, 0.0, 0)], 0
    last: Mark = first
    while last.time_s - first.time_s < seconds:
        images += work()
        mark = counter.mark()
        more = counter.joules(last, mark) if mark.counts_j != last.counts_j else 0.0
        samples.append(Sample(mark.time_s, samples[-1].joules + more, images))
        last = Mark(mark.time_s, mark.counts_j)
    return samples


def spread(samples: Sequence[Sample], window_s: float) -> Spread:
    """Cut the run into windows one after another, at passes and at ticks."""
    ticks = [after for before, after in pairwise(samples) if after.joules != before.joules]
    at_passes, at_ticks = cut(samples, window_s), cut(ticks, window_s)
    return Spread(window_s, len(at_passes), variation(at_passes), variation(at_ticks))


def cut(samples: Sequence[Sample], window_s: float) -> list[float]:
    """Joules per image of windows of at least `window_s`, each beginning where one ends."""
    found: list[float] = []
    start = samples[0] if samples else None
    for sample in samples:
        if start and sample.time_s - start.time_s >= window_s:
            found.append((sample.joules - start.joules) / (sample.images - start.images))
            start = sample
    return found


def variation(values: Sequence[float]) -> float | None:
    """Standard deviation over mean; None of fewer than three values."""
    return stdev(values) / fmean(values) if len(values) > 2 else None


def orders(
    counter: CounterMeter, works: dict[str, Work], seconds: float, repeats: int
) -> list[Order]:
    """The blocks of two models, alternating and not."""
    return [
        Order(order, tuple(joules_per_image(counter, works[name], seconds) for name in order))
        for order in ("AB" * repeats, "A" * repeats + "B" * repeats)
    ]


def measure_meters(
    meters: Sequence[Meter],
    works: dict[str, Work],
    scale: float,
    on_step: Callable[[str, int, int], None],
) -> dict:
    """The tables of the meters, as plain JSON; every time is multiplied by `scale`."""
    counter = next((m for m in meters if isinstance(m, CounterMeter)), None)
    if counter is None:
        raise MeterError("this GPU has no energy counter: nothing to measure it against")

    on_step("period of the counter", 0, 4)
    table: dict = {"period_s": measure_tick_s(counter), "sources": [m.source for m in meters]}
    on_step("counter against polled power", 1, 4)
    two = len(meters) > 1
    table["ratio_idle"] = ratio(meters, counter, None, scale * RATIO_S) if two else None
    table["ratio_loaded"] = ratio(meters, counter, works["A"], scale * RATIO_S) if two else None
    on_step("spread against window length", 2, 4)
    samples = steady_run(counter, works["A"], scale * STEADY_S)
    table["spread"] = [asdict(spread(samples, scale * w)) for w in WINDOWS_S]
    on_step("order of the blocks", 3, 4)
    table["order"] = [
        {**asdict(o), "ratio": o.ratio, "drift": o.drift}
        for o in orders(counter, works, scale * ORDER_S, REPEATS)
    ]
    return table


def markdown(table: dict) -> str:
    """The tables of the meters for people."""
    if "failed" in table:
        return f"no tables of the meters: {table['failed']}"

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.2f}"  # noqa: RUF001

    def three(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"  # noqa: RUF001

    lines = [
        f"Meters: {', '.join(table['sources'])}",
        f"period of the counter: {1e3 * table['period_s']:.1f} ms",
        f"counter / polled power: {three(table['ratio_idle'])} idle, "
        f"{three(table['ratio_loaded'])} loaded",
        "",
        "| window s | windows | CoV of J/image %, edges at passes | at ticks |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s['window_s']:g} | {s['windows']} | {percent(s['cov'])} | {percent(s['cov_ticks'])} |"
        for s in table["spread"]
    ]
    lines += ["", "| order | J/image of B over A | last over first block of A |", "|---|---:|---:|"]
    lines += [f"| {o['order']} | {o['ratio']:.3f} | {o['drift']:.3f} |" for o in table["order"]]
    return "\n".join(lines)


def make_works(device: str, threads: int, batch_size: int) -> dict[str, Work]:
    """Passes of the two models of `PAIR`, "A" and "B"."""
    generator = torch.Generator().manual_seed(0)
    images: Tensor = torch.randint(0, 256, (batch_size, 1, 48, 48), generator=generator)
    works = {}
    for name, model in zip("AB", PAIR, strict=True):
        run = load_case(Case(find_weights(model)), device, threads)
        works[name] = batch_work(run, images.to(torch.uint8), device=device, batch_size=batch_size)
        works[name]()
    return works


def window_s(minutes: float, cases: int) -> float:
    """The longest window with which everything fits into `minutes`."""
    meters_s = STEADY_S + 2 * RATIO_S + 4 * REPEATS * ORDER_S
    left = 60 * minutes - meters_s - LOADING_S
    return min(LONGEST_S, max(SHORTEST_S, left / plan_with(1.0).least_s(cases)))


def plan_with(seconds: float, batch_sizes: Sequence[int] = ()) -> EnergyPlan:
    """As many blocks as fit into the time, whatever their spread."""
    return EnergyPlan(seconds, BLOCKS, BLOCKS, IDLE_SHARE, batch_sizes=tuple(batch_sizes))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="default: every model with shipped weights")
    parser.add_argument("--out", type=Path, default=Path("out/results.json"))
    parser.add_argument("--table", type=Path, default=Path("out/gpu_meter.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 1])
    parser.add_argument("--minutes", type=float, default=8.5, help="for everything (8.5)")
    parser.add_argument("--simulated", action="store_true", help="for the tests; see above")
    return parser.parse_args(arguments)


def find_meters(options: argparse.Namespace) -> Meters:
    """The meters of the GPU, or those of no machine."""
    if options.simulated:
        if options.out.name == "results.json" or options.out.exists():
            raise ValueError("--simulated writes no results.json: give --out another, new file")
        from tests.measure.energy.simulated import simulated_meters

        return Meters(simulated_meters(tick_s=5e-3))
    if not options.device.startswith("cuda") or not torch.cuda.is_available():
        raise ValueError("no NVIDIA GPU that torch can use here: nothing is measured or written")
    meters, reasons = open_meters(options.device)
    if not any(meter.component == "gpu" for meter in meters):
        raise ValueError(f"no meter of the GPU: {reasons.get('gpu')}")
    return Meters(meters, reasons)


def plan_of(options: argparse.Namespace) -> tuple[BenchConfig, float]:
    """What is measured of the models, and what every time of the meters' tables is scaled by."""
    names = tuple(options.models or list_models(pretrained=True))
    size, *others = options.batch_sizes
    if options.simulated:
        seconds, scale, rounds, passes = 0.05, 0.01, 2, 2
    else:
        seconds = window_s(options.minutes, len(names) * len(options.batch_sizes))
        scale, rounds, passes = 1.0, 3, 50
    energy = plan_with(seconds, others)
    device = "cpu" if options.simulated else options.device
    config = BenchConfig(
        names, device=device, rounds=rounds, passes=passes, batch_sizes=(1, size), energy=energy
    )
    return config, scale


def measure(options: argparse.Namespace, meters: Meters) -> tuple[dict, Results, Journal]:
    """The tables of the meters, and the models' entries with their journal."""
    config, scale = plan_of(options)
    allocator = tune_process(None, config.device)
    with progress() as bar:
        on_gpu = [meter for meter in meters.meters if meter.component == "gpu"]
        works = make_works(config.device, torch.get_num_threads(), config.batch_size)
        try:
            table = measure_meters(on_gpu, works, scale, bar)
        except MeterError as error:  # the models can still be measured
            table = {"failed": str(error)}
        results, journal = run_benchmark(
            config,
            None,
            allocator=allocator,
            journal_path=options.out.with_name(f".{options.out.name}.journal"),
            test_log=options.out.with_name("test_scorings.jsonl"),
            meters=meters,
            on_step=bar,
        )
    seconds = config.energy.seconds if config.energy else None
    table |= {"device": config.device, "simulated": options.simulated, "window_s": seconds}
    return table, results, journal


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; returns the exit code."""
    options = parse(arguments)
    try:
        kept = read_results(options.out) if options.out.exists() else None
        meters = find_meters(options)
    except (ValueError, ResultsError) as error:
        print(f"gpu_meter: {error}", file=sys.stderr)
        return 2
    try:
        table, results, journal = measure(options, meters)
    finally:
        for meter in meters.meters:
            meter.close()
    write_text(options.table, json.dumps(table, indent=1, allow_nan=False) + "\n")
    write_results(options.out, kept.merged(results) if kept else results)
    journal.remove()
    print(markdown(table))
    print_results(results)
    print(f"written to {options.out} and {options.table}")
    return int(any(entry.error for entry in results.entries))


if __name__ == "__main__":
    sys.exit(main())
