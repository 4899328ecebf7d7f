"""lightfer bench: measure models on this machine and write results.json."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lightfer.runtimes import Runtime


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names or weight files; default: every model with shipped weights."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="FER2013 (file or folder), 'synthetic' or 'none'; default: found."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Results file to write.")] = Path("out/results.json"),
    append: Annotated[
        bool, typer.Option("--append", help="Keep what the file holds, add this machine.")
    ] = False,
    runtime: Annotated[
        list[str] | None,
        typer.Option(help="pytorch, compile, onnxruntime or openvino; repeatable."),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="float32, bfloat16 or int8; repeatable.")
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Every runtime and precision there is, more rounds."),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Separate visits to each model; default: 3 or 10.")
    ] = None,
    watts_per_thread: Annotated[
        float | None, typer.Option(help="Power of a busy thread, for the modelled energy.")
    ] = None,
) -> None:
    """Measure accuracy, time, operations, size and modelled energy of each model.

    Without FER2013 the accuracy is that of the weights' card, marked (ref). An interrupted run is
    continued by the same command. Runtimes beside PyTorch: pip install "lightfer[runtimes]".
    """
    from lightfer.benchmark import BenchConfig, run_benchmark
    from lightfer.cli.console import find_data, print_results, progress
    from lightfer.measure.energy import WATTS_PER_THREAD
    from lightfer.models import RACE
    from lightfer.process import tune_process
    from lightfer.results import read_results, write_results
    from lightfer.runtimes import RUNTIMES
    from lightfer.zoo import list_models

    kept = read_results(out) if append and out.exists() else None
    allocator = tune_process(threads, device)
    dataset = find_data(data, needed=("test",))
    every = ("float32", "bfloat16")
    if dataset and "train" in dataset.splits:  # what int8 is calibrated on
        every = (*every, "int8")
    config = BenchConfig(
        models=tuple(dict.fromkeys(models or list_models(pretrained=True) or RACE)),
        runtimes=tuple(runtime or (usable(RUNTIMES, device) if thorough else ("pytorch",))),
        precisions=tuple(precision or (every if thorough else ("float32",))),
        device=device,
        rounds=rounds or (10 if thorough else 3),
        passes=100 if thorough else 50,
        watts_per_thread=WATTS_PER_THREAD if watts_per_thread is None else watts_per_thread,
    )
    with progress() as bar:
        results, journal = run_benchmark(
            config,
            dataset,
            allocator=allocator,
            journal_path=out.with_name(f".{out.name}.journal"),
            test_log=out.with_name("test_scorings.jsonl"),
            on_step=bar,
        )
    everything = kept.merged(results) if kept else results
    write_results(out, everything)
    journal.remove()
    print_results(results)
    typer.echo(f"written to {out}")
    if any(entry.error for entry in results.entries):
        raise typer.Exit(1)


def usable(runtimes: "dict[str, Runtime]", device: str) -> list[str]:
    """The names of those that run here; the others are named on standard error, with the reason."""
    names = []
    for name, candidate in runtimes.items():
        reason = candidate.available()
        if device.partition(":")[0] not in candidate.devices:
            reason = f"not on {device}"
        if reason:
            typer.echo(f"without {name}: {reason}", err=True)
        else:
            names.append(name)
    return names
