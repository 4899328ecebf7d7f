"""The files of a source: one file, the files below a folder, or the members of a zip or tar.

An archive is never extracted: its members are read one at a time, after checks on their number,
size, compression and names, so that neither a bomb nor a path that climbs out can do harm. A CSV
that is packed by itself (.csv.gz, .csv.bz2, .csv.xz, .csv.zst) is a CSV.
"""

import io
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from lightfer.data.dataset import DataError

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst")
DATA_SUFFIXES = (".parquet", ".csv", ".zip", ".tar", ".gz", ".tgz", ".xz", ".zst", ".bz2")
PACKINGS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
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


def text_lines(member: Member) -> Iterator[tuple[int, str]]:
    """Lines of UTF-8 text that are not blank, stripped, with their numbers from 1."""
    try:
        text = member.read().decode("utf-8-sig")
    except UnicodeError as error:
        raise DataError(f"{member.where}: not UTF-8 text ({error}). Get the file again") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what may go wrong while bytes are read into one DataError that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        kind = "tar" if isinstance(error, tarfile.TarError) else "zip"
        kind = "file" if isinstance(error, lzma.LZMAError | EOFError) else kind
        raise DataError(f"{where}: damaged {kind} ({error}). Download it again") from error
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
    with reading(str(source)):  # where a name is too long, or a folder on the way is closed
        is_folder, is_there = source.is_dir(), source.exists()
    if is_folder:
        yield [*map(_unpacked_csv, _folder(source))]
    elif is_there and not source.is_file():
        raise DataError(f"{source} is a pipe or device, expected a file or folder: save it as one")
    elif source.suffix.lower() == ".zip":
        with reading(str(source)):
            archive = zipfile.ZipFile(source)
        with archive:
            yield [*map(_unpacked_csv, _zip(archive, source))]
    elif source.is_file() and source.name.lower().endswith(TARS):
        with _open_tar(source) as tar:
            yield [*map(_unpacked_csv, _tar(tar, source))]
    elif source.is_file():
        yield [_unpacked_csv(_file(source))]
    else:
        raise DataError(
            f"{source} does not exist, expected fer2013.csv, icml_face_data.csv, a Parquet, zip or "
            "tar file, or a folder of one of these or of images. Check the path"
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
            opener = partial(open, file, "rb")
            members.append(Member(name, f"{where}/{name}", file, _stamp(status), opener))
            if len(members) > MAX_FILES:
                raise DataError(
                    f"{where}: more than {MAX_FILES:,} files. Pass the folder of the data itself"
                )
    return sorted(members, key=lambda member: member.name)


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Visible files below `root` by their path in it, each once.

    Folders are visited before links to folders, so that a link that leads to a folder in the tree,
    or around in a circle, adds nothing; so it is with files. A broken link, and what is no file, as
    a pipe, which would be waited for, have a name that no form of data has.
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
                elif not entry.is_symlink():
                    yield f"{prefix}{entry.name} (no file)", entry.stat()
                else:
                    yield f"{prefix}{entry.name} (broken link)", entry.stat(follow_symlinks=False)
    for name, path, status in linked:  # two may lead to one file elsewhere, as equal images do
        if os.path.realpath(path) not in seen:
            yield name, status


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _zip(archive: zipfile.ZipFile, source: Path) -> list[Member]:
    files = (i for i in archive.infolist() if not i.filename.endswith(("/", "\\")))
    infos = sorted(files, key=_zip_name)
    packed, unpacked = source.stat().st_size, sum(info.file_size for info in infos)
    if len(infos) > MAX_FILES:
        raise DataError(f"{source}: {len(infos):,} members, at most {MAX_FILES:,} are read")
    if unpacked > max(MAX_RATIO * packed, RATIO_FREE_BYTES):
        raise _bomb(str(source), unpacked, packed)
    file = _file(source)
    members = [_zip_member(archive, info, file) for info in infos]
    return _each_once(member for member in members if _visible(member.name))


def _each_once(members: Iterable[Member]) -> list[Member]:
    """Of members with one name the last, which is what unpacking leaves."""
    return [*{member.name: member for member in members}.values()]


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, packed: Member) -> Member:
    name = _zip_name(info)
    where = f"{packed.where}, member {name}"
    _check_name(name, where)
    if info.file_size > max(MAX_RATIO * info.compress_size, RATIO_FREE_BYTES):
        raise _bomb(where, info.file_size, info.compress_size)
    if info.file_size > MAX_MEMBER_BYTES:
        raise DataError(
            f"{where}: {info.file_size:,} bytes, at most {MAX_MEMBER_BYTES:,} are read from a "
            "zip. Unpack it and pass the folder"
        )
    if info.flag_bits & 1:
        raise DataError(f"{packed.where} is encrypted; unpack it first and pass the folder")
    with reading(where):
        archive.open(info).close()  # compares the name with the second one that a zip has of it
    return Member(name, where, packed.file, packed.stamp, partial(_unpack, archive, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """As unpacking has it; some programs write it with `./` in front, or as Windows does."""
    return info.filename.replace("\\", "/").removeprefix("./")


def _check_name(name: str, where: str) -> None:
    """Raises DataError for a member whose path would lie outside of where it was unpacked."""
    if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":":  # a drive
        raise DataError(
            f"{where}: unsafe path in an archive. Do not unpack it; get the data elsewhere"
        )


@contextmanager
def _open_tar(source: Path) -> Iterator[tarfile.TarFile]:
    """A tar, unpacked into a temporary file if it is packed, as its files are read in any order."""
    with reading(str(source)), tempfile.TemporaryFile() as plain:
        packing = source.suffix.lower().replace(".tgz", ".gz").replace(".txz", ".xz")
        if packing == ".tar":
            with tarfile.open(source, "r:") as tar:
                yield tar
            return
        with _decompressed(source.open("rb"), packing) as stream:
            while piece := stream.read(1 << 20):
                plain.write(piece)
        plain.seek(0)
        with tarfile.open(fileobj=plain, mode="r:") as tar:
            yield tar


def _tar(archive: tarfile.TarFile, source: Path) -> list[Member]:
    """Its files. A hard link is the file that it leads to; symbolic links and devices are passed
    over.
    """
    file, members = _file(source), []
    entries: dict[str, tarfile.TarInfo | None] = {}  # None: of no file
    packed, linked = source.stat().st_size, 0
    for info in archive:
        name = info.name.removeprefix("./")
        where = f"{source}, member {name}"
        _check_name(name, where)
        found = info if info.isfile() else None
        if info.islnk():
            found = _tar_link(info, entries, where)
            linked += found.size if found else 0
        entries[name] = found
        if found is None or not _visible(name):
            continue
        if linked > max(MAX_RATIO * packed, RATIO_FREE_BYTES):
            raise _bomb(str(source), linked, packed)
        opener = partial(_tar_file, archive, found)
        members.append(Member(name, where, file.file, file.stamp, opener))
        if len(members) > MAX_FILES:
            raise DataError(f"{source}: more than {MAX_FILES:,} members. Pass the data itself")
    _check_end(archive, source, len(entries))
    return sorted(_each_once(members), key=lambda member: member.name)


def _check_end(archive: tarfile.TarFile, source: Path, entries: int) -> None:
    """Raise DataError where no block of zeros ends the tar: `tarfile` ends without a word at a
    header that is missing or damaged, too.
    """
    assert archive.fileobj is not None  # it is open
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(
            f"{source}: damaged tar (cut off, or a damaged header behind {entries:,} entries). "
            "Download it again"
        )


def _tar_link(
    link: tarfile.TarInfo, before: dict[str, tarfile.TarInfo | None], where: str
) -> tarfile.TarInfo | None:
    """What a hard link leads to. Raises DataError where no entry before it has that name."""
    name = link.linkname.removeprefix("./")
    if name not in before and _visible(link.name.removeprefix("./")):
        raise DataError(
            f"{where}: a hard link to {name}, which does not stand before it in the archive. Pack "
            "all of the files again, or use tar's --hard-dereference"
        )
    return before.get(name)


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> BinaryIO:
    found = archive.extractfile(info)
    assert found is not None  # it is a file
    return found  # type: ignore[return-value]


def _unpacked_csv(member: Member) -> Member:
    """A packed CSV under the name that it has unpacked; any other member as it is."""
    packing = member.suffix
    if packing not in PACKINGS or not member.stem.lower().endswith(".csv"):
        return member
    return replace(
        member,
        name=member.name[: -len(packing)],
        open=lambda: _decompressed(member.open(), packing),
    )


def _decompressed(packed: BinaryIO, packing: str) -> BinaryIO:
    if packing == ".xz":
        stream: Any = lzma.LZMAFile(packed)  # noqa: SIM115 (closed by what reads it)
    else:
        import pyarrow

        stream = pyarrow.CompressedInputStream(packed, PACKINGS[packing])
    return io.BufferedReader(_Limited(stream, packed))


class _Limited(io.RawIOBase):
    """A stream that refuses to grow beyond what data can be."""

    def __init__(self, stream: Any, packed: BinaryIO) -> None:
        self.stream, self.packed, self.left = stream, packed, MAX_MEMBER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self.left -= len(piece)
        if self.left < 0:
            raise OSError(f"unpacks to more than {MAX_MEMBER_BYTES:,} bytes, as a bomb does")
        return len(piece)

    def close(self) -> None:
        self.stream.close()
        self.packed.close()
        super().close()


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return io.BufferedReader(archive.open(info))  # type: ignore[arg-type]


def _bomb(where: str, unpacked: int, packed: int) -> DataError:
    return DataError(
        f"{where}: {packed:,} bytes would unpack to {unpacked:,}, more than {MAX_RATIO} times as "
        "many, as in a zip bomb. If you trust it, unpack it yourself and pass the folder"
    )
