"""lightfer rank: the Pareto front of a results file, and what time and energy go with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lightfer.report.rank import Difference


def rank(
    results: Annotated[Path, typer.Argument(help="A results file.")] = Path("results.json"),
    batch_size: Annotated[int, typer.Option(help="Whose times are ranked.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Rank the models of each machine by accuracy and time, with ties for what noise may explain.

    Then the rank correlation of multiply-adds, parameters and bytes with time, and of these and of
    time with measured energy, each with its interval.
    """
    import json
    from dataclasses import asdict

    from rich.table import Table

    from lightfer.cli.console import stdout
    from lightfer.report.choose import choose
    from lightfer.report.rank import correlations, energy_correlations, places
    from lightfer.report.tables import conditions
    from lightfer.results import read_results

    found = read_results(results)
    kinds = dict.fromkeys((e.environment, e.device, e.runtime, e.precision) for e in found.entries)
    console, groups = stdout(), []
    for kind in kinds:
        entries = [
            e for e in found.entries if (e.environment, e.device, e.runtime, e.precision) == kind
        ]
        standing, rhos = places(entries, batch_size), correlations(entries, batch_size)
        pick = choose(entries).pick if batch_size == 1 else None
        joules, refused = energy_correlations(entries, batch_size)
        groups.append(
            {
                "environment": kind[0],
                "device": kind[1],
                "runtime": kind[2],
                "precision": kind[3],
                "take": pick and pick.entry.model,
                "places": [asdict(p) for p in standing],
                "rank_correlation_with_time": {name: asdict(d) for name, d in rhos.items()},
                "rank_correlation_with_energy": {name: asdict(d) for name, d in joules.items()},
                "no_correlation_with_energy": refused,
            }
        )
        if as_json:
            continue
        caption = conditions(found.environments[kind[0]]) if kind[0] in found.environments else ""
        table = Table(
            "Model", f"batch {batch_size}, ms", "Top-1 %", "Accuracy against time",
            title=", ".join(kind[1:]), caption=caption, caption_justify="left",
        )  # fmt: skip
        for p in standing:
            t, a = p.latency_s, p.top1
            table.add_row(
                p.model,
                f"{1e3 * t.estimate:.2f} [{1e3 * t.low:.2f}, {1e3 * t.high:.2f}]",
                f"{100 * a.estimate:.2f} [{100 * a.low:.1f}, {100 * a.high:.1f}]",
                p.status,
            )
        console.print(table)
        lines = [f"take, without limits: {pick.entry.model} (lightfer choose)"] if pick else []
        lines += [f"{name} with time: {_rho(d)}" for name, d in rhos.items()]
        lines += [f"{name} with energy per image: {_rho(d)}" for name, d in joules.items()]
        lines += [f"no correlation with energy: {refused}"] if refused else []
        for line in lines:
            console.print(line, markup=False, highlight=False)
    if as_json:
        typer.echo(json.dumps(groups, indent=1, allow_nan=False))


def _rho(found: "Difference") -> str:
    i = found.interval
    return f"rho {i.estimate:.2f} [{i.low:.2f}, {i.high:.2f}], p {found.p:.2g} ({found.method})"
