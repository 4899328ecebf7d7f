"""Labelling at scale: any number of pictures in shards, on an executor, into Parquet files.

    OUT/plan.json             what is labelled, by which network, and how; for going on
    OUT/part-00000.parquet    one row per input of the first shard, in order

Inputs are listed in order of their paths and dealt out in shards of fixed size; a picture, a video
and a row of a Parquet file with pictures are an input each. A part is written whole or not at all,
and what is in it depends on its shard alone. So whatever is killed, every input has one row in the
end, and the same command does the shards that are missing. Paths are those of this machine, or URIs
of storage that `pyarrow.fs` knows. Needs no torch.
"""

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from lightfer._files import (
    InputError,
    alone,
    check_writable,
    in_utf8,
    is_utf8,
    read_json,
    write_bytes,
)
from lightfer.data.crop import Box
from lightfer.data.pictures import MAX_BYTES, NO_FILE, SUFFIXES, UNREAD, not_read
from lightfer.errors import ArgumentError, one_line
from lightfer.executors import open_executor
from lightfer.inference.predict.network import Note, code_sha256, weights_sha256
from lightfer.inference.predict.predictor import Faces, Predictor
from lightfer.inference.predict.sources import Item, items_of, why_unusable
from lightfer.inference.predict.tables import item_of, row_groups, values
from lightfer.inference.predict.video import VIDEO_SUFFIXES

SHARD = 1000  # inputs
LOSSES = 3  # a shard has failed when so many of its workers were lost
REFUSED = re.compile(  # what S3, Google's and Azure's storage say of what is not to be read
    r"AWS Error (ACCESS_DENIED|FORBIDDEN)|Status\(PERMISSION_DENIED|Azure Error: \[Authorization"
)


@dataclass(frozen=True)
class Setup:
    """What decides the labels of an input; `open_here` finds what is not asked for."""

    model: str
    runtime: str | None
    faces: Faces
    every: int = 1  # frames of a video
    batch_size: int = 64
    finder: str | None = None  # what looks for faces
    weights: str = ""  # SHA-256
    code: str | None = None  # SHA-256, of a net of your own


@dataclass(frozen=True)
class Shard:
    """Some inputs: files, or rows of a row group of a Parquet file."""

    number: int
    store: str  # a URI that leads to their storage; empty: this machine
    files: tuple[tuple[str, str, str], ...] = ()  # name, path in the storage, why it is unusable
    table: tuple[str, str] | None = None  # name and path of the Parquet file
    group: int = 0
    first: int = 0  # row of the group
    rows: int = 0
    before: int = 0  # rows of the file before the group

    @property
    def inputs(self) -> int:
        return len(self.files) or self.rows


@dataclass(frozen=True)
class Labelled:
    """What became of the inputs of this run and of earlier ones with the same folder."""

    inputs: int
    here: int  # labelled by this run
    unusable: int  # of all
    failed: tuple[int, ...] = ()  # shards that lost their workers
    why: str = ""  # the last of them was lost


def label_shards(
    paths: Sequence[str],
    out: str,
    setup: Setup,
    executor: str = "pool",
    workers: int | None = None,
    *,
    size: int = SHARD,
    on_part: Callable[[int, int], None] = lambda done, of: None,
    note: Note = lambda text: None,
) -> Labelled:
    """Label what is at `paths` into the folder `out`; `on_part(inputs done, inputs)` tells how far,
    `note` what a person should know of the labels.

    Raises ValueError where `out` holds other labels, what `plan`, the network and the executor
    raise, and OSError for storage that cannot be listed or read now: the next call goes on.
    """
    store, folder = _storage(out)
    if isinstance(store, fs.LocalFileSystem):
        check_writable(Path(folder), folder=True)
        folder = os.path.realpath(folder)  # of a link to nothing yet, too
    for path in paths:
        if _lies_in(path, store, folder):
            raise ArgumentError(f"{out} holds the input {path}: choose another folder")
    _, setup = open_here(setup, note)
    store.create_dir(folder, recursive=True)
    if not isinstance(store, fs.LocalFileSystem):
        return _label_all(paths, store, folder, out, setup, executor, workers, size, on_part)
    with alone(Path(folder, ".lock"), f"the folder {out}"):
        return _label_all(paths, store, folder, out, setup, executor, workers, size, on_part)


