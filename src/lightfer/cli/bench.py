"""lightfer bench: measure models on this machine and write results.json."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer._files import output_file
from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.bench.plan import Meters
    from lightfer.measure.energy import CpuModel
    from lightfer.results import GridIntensity, Waiting

MAPS_KEY = "ELECTRICITY_MAPS_KEY"
QUICK_S = 0.1  # of timed passes of each model, batch size and round, with --quick


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, weight files or package.module:function of your own; default: every "
            "model with shipped weights."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="FER2013 (file or folder), 'synthetic' or 'none'; default: found."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Another data set to score the same nets on, as rafdb:PATH; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option(parser=output_file, help="Results file to write.")] = Path(
        "out/results.json"
    ),
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add to what the file holds; figures there stay where these failed or are quick.",
        ),
    ] = False,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="pytorch, compile, onnxruntime, openvino or another package's; repeatable; "
            "default: pytorch, or onnxruntime where PyTorch is not installed."
        ),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="float32, bfloat16 or int8; repeatable.")
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Every runtime and precision there is, more rounds, blocks of energy.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="CPU threads; more make small nets no faster.")
    ] = 1,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Separate visits to each model; default: 5 to 15, --quick: 3 to 8.",
        ),
    ] = None,
    passes: Annotated[
        int,
        typer.Option(min=1, max=10**6, help="Timed passes of each model in each round, at least."),
    ] = 50,
    warm_up: Annotated[
        int, typer.Option(min=0, max=10**6, help="Passes in a group before timed ones.")
    ] = 10,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=65536, help="Images in a pass; repeatable; default: 1, 64; --quick: 1."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of the models in each round.")] = 0,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A first look: single images, a tenth of the time for each round, fewer "
            "rounds, one view.",
        ),
    ] = False,
    processes: Annotated[
        bool, typer.Option("--processes", help="Each model in each round in a fresh process.")
    ] = False,
    wait_quiet: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e5,
            help="Wait up to so many minutes in all for a quiet machine, before rounds and for "
            "repeating disturbed ones.",
        ),
    ] = 0.0,
    ten_crop: Annotated[
        bool, typer.Option("--ten-crop", help="Accuracy of ten crops, too; --thorough: yes.")
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Accuracy on test images made worse, too, in float32 and int8; --thorough: yes.",
        ),
    ] = False,
    energy_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e5, help="Read meters, in windows of so many seconds; --thorough: of 10."
        ),
    ] = None,
    power_log: Annotated[
        Path | None,
        typer.Option(
            help="Read energy from a log that nvidia-smi writes meanwhile; see docs/measuring.md."
        ),
    ] = None,
    clock_offset: Annotated[
        float,
        typer.Option(
            min=-1e9, max=1e9, help="Seconds by which the log's clock is ahead of this machine's."
        ),
    ] = 0.0,
    watts_per_thread: Annotated[
        float | None,
        typer.Option(min=0, max=1e4, help="Power of a busy thread, for the modelled energy."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            help="Country whose grid emits, as FRA; default: the world. "
            f"Electricity Maps is asked if {MAPS_KEY} is set."
        ),
    ] = None,
    intensity: Annotated[
        float | None, typer.Option(min=0, max=1e4, help="gCO2e per kWh, instead of a zone's.")
    ] = None,
    pue: Annotated[
        float,
        typer.Option(min=1, max=100, help="All power of the building over that of its computers."),
    ] = 1.0,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="Measure on every node of --executor, into one file.")
    ] = False,
    executor: Annotated[
        str | None,
        typer.Option(
            help="Of a fleet: ray[:ADDRESS], slurm, package.module:factory; default: pool, this "
            "machine."
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="Of slurm or a factory of your own; Ray knows how many it has."
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(help="Tells this machine from others of its kind, as node-2; not its name."),
    ] = None,
) -> None:
    """Measure accuracy, time, operations, size and energy of each model.

    Without FER2013 the accuracy is that of the weights' card, marked (ref). Without a meter, or if
    none is asked for, energy is modelled from time. An interrupted run is continued by the same
    command. Runtimes beside PyTorch: pip install "lightfer[runtimes]"; GPU meters: "[energy]".
    Where torch is not installed, shipped nets are measured in ONNX Runtime or OpenVINO.
    """
    options = dict(locals())

    from lightfer._files import check_writable, is_stream
    from lightfer.bench.case import EAGER, FULL
    from lightfer.bench.plan import NO_METERS, BenchConfig, each_once, variants
    from lightfer.bench.run import run_benchmark
    from lightfer.cli.console import (
        check_beside_data,
        find_data,
        keep_results,
        load_data,
        print_results,
        progress,
    )
    from lightfer.inference.backends import list_runtimes
    from lightfer.measure.energy import EnergyPlan
    from lightfer.measure.process import torch_installed, tune_process, usable_cores
    from lightfer.results import published_counts, read_results
    from lightfer.results.schema import NODE

    check_writable(out)
    beside = Path("out/results.json") if is_stream(out) else out  # of the journal and the log
    test_log = beside.with_name("test_scorings.jsonl")
    check_beside_data((out, test_log), [*(models or ()), *(also or ()), power_log], data)
    if append and is_stream(out):
        raise ArgumentError(
            f"--append keeps what a file holds, and {out} is not a file: leave it out"
        )
    if append and out.exists():
        read_results(out)  # that it can be read is known before the work
    if not fleet and (executor or nodes):
        raise ArgumentError("--executor and --nodes are of a fleet: add --fleet, or leave them out")
    if node and (fleet or not re.search(NODE, node)):
        why = (
            "--fleet names its nodes itself" if fleet else "expected node- and a number or letters"
        )
        raise ArgumentError(f"--node {node}: {why}")
    if fleet:
        from lightfer.cli.fleet import run_fleet

        raise typer.Exit(run_fleet(bench, options, beside, test_log))
    if clock_offset and power_log is None:
        raise ArgumentError("--clock-offset is of a --power-log: give it, or leave this out")
    if threads > usable_cores():
        raise ArgumentError(f"--threads {threads}: only {usable_cores()} cores can be used here")
    allocator = tune_process(threads, device)
    asked = thorough or energy_seconds is not None or power_log is not None
    meters = find_meters(device, power_log, clock_offset) if asked else NO_METERS
    dataset = find_data(data, needed=("test",))
    if also and dataset is None:
        raise ArgumentError("--also adds data sets to --data, and none is found: give --data")
    if dataset is None and (ten_crop or robustness):
        asked_for = "--ten-crop" if ten_crop else "--robustness"
        raise ArgumentError(f"{asked_for} scores test images, and no data is found: give --data")
    if set(precision or ()) == {"int8"} and not (dataset and "train" in dataset.splits):
        lacks = "with PyTorch, and torch is not installed: pip install torch"
        if torch_installed():
            lacks = "on train images, and none are found: give --data"
        raise ArgumentError(f"int8 is calibrated {lacks}")
    others = [load_data(source, needed=("test",), only_needed=True) for source in also or ()]
    every = ("float32", "bfloat16") if thorough and knows_bfloat16(device) else ("float32",)
    if dataset and "train" in dataset.splits:  # what int8 is calibrated on
        every = (*every, "int8")
    models = [weights.key for weights in each_once(models or published_counts())]
    config = BenchConfig(
        models=tuple(models),
        runtimes=tuple(
            runtime or (usable(list_runtimes(), device) if thorough else [default_runtime()])
        ),
        precisions=tuple(precision or (every if thorough else ("float32",))),
        device=device,
        rounds=rounds or default_rounds(len(models), thorough, quick),
        seconds=QUICK_S if quick else 1.0,
        passes=passes,
        warmup=warm_up,
        batch_sizes=tuple(batch_size or ((1,) if quick else (1, 64))),
        seed=seed,
        quick=quick,
        processes=processes,
        wait_quiet=wait_quiet,
        views=("flip", "ten-crop") if thorough or ten_crop else () if quick else ("flip",),
        robustness=thorough or robustness,
        cpu_model=power_of_thread(watts_per_thread, device),
        intensity=grid(zone, intensity),
        pue=pue,
        energy=EnergyPlan(seconds=energy_seconds or 10.0, batch_sizes=(1,)) if asked else None,
    )
    measured = variants(config)
    if ten_crop and (EAGER, FULL) not in measured:
        raise ArgumentError("--ten-crop is of eager PyTorch in float32: add both, or leave it out")
    if robustness and {precision for _, precision in measured} == {"bfloat16"}:
        raise ArgumentError("--robustness is of float32 and int8: add one, or leave it out")
    if config.energy and meters.meters:
        cases = len(config.models) * len(measured) * (1 + len(config.energy.batch_sizes))
        minutes = config.energy.least_s(cases) / 60
        typer.echo(f"energy: at least {minutes:.1f} minutes of windows", err=True)
    try:
        with progress() as bar:
            results, journal = run_benchmark(
                config,
                dataset,
                allocator=allocator,
                journal_path=beside.with_name(f".{beside.name}.journal"),
                test_log=test_log,
                meters=meters,
                also=others,
                node=node,
                on_step=bar,
                on_record=lambda text: typer.echo(text, err=True),
            )
    finally:
        for meter in meters.meters:
            meter.close()
    keep_results(out, results, append=append)
    journal.remove()
    if journal.other:
        typer.echo(
            f"{journal.other} holds another, unfinished run and stays: its command goes on with "
            "it, on the same cores and with the same OMP_ and MKL_ variables; delete the file if "
            "you do not want that",
            err=True,
        )
    print_results(results, err=is_stream(out))
    for environment in results.environments.values():
        if environment.protocol and environment.protocol.waiting:
            typer.echo(waited(environment.protocol.waiting), err=is_stream(out))
    if quick:
        typer.echo(
            f"a quick look, marked so in the file: {QUICK_S} s for each time and round, not 1 s",
            err=is_stream(out),
        )
    typer.echo(f"written to {out}", err=is_stream(out))
    if any(entry.error for entry in results.entries):
        raise typer.Exit(1)


def waited(waiting: "Waiting") -> str:
    """What waiting for a quiet machine brought."""
    text = (
        f"waited {waiting.waited_s / 60:.1f} of {waiting.minutes:g} minutes for a quiet machine; "
        f"disturbed rounds measured again: {waiting.repeated}, left: {waiting.disturbed}"
    )
    return text + ("; gave up waiting" if waiting.gave_up else "")


def default_runtime() -> str:
    """PyTorch; where that is not installed, the first runtime that is and does without."""
    from lightfer.inference.backends import RUNTIMES

    return next((name for name in RUNTIMES if not RUNTIMES[name].unusable()), "pytorch")


def default_rounds(models: int, thorough: bool, quick: bool) -> int:
    """Few models are visited more often: it takes them no longer, and steadies their figures."""
    if models < 3:
        return 8 if quick else 15
    return max(3, 24 // models) if quick else max(10 if thorough else 5, 36 // models)


def find_meters(device: str, power_log: Path | None, clock_offset_s: float) -> "Meters":
    """What can be read here; said on standard error, with the reasons of what cannot."""
    from lightfer.bench.plan import Meters
    from lightfer.measure.energy import open_meters

    meters, reasons = open_meters(device, power_log, clock_offset_s)
    for meter in meters:
        typer.echo(f"energy of {meter.component}: {meter.source} ({meter.method})", err=True)
    for component, reason in reasons.items():
        typer.echo(f"energy of {component} not measured: {reason}", err=True)
    return Meters(meters, reasons, None if power_log is None else clock_offset_s)


def power_of_thread(watts: float | None, device: str) -> "CpuModel":
    """What was given, else what is known of this processor; for CPU runs only."""
    from lightfer.measure.energy import ASSUMED, CpuModel, cpu_model

    if watts is not None:
        return CpuModel(watts, "given with --watts-per-thread")
    return cpu_model() if device == "cpu" else ASSUMED


def grid(zone: str | None, g_co2e_per_kwh: float | None) -> "GridIntensity":
    """The carbon intensity that was asked for; the world's without any."""
    from lightfer.measure.carbon import WORLD, find_intensity
    from lightfer.results import GridIntensity

    if g_co2e_per_kwh is not None:
        return GridIntensity(
            g_co2e_per_kwh=g_co2e_per_kwh, zone=zone or "not named", year=None, source="given"
        )
    return WORLD if zone is None else find_intensity(zone, os.environ.get(MAPS_KEY))


def knows_bfloat16(device: str) -> bool:
    """Whether it is measured unasked; that it is not is said on standard error."""
    from lightfer.measure.process import computes_bfloat16

    if computes_bfloat16(device):
        return True
    typer.echo(
        "without bfloat16: this processor has no instructions for it and takes many times as "
        "long; --precision bfloat16 measures it",
        err=True,
    )
    return False


def usable(runtimes: Sequence[str], device: str) -> list[str]:
    """The names of those that run here; the others are named on standard error, with the reason."""
    from lightfer.inference.backends import runtime_of

    names = []
    for name in runtimes:
        candidate = runtime_of(name)
        reason = candidate.unusable()
        if device.partition(":")[0] not in candidate.devices:
            reason = f"not on {device}"
        if reason:
            typer.echo(f"without {name}: {reason}", err=True)
        else:
            names.append(name)
    return names
