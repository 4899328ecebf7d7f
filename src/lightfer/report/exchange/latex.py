"""The table of results in LaTeX, for the package booktabs.

Every string of a results file is escaped: none of it is read as a command.
"""

from lightfer.errors import one_line
from lightfer.report.cells import DASH, conditions
from lightfer.report.notes import training_notes
from lightfer.report.tables import table
from lightfer.results import Results
from lightfer.results.select import Times

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    DASH: "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(results: Results) -> str:
    """A `table` environment for each machine, with its conditions as the caption."""
    times = Times(results)
    parts = ["% needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs}"]
    for key, environment in results.environments.items():
        entries = [e for e in results.entries if e.environment == key]
        titles, rows = table(entries, times)
        parts += [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escaped(conditions(environment))}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
            r"    \toprule",
            f"    {_line(titles)}",
            r"    \midrule",
            *(f"    {_line(cells)}" for cells in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            *(f"% {one_line(note)}" for note in training_notes(entries, times, results.cards)),
            *(f"% {one_line(e.model)} failed: {one_line(e.error)}" for e in entries if e.error),
        ]
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(SPECIAL.get(c, c) for c in one_line(text))


def _line(cells: tuple[str, ...]) -> str:
    line = " & ".join(map(escaped, cells)) + r" \\"
    # Behind the end of the line before they would be an option of it.
    return "{}" + line if line.startswith(("[", "*")) else line
