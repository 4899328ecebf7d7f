"""What is the user's to mend. The command line prints it as one line; all else is a fault of ours.

Standard library only.
"""


class LightferError(Exception):
    """Base class: the message says what was found, what was expected, and what to do."""


class ArgumentError(LightferError, ValueError):
    """An option, an argument or a setting cannot be what it is."""
