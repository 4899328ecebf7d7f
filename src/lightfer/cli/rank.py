"""lightfer rank: the Pareto front of a results file, and what time and energy go with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.report.rank import Difference

NOBODY = "no net is ranked: expected an accuracy and times of at least two rounds"


def rank(
    results: Annotated[Path, typer.Argument(help="A results file.")] = Path("results.json"),
    batch_size: Annotated[int, typer.Option(help="Whose times are ranked.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Rank the models of each machine by accuracy and time, with ties for what noise may explain.

    Then the rank correlation of multiply-adds, parameters and bytes with time, and of these and of
    time with measured energy, each with its interval.
    """
    from rich.table import Table

    from lightfer.cli.console import print_json, print_table, stdout
    from lightfer.report.cells import conditions, milliseconds
    from lightfer.report.choose import choose
    from lightfer.report.notes import time_note
    from lightfer.report.rank import correlations, energy_correlations, standings
    from lightfer.results import filled, read_results
    from lightfer.results.select import Times, by_variant, scored_alike

    found = filled(read_results(results, passes=False), results)
    sizes = sorted({t.batch_size for e in found.entries for t in e.latency})
    if batch_size not in sizes:
        there = ", ".join(map(str, sizes)) or "none"
        raise ArgumentError(f"{results} has no time at batch size {batch_size}: there are {there}")
    times, console, groups = Times(found), stdout(), []
    for kind, entries in by_variant(found.entries).items():
        failed = sorted({e.model for e in entries if e.error is not None})
        entries = [e for e in entries if e.error is None]
        standing, alike = standings(entries, times, batch_size), scored_alike(entries)
        other = sorted({e.model for e in entries if e.accuracy} - {e.model for e in alike})
        rhos = correlations(entries, times, batch_size)
        pick = choose(entries, times).pick if batch_size == 1 else None
        joules, refused = energy_correlations(entries, times, batch_size)
        groups.append(
            {
                **kind._asdict(),
                "take": pick and pick.name,
                "places": standing,
                "scored_on_others": other,
                "failed": failed,
                "rank_correlation_with_time": rhos,
                "rank_correlation_with_energy": joules,
                "no_correlation_with_energy": refused,
            }
        )
        if as_json:
            continue
        about = found.environments.get(kind.environment)
        is_corrected = any(row.corrected for row in standing)
        titles = [f"batch {batch_size}, ms", *(["raw ms"] if is_corrected else [])]
        table = Table(
            "Model", *titles, "Top-1 %", "Accuracy against time",
            title=", ".join(kind[1:]), caption=conditions(about) if about else "",
            caption_justify="left",
        )  # fmt: skip
        for s in standing:
            raw = [milliseconds(s.raw_latency_s)] if is_corrected else []
            top1 = f"{100 * s.top1.estimate:.2f} [{100 * s.top1.low:.1f}, {100 * s.top1.high:.1f}]"
            table.add_row(s.model, milliseconds(s.latency_s), *raw, top1, s.status)
        print_table(console, table)
        lines = [f"take, without limits: {pick.name} (lightfer choose)"] if pick else []
        lines += [time_note(is_corrected)] if standing else [NOBODY]
        lines += [f"scored on other images or labels, not ranked: {', '.join(other)}"] * bool(other)
        lines += [f"failed, not ranked: {', '.join(failed)}"] * bool(failed)
        lines += [f"{name} with time: {_rho(d)}" for name, d in rhos.items()]
        lines += [f"{name} with energy per image: {_rho(d)}" for name, d in joules.items()]
        lines += [f"no correlation with energy: {refused}"] if refused else []
        for line in lines:
            console.print(line)
    if as_json:
        print_json(groups)


def _rho(found: "Difference") -> str:
    from lightfer.report.cells import bounded

    return f"rho {bounded(found.interval, '.2f')}, p {found.p:.2g} ({found.method})"
