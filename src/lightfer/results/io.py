"""Reading and writing a results file."""

import json
import math
import os
import re
from codecs import BOM_UTF8
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from lightfer._files import check_input, check_keys, write_text
from lightfer.errors import LightferError
from lightfer.results.schema import SCHEMA, Accuracy, Entry, Environment, Results, WeightCard

_CONTROL = re.compile(
    rb"\\\\|(\\(?:[bfr]|u00(?:0[0-8b-f]|1[0-9a-f]|7f|[89][0-9a-f])))|\x7f|\xc2[\x80-\x9f]",
    re.IGNORECASE,
)
# An exponent of hundreds up to the end of its number, as hashes hold many more. Patterns that begin
# with a letter, not a class of characters, are found many times faster.
_HUNDREDS = tuple(re.compile(e + rb"\+?0*[1-9]\d\d+(?![0-9a-fA-F\"])") for e in (b"e", b"E"))
_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
LONGEST = 4096  # characters of a number
BLOCK = 2**20  # bytes: a copy of the whole would double what a large file takes
SHORT = 600  # characters of an object that stands on one line


class ResultsError(LightferError):
    """A results file cannot be read; the message says where and why."""


class _Head(msgspec.Struct):
    """What says whose file it is. `Results` has a default for it, any other file may lack it."""

    schema: Any = None


class _Parts(msgspec.Struct):
    """A file whose entries are not decoded yet."""

    environments: dict[str, Environment] = {}
    entries: tuple[msgspec.Raw, ...] = ()
    cards: dict[str, WeightCard] = {}


def read_results(path: Path | str, *, passes: bool = True) -> Results:
    """Read and validate a results file.

    Without `passes` each round keeps its median alone, which is all that `select.Times` needs: a
    file of thousands of entries takes a fraction of the memory.

    Raises ResultsError naming the file and the path of the first violation inside it, InputError
    for a pipe or device.
    """
    return results_in(content_of(path), path, passes=passes)


def content_of(path: Path | str) -> bytes:
    """Of a results file, without a byte order mark. Raises ResultsError where it cannot be had,
    InputError for a pipe or device.
    """
    check_input(path)
    try:
        return Path(path).read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}") from error


def results_in(text: bytes, path: Path | str, *, passes: bool = True) -> Results:
    """As `read_results`, from the content of the file."""
    try:
        text = without_control_characters(text)
        schema = msgspec.json.decode(text, type=_Head).schema
        if schema is None:
            raise ResultsError(f"{path}: no key 'schema', expected {SCHEMA!r}: no results file")
        if schema != SCHEMA:
            raise ResultsError(f"{path}: schema is {schema!r}, expected {SCHEMA!r}")
        check_numbers(text)
        check_keys(text)
        parts = msgspec.json.decode(text, type=_Parts)
        shared: dict[Accuracy, Accuracy] = {}
        entries = tuple(_entry(i, raw, passes, shared) for i, raw in enumerate(parts.entries))
        if twice := _twice([e.id for e in entries]):
            raise ResultsError(f"{path}: entry {twice[0]!r} stands there twice: remove one")
        return Results(environments=parts.environments, entries=entries, cards=parts.cards)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:  # not UTF-8, too
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: Exception) -> ResultsError:
    """What to raise for it: of a file that is no JSON, what was expected, too."""
    broken = (json.JSONDecodeError, UnicodeDecodeError, msgspec.DecodeError)
    if not isinstance(error, broken) or isinstance(error, msgspec.ValidationError):
        return ResultsError(f"{path}: {error}")
    return ResultsError(
        f"{path} is no whole JSON in UTF-8 ({error}): expected a results file as `lightfer bench` "
        "writes it; get it again"
    )


def filled(results: Results, path: Path | str) -> Results:
    """The same. Raises ResultsError where there are no entries, or one is of no environment: it
    would be missing from what is shown.
    """
    if not results.entries:
        raise ResultsError(
            f"{path}: holds no entries, expected a results file with measurements: `lightfer "
            "bench` makes one"
        )
    for i, entry in enumerate(results.entries):
        if entry.environment not in results.environments:
            raise ResultsError(
                f"{path}: $.entries[{i}].environment: {entry.environment!r} is not one of: "
                f"{', '.join(results.environments) or 'none'}"
            )
    return results


def check_numbers(text: bytes) -> None:
    """Raise ValueError where JSON has a number of 1e100 or more, whose sums no float could hold."""
    for pattern in _HUNDREDS:
        for found in pattern.finditer(text):
            _refuse_number(text, found.start(), b"0123456789.")
    for place in range(0, len(text), BLOCK):
        zeros, start = text[place : place + BLOCK + 100].translate(_AS_ZEROS), 0
        while (start := zeros.find(b"0" * 100, start)) >= 0:
            _refuse_number(text, place + start + 1, b"0123456789")
            start = len(zeros) - len(zeros[start:].lstrip(b"0"))


