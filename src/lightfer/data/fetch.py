"""Downloading FER2013 from Kaggle into the cache, where `find` finds it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightfer._files import cache_folder, write_bytes
from lightfer.data.dataset import DataError, Dataset
from lightfer.data.loading import FETCHED, load

HANDLE = "deadskull7/fer2013"
"""A copy of `fer2013.csv` on Kaggle, about 97 MB packed."""
BY_HAND = "Or download it in a browser from kaggle.com/datasets/{} and pass the zip as --data"


def fetch(handle: str = HANDLE) -> Dataset:
    """Download a Kaggle dataset with `kagglehub`, read it and remember where it lies.

    Nothing is remembered unless all three splits could be read. Raises DataError.
    """
    try:
        import kagglehub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(
            "kagglehub is not installed. Install it with: pip install 'lightfer[kaggle]'. "
            + BY_HAND.format(handle)
        ) from error
    with _kagglehub_cache():
        path = _download(kagglehub, handle)
    dataset = load(path)
    write_bytes(cache_folder() / FETCHED, os.fsencode(f"{path}\n"))
    return dataset


def _download(kagglehub, handle: str) -> Path:
    try:
        return Path(kagglehub.dataset_download(handle))
    # kagglehub passes on errors of requests (OSError) and raises own ones, of no common type.
    except Exception as error:
        raise DataError(f"{_reason(error, handle)} {BY_HAND.format(handle)}") from error


def _reason(error: Exception, handle: str) -> str:
    """What went wrong and what to do, in one or two sentences."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    kind = type(error).__name__
    text = " ".join(str(error).split())[:200]
    if status in (401, 403) or kind in ("UnauthenticatedError", "CredentialError"):
        return (
            f"Kaggle refused {handle} ({status or kind}). Create a token at kaggle.com/settings "
            "and put it into ~/.kaggle, or correct the one that is there, and accept the terms of "
            "the dataset on its page."
        )
    if status == 404:
        return f"Kaggle has no dataset {handle} (404). Check --handle, expected OWNER/NAME."
    if status is not None:
        return f"Kaggle answered {status} for {handle}. Try again later."
    if kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "SSLError"):
        return f"Kaggle cannot be reached ({kind}). Check the network connection and try again."
    return f"{handle} could not be downloaded ({kind}: {text})."


@contextmanager
def _kagglehub_cache() -> Iterator[None]:
    """Let kagglehub download into our cache, unless KAGGLEHUB_CACHE says where."""
    name = "KAGGLEHUB_CACHE"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(cache_folder() / "kagglehub")
    try:
        yield
    finally:
        del os.environ[name]
