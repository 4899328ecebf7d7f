"""A queue's folder in one file, to take home or to continue on another machine: a plain zip.

Finished items go in as weights (their card is in the header), history and run.json; unfinished ones
with the state they continue from. Nothing is pickled; zip keeps a checksum of every file.
"""

import os
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightfer._files import atomic_path, check_input
from lightfer.data.members import MAX_RATIO, RATIO_FREE_BYTES
from lightfer.errors import FULL, LightferError
from lightfer.train.sweep.items import Item, is_odd, items_in, weights_of

_STATES = ("state.safetensors", "kept.safetensors")


class PackError(LightferError):
    """A pack cannot be used; the message says which, why, and what to do."""


def packed_files(folder: Path, items: Sequence[Item]) -> list[Path]:
    """What of `folder` goes into its pack: nothing that `unpack` would refuse."""
    files = [folder / "queue.toml", folder / "sessions.jsonl", *folder.glob("teachers/*")]
    for item in items:
        left_out = _STATES if weights_of(item, folder).exists() else ()
        found = sorted((folder / item.name).glob("*"))
        files += [path for path in found if path.name not in left_out]
    inside = (path for path in files if _is_inside(path.relative_to(folder).as_posix()))
    return [path for path in inside if path.is_file()]


def write_pack(path: Path, folder: Path, items: Sequence[Item]) -> None:
    """Write `folder` to the zip `path`, whole or not at all."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in packed_files(folder, items):
            archive.write(file, file.relative_to(folder).as_posix())


def unpack(path: Path, folder: Path) -> bool:
    """Make the queue's folder from a pack; False if `folder` continues the same queue already.

    Raises PackError for a damaged or foreign pack, and where `folder` holds something else or less.
    """
    with _opened(path) as archive:
        if not folder.exists():
            _extract(archive, folder)
            return True
        own = folder / "queue.toml"
        if not own.exists() or own.read_bytes() != archive.read("queue.toml"):
            raise PackError(
                f"{folder} is there and is not the queue of {path}: choose another folder with "
                f"--out, or go on with {own}"
            )
    check_known(path, folder)
    return False


def check_known(path: Path, folder: Path, listed: Collection[str] | None = None) -> None:
    """Raises PackError where a pack holds more of an item than `folder`, as after a session
    elsewhere, or something of one that is not `listed`, or cannot be read.
    """
    with _opened(path) as archive:
        pack = zipfile.Path(archive)
        items = items_in(archive.read("queue.toml").decode(errors="replace"), path)
        if more := [item.name for item in items if _reached(item, pack) > _reached(item, folder)]:
            raise PackError(
                f"{path} holds more of {', '.join(more)} than {folder}: rename {folder} and go on "
                f"with `lightfer queue {path}`, or choose another --pack"
            )
        begun = [item.name for item in items if any(_reached(item, pack))]
        if listed is not None and (left := [name for name in begun if name not in listed]):
            raise PackError(
                f"{path} holds {', '.join(left)}, which the list lacks: add them to it, or choose "
                "another --pack"
            )


def epochs_in(folder: Path | zipfile.Path) -> int:
    """That the history of an item holds, in its folder or in that of a pack."""
    path = folder / "history.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def _reached(item: Item, place: Path | zipfile.Path) -> tuple[bool, int]:
    """Whether an item is finished, and how many epochs it has."""
    weights = place / weights_of(item, Path()).as_posix()
    return weights.exists(), epochs_in(place / item.name)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A pack that may be unpacked. Raises PackError for any other file, and a damaged one."""
    check_input(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if any(info.flag_bits & 1 for info in infos):
                raise PackError(f"{path} is encrypted; unpack it first and pack it without")
            most = max(MAX_RATIO * path.stat().st_size, RATIO_FREE_BYTES)
            if sum(info.file_size for info in infos) > most:
                raise PackError(
                    f"{path} would unpack to more than {MAX_RATIO} times its size, as a zip bomb: "
                    "get it elsewhere"
                )
            names = archive.namelist()
            if "queue.toml" not in names or not all(map(_is_inside, names)):
                raise PackError(
                    f"{path} is not the pack of a queue, as `--pack` makes it: name another file"
                )
            yield archive
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise PackError(
            f"{path} cannot be unpacked: {error}. Copy it again, or name another file"
        ) from error


def _is_inside(name: str) -> bool:
    """Whether a member is a file of the folder, or of a folder in it, on every system."""
    parts = name.split("/")
    named = all(part and not part.startswith(".") for part in parts)
    return len(parts) <= 2 and named and not any(map(is_odd, name))


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Whole or not at all: beside `folder`, or what a link leads to, first, then renamed."""
    folder = Path(os.path.realpath(folder))
    place = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(place, ignore_errors=True)
    try:
        archive.extractall(place)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