def _label_all(
    paths: Sequence[str],
    store: Any,
    folder: str,
    out: str,
    setup: Setup,
    executor: str,
    workers: int | None,
    size: int,
    on_part: Callable[[int, int], None],
) -> Labelled:
    """As `label_shards`, into `folder` of `store`, which `out` names."""
    shards = plan(paths, size, (store, folder))
    listed = [info.base_name for info in store.get_file_info(fs.FileSelector(folder))]
    there = {name for name in listed if name.startswith("part-")}
    planned = _same_plan(store, folder, out, shards, setup, begun=bool(there))
    done = {
        s.number: _unusable(s, setup, planned, store, folder) for s in shards if _part(s) in there
    }
    todo = [s for s in shards if done.get(s.number) is None][::-1]
    inputs, left = sum(s.inputs for s in shards), sum(s.inputs for s in todo)
    here, unusable = 0, sum(filter(None, done.values()))
    losses: Counter[int] = Counter()
    why = ""
    running: dict[Future[int], Shard] = {}
    scratch = Path(folder) if isinstance(store, fs.LocalFileSystem) else Path.cwd()
    engine, slots = open_executor(executor, scratch, workers)
    try:
        while todo or running:
            # So that none waits for this process; one that is lost takes what waits in it along.
            while todo and len(running) < (1 if losses else 2) * slots:
                last_trial = losses[todo[-1].number] == LOSSES - 1
                if last_trial and running:
                    break  # alone, so that no other one is to blame
                shard = todo.pop()
                future = engine.submit(label, shard, setup, str(Path.cwd()), out, planned)
                running[future] = shard
                if last_trial:
                    break
            for future in wait(running, None, FIRST_COMPLETED).done:
                shard = running.pop(future)
                try:
                    unusable += future.result()
                    here += shard.inputs
                    on_part(inputs - left + here, inputs)
                except BrokenExecutor as error:
                    why = one_line(str(error))
                    losses[shard.number] += 1
                    if losses[shard.number] < LOSSES:
                        todo.append(shard)
    finally:
        engine.shutdown(wait=False, cancel_futures=True)
    failed = tuple(sorted(number for number, lost in losses.items() if lost >= LOSSES))
    return Labelled(inputs, here, unusable, failed, why)


def plan(
    paths: Sequence[str], size: int = SHARD, without: tuple[Any, str] | None = None
) -> list[Shard]:
    """The shards of all inputs but for what lies in the folder `without` of a storage; every path
    and every row is in exactly one, however often named.

    Raises InputError for what storage elsewhere does not give now, and LightferError for a Parquet
    file whose rows would be read over and over.
    """
    shards: list[Shard] = []
    stores: list[Any] = []
    seen: set[tuple[int, str]] = set()
    files: list[tuple[str, str, str, str]] = []  # store, name, path, why unusable
    for given in paths:
        uri = given if "://" in given else ""
        store = _storage(uri)[0]
        stores += [store] if store not in stores else []
        for name, path, error in _found(given):
            key = (stores.index(store), path)
            if key in seen or (without and store == without[0] and _below(path, without[1])):
                continue
            seen.add(key)
            if path.lower().endswith(".parquet") and not error:
                try:
                    shards += _tables(store, name, path, size, uri)
                    continue
                except (pa.ArrowException, OSError, ValueError) as problem:
                    _check_lasting(problem, name, store)
                    said = f"{str(problem).splitlines()[0]:.200}"
                    error = f"no readable Parquet file with pictures ({said})"
            files.append((uri, name, path, error))
    for uri, group in groupby(files, key=lambda file: file[0]):
        some = [file[1:] for file in group]
        shards += [Shard(0, uri, tuple(some[i : i + size])) for i in range(0, len(some), size)]
    return [replace(shard, number=number) for number, shard in enumerate(shards)]


