"""Damaged inputs of every kind: the right answer, or one line that a LightferError is.

`CASES` files of `KINDS` are damaged by bytes or by values and read as commands read them, in this
process; `COMMANDS` more by whole commands. Data files have further campaigns with second readers as
oracles, `tests/data/test_mutated_*.py`. A night's work: `LIGHTFER_CAMPAIGN=20000 pytest
tests/test_campaign.py`; with it other tests take every net, too, see `by_day` in `conftest.py`.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from lightfer import LightferError
from lightfer.__main__ import run
from lightfer._files import shipped
from lightfer.bench.journal import Journal, Round
from lightfer.data import CLASSES, load
from lightfer.data.pictures import open_picture
from lightfer.inference.card import parse_card
from lightfer.inference.onnx_from_weights import assembled
from lightfer.inference.predict.network import load_network
from lightfer.inference.predict.shards import Setup, label_shards
from lightfer.measure.energy.log import read_power_log
from lightfer.models.contract import CRC32_KEY, parts
from lightfer.models.find import find_weights
from lightfer.models.registry import create_model
from lightfer.models.weights import load_checkpoint, save_checkpoint
from lightfer.results import Environment, Results, read_results, write_results
from lightfer.results.validate import violations_of_file
from lightfer.train.config import TrainConfig
from lightfer.train.job import train_to_file
from lightfer.train.soft_labels import SoftLabels, read_soft_labels
from lightfer.train.sweep.items import read_list
from lightfer.train.sweep.pack import unpack
from tests.conftest import ROOT
from tests.data import writers
from tests.data.mutate import FACES, flip, plain

CASES = int(os.environ.get("LIGHTFER_CAMPAIGN", "600"))
COMMANDS = CASES // 20
LONGEST_S, LONGEST_TEXT = 60, 5000  # of one case: more is a hang, or no line
NET, SHIPPED = "shufflenet_v2_x0_5", "squeezenet1_1_bn"
ODD = (None, -1, 0, 0.5, 10**30, 1e308, "", "x", "\ud83d", [], {}, True, [[]], "../../etc")
ODD_TEXTS = "NaN null -1 0 1e999 99999999999999999999 '' \"\" [] {} true x".split()  # noqa: SIM905
NOT_JSON = ("NaN", "-Infinity", "1e999", "[" * 3000, '{"a":' * 3000, "9" * 5000)


# How files are damaged


def damaged(content: bytes, random: Random) -> bytes:
    """By bytes; or by values, where it is JSON, text, or has JSON in front as safetensors do."""
    if random.random() < 0.4:
        return flip(content, random)
    length = int.from_bytes(content[:8], "little")
    if length < len(content) and content[8:9] == b"{":
        header = json.loads(content[8 : 8 + length])
        cards = [key for key, value in header["__metadata__"].items() if value[:1] in "[{"]
        if cards and random.random() < 0.7:
            card = random.choice(cards)
            header["__metadata__"][card] = spoilt(header["__metadata__"][card], random)
            written = json.dumps(header).encode()
        else:
            written = spoilt(json.dumps(header), random).encode("utf-8", "surrogatepass")
        return len(written).to_bytes(8, "little") + written + content[8 + length :]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return flip(content, random)
    return spoilt(text, random).encode("utf-8", "surrogatepass")


def spoilt(text: str, random: Random) -> str:
    """A value replaced, gone, or twice; of JSON lines one line is."""
    lines = text.splitlines(keepends=True)
    try:
        at = random.randrange(len(lines)) if text[:1] not in "[{" or _is_json(lines[0]) else None
        document = json.loads(text if at is None else lines[at])
    except (ValueError, IndexError):
        words = [*re.finditer(r'"[^"\n]*"|[\w.]+|$', text)]
        word = random.choice(words)
        new = random.choice((*ODD_TEXTS, f"{word[0]} {word[0]}", "x" * 10_000))
        return text[: word.start()] + new + text[word.end() :]
    document, raw = _spoilt(document, random), random.choice(NOT_JSON)
    written = json.dumps(document).replace('"RAW"', raw)
    if written[:1] == "{" and len(written) > 2 and random.random() < 0.05:
        written = f"{{{written[1:-1]},{written[1:-1]}}}"  # every key twice
    if at is None:
        return written
    return "".join([*lines[:at], written + "\n", *lines[at + 1 :]])


def _is_json(text: str) -> bool:
    try:
        return bool(json.loads(text))
    except ValueError:
        return False


def _spoilt(document: object, random: Random) -> object:
    if not isinstance(document, dict | list) or not document or random.random() < 0.1:
        return random.choice((*ODD, "RAW"))
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = random.choice(list(keys))
    if random.random() < 0.15:
        del document[key]  # type: ignore[arg-type]
    else:
        document[key] = _spoilt(document[key], random)  # type: ignore[index]
    return document


# What is damaged, and how it is used


@dataclass(frozen=True)
class Kind:
    """An input: how it is made in a folder, how it is used, and whether what comes of it is right:
    by default only what comes of the undamaged one.
    """

    make: Callable[[Path], Path]
    use: Callable[[Path], object]
    right: Callable[[object, object], bool] = lambda found, whole: found == whole
    part: str = "*"  # of a folder: the files that are damaged


def _faces(form: str) -> Kind:
    """Pixels and labels have no checksum everywhere: then a face may be another, never no face."""

    def right(found: object, whole: object) -> bool:
        assert isinstance(found, dict)
        known = all(0 <= label < 7 and len(p) == 2304 for f in found.values() for label, p in f)
        return known and (not form.startswith("zip") or found == whole)

    return Kind(lambda folder: writers.FORMS[form](folder, FACES), lambda p: plain(load(p)), right)


def _probabilities(path: Path) -> np.ndarray:
    network = load_network(path, "onnxruntime", batch_size=2, threads=1)
    return network.probabilities(np.full((2, *network.size), 99, np.uint8))


def _shares(found: object, _: object) -> bool:
    assert isinstance(found, np.ndarray)
    return bool(np.isfinite(found).all() and np.allclose(found.sum(1), 1) and (found >= 0).all())


def _same_shares(found: object, whole: object) -> bool:
    return _shares(found, whole) and np.array_equal(found, whole)  # type: ignore[arg-type]


def _copied(folder: Path, source: Path, name: str = "") -> Path:
    return Path(shutil.copy(source, folder / (name or source.name)))


def _weights(folder: Path) -> Path:
    found = shipped(SHIPPED)
    assert found is not None
    return _copied(folder, found)


def _small_weights(folder: Path) -> Path:
    """Of a net that is quickly built, with the card of a shipped one and a checksum."""
    _, card = load_checkpoint(_weights(folder))
    net = create_model(NET)
    path = folder / "small.safetensors"
    save_checkpoint(path, net.state_dict(), msgspec.structs.replace(card, model=NET))
    return path


def _older_weights(folder: Path) -> Path:
    """Without a checksum, as those that lightfer 0.1 wrote."""
    path = _small_weights(folder)
    header, data = parts(path.read_bytes())
    del header["__metadata__"][CRC32_KEY]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    return path


def _onnx(folder: Path) -> Path:
    content = assembled(_weights(folder))
    assert content is not None
    path = folder / "net.onnx"
    path.write_bytes(content)
    return path


def _logits(path: Path) -> np.ndarray:
    weights = find_weights(path)
    assert weights.card is not None
    contract = weights.card.input
    with torch.inference_mode():
        x = torch.zeros(1, contract.channels, contract.height, contract.width)
        return weights.build()(x).softmax(1).numpy()


def _results(folder: Path) -> Path:
    """Two nets in two runtimes, a few passes each."""
    whole = read_results(ROOT / "results.json", passes=False)
    kept = [e for e in whole.entries if e.model in (SHIPPED, "mobilenet_v1")][:4]
    path = folder / "results.json"
    some = msgspec.structs.replace(whole, entries=tuple(kept))
    write_results(path, some)
    return path


def _command(*arguments: str) -> str:
    """What a command prints; a LightferError with its message where it does not end well."""
    out, messages = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(messages):
        code = run([*arguments])
    if code:
        assert code in (1, 2)
        raise LightferError(messages.getvalue().strip())
    assert "nan" not in out.getvalue().lower().replace("tenan", "")
    return out.getvalue()


def _every_table(path: Path) -> Results:
    """All that only reads a results file; one that is sound is written and read again the same."""
    found = read_results(path)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Results) == found
    sound = found.entries and not violations_of_file(path)  # of nothing there is no table
    for command in (["table", "--markdown"], ["rank"], ["choose"], ["compare", PUBLISHED]):
        try:
            _command(*command, str(path))
        except LightferError:
            assert not sound or command[0] != "table"
    return found


def _merged(folder: Path) -> str:
    """A complete output stays where one of the files cannot be used."""
    out = folder.parent / "merged.json"
    out.write_text("complete")
    try:
        _command("merge", str(folder), "--out", str(out))
    except LightferError:
        assert out.read_text() == "complete"
        raise
    read_results(out)
    return out.read_text()


def _two_results(folder: Path) -> Path:
    inner = folder / "files"
    inner.mkdir()
    _copied(inner, _results(folder), "a.json")
    return inner


def _readme(folder: Path) -> Path:
    path = folder / "page.md"
    marks = "<!-- results:begin -->\nold\n<!-- results:end -->"
    path.write_text(f"# Käse\n\nabove {'x' * 300}\n\n{marks}\n\nbelow {'y' * 300}\n")
    return path


def _into_readme(path: Path) -> bytes:
    before = path.read_bytes()
    try:
        _command("table", str(ROOT / "results.json"), "--into", str(path))
    except LightferError:
        assert path.read_bytes() == before
        raise
    after = path.read_bytes()
    assert after.partition(b"<!-- results:begin")[0] == before.partition(b"<!-- results:begin")[0]
    assert after.endswith(before.rpartition(b"results:end -->")[2])
    return after


def _soft_labels(folder: Path) -> Path:
    from lightfer.train import soft_labels

    n = len(FACES["train"])
    teachers = [{"model": NET, "sha256": f"{i}", "fold": f"{i}/2"} for i in range(2)]
    logits = torch.randn(2, 2, n, len(CLASSES), generator=torch.Generator().manual_seed(0))
    logits[0, :, ::2] = logits[1, :, 1::2] = torch.nan
    path = folder / "answers.safetensors"
    soft_labels._save(path, SoftLabels(logits, teachers), FACES["train"].sha256())
    return path


def _answers(path: Path) -> list[list[float]]:
    return read_soft_labels(path, FACES["train"]).probabilities(4.0).tolist()


class _Stop(Exception):  # noqa: N818
    pass


def _trained(folder: Path, stop_after: int = 2) -> bytes:
    """The tensors and the card's epoch of a training of two epochs, or of what is left of it."""

    def stop(epoch: object) -> None:
        if getattr(epoch, "epoch", 0) == stop_after < 2:
            raise _Stop

    torch.manual_seed(0)
    config = TrainConfig(epochs=2, batch_size=4, warmup_epochs=0.5, learning_rate=1e-3)
    net = create_model("mobilenet_v1_x0_25").train()
    path, card = train_to_file(
        "mobilenet_v1_x0_25", net, FACES, config, folder, recipe="", on_epoch=stop
    )
    weights, _ = load_checkpoint(path)
    return b"".join(t.numpy().tobytes() for t in weights.values()) + str(card.epoch).encode()


