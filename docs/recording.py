"""Draw what a command prints, as an SVG for the README and the pages.

    python docs/recording.py docs/figures/choose.svg lightfer choose --max-ms 1

The command is run as it stands. The picture is as wide as the widest table that was printed; longer
lines of text are wrapped.
"""

import os
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lightfer._files import write_text

WIDEST = 190  # columns of a table
TEXT = 100  # columns of other lines
FRAME = tuple("┏┃┡│└")  # what a line of a table begins with


def recording(command: list[str]) -> str:
    """The SVG. Raises CalledProcessError where the command fails."""
    done = subprocess.run(
        command,
        env={**os.environ, "COLUMNS": str(WIDEST)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    printed = Text.from_ansi(done.stdout.rstrip())
    widths = [
        min(line.cell_len, WIDEST if line.plain[:1] in FRAME else TEXT) for line in printed.split()
    ]
    console = Console(record=True, width=max(40, *widths), file=StringIO())
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    console.print(printed)
    svg = console.export_svg(title="lightfer")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fetched from elsewhere


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), recording(sys.argv[2:]))
