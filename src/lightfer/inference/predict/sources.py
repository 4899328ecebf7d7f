"""From what stands on the command line to items: images, frames, or why there is none.

Nothing is opened before its turn, so a folder of any size needs the memory of its list of names.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightfer._files import never_ends
from lightfer.data.pictures import MAX_BYTES, NO_FILE, SUFFIXES, UNREAD, not_read
from lightfer.inference.predict.video import VIDEO_SUFFIXES, Item, frames

STDIN = "-"


def items_of(paths: Iterable[str], every: int = 1) -> Iterator[Item]:
    """The items of files, folders and `-`, in the order given, folders sorted by name.

    A file is a video if its suffix says so, otherwise an image, whatever it is called. Of a folder
    (and those in it, not hidden ones) files with the suffix of an image or a video are taken. Of a
    video every `every`-th frame. What cannot be used is an item with an error, and so is a picture
    in a folder whose suffix is of a form that is not read.
    """
    for path in paths:
        if path == STDIN:
            yield _standard_input()
            continue
        if os.path.isfile(path):  # noqa: PTH113
            yield from _opened(path, os.path.basename(path), every)  # noqa: PTH119
            continue
        try:
            is_folder = Path(path).is_dir()
        except OSError as error:  # as of a name that is too long
            yield Item(path, None, error=f"{error.strerror}", below="")
            continue
        if is_folder:
            yield from _folder(Path(path), every)
        else:
            yield from _file(path, Path(path).name, every)


def is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _file(path: str, below: str, every: int) -> Iterator[Item]:
    if error := why_unusable(path):
        yield Item(path, None, error=error, below=below)
    else:
        yield from _opened(path, below, every)


def _opened(path: str, below: str, every: int) -> Iterator[Item]:
    """Of a file that is there."""
    if is_video(path):
        yield from frames(path, every, below)
    else:
        yield Item(path, path, below=below)


def why_unusable(path: str) -> str | None:
    """Why there is no file to open; None where there is one."""
    if os.path.isfile(path):  # noqa: PTH113 - as nearly all are: one look at the disk, not four
        return None
    try:
        if not Path(path).exists():
            return "a link to nothing" if Path(path).is_symlink() else "no such file or folder"
        return NO_FILE if never_ends(path) else None
    except OSError as error:  # as of a folder on the way that is closed
        return f"cannot be read ({error.strerror})"


def _folder(folder: Path, every: int) -> Iterator[Item]:
    problems: list[OSError] = []
    found = 0
    for root, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if not name.startswith(".") and suffix in SUFFIXES | UNREAD | VIDEO_SUFFIXES:
                found += 1
                path = Path(root) / name
                below = str(path.relative_to(folder))
                if error := not_read(suffix):
                    yield Item(str(path), None, error=error, below=below)
                else:
                    yield from _file(str(path), below, every)
    for problem in problems:
        reason = f"folder cannot be read ({problem.strerror})"
        yield Item(str(problem.filename), None, error=reason)
    if not found and not problems:
        yield Item(str(folder), None, error="no image in it")


def _standard_input() -> Item:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return Item(STDIN, None, error=f"more than {MAX_BYTES:,} bytes: pass the file by its path")
    if not data:
        return Item(STDIN, None, error="nothing on standard input, expected an image")
    return Item(STDIN, data, below="stdin")