def _run_state(folder: Path) -> Path:
    run_dir = folder / "run"
    with pytest.raises(_Stop):
        _trained(run_dir, stop_after=1)
    return run_dir


ENVIRONMENT = read_results(ROOT / "results.json", passes=False).environments


def _opened(path: Path) -> Journal:
    (environment,) = ENVIRONMENT.values()
    assert isinstance(environment, Environment)
    return Journal(path, "f" * 64, environment)


def _journal(folder: Path) -> Path:
    path = folder / ".results.json.journal"
    journal = _opened(path)
    for i in range(6):
        journal.append(f"net {i % 2}", Round(timed=(), total_s=1.5 + i, model_s=1.25))
    return path


def _continued(path: Path) -> list[list[float]]:
    """What is known of an interrupted run, then one record more, read again."""
    before = path.read_bytes()
    journal = _opened(path)
    known = {case: [r.total_s for r in of.rounds] for case, of in journal.pieces.items()}
    journal.append("net 0", Round(timed=(), total_s=99.0, model_s=98.0))
    if journal.other:
        assert path.read_bytes() == before
    del journal  # and with it the lock
    again = {case: [r.total_s for r in of.rounds] for case, of in _opened(path).pieces.items()}
    known.setdefault("net 0", []).append(99.0)
    assert again == known
    return [[s for s in known.get(f"net {i}", []) if s != 99.0] for i in range(2)]


