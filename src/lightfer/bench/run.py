"""The main flow: steps, a journal of what they measured, and one entry per model.

    for each step of the plan: measure it, write it down
    -> entries -> results.json

A model in another runtime or precision is a case of its own, with an entry of its own. Rounds
visit the cases in random order, each for a block of warmed passes, beside a block of the
yardstick: changing at every pass would halve a runtime's speed. A float32 runtime whose logits
agree with eager PyTorch's takes over its accuracy, and says so; any other is scored itself.

Each record goes to the journal as soon as it is measured, so an interrupted run continues where it
was; a model that fails becomes an entry with its error, and the others go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from lightfer._files import OutputError, stop_asked
from lightfer.bench.case import (
    EAGER,
    Case,
    accuracy_of,
    batch_work,
    compared,
    load_case,
    this_many,
    visit_case,
)
from lightfer.bench.entry import entry_of, with_energy
from lightfer.bench.journal import Block, Failed, Journal, Record, Round, Static
from lightfer.bench.plan import (
    NO_METERS,
    BenchConfig,
    Meters,
    Step,
    each_once,
    fingerprint,
    steps,
    variants,
)
from lightfer.bench.quiet import Quiet
from lightfer.data.dataset import IMAGE_SIZE, Dataset
from lightfer.errors import FULL as NO_SPACE
from lightfer.executors import open_executor
from lightfer.inference.backends import Loaded
from lightfer.measure.energy import TEST_IMAGES, EnergyPlan, measure_block, measure_ticks, slowest
from lightfer.measure.environment import (
    describe_environment,
    environment_id,
    run_id,
    without_folders,
)
from lightfer.measure.gpu import GpuWatch
from lightfer.measure.latency import Images, time_decoding
from lightfer.measure.noise import Watched, advanced, snapshot, verdict, watch
from lightfer.measure.process import look_no_more, looked_once, torch_installed, tune_process
from lightfer.measure.yardstick import Yardstick, description, of_passes
from lightfer.results import Data, Results, WeightCard
from lightfer.results.select import Times

LOOK_S = 0.1  # at the yardstick, while waiting for a quiet machine
QUICK_IMAGES = 64  # that are classified in each round
COMPARED = 64  # images whose logits are held against eager PyTorch's
TRIES = {"static": 1, "round": 2, "energy": 1}  # of a step, before its error is written down


@looked_once()
def run_benchmark(
    config: BenchConfig,
    data: Dataset | None,
    *,
    allocator: str,
    journal_path: Path,
    test_log: Path,
    meters: Meters = NO_METERS,
    also: Sequence[Dataset] = (),
    node: str | None = None,
    on_step: Callable[[str, int, int], None] = lambda text, done, of: None,
    on_record: Callable[[str], None] = lambda text: None,
) -> tuple[Results, Journal]:
    """Measure every model; returns the results and the journal, to be removed once they are kept.

    Without `data` the accuracy is that of each card, marked `reference`. A journal left by an
    interrupted run of the same configuration, code, machine and data is continued. `meters` are
    read if `config.energy` is a plan. `also` are other data sets whose test split the same nets are
    scored on; their accuracies stand beside that on `data`, by the set's name and hash. `node`
    tells this machine from others of its kind. `on_step(text, done, of)` reports progress,
    `on_record(text)` each model's first figures as soon as they are measured, and what failed.

    Raises ValueError or CheckpointError for a model that does not exist and a runtime that cannot
    be used, before anything runs.
    """
    models = each_once(config.models)
    cases = [Case(model, *variant) for variant in variants(config) for model in models]
    before, gpu = snapshot(), GpuWatch(config.device)
    environment = describe_environment(
        data=_describe(data), allocator=allocator, device=config.device, node=node
    )
    known = fingerprint(config, cases, environment, meters, also)
    journal = Journal(journal_path, known, environment)
    bench = _Bench(config, data, also, environment.threads, journal, test_log, meters)
    told = [0, 0]
    quiet = None
    if config.wait_quiet or any(
        len(p.rounds) > config.rounds - len(p.failed_rounds) for p in journal.pieces.values()
    ):
        quiet = Quiet(config.wait_quiet, bench.look, lambda text: on_step(text, *told))
        quiet.take_up(cases, journal, config.rounds)
    watched: list[Watched] = []  # beside blocks of energy; rounds have theirs, accuracy needs none
    for step, *told in steps(config, cases, meters, journal, quiet):
        waited_s = quiet.waited_s if quiet else 0.0
        if quiet and quiet.minutes and step.kind == "round":
            quiet.wait(step.case.runtime)
            waited_s = quiet.waited_s - waited_s
        on_step(f"{step.case.weights.name}, {step.case.variant}: {step.text}", *told)
        start = snapshot()
        record = bench.attempt(step)
        meanwhile = watch(start, snapshot())
        if isinstance(record, Round):
            record = msgspec.structs.replace(record, watched=meanwhile, waited_s=waited_s)
        elif step.kind == "energy":
            watched.append(meanwhile)
        if quiet and step.again:
            quiet.again_s += meanwhile.seconds
            if isinstance(record, Failed):  # the round itself is there
                quiet.failed.add(step.case.journal_key)
                continue
        journal.append(step.case.journal_key, record)
        if text := _first_figures(step.case, record, journal):
            on_record(text)
        gpu.look()

    protocol = config.protocol()
    if quiet:
        waiting = quiet.settle(cases, journal, config.rounds)
        protocol = msgspec.structs.replace(protocol, waiting=waiting)
    rounds = [journal.pieces[case.journal_key].rounds for case in cases]
    watched += [r.watched for visits in rounds for r in visits if r.watched]
    noise = verdict(
        before,
        advanced(before, snapshot(), watched),
        [[r.timed[0].samples_s for r in visits] for visits in rounds],
        _machine_states(cases, rounds),
        gpu=gpu.noise(),
    )
    environment = msgspec.structs.replace(
        journal.environment, noise=noise, yardstick=description(), protocol=protocol
    )
    machine, key = environment_id(journal.environment), run_id(environment)
    decoding_s = time_decoding(bench.images) if data else None
    entries = [
        entry_of(case, journal, machine, key, config, len(bench.images), decoding_s)
        for case in cases
    ]
    times = Times(Results(environments={key: environment}, entries=tuple(entries)))
    entries = [
        with_energy(entry, case, journal, config, times.all_images(entry), meters, bench.ticks)
        for entry, case in zip(entries, cases, strict=True)
    ]
    cards = {
        m.sha256: WeightCard.of(msgspec.to_builtins(m.card)) for m in models if m.sha256 and m.card
    }
    return Results(environments={key: environment}, entries=tuple(entries), cards=cards), journal


class _Bench:
    """What the steps of one run share, and how each is done."""

    def __init__(
        self,
        config: BenchConfig,
        data: Dataset | None,
        also: Sequence[Dataset],
        threads: int,
        journal: Journal,
        test_log: Path,
        meters: Meters,
    ) -> None:
        self.config, self.data, self.also, self.threads = config, data, also, threads
        self.journal, self.test_log, self.meters = journal, test_log, meters
        images = data["test"].images if data else _random_images(TEST_IMAGES, IMAGE_SIZE)
        self.images = self._classified(images)
        self.sized = {IMAGE_SIZE: (data, tuple(also), self.images)}
        self.yardsticks: dict[str, Yardstick] = {}
        self.loaded: dict[str, Loaded] = {}  # kept over the rounds: exporting takes seconds

    def look(self, runtime: str) -> float:
        """Seconds of a pass of the yardstick at this moment."""
        return of_passes(self._yardstick(runtime).time(1, LOOK_S))

    @cached_property
    def ticks(self) -> dict[str, float]:
        """Of each counter, in seconds, if any is read."""
        return measure_ticks(self.meters.meters) if self.config.energy else {}

    def attempt(self, step: Step) -> Record:
        """What the step measured, or its error: one model's failure must not lose the others, nor
        one round's the other rounds. A full disk is no model's, and ends the run.
        """
        tries = TRIES[step.kind]
        while True:
            try:
                return self._measure(step)
            except Exception as error:
                full = isinstance(error, OutputError) or getattr(error, "errno", None) in NO_SPACE
                if full or stop_asked.is_set():
                    raise
                tries -= 1
                if not tries:
                    text = without_folders(f"{type(error).__name__}: {error}")
                    return Failed(kind=step.kind, error=text)

    def _measure(self, step: Step) -> Record:
        config, case = self.config, step.case
        data, _, images = self._at_size(case.size)
        if step.kind == "round" and config.processes:
            needed = data if case.precision == "int8" else None  # which is calibrated on it
            with open_executor("pool", Path(), workers=1)[0] as fresh:
                return fresh.submit(_apart, case, images, needed, self.threads, config).result()
        run = self._load(case)
        if step.kind == "round":
            if run.reopen:
                run = self.loaded[case.journal_key] = run.reopen()
            yardstick = self._yardstick(case.runtime)
            return visit_case(run, yardstick, images, config.device, config.protocol())
        if step.kind == "static":
            return self._once(case, run)
        plan, meters = config.energy or EnergyPlan(), self.meters.meters
        block = measure_block(
            batch_work(run, images, device=config.device, batch_size=step.batch_size),
            meters,
            plan.seconds,
            idle_s=plan.idle_share * plan.seconds,
            align_to=slowest(meters, self.ticks),
        )
        return Block(batch_size=step.batch_size, block=block)

    def _once(self, case: Case, run: Loaded) -> Static:
        """Size, operations, the logits compared with eager PyTorch's, and accuracy."""
        config, (data, also, images) = self.config, self._at_size(case.size)
        counts, difference = compared(case, run, images[:COMPARED], config.device)
        eager = self.journal.pieces[replace(case, runtime=EAGER).journal_key].static
        accuracy, other, of = accuracy_of(
            case, run, data, eager, difference, config.views, config.robustness, also, self.test_log
        )
        return Static(
            params=counts.params,
            macs=counts.macs,
            work=counts.work,
            settings=run.settings if run.reopen else {**run.settings, "opened": "once"},
            deployed_bytes=run.deployed_bytes,
            logit_difference=difference,
            load_s=run.load_s,
            accuracy=accuracy,
            accuracy_other=other,
            accuracy_of=of,
        )

    def _yardstick(self, runtime: str) -> Yardstick:
        if runtime not in self.yardsticks:
            self.yardsticks[runtime] = Yardstick(runtime, self.config.device, self.threads)
            self.yardsticks[runtime].time(1, 0.0)
        return self.yardsticks[runtime]

    def _load(self, case: Case) -> Loaded:
        if (key := case.journal_key) not in self.loaded:
            data = self._at_size(case.size)[0]
            self._yardstick(case.runtime)  # what the runtime's start takes is in no net's `load_s`,
            if torch_installed():
                case.weights.build(self.config.device)  # nor are imports of the net's own
            self.loaded[key] = load_case(case, self.config.device, self.threads, data)
            look_no_more()
        return self.loaded[key]

    def _at_size(self, size: int) -> tuple[Dataset | None, tuple[Dataset, ...], Images]:
        """The data, the other data sets and the images that are timed, as many of any size."""
        if size not in self.sized:
            if self.data is None:
                self.sized[size] = None, (), _random_images(len(self.images), size)
                return self.sized[size]
            from lightfer.data.loading import at_size

            data, also = at_size(self.data, size), tuple(at_size(of, size) for of in self.also)
            self.sized[size] = data, also, self._classified(data["test"].images)
        return self.sized[size]

    def _classified(self, images: Images) -> Images:
        """Those that are timed all at once: a whole batch at least, going round."""
        images = images[:QUICK_IMAGES] if self.config.quick else images
        few = len(images) < self.config.batch_size
        return this_many(images, self.config.batch_size) if few else images


