"""`python -m lightfer`, and the command `lightfer`.

`predict` and `--version` go by without typer and what else the other commands import: they start
quickly, and run where lightfer is installed without its dependencies.
"""

import errno
import os
import re
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from lightfer.cli.stop import Stoppable, Terminated
from lightfer.errors import FULL, MAKE_SPACE, ArgumentError, LightferError, one_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

NEEDED = ("typer", "rich", "msgspec")
WRONG = 2


class _Unheard(FileIO):
    """A stream of messages: where whoever read it is gone, the work goes on and they go nowhere."""

    def write(self, data: "Buffer", /) -> int | None:
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return super().write(data)


def main() -> None:
    """Run the command line of this process; see `run` and `lightfer.cli.stop`."""
    command = (sys.argv[1:2] or [""])[0]
    if any(argument.startswith("--executor") for argument in sys.argv[2:]) and command == "predict":
        command += " --executor"
    _open_closed_streams()
    _go_on_unheard("stderr")
    if command != "predict" or _asks_for_files(sys.argv):
        _go_on_unheard("stdout")  # else lines are what was asked for, and whoever left has enough
    with Stoppable(command):
        for stream in (sys.stdout, sys.stderr):  # a terminal of ASCII is no reason to fail
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        sys.exit(run(sys.argv[1:]))


def _open_closed_streams() -> None:
    """Streams that were closed (`>&-`): else the next file that is opened gets the number of one.

    What is read is empty, messages go nowhere; writing to standard output is an error, as ever.
    """
    for name, descriptor, flags in (
        ("stdin", 0, os.O_RDONLY),
        ("stdout", 1, os.O_RDONLY),
        ("stderr", 2, os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))


def _asks_for_files(arguments: list[str]) -> bool:
    """Of `predict`: whether more is written than lines on standard output."""
    to_stdout = "-" in arguments or "--out=-" in arguments
    files = ("--annotate",) if to_stdout else ("--out", "--annotate")
    return any(argument.startswith(files) for argument in arguments)


def _go_on_unheard(name: str) -> None:
    stream = getattr(sys, name)
    if isinstance(stream, TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
        raw = _Unheard(stream.fileno(), "w", closefd=False)
        again = TextIOWrapper(
            BufferedWriter(raw),
            stream.encoding,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, again)


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code.

    What is the user's to mend is one line on standard error and code 2, and so are faults of the
    system: no space, no permission, a file that went away. Only a fault of ours is a traceback.
    """
    try:
        Path.cwd()  # where there is none, torch ends the process in words of its own
        if any(re.fullmatch(r"(--[\w-]+=)?", argument) for argument in arguments):
            raise ArgumentError("an argument is empty: leave it out, or is a variable not set?")
        if any(re.fullmatch(r"(--[\w-]+=)?\s*[+-]?nan\s*", a, re.I) for a in arguments):
            raise ArgumentError("an argument is nan, expected a number; a file so called is ./nan")
        code = _command(arguments)
        sys.stdout.flush()
        return code
    except (LightferError, OSError) as error:
        return _ended(error)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lightfer"):
            raise
        only = "; without it only `lightfer predict` works" if error.name in NEEDED else ""
        if error.name == "torch":
            only = "; without it `lightfer bench` and `predict` work, and what reads results"
        return _ended(LightferError(f"{error.name} is not installed{only}: pip install lightfer"))
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return _ended(error.__context__)
        if isinstance(error, Terminated):
            raise
        return error.code if isinstance(error.code, int) else WRONG if error.code else 0


def _ended(error: Exception) -> int:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # what is left goes nowhere, else Python tries again at its end
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # whoever read the output has enough
        return 0
    text = str(error)
    if isinstance(error, OSError) and error.strerror and not isinstance(error, LightferError):
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        if error.errno in FULL:
            text += f"; {MAKE_SPACE}, and give the same command again"
        if text == os.strerror(errno.ENOENT):
            text = "the working folder was removed: change to another"
    with suppress(OSError):
        print(f"lightfer: {one_line(text)}", file=sys.stderr)
    return WRONG


def _command(arguments: list[str]) -> int:
    if arguments[:1] == ["predict"]:
        from lightfer.inference.predict.command import main as predict

        return predict(arguments[1:])
    if arguments == ["--version"]:
        import lightfer

        print(f"lightfer {lightfer.__version__}")
        return 0
    from lightfer.cli.main import app

    app(arguments, prog_name="lightfer")
    return 0


if __name__ == "__main__":
    main()
