"""The schema `lightfer/1` as JSON Schema, and everything that is wrong with a results file.

The schema is generated from the records of `lightfer.results`, which stay its one definition; the
copy in the repository is for readers in other languages. A file is checked against that very
schema by jsonschema, which collects every violation, where a decoder stops at the first, and then
for what no schema can say: that its figures agree with one another. Keys that are not known are no
violation, as later versions add some.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lightfer._files import check_keys
from lightfer.results import SCHEMA, Accuracy, Energy, Entry, Latency, Results
from lightfer.results.derived import contradictions, near, placed
from lightfer.results.io import (
    check_numbers,
    content_of,
    measured_twice,
    unreadable,
    without_control_characters,
    wrong_bits,
)
from lightfer.results.select import LONGEST_S, SHORTEST_S

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

FILE_NAME = f"{SCHEMA.replace('/', '-')}.schema.json"


class Violation(NamedTuple):
    """One thing that is wrong, at a path such as `$.entries[3].latency[0].median_s`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a results file."""
    generated = msgspec.json.schema(Results)
    root = generated["$defs"]["Results"]["properties"]
    root["schema"] = {"const": SCHEMA}
    generated["$defs"]["Results"]["required"] = ["schema"]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
    }
    return {**head, **generated}


def json_schema_text() -> str:
    """As it is kept in the repository."""
    return json.dumps(json_schema(), indent=1) + "\n"


def violations_of_file(path: Path) -> list[Violation]:
    """Everything that is wrong with a results file.

    Raises ResultsError if it cannot be read or is not JSON; `NaN` and `Infinity` are not. Raises
    InputError for a pipe or device.
    """
    text = content_of(path)
    try:
        text = without_control_characters(text)
        check_numbers(text)
        check_keys(text)
        return _violations(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


class _Parts(msgspec.Struct):
    """A file whose entries are not decoded yet; all else is of whatever form."""

    schema: Any = msgspec.UNSET
    environments: Any = msgspec.UNSET
    cards: Any = msgspec.UNSET
    entries: list[msgspec.Raw] = []


def violations(document: Any) -> list[Violation]:
    """Everything that is wrong with a document; what it means is only looked at if its form is."""
    return _violations(json.dumps(document).encode())


def _violations(text: bytes) -> list[Violation]:
    """Entry by entry, so that thousands of them take little memory: the records decode what is of
    the right form; the schema is asked only about what they refuse.
    """
    try:
        parts = msgspec.json.decode(text, type=_Parts)
    except msgspec.DecodeError as error:  # the whole is of another form, or it is not JSON
        return _of_another_form(_json(text)) or [Violation("$", str(error))]
    head = {name: value for name in ("schema", "environments", "cards")
            if (value := getattr(parts, name)) is not msgspec.UNSET}  # fmt: skip
    found = _of_another_form({**head, "entries": []})
    meant: list[Violation] = []
    environments: dict = head.get("environments", {}) if not found else {}
    ids: set[str] = set()
    for i, raw in enumerate(parts.entries):
        try:
            decoded = msgspec.json.decode(raw, type=Entry)
        except msgspec.ValidationError:
            wrong = _of_another_form({"schema": SCHEMA, "entries": [_json(bytes(raw))]})
            found += [
                v._replace(path=v.path.replace("$.entries[0]", f"$.entries[{i}]", 1)) for v in wrong
            ]
        else:
            if not found:
                meant += _sound(i, decoded, environments, ids)
    return found or [*_environments(environments), *meant]


def _json(text: bytes) -> Any:
    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not JSON; unknown is null")

    return json.loads(text.decode("utf-8"), parse_constant=refuse)


@cache
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json_schema())


def _of_another_form(document: Any) -> list[Violation]:
    errors = _validator().iter_errors(document)
    return list(dict.fromkeys(_named(inner) for error in errors for inner in _innermost(error)))


def _innermost(error: "ValidationError") -> "Iterator[ValidationError]":
    """The error itself, or those inside the alternative that the value comes closest to."""
    from jsonschema.exceptions import relevance

    if not error.context:
        yield error
        return
    best = min(error.context, key=relevance)
    if best.validator in ("type", "const", "enum") and not best.relative_path:
        yield error  # it is of no alternative's kind
        return
    for inner in error.context:
        if inner.relative_schema_path[0] == best.relative_schema_path[0]:
            yield from _innermost(inner)


def _named(error: "ValidationError") -> Violation:
    """In the words of this program where it has some."""
    value: Any = error.instance
    schema: Any = error.schema
    message = error.message
    if error.validator in ("anyOf", "const", "enum", "type"):
        shown = json.dumps(value)
        shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
        message = f"found {shown}, expected {_kind(schema)}"
    elif error.validator in ("minItems", "maxItems", "items"):  # "items": none beyond the named
        message = f"found {len(value)} items, expected {schema['minItems']}"
    elif error.validator in ("minimum", "maximum"):
        end = "least" if error.validator == "minimum" else "most"
        message = f"found {value}, expected at {end} {error.validator_value:g}"
        if end == "most" and error.validator_value == 1:
            message += ", as a fraction, not percent"
    elif error.validator == "required":
        message = message.replace("is a required property", "is missing")
    keys = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.absolute_path)
    return Violation("$" + "".join(keys), message)


def _kind(schema: Any) -> str:
    """What a part of the schema asks for, in a few words."""
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(map(json.dumps, schema.get("enum", [schema.get("const")])))
    return schema.get("type") or schema["$ref"].rsplit("/", 1)[1]


def _environments(environments: dict) -> Iterator[Violation]:
    for key, environment in environments.items():
        started = environment["started"]
        try:
            datetime.fromisoformat(started)
        except ValueError:
            expected = "expected a time as 2026-01-31T12:00:00+00:00"
            yield Violation(f"$.environments.{key}.started", f"found {started!r}, {expected}")


def _sound(i: int, entry: Entry, environments: dict, ids: set[str]) -> Iterator[Violation]:
    """Which figures contradict one another in the entry at place `i`; `ids` are those of the
    entries before it.
    """
    path = f"$.entries[{i}]"
    if entry.id in ids:
        yield Violation(f"{path}.id", f"{entry.id!r} stands there twice")
    ids.add(entry.id)
    if twice := measured_twice(entry):
        yield Violation(path, f"{twice} stands there twice: remove one")
    if entry.environment not in environments:
        known = ", ".join(environments) or "none"
        yield Violation(f"{path}.environment", f"{entry.environment!r} is not one of: {known}")
    for name, value in msgspec.structs.asdict(entry).items():
        if name != "seed" and isinstance(value, int | float) and value < 0:
            yield Violation(f"{path}.{name}", f"found {value}, expected at least 0")
    macs, flops = entry.macs, entry.flops
    if macs is not None and flops is not None and flops != 2 * macs:
        yield Violation(f"{path}.flops", f"found {flops}, expected 2 x macs = {2 * macs}")
    for where, accuracy in placed("accuracy", entry.accuracy, entry.accuracy_other):
        yield from _accuracy(accuracy, f"{path}.{where}")
    for j, latency in enumerate(entry.latency):
        yield from _latency(latency, f"{path}.latency[{j}]")
    for where, energy in placed("energy", entry.energy, entry.energy_other):
        yield from _energy(energy, f"{path}.{where}")
    for where, message in contradictions(entry):
        yield Violation(f"{path}.{where}", message)
    each, total = entry.inference_per_image_s, entry.inference_total_s
    images, rounds = entry.inference_images, entry.inference_rounds_s
    if each and total and images and not near(each * images, total):
        expected = f"expected inference_total_s / inference_images = {total / images}"
        yield Violation(f"{path}.inference_per_image_s", f"found {each}, {expected}")
    if rounds and total and not near(median(rounds), total):
        expected = f"expected the median of inference_rounds_s = {median(rounds)}"
        yield Violation(f"{path}.inference_total_s", f"found {total}, {expected}")
    if rounds and min(rounds) <= 0:
        yield Violation(f"{path}.inference_rounds_s", f"found {min(rounds)}, expected above 0")


def _accuracy(accuracy: Accuracy, path: str) -> Iterator[Violation]:
    top1, images, confusion = accuracy.top1, accuracy.images, accuracy.confusion
    low, high = accuracy.ci95
    if not _within(top1, low, high):
        yield Violation(f"{path}.ci95", f"[{low}, {high}] does not hold top1 {top1}")
    if confusion is not None:
        total = sum(map(sum, confusion))
        if any(len(row) != len(confusion) for row in confusion):
            yield Violation(f"{path}.confusion", "is not square")
        elif total != images:
            yield Violation(f"{path}.confusion", f"sums to {total}, expected images = {images}")
        elif not near(sum(confusion[i][i] for i in range(len(confusion))) / images, top1):
            trace = sum(confusion[i][i] for i in range(len(confusion)))
            yield Violation(f"{path}.top1", f"found {top1}, expected {trace} / {images}")
    if wrong := wrong_bits(accuracy.correct_hex, top1, images):
        yield Violation(f"{path}.correct_hex", wrong)


def _latency(latency: Latency, path: str) -> Iterator[Violation]:
    samples, rounds = latency.samples_s, latency.rounds
    if not samples:
        yield Violation(f"{path}.samples_s", "is empty")
        return
    if odd := [s for s in samples if not SHORTEST_S <= s <= LONGEST_S]:
        expected = f"expected seconds, {SHORTEST_S:g} to {LONGEST_S:g}"
        yield Violation(f"{path}.samples_s", f"holds {odd[0]}, {expected}")
    if not near(median(samples), latency.median_s):
        expected = f"expected that of the samples, {median(samples)}"
        yield Violation(f"{path}.median_s", f"found {latency.median_s}, {expected}")
    if rounds < 1 or len(samples) % rounds:
        yield Violation(f"{path}.rounds", f"{len(samples)} samples are not {rounds} equal rounds")
    for name in ("yardstick_s", "passes", "p50_s", "p90_s", "p99_s"):
        values = getattr(latency, name)
        if values is not None and len(values) != rounds:
            yield Violation(f"{path}.{name}", f"{len(values)} values for {rounds} rounds")


def _energy(energy: Energy, path: str) -> Iterator[Violation]:
    if energy.simulated:
        yield Violation(path, "is of a simulated meter, which no results file may hold")
    gross, interval = energy.gross and energy.gross.joules_per_image, energy.ci95
    if gross is not None and gross < 0:
        yield Violation(f"{path}.gross", f"found {gross}, expected joules of at least 0")
    if gross is not None and interval and not _within(gross, *interval):
        yield Violation(f"{path}.ci95", f"{interval} does not hold the gross energy {gross}")
    included = energy.gross.includes if energy.gross else ()
    methods = {getattr(energy.components, name).method for name in included}
    if "modelled" in methods and len(methods) > 1:
        yield Violation(f"{path}.gross", "adds what is measured and what is modelled")


def _within(value: float, low: float, high: float) -> bool:
    """Whether an interval holds a value, which rounding may put a little beyond its end."""
    return low <= value <= high or near(value, low) or near(value, high)
