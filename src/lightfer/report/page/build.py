"""The page from its template, style and scripts, all inside one file.

The content policy in the head names the hashes of the one style and the one script, and forbids
everything else: the page cannot send or load anything, whatever a results file holds.
"""

import base64
import hashlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from lightfer._files import PACKAGE
from lightfer.errors import ArgumentError
from lightfer.report.cells import DASH, noise_reasons, threads
from lightfer.report.devices import fleets
from lightfer.report.notes import training_notes
from lightfer.report.page.data import as_script, page_data
from lightfer.report.tables import table
from lightfer.report.thesis import findings
from lightfer.results import Entry, Environment, Results
from lightfer.results.select import Times

SCRIPTS = (
    "model",
    "rank",
    "chart",
    "table",
    "card",
    "detail",
    "machines",
    "answer",
    "theme",
    "app",
)  # in this order
MOST_PLAIN = 60  # rows of the table for readers without scripts
MISSING = 'the page needs Jinja: pip install "lightfer[report]"'


def page(
    results: Results,
    on_step: Callable[[str, int, int], None] = lambda text, done, of: None,
    opening: str = "",
) -> str:
    """The HTML of the whole report. Raises ValueError if Jinja is not installed.

    `on_step(text, done, of)` reports progress: thousands of entries take some seconds. `opening` is
    a script that runs before the page's own and may change its data: as times are still to come
    then, nothing is claimed of the thesis.
    """
    try:
        from jinja2 import Environment as Templates
        from jinja2 import StrictUndefined
    except ImportError as error:
        raise ArgumentError(MISSING) from error
    from markupsafe import Markup

    templates = Templates(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = _read("page.css")
    scripts = [opening, "\n".join(_read(f"{s}.js") for s in SCRIPTS)]
    script = "".join(f"(() => {{\n'use strict';\n{text}}})();\n" for text in scripts if text)
    on_step("intervals", 0, 3)
    times = Times(results)
    data = as_script(page_data(results, times))
    on_step("thesis", 1, 3)
    cards = [] if opening else findings(results, times)
    on_step("page", 2, 3)
    html = templates.from_string(_read("page.html.j2")).render(
        policy=Markup(_policy(style, script)),
        style=Markup(style),
        script=Markup(script),
        data=Markup(data),
        findings=cards,
        fleets=fleets(results, times),
        machines=[_machine(*item) for item in results.environments.items()],
        trainings=_trainings(results, times),
        plain=_plain(results, times) if len(results.entries) <= MOST_PLAIN else [],
        subtitle=_subtitle(results),
        version=version("lightfer"),
        schema=results.schema,
    )
    return html.encode("utf-8", "replace").decode()


def _read(name: str) -> str:
    return (PACKAGE / "report/page" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; base-uri 'none'; form-action 'none'"
    )


def _subtitle(results: Results) -> str:
    models = len({entry.model for entry in results.entries})
    machines = len(results.environments)
    labels = sorted({e.data.label for e in results.environments.values() if e.data})
    days = sorted({e.started[:10] for e in results.environments.values()} - {""})
    parts = [_count(models, "model"), _count(machines, "machine"), *labels]
    if days:
        parts.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _machine(key: str, environment: Environment) -> dict[str, Any]:
    noise = environment.noise
    software = [f"Python {environment.python}"]
    software += [f"{name} {text}" for name, text in environment.versions.items()]
    memory = environment.memory_bytes
    return {
        "key": key,
        "name": ", ".join(filter(None, (environment.gpu, environment.cpu, environment.node))),
        "verdict": noise.verdict if noise else "unknown",
        "reasons": noise_reasons(environment),
        "size": f"{environment.cores} cores, {threads(environment.threads)}"
        + (f", {memory / 2**30:.0f} GiB" if memory else "")
        + "".join(f", {name}" for name in environment.instructions),
        "system": f"{environment.system}; allocator: {environment.allocator}",
        "software": ", ".join([*software, f"code {environment.code}"]),
        "data": environment.data.label if environment.data else DASH,
        "date": environment.started[:10],
        "command": environment.command,
    }


def _trainings(results: Results, times: Times) -> list[str]:
    """Several trainings of one net: mean and spread, by machine where there are several."""
    entries: dict[str, list[Entry]] = {}
    for entry in results.entries:
        entries.setdefault(entry.environment, []).append(entry)
    return [
        f"{key}: {note}" if len(entries) > 1 else note
        for key, same in entries.items()
        for note in training_notes(same, times, results.cards)
    ]


def _plain(results: Results, times: Times) -> list[dict[str, Any]]:
    """The table for readers without scripts, by environment."""
    groups = []
    for key in dict.fromkeys(entry.environment for entry in results.entries):
        entries = [entry for entry in results.entries if entry.environment == key]
        titles, rows = table(entries, times)
        cells = [
            (*line[:-1], f"failed: {e.error}" if e.error else line[-1])
            for e, line in zip(entries, rows, strict=True)
        ]
        groups.append({"title": key, "header": titles, "rows": cells})
    return groups
