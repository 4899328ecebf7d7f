"""Draw what a command prints, as an SVG for the README and the pages.

    python docs/recording.py docs/figures/choose.svg lightfer choose --max-ms 1

The command is run as it stands, and the picture is as wide as what it printed, at most `WIDEST`.
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

WIDEST = 190  # columns


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
    width = max(40, *(line.cell_len for line in printed.split()))
    console = Console(record=True, width=min(width, WIDEST), file=StringIO())
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    console.print(printed)
    svg = console.export_svg(title="lightfer")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fetched from elsewhere


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), recording(sys.argv[2:]))