def _refuse_number(text: bytes, place: int, digits: bytes) -> None:
    """Raise ValueError if what stands there is a number, not part of a text, as of a hash: if its
    `digits` before it follow a key, a comma or a bracket.
    """
    before = text[max(0, place - LONGEST) : place]
    without = before.rstrip(digits)
    start = without.removesuffix(b"-")
    if len(without) < len(before) and start.rstrip().endswith((b":", b"[", b",")):
        shown = text[place - len(before) + len(start) :][:20].decode()
        raise ValueError(f"the number {shown}... is too large, expected below 1e100")


def without_control_characters(text: bytes) -> bytes:
    """JSON whose texts have them as escapes, since a terminal would obey them: names of a
    stranger's are printed by most commands.
    """

    def escape(found: re.Match[bytes]) -> bytes:
        if found[1] or found[0] == b"\\\\":
            return b"\\" * bool(found[1]) + found[0]
        return b"\\\\x" + found[0][-1:].hex().encode()

    may = any(byte in text for byte in (b"\\", b"\x7f", b"\xc2"))
    return _CONTROL.sub(escape, text) if may else text


def _entry(i: int, raw: msgspec.Raw, passes: bool, shared: dict[Accuracy, Accuracy]) -> Entry:
    """Entry `i` of a file. Accuracies that are equal, as of runtimes, become one object."""
    try:
        entry = msgspec.json.decode(raw, type=Entry)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise msgspec.ValidationError(f"{what} - at `$.entries[{i}]{where or '`'}") from error
    if twice := measured_twice(entry):
        raise ValueError(f"{twice} stands there twice: remove one - at `$.entries[{i}]`")
    own, others = entry.accuracy, entry.accuracy_other
    return msgspec.structs.replace(
        entry,
        accuracy=own and _once(own, shared, f"$.entries[{i}].accuracy"),
        accuracy_other=tuple(
            _once(a, shared, f"$.entries[{i}].accuracy_other[{j}]") for j, a in enumerate(others)
        ),
        latency=entry.latency if passes else tuple(t.without_passes() for t in entry.latency),
    )


def _once(accuracy: Accuracy, shared: dict[Accuracy, Accuracy], where: str) -> Accuracy:
    """The one of `shared` that is equal, or itself. Raises ValueError if its bits tell another
    accuracy than it names: what is drawn from either would contradict the other.
    """
    found = shared.setdefault(accuracy, accuracy)
    wrong = wrong_bits(found.correct_hex, found.top1, found.images) if found is accuracy else None
    if wrong:
        raise ValueError(
            f"{wrong} - at `{where}.correct_hex`; see `lightfer validate`, which says all that is "
            "wrong, and correct the file or measure again"
        )
    return found


def measured_twice(entry: Entry) -> str | None:
    """What an entry holds two figures of, where readers differ in which they take."""
    times = [(t.batch_size, t.threads, t.clock) for t in entry.latency]
    for size, threads, clock in _twice(times):
        return f"batch {size}, {threads} threads, {clock}"
    energies = [e.batch_size for e in (entry.energy, *entry.energy_other) if e]
    return next((f"energy at batch {size}" for size in _twice(energies)), None)


def wrong_bits(digits: str | None, top1: float, images: int) -> str | None:
    """In what way the `correct_hex` of an accuracy contradicts its other figures."""
    if digits is None:
        return None
    if len(digits) != -(-images // 4) or digits.strip("0123456789abcdef"):
        return f"expected {-(-images // 4)} hexadecimal digits"
    hits = int(digits, 16).bit_count()
    if math.isclose(hits / images, top1, rel_tol=1e-6, abs_tol=1e-12):
        return None
    return f"{hits} hits, expected {top1} x {images}"


def _twice(values: list[Any]) -> list[Any]:
    """Those that stand there more than once."""
    if len(set(values)) == len(values):
        return []
    return [value for value, n in Counter(values).items() if n > 1]


def write_results(path: Path, results: Results) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, _indented(msgspec.to_builtins(results)) + "\n")


def add_results(path: Path, results: Results) -> Results:
    """Add `results` to what the file holds at this moment, whole or not at all; returns the sum.

    Processes that add to one file wait for each other, by a lock beside it, so none loses entries.
    """
    from filelock import FileLock

    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        kept = read_results(target) if target.exists() else Results()
        kept = kept.merged(results)
        write_results(target, kept)
    return kept


def _indented(value: Any, margin: str = "\n") -> str:
    """JSON with one line per item, but lists of numbers, the samples, on one line each, and so what
    holds no other object and is short: margins would be a fifth of a file.
    """
    if isinstance(value, dict) and not any(isinstance(v, dict) for v in value.values()):
        line = json.dumps(value, allow_nan=False)
        if len(line) <= SHORT:
            return line
    inner = margin + " "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(k)}: {_indented(v, inner)}" for k, v in value.items())
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        return "[" + inner + f",{inner}".join(_indented(v, inner) for v in value) + margin + "]"
    return json.dumps(value, allow_nan=False)