def _prefix(found: object, whole: object) -> bool:
    assert isinstance(found, list)
    assert isinstance(whole, list)
    return all(whole[i][: len(found[i])] == found[i] for i in range(2))


PUBLISHED = str(ROOT / "results.json")
LIST = """
[[item]]
name = "student"
model = "shufflenet_v2_x0_5"
teachers = ["teacher"]
value = 2.0
settings = { epochs = 8, batch_size = 32, warmup_epochs = 0.5 }

[[item]]
name = "teacher"
model = "mobilenet_v1_x0_25"
folds = 2
seed = 3
"""


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _jobs(path: Path) -> list[TrainConfig]:
    return [item.config() for item in read_list(path)]


def _power(i: int) -> str:
    return f"2026/01/31 12:00:00.{i:02}0, {30 + i / 7:.2f} W\n"


def _pack(folder: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(folder / "queue.zip", "w") as archive:
        archive.writestr("queue.toml", LIST)
        archive.writestr("student/run.json", '{"model": "x"}')
    return folder / "queue.zip"


def _unpacked(path: Path) -> dict[str, bytes]:
    place = path.with_name("unpacked")
    try:
        unpack(path, place)
    except LightferError:
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        raise
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


PICTURES = ("png", "jpg", "webp", "bmp", "ppm", "gif", "tiff")


def _pictures(folder: Path) -> Path:
    (folder / "pictures").mkdir()
    face = Image.fromarray(FACES["train"].images[0, 0].numpy())
    for suffix in PICTURES:
        face.convert("RGB").save(folder / "pictures" / f"a.{suffix}")
    face.save(folder / "pictures" / "b.png")
    face.convert("RGBA").save(folder / "pictures" / "c.tiff", compression="tiff_lzw")
    return folder / "pictures"


def _seen(folder: Path) -> int:
    """Each picture or its error."""
    seen = 0
    for path in sorted(folder.iterdir()):
        with suppress(LightferError):
            assert open_picture(path).mode in ("L", "RGB")
        seen += 1
    return seen


def _labels(folder: Path) -> Path:
    """A finished labelling, by an older run."""
    _label(folder)
    return folder


def _label(folder: Path) -> int:
    setup = Setup(SHIPPED, "onnxruntime", "never")
    picture = ROOT / "docs" / "figures" / "trade-off.png"
    return label_shards([str(picture)], str(folder / "out"), setup, workers=1).inputs


def _cache(folder: Path) -> Path:
    """Of data that were read."""
    writers.kaggle_csv(folder, FACES)
    (folder / "cache").mkdir()
    _from_cache(folder)
    return folder


def _from_cache(folder: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTFER_CACHE", str(folder / "cache"))
        return plain(load(folder / "fer2013.csv"))


OLDER = '{"MobileNetV1": {"accuracy": 62.16, "flops": "29.48 MMac", "parameters": "3.21 M"}}'

KINDS: dict[str, Kind] = {
    **{form: _faces(form) for form in writers.FORMS},
    "weights": Kind(_small_weights, _logits, _same_shares),
    "older weights": Kind(_older_weights, _logits, _shares),
    "weights of predict": Kind(_weights, _probabilities, _shares),
    "exported file": Kind(_onnx, _probabilities, _shares),
    "results": Kind(_results, _every_table, lambda found, _: isinstance(found, Results)),
    "results to merge": Kind(_two_results, _merged, lambda found, _: bool(found)),
    "page": Kind(_readme, _into_readme, lambda found, _: bool(found)),
    "soft labels": Kind(_soft_labels, _answers),
    "run state": Kind(_run_state, _trained),
    "journal": Kind(_journal, _continued, _prefix),
    "list": Kind(_text("list.toml", LIST), _jobs, lambda found, _: bool(found)),
    "pack": Kind(_pack, _unpacked),
    "power log": Kind(
        _text("p.csv", "timestamp, power.draw [W]\n" + "".join(map(_power, range(50)))),
        lambda path: read_power_log(path)[1],
        lambda found, _: bool(np.isfinite(np.asarray(found)).all()),
    ),
    "older results": Kind(
        _text("old.json", OLDER),
        lambda path: _command("compare", str(path), str(ROOT / "results.json")),
        lambda found, _: bool(found),
    ),
    "pictures": Kind(_pictures, _seen),
    "labels": Kind(_labels, _label, part="out/plan.json"),
    "cache": Kind(_cache, _from_cache, part="cache/*/*"),
}


@contextmanager
def _in_time() -> Iterator[None]:
    def hang(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"more than {LONGEST_S} s")  # no error that a command tells of

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def spoil_one(whole: Path, place: Path, part: str, random: Random) -> Path:
    """A copy of `whole` in `place` with one file damaged."""
    copy = place / whole.name
    if whole.is_dir():
        shutil.copytree(whole, copy)
    else:
        shutil.copy(whole, copy)
    files = sorted(p for p in copy.rglob(part) if p.is_file()) if copy.is_dir() else [copy]
    file = random.choice(files)
    file.write_bytes(damaged(file.read_bytes(), random))
    return copy


def case(kind: Kind, whole: Path, expected: object, place: Path, random: Random) -> None:
    """Raises what is neither the right answer nor a LightferError of one line."""
    path = spoil_one(whole, place, kind.part, random)
    try:
        with _in_time():
            found = kind.use(path)
    except LightferError as error:
        if not 0 < len(str(error)) < LONGEST_TEXT:
            raise AssertionError("no message of a line") from error
    else:
        assert kind.right(found, expected), "a wrong answer"
    left = [p for p in place.rglob(".lightfer-*")]
    assert not left, f"left behind: {left}"


def prepared(name: str, folder: Path) -> tuple[Kind, Path, object]:
    kind = KINDS[name]
    for inner in ("whole", "first"):
        (folder / inner).mkdir()
    whole = kind.make(folder / "whole")
    copy = folder / "first" / whole.name
    shutil.copytree(whole, copy) if whole.is_dir() else shutil.copy(whole, copy)
    return kind, whole, kind.use(copy)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_input_gives_the_right_answer_or_one_error(name: str, tmp_path: Path):
    kind, whole, expected = prepared(name, tmp_path)
    for number in range(-(-CASES // len(KINDS))):
        place = tmp_path / f"{number}"
        place.mkdir()
        try:
            case(kind, whole, expected, place, Random(f"{name} {number}"))
        except BaseException as error:
            error.add_note(f"case {number} of {name}")
            raise
        shutil.rmtree(place)


def twice(text: str, inner: bool) -> str:
    """JSON with the first key of the outermost object twice, or of the last one in it."""
    at = [*re.finditer(r'{\s*"', text)][-1 if inner else 0].start()
    found, _ = json.JSONDecoder().raw_decode(text[at:])
    key, value = next(iter(found.items()))
    return f"{text[:at]}{{{json.dumps(key)}: {json.dumps(value)}, {text[at + 1 :]}"


def twice_in_header(header: dict, inner: bool) -> str:
    """Of safetensors, where its own reader accepts it: a key of the metadata, or a tensor."""
    about = json.dumps(header.pop("__metadata__"))
    tensors = json.dumps(header)
    about, tensors = (twice(about, False), tensors) if inner else (about, twice(tensors, False))
    return f'{{"__metadata__": {about}, {tensors[1:]}'


OF_JSON = (
    *("results", "results to merge", "older results", "weights", "older weights"),
    *("weights of predict", "soft labels", "run state", "labels"),
)


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("name", OF_JSON)
def test_a_key_that_stands_twice_is_one_error(name: str, inner: bool, tmp_path: Path):
    """The last one silently won, and another reader could have taken the first. Both have the same
    value here, so that no checksum notices.
    """
    kind = KINDS[name]
    path = kind.make(tmp_path)
    files = path.rglob({"run state": "state.*"}.get(name, kind.part)) if path.is_dir() else [path]
    for file in [f for f in files if f.is_file()]:
        content = file.read_bytes()
        if file.suffix == ".safetensors":
            length = int.from_bytes(content[:8], "little")
            written = twice_in_header(json.loads(content[8 : 8 + length]), inner).encode()
            file.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])
        else:
            file.write_text(twice(content.decode(), inner))
    with pytest.raises(LightferError, match="stands twice in one object"):
        kind.use(path)
    if name == "results":
        with pytest.raises(LightferError, match="stands twice in one object"):
            violations_of_file(path)


def test_a_key_that_stands_twice_in_a_card_or_a_journal(tmp_path: Path):
    """A line of a journal is cut off with those behind it, as where it is damaged."""
    path = _older_weights(tmp_path)
    header, data = parts(path.read_bytes())
    header["__metadata__"]["lightfer_card"] = twice(header["__metadata__"]["lightfer_card"], True)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    for use in (_logits, load_checkpoint, _probabilities):
        with pytest.raises(LightferError, match="stands twice in one object"):
            use(path)
    with pytest.raises(LightferError, match="stands twice in one object"):
        parse_card(twice('{"model": "x", "classes": ["a", "b"]}', False), "an exported file")
    journal = _journal(tmp_path)
    *lines, last = journal.read_bytes().splitlines(keepends=True)
    forged = twice(last[9:-1].decode(), True).encode()
    journal.write_bytes(b"".join([*lines, b"%08x %b\n" % (zlib.crc32(forged), forged)]))
    assert _continued(journal) == [[1.5, 3.5, 5.5], [2.5, 4.5]]


OUT = "OUT"  # in a command: a file that is complete before it
AS_COMMANDS: dict[str, tuple[str, ...]] = {
    "weights of predict": ("predict", "FACE", "--out", OUT, "--model"),
    "exported file": ("predict", "FACE", "--out", OUT, "--model"),
    "pictures": ("predict", "--crop", "--out", OUT),
    "results": ("table", "--csv", OUT),
    "results to merge": ("merge", "--out", OUT),
    "older results": ("compare", PUBLISHED),
    "page": ("table", PUBLISHED, "--into"),
    "kaggle_csv": ("data", "audit", "--data"),
    "weights": ("evaluate", "--data", "none"),
}


def ended(words: list[str], capsys: pytest.CaptureFixture, *, here: bool) -> tuple[int, str]:
    """Exit code and standard error of a command, in this process or in one of its own."""
    if not here:
        command = [sys.executable, "-m", "lightfer", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
        return done.returncode, done.stderr
    capsys.readouterr()
    with _in_time():
        code = run(words)
    return code, capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # a command shows them
@pytest.mark.parametrize("name", AS_COMMANDS)
def test_a_damaged_input_of_a_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Exit code, the one line, and what lay at the output before; the first case as it is typed,
    the others in this process, where a traceback is an exception.
    """
    kind, whole, _ = prepared(name, tmp_path)
    face, out = str(tmp_path / "face.png"), tmp_path / "out"
    Image.fromarray(FACES["train"].images[0, 0].numpy()).save(face)
    for number in range(-(-COMMANDS // len(AS_COMMANDS))):
        place = tmp_path / f"{number}"
        place.mkdir()
        out.write_text("complete")
        path = spoil_one(whole, place, kind.part, Random(f"command {name} {number}"))
        words = [{OUT: str(out), "FACE": face}.get(word, word) for word in AS_COMMANDS[name]]
        code, said = ended([*words, str(path)], capsys, here=number > 0)
        about = f"case {number}: {code}, {said}"
        assert "Traceback" not in said, about
        assert code in (0, 1, 2), about
        if code == 2:
            assert said.splitlines()[-1].startswith("lightfer: "), about
            assert out.read_text() == "complete", about
        elif OUT in words:
            assert out.read_text() != "complete", about
            assert "NaN" not in out.read_text(), about
        assert not [*tmp_path.rglob(".lightfer-*")], about
