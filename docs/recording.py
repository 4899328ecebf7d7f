"""Draw what a command prints, as an SVG for the README and the pages.

    python docs/recording.py docs/figures/choose.svg lightfer choose --max-ms 1

The command is run as it stands; the picture is what it left on a terminal of 120 columns.
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

COLUMNS = 120


def recording(command: list[str]) -> str:
    """The SVG. Raises CalledProcessError where the command fails."""
    done = subprocess.run(
        command,
        env={**os.environ, "COLUMNS": str(COLUMNS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    console.print(Text.from_ansi(done.stdout.rstrip()))
    svg = console.export_svg(title="lightfer")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fetched from elsewhere


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), recording(sys.argv[2:]))
