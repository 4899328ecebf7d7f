"""Whether a change may pass: for continuous integration, from what `compare` says."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightfer.report.cells import markdown_table, plain
from lightfer.report.changes import HEADER, row
from lightfer.report.compare import REFUSED, Change, Comparison


@dataclass(frozen=True)
class Limits:
    """What fails; None is not looked at."""

    slower: float | None = None  # a fraction of the time before
    accuracy: float | None = None  # a fraction of all images


@dataclass(frozen=True)
class Verdict:
    """What is significantly worse and beyond its limit, and what could not be told."""

    failed: tuple[Change, ...]
    refused: tuple[Change, ...]
    missing: tuple[str, ...]  # entries that only the first file has

    @property
    def code(self) -> int:
        """Of the command: 1 where something failed, 3 where something could not be told, else 0."""
        if self.failed:
            return 1
        return 3 if self.refused or self.missing else 0

    def sentence(self) -> str:
        """The verdict in words."""
        if self.code == 0:
            return "Passed: nothing is significantly worse and beyond its limit."
        parts = [f"{len(self.failed)} significantly worse and beyond the limit"] * bool(self.failed)
        parts += [f"{len(self.refused)} not comparable"] * bool(self.refused)
        parts += [f"{len(self.missing)} missing"] * bool(self.missing)
        return f"{'Failed' if self.failed else 'Undecided'}: {', '.join(parts)}."


def judge(found: Comparison, limits: Limits) -> Verdict:
    """Judge the times and accuracies of which a limit is given."""
    asked = {"time": limits.slower is not None, "accuracy": limits.accuracy is not None}
    of_interest = [c for c in found.changes if asked.get(c.kind)]
    refused = tuple(c for c in of_interest if c.verdict == REFUSED)
    return Verdict(
        failed=tuple(c for c in of_interest if _beyond(c, limits)),
        refused=refused,
        missing=found.only_in_a,
    )


def _beyond(change: Change, limits: Limits) -> bool:
    if change.verdict == "slower" and limits.slower is not None and change.ratio is not None:
        return change.ratio - 1 > limits.slower
    if change.verdict == "worse" and limits.accuracy is not None and change.difference is not None:
        return -change.difference > limits.accuracy
    return False


def markdown(found: Comparison, verdict: Verdict | None) -> str:
    """What changed, for the comment of a pull request: the verdict, what decided it, the rest."""
    lines = []
    if verdict:
        lines += [f"**{verdict.sentence()}**", ""]
        lines += _table(verdict.failed)
        lines += [f"- not comparable: {plain(_named(c))}: {plain(c.note)}" for c in verdict.refused]
        lines += [f"- missing: {plain(key)}" for key in verdict.missing]
        lines.append("")
    counted = f"All {len(found.changes)} rows"
    lines += [f"<details><summary>{counted}</summary>", "", *_table(found.changes)]
    refused: dict[str, dict[str, None]] = {}  # by reason, the nets
    for change in found.changes:
        if change.verdict == REFUSED:
            refused.setdefault(change.note, {})[change.model] = None
    for reason, models in refused.items():
        lines.append(f"- not comparable: {plain(', '.join(models))}: {plain(reason)}")
    lines += [f"- only in the first file: {plain(key)}" for key in found.only_in_a]
    lines += [f"- only in the second file: {plain(key)}" for key in found.only_in_b]
    lines += [f"- conditions: {plain(condition)}" for condition in found.conditions]
    lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _named(change: Change) -> str:
    return f"{change.model}, {change.kind}, {change.what}"


def _table(changes: Sequence[Change]) -> list[str]:
    return [*markdown_table(HEADER, map(row, changes), "---:"), ""] if changes else []