def _below(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _lies_in(given: str, store: Any, folder: str) -> bool:
    """Whether an input is a folder for labels, or lies in it: it would be passed over."""
    if "://" in given:
        there, path = _remote(given)
    else:
        there, path = fs.LocalFileSystem(), os.path.realpath(given)
    return there == store and _below(path, folder)


def label(shard: Shard, setup: Setup, cwd: str, out: str, planned: str) -> int:
    """Write the part of one shard; returns how many of its inputs were unusable. Raises
    ArgumentError where `planned` is no longer the hash of the plan in the folder.
    """
    here = Path(cwd, setup.model)
    predictor = _predictor(replace(setup, model=str(here)) if here.is_file() else setup)
    store = _storage(shard.store)[0]
    items = _rows_of(shard, store) if shard.table else _files_of(shard, store, setup.every)
    face = {
        "frame": pa.int32(),
        "time_s": pa.float64(),
        "box": pa.struct(dict.fromkeys(Box._fields, pa.int32())),
        "label": pa.string(),
        "probabilities": pa.struct(dict.fromkeys(predictor.network.classes, pa.float32())),
    }
    schema = pa.schema(
        {"item": pa.string(), "error": pa.string(), "faces": pa.list_(pa.struct(face))},
        {
            "model": predictor.network.name,
            "setup": json.dumps(asdict(setup)),
            "plan": planned,
        },
    )
    rows = []
    for name, seen in groupby(predictor.stream(items), key=lambda seen: seen.item.name):
        said = [prediction for one in seen for prediction in one.predictions]
        faces = [
            {**vars(one), "box": one.box and one.box._asdict()} for one in said if not one.error
        ]
        errors = "; ".join(one.error for one in said if one.error)
        error = errors or (None if faces else "no face in any of its frames")
        rows.append({"item": in_utf8(str(name)), "error": error and in_utf8(error), "faces": faces})
    assert len(rows) == shard.inputs, f"{len(rows)} rows of {shard.inputs} inputs"
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    target, folder = _storage(out, cwd)
    with target.open_input_stream(f"{folder}/plan.json") as file:
        if hashlib.sha256(file.read()).hexdigest() != planned:
            raise ArgumentError(f"another command labels in {out} by now: choose another folder")
    _write(target, f"{folder}/{_part(shard)}", buffer.getvalue())
    return sum(row["error"] is not None for row in rows)


@lru_cache(maxsize=1)
def _predictor(setup: Setup) -> Predictor:
    """One for all shards of a process. Raises ArgumentError where this machine would label in
    another way than `setup` says.
    """
    predictor, here = open_here(setup)
    if other := _differences(asdict(setup), asdict(here)):
        raise ArgumentError(
            f"a worker would label with another {other}: give it the same model and packages as "
            "this command has"
        )
    return predictor


def open_here(setup: Setup, note: Note = lambda text: None) -> tuple[Predictor, Setup]:
    """A predictor of this machine, on one thread, and the setup with what it is made of."""
    predictor = Predictor(
        setup.model,
        setup.runtime,
        faces=setup.faces,
        batch_size=setup.batch_size,
        threads=1,
        note=note,
    )
    return predictor, replace(
        setup,
        runtime=predictor.network.runtime,
        finder=type(predictor.finder).__name__ if predictor.has_finder else None,
        weights=weights_sha256(setup.model),
        code=code_sha256(setup.model),
    )


def _storage(uri: str, cwd: str = "") -> tuple[Any, str]:
    """The storage, and the path in it, with no link to a folder: a file has one name then."""
    if "://" in uri:
        return _remote(uri)
    if not is_utf8(uri):
        raise ArgumentError(f"{uri} is no name in UTF-8, expected one with --executor: rename it")
    path = Path(os.path.abspath(os.path.join(cwd, uri)))  # noqa: PTH100, PTH118
    real = Path(os.path.realpath(path if path.is_dir() else path.parent))
    real = real if path.is_dir() else real / path.name
    return fs.LocalFileSystem(), str(real)


@lru_cache(maxsize=8)
def _remote(uri: str) -> tuple[Any, str]:
    try:
        return fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise ArgumentError(f"{in_utf8(uri)}: {error}; expected the URI of a storage") from error


def _found(given: str) -> Iterator[tuple[str, str, str]]:
    """Name, path and what is wrong of each file at a path, in order; not the hidden ones."""
    try:
        store, root = _storage(given)
        info = store.get_file_info(root)
    except OSError as error:  # as of a folder on the way that is closed
        if "://" in given:  # another time it can be had
            raise
        yield given, given, f"cannot be read ({error.strerror})"
        return
    if info.type != fs.FileType.Directory:
        missing = NO_FILE if info.type == fs.FileType.Unknown else "no such file or folder"
        yield given, root, "" if info.type == fs.FileType.File else missing
        return
    local, found = isinstance(store, fs.LocalFileSystem), 0
    for path, closed in sorted(_listed(store, root)):
        below = path[len(root.rstrip("/")) + 1 :]
        hidden = any(part.startswith(".") for part in below.split("/"))
        suffix = Path(below).suffix.lower()
        looked_at = suffix in SUFFIXES | UNREAD | VIDEO_SUFFIXES | {".parquet"}
        if not hidden and (closed or looked_at):
            found += 1
            bad = closed or (why_unusable(path) if local else None) or not_read(suffix) or ""
            yield f"{given.rstrip('/')}/{below}" if below else given, path, bad
    if not found:
        yield given, root, "no image in it"


def _listed(store: Any, root: str) -> Iterator[tuple[str, str]]:
    """Paths of all files below a folder, and of folders that cannot be read with the reason; links
    to folders of this machine are not followed.
    """
    if isinstance(store, fs.LocalFileSystem):
        problems: list[OSError] = []
        for folder, _, names in os.walk(root, onerror=problems.append):
            yield from ((f"{folder}/{name}", "") for name in names)
        for problem in problems:
            yield str(problem.filename), f"folder cannot be read ({problem.strerror})"
        return
    for info in store.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type != fs.FileType.Directory:
            yield info.path, ""


def _tables(store: Any, name: str, path: str, size: int, uri: str) -> list[Shard]:
    """Those of a Parquet file, each row group by itself. Raises as `row_groups`."""
    shards, before = [], 0
    for group, rows in enumerate(row_groups(store, name, path, size)):
        for first in range(0, rows, size):
            some = (group, first, min(size, rows - first), before)
            shards.append(Shard(0, uri, (), (name, path), *some))
        before += rows
    return shards


def _rows_of(shard: Shard, store: Any) -> Iterator[Item]:
    assert shard.table
    name, path = shard.table
    done, end = shard.first, shard.first + shard.rows
    reason = "no longer in its Parquet file"
    try:
        for value in values(store, path, shard.group, shard.first, shard.rows):
            yield item_of(f"{name}#{shard.before + done}", value)
            done += 1
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        _check_lasting(error, name, store)
        if isinstance(error, OSError) and isinstance(store, fs.LocalFileSystem):
            raise  # the file cannot be had on this machine
        reason = f"cannot be read from its Parquet file ({one_line(str(error)):.200})"
    for row in range(done, end):
        yield Item(f"{name}#{shard.before + row}", None, error=reason)


def _check_lasting(error: Exception, name: str, store: Any) -> None:
    """Raise InputError where storage elsewhere gives no answer: another time it may, so this is no
    reason that is written down for good.
    """
    said = isinstance(error, FileNotFoundError | PermissionError) or REFUSED.search(str(error))
    if isinstance(error, OSError) and not said and not isinstance(store, fs.LocalFileSystem):
        raise InputError(
            f"{name} cannot be read now ({one_line(str(error)):.200}): give the same command "
            "again, which goes on, or leave it out"
        ) from error


def _files_of(shard: Shard, store: Any, every: int) -> Iterator[Item]:
    local = isinstance(store, fs.LocalFileSystem)
    for name, path, error in shard.files:
        if error:
            yield Item(name, None, error=error)
        elif local:
            for item in items_of([path], every):
                yield replace(item, name=name)
        elif Path(path).suffix.lower() in VIDEO_SUFFIXES:
            yield Item(name, None, error="a video in remote storage: copy it to this machine")
        else:
            try:
                with store.open_input_stream(path) as source:
                    yield Item(name, source.read(MAX_BYTES + 1))
            except OSError as problem:
                _check_lasting(problem, name, store)
                yield Item(name, None, error=f"cannot be read ({problem})")


def _same_plan(
    store: Any, folder: str, out: str, shards: list[Shard], setup: Setup, begun: bool
) -> str:
    """Write it down, or raise ValueError if there are parts of another one; returns the hash of
    the file.
    """
    digest = hashlib.sha256(repr([replace(shard, store="") for shard in shards]).encode())
    now = {**asdict(setup), "inputs": sum(s.inputs for s in shards), "shards": len(shards)}
    now["sha256"] = digest.hexdigest()
    path = f"{folder}/plan.json"
    if not begun:
        data = json.dumps(now, indent=1).encode()
        _write(store, path, data)
        return hashlib.sha256(data).hexdigest()
    try:
        with store.open_input_stream(path) as file:
            known = dict(read_json(data := file.read()))
    except FileNotFoundError as error:
        raise ArgumentError(
            f"{out} holds parts without a plan.json: choose another folder"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ArgumentError(
            f"{out} holds parts and a damaged plan.json ({error}): choose another folder"
        ) from error
    if changed := _differences(known, now):
        raise ArgumentError(
            f"{out} holds labels that were made with another {changed}: choose another folder, or "
            "give what it was begun with"
        )
    return hashlib.sha256(data).hexdigest()


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """What is not as it was, with both values; empty where all is the same."""
    known = {"code": found.get("code"), **wanted}  # which was not always written
    return ", ".join(
        f"{key} ({known.get(key)!s:.20}, now {now!s:.20})"
        for key, now in found.items()
        if known.get(key) != now
    )


def _part(shard: Shard) -> str:
    return f"part-{shard.number:05}.parquet"


def _unusable(shard: Shard, setup: Setup, planned: str, store: Any, folder: str) -> int | None:
    """How many inputs its part says were unusable; None where it cannot be read or has no row for
    each input, as a copy that was cut off, or is of another setup or plan.
    """
    try:
        with store.open_input_file(f"{folder}/{_part(shard)}") as file:
            found = pq.read_metadata(file)
            other = _differences(read_json(found.metadata[b"setup"]), asdict(setup))
            plan_of = found.metadata.get(b"plan", planned.encode())  # older parts do not say
            if other or plan_of != planned.encode() or found.num_rows != shard.inputs:
                return None
            at = found.schema.names.index("error")
            errors = [found.row_group(i).column(at).statistics for i in range(found.num_row_groups)]
            return shard.inputs - sum(error.null_count for error in errors)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _write(store: Any, path: str, data: bytes) -> None:
    """Whole or not at all: storage of objects shows none before it is closed."""
    if isinstance(store, fs.LocalFileSystem):
        write_bytes(Path(path), data)
        return
    with store.open_output_stream(path) as stream:
        stream.write(data)
