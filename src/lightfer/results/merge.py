"""Many results files as one: of other machines, of visitors' browsers, of later runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lightfer._files import InputError
from lightfer.results.io import ResultsError, filled, read_results
from lightfer.results.schema import Entry, Environment, Results, WeightCard

OnStep = Callable[[str, int, int], None]


def merge(parts: Sequence[Results]) -> Results:
    """All entries once, in the order in which they first come.

    Of entries with the same id, which one device measured in several runs, that of the run that
    started last stays, whatever the order of the files.
    """
    newest: dict[str, tuple[str, Entry]] = {}
    environments: dict[str, Environment] = {}
    cards: dict[str, WeightCard] = {}
    for part in parts:
        for key, about in part.environments.items():
            if key not in environments or about.started >= environments[key].started:
                environments[key] = about
        for entry in part.entries:
            about = part.environments.get(entry.environment)
            started = about.started if about else ""
            if entry.id not in newest or started >= newest[entry.id][0]:
                newest[entry.id] = started, entry
        cards.update(part.cards)
    entries = tuple(entry for _, entry in newest.values())
    used = {entry.environment for entry in entries}
    kept = {key: about for key, about in environments.items() if key in used}
    return Results(environments=kept, entries=entries, cards=cards)


def merge_files(
    paths: Sequence[Path],
    on_step: OnStep = lambda text, done, of: None,
    *,
    passes: bool = True,
) -> tuple[Results, int]:
    """The content of files, and of the .json files in folders, as one; and how many files it was.

    `passes` is that of `read_results`.
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
    return merge(parts), len(files)


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
