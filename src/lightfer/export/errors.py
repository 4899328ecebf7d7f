"""What goes wrong in an export."""


class ExportError(Exception):
    """A file cannot be made or is not what it should be; the message says why. None was written."""