def _apart(
    case: Case, images: Images, data: Dataset | None, threads: int, config: BenchConfig
) -> Round:
    """One case's round in a fresh process, which loads the net anew."""
    tune_process(threads, config.device)
    run = load_case(case, config.device, threads, data)
    yardstick = Yardstick(case.runtime, config.device, threads)
    return visit_case(run, yardstick, images, config.device, config.protocol())


def _first_figures(case: Case, record: Record, journal: Journal) -> str | None:
    """What a record says of its case for the first time, or that it failed; None: nothing new."""
    match record:
        case Failed():
            what = f"failed: {record.error}"
        case Static():
            top1 = ""
            if of := record.accuracy:
                mark = " (ref)" if of.source == "reference" else ""
                top1 = f"top-1 {100 * of.top1:.2f} %{mark}, "
            flops = 2 * record.macs / 1e6
            what = f"{top1}{record.params / 1e6:.3f} M parameters, {flops:.1f} M FLOPs"
        case Round() if len(journal.pieces[case.journal_key].rounds) == 1:
            timed = record.timed[0]
            ms = 1000 * median(timed.samples_s) / timed.batch_size
            what = f"{ms:.3g} ms an image at batch {timed.batch_size}, in the first round"
        case _:
            return None
    return f"{case.weights.name}, {case.variant}: {what}"


def _machine_states(cases: Sequence[Case], rounds: Sequence[Sequence[Round]]) -> list[list[float]]:
    """Of each case's rounds the time of the yardstick, over the least in that runtime."""
    beside = [[r.timed[0].yardstick_s for r in visits] for visits in rounds]
    least: dict[str, float] = {}
    for case, seconds in zip(cases, beside, strict=True):
        least[case.runtime] = min((*seconds, least.get(case.runtime, float("inf"))))
    return [[s / least[c.runtime] for s in each] for c, each in zip(cases, beside, strict=True)]


def _describe(data: Dataset | None) -> Data | None:
    if data is None:
        return None
    hashes = {name: split.sha256() for name, split in data.splits.items()}
    return Data(name=data.name, label=data.label, verified=data.verified, sha256=hashes)


def _random_images(count: int, size: int) -> Images:
    """Noise in place of faces: a convolution takes as long on any pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (count, 1, size, size), np.uint8)
    if not torch_installed():
        return noise
    import torch

    return torch.from_numpy(noise)
