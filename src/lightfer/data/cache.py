"""Decoded images kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """LIGHTFER_CACHE, else `lightfer` in XDG_CACHE_HOME or `~/.cache`. It may not exist yet."""
    if folder := os.environ.get("LIGHTFER_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lightfer"
