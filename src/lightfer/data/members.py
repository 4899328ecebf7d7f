"""The files of a source: one file, the files below a folder, or the members of a zip.

A zip is never extracted: its members are read one at a time, after checks on their number, size,
compression and names, so that neither a bomb nor a path that climbs out can do harm.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lightfer.data.dataset import DataError

MAX_FILES = 1_000_000
MAX_DEPTH = 6
MAX_MEMBER_BYTES = 2 << 30  # seven times Kaggle's CSV
MAX_RATIO = 150  # of unpacked to packed; Kaggle's CSV has about 3, blank images 100
RATIO_FREE_BYTES = 1 << 20  # below this a high ratio does no harm


@dataclass(frozen=True)
class Member:
    """One file: `name` within the source, `where` for messages, `file` the path on disk.

    `stamp` changes with the content of `file`.
    """

    name: str
    where: str
    file: str
    stamp: tuple[int, ...]
    open: Callable[[], BinaryIO]

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Folders and file name, with two empty ones in front so that there always are three."""
        return ("", "", *self.name.split("/"))

    @cached_property
    def stem(self) -> str:
        return self.parts[-1][: len(self.parts[-1]) - len(self.suffix)]

    @cached_property
    def suffix(self) -> str:
        dot = self.parts[-1].rfind(".")
        return self.parts[-1][dot:].lower() if dot > 0 else ""

    def read(self) -> bytes:
        with reading(self.where), self.open() as file:
            return file.read()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what may go wrong while bytes are read into one DataError that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{where}: damaged zip ({error}). Download it again") from error
    except NotImplementedError as error:
        raise DataError(f"{where}: {error}. Pack the zip again with deflate") from error
    except RuntimeError as error:
        raise DataError(f"{where}: {error}. Unpack the zip and pass the folder") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{where}: cannot be read ({reason}). Check the file") from error


@contextmanager
def open_members(source: Path) -> Iterator[list[Member]]:
    """Files of `source`, sorted by name; hidden files and what macOS adds are left out."""
    if source.is_dir():
        yield _folder(source)
    elif source.suffix.lower() == ".zip":
        with reading(str(source)):
            archive = zipfile.ZipFile(source)
        with archive:
            yield _zip(archive, source)
    elif source.is_file():
        yield [_file(source)]
    else:
        raise DataError(
            f"{source} does not exist, expected fer2013.csv, icml_face_data.csv, a Parquet or zip "
            "file, or a folder of one of these or of images. Check the path"
        )


def _visible(name: str) -> bool:
    parts = name.split("/")
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _file(source: Path) -> Member:
    with reading(str(source)):
        stamp = _stamp(source.stat())
    return Member(
        source.name, str(source), str(source.absolute()), stamp, partial(source.open, "rb")
    )


def _folder(folder: Path) -> list[Member]:
    where, root = str(folder), str(folder.absolute())
    members: list[Member] = []
    with reading(where):
        for name, status in _walk(root):
            file = f"{root}/{name}"
            opener = partial(_open, file)
            members.append(Member(name, f"{where}/{name}", file, _stamp(status), opener))
            if len(members) > MAX_FILES:
                raise DataError(
                    f"{where}: more than {MAX_FILES:,} files. Pass the folder of the data itself"
                )
    return sorted(members, key=lambda member: member.name)


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Visible files below `root` by their path in it, each once.

    Folders are visited before links to folders, so that a link that leads to a folder in the tree,
    or around in a circle, adds nothing; so it is with files. A broken link is passed over, and so
    is what is no file, as a pipe, which would be waited for.
    """
    seen: set[str] = set()
    folders, links = [(root, "", 0)], []
    linked: list[tuple[str, str, os.stat_result]] = []
    while folders or links:
        folder, prefix, depth = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen or depth > MAX_DEPTH:
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not _visible(entry.name):
                    continue
                below = (entry.path, f"{prefix}{entry.name}/", depth + 1)
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(below)
                elif entry.is_file() and entry.is_symlink():
                    linked.append((prefix + entry.name, entry.path, entry.stat()))
                elif entry.is_file():
                    seen.add(os.path.join(real, entry.name))  # noqa: PTH118 (a hundred thousand)
                    yield prefix + entry.name, entry.stat()
    for name, path, status in linked:  # two may lead to one file elsewhere, as equal images do
        if os.path.realpath(path) not in seen:
            yield name, status


def _open(file: str) -> BinaryIO:
    return Path(file).open("rb")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _zip(archive: zipfile.ZipFile, source: Path) -> list[Member]:
    infos = sorted((i for i in archive.infolist() if not i.is_dir()), key=lambda i: i.filename)
    packed, unpacked = source.stat().st_size, sum(info.file_size for info in infos)
    if len(infos) > MAX_FILES:
        raise DataError(f"{source}: {len(infos):,} members, at most {MAX_FILES:,} are read")
    if unpacked > max(MAX_RATIO * packed, RATIO_FREE_BYTES):
        raise _bomb(str(source), unpacked, packed)
    file = _file(source)
    members = [_zip_member(archive, info, file) for info in infos]
    return [member for member in members if _visible(member.name)]


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, packed: Member) -> Member:
    where = f"{packed.where}, member {info.filename}"
    if info.filename.startswith("/") or ".." in PurePosixPath(info.filename).parts:
        raise DataError(f"{where}: unsafe path in a zip. Do not unpack it; get the data elsewhere")
    if info.file_size > max(MAX_RATIO * info.compress_size, RATIO_FREE_BYTES):
        raise _bomb(where, info.file_size, info.compress_size)
    if info.file_size > MAX_MEMBER_BYTES:
        raise DataError(
            f"{where}: {info.file_size:,} bytes, at most {MAX_MEMBER_BYTES:,} are read from a "
            "zip. Unpack it and pass the folder"
        )
    with reading(where):
        archive.open(info).close()  # compares the name with the second one that a zip has of it
    return Member(info.filename, where, packed.file, packed.stamp, partial(_unpack, archive, info))


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return io.BufferedReader(archive.open(info))  # type: ignore[arg-type]


def _bomb(where: str, unpacked: int, packed: int) -> DataError:
    return DataError(
        f"{where}: {packed:,} bytes would unpack to {unpacked:,}, more than {MAX_RATIO} times as "
        "many, as in a zip bomb. If you trust it, unpack it yourself and pass the folder"
    )
