"""What is the user's to mend. The command line prints it as one line; all else is a fault of ours.

Standard library only.
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a place that takes no more."""
MAKE_SPACE = "free some space, or choose another place"


def one_line(text: str) -> str:
    """A text that may hold names of a stranger's, for a terminal: without line breaks, and with
    control characters, which could move its cursor or pass for ours, as escapes.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


LONGEST = 2000  # characters of a message


class LightferError(Exception):
    """Base class: the message says what was found, what was expected, and what to do; of what was
    found no more than a person would read.
    """

    def __str__(self) -> str:
        text = super().__str__()
        half = LONGEST // 2
        return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


class ArgumentError(LightferError, ValueError):
    """An option, an argument or a setting cannot be what it is."""
