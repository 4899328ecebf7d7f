"""Many results files as one: of other machines, of visitors' browsers, of later runs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lightfer._files import InputError
from lightfer.results.io import ResultsError, filled, read_results
from lightfer.results.schema import Entry, Environment, Results, WeightCard

OnStep = Callable[[str, int, int], None]
SHOWN = 5  # names of entries in a line


def merge(parts: Sequence[Results]) -> Results:
    """All entries once, in the order in which they first come.

    Of entries with the same id, which one device measured in several runs, the one that is worth
    most stays, and of several such that of the run that started last, whatever the order of the
    files.
    """
    best: dict[str, tuple[tuple, Entry]] = {}
    environments: dict[str, Environment] = {}
    cards: dict[str, WeightCard] = {}
    for part in parts:
        for key, about in part.environments.items():
            if key not in environments or about.started >= environments[key].started:
                environments[key] = about
        for entry in part.entries:
            about = part.environments.get(entry.environment)
            rank = part.worth(entry), about.started if about else ""
            if entry.id not in best or rank >= best[entry.id][0]:
                best[entry.id] = rank, entry
        cards.update(part.cards)
    entries = tuple(entry for _, entry in best.values())
    used = {entry.environment for entry in entries}
    kept = {key: about for key, about in environments.items() if key in used}
    return Results(environments=kept, entries=entries, cards=cards)


def left_out(whole: Results, parts: Iterable[Results]) -> str:
    """What to say of entries of `parts` in whose place `whole` has ones that are worth more; empty
    if there are none.
    """
    worth = {entry.id: whole.worth(entry) for entry in whole.entries}
    ids = [e.id for part in parts for e in part.entries if part.worth(e) < worth[e.id]]
    if not ids:
        return ""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return (
        "left out, as they failed or are of a quick run, and there are better figures of the same "
        f"net in the same environment: {', '.join(ids[:SHOWN])}{more}"
    )


def merge_files(
    paths: Sequence[Path],
    on_step: OnStep = lambda text, done, of: None,
    say: Callable[[str], None] = lambda text: None,
    *,
    passes: bool = True,
) -> tuple[Results, int]:
    """The content of files, and of the .json files in folders, as one; and how many files it was.

    `passes` is that of `read_results`; `say` is told of entries that better ones took the place of.
    Raises ResultsError that names every file which cannot be read or holds no entry.
    """
    files = listed(paths)
    parts, faults = [], []
    for done, file in enumerate(files):
        on_step(file.name, done, len(files))
        try:
            parts.append(filled(read_results(file, passes=passes), file))
        except (ResultsError, InputError) as error:
            faults.append(str(error))
    if faults:
        raise ResultsError("; ".join(faults))
    merged = merge(parts)
    if text := left_out(merged, parts):
        say(text)
    return merged, len(files)


def listed(paths: Sequence[Path]) -> list[Path]:
    """The files, and the .json files in the folders, each once, without hidden ones. Raises
    ResultsError for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        files = sorted(_below(path)) if path.is_dir() else [path]
        if not files:
            raise ResultsError(f"{path}: no .json file in this folder, expected results files")
        found |= dict.fromkeys(files)
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.json"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and not path.is_dir():
            yield path
