"""The site's files: scripts as they are, nets and runtime from the package.

Needs neither torch nor onnx: the browser puts each graph and its weights together (`nets.js`), and
`graphs/operations.json` says what a pass does. ONNX Runtime Web is in `ort/`, as npm has it, its
WebAssembly packed by gzip.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from lightfer._files import PACKAGE, check_writable, graph_file, sha256_of, shipped, write_bytes
from lightfer.errors import ArgumentError
from lightfer.report.page.build import page
from lightfer.results import Accuracy, Entry, Environment, Results, WeightCard, published_counts
from lightfer.results.select import IN_BROWSERS
from lightfer.results.stats import wilson_interval
from lightfer.results.stats.difference import t_quantile

YARDSTICK = "yardstick.onnx"
RUNTIME = IN_BROWSERS
SITE = PACKAGE / "report/site"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "connect-src 'self'; worker-src 'self'; img-src 'self' data:; media-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
MOST_ROUNDS = 12  # of which the page computes intervals
SHELL = (".html", ".css", ".js", "site.json")  # kept in the browser at the first view
ON_REQUEST = ("ort/ort-wasm-simd-threaded.asyncify", "ort/ort.webgpu")  # for WebGPU
OPENING = "measured.js"  # inside results.html
LATER = ("results.html", "live.html")  # kept when they are first needed, as are folders

OnStep = Callable[[str, int, int], None]
Exported = tuple[Path, Any]
"""An .onnx file of `lightfer export` and its card, for images as the nets' own."""


def build_site(
    folder: Path,
    yardstick: str,
    exported: Sequence[Exported] = (),
    on_step: OnStep = lambda text, done, of: None,
) -> int:
    """Write the site into `folder`; returns its bytes. Files of the same names are replaced.

    `yardstick` is the version of the frozen one, see `lightfer.measure.yardstick`. `exported` are
    measured beside the shipped nets.

    Raises OutputError if the folder cannot be written, ArgumentError for an exported file that
    cannot stand there.
    """
    check_writable(folder, folder=True)
    on_step("building the site", 0, 1)
    content = site_files(yardstick, exported)
    for done, (name, data) in enumerate(content.items()):
        on_step(name, done, len(content))
        write_bytes(folder / name, data)
    return sum(map(len, content.values()))


def site_files(yardstick: str, exported: Sequence[Exported] = ()) -> dict[str, bytes]:
    """Every file of the site, by its path; `exported` as in `build_site`."""
    content = dict(_copied())
    nets = list(published_counts())  # those of FER2013's labels: others are not of the same table
    for name in nets:
        content[f"nets/{name}.onnx.gz"] = graph_file(name).read_bytes()
        content[f"nets/{name}.safetensors"] = _weights(name).read_bytes()
    content[YARDSTICK] = (PACKAGE / "measure/yardstick/net.onnx").read_bytes()
    results = shipped_results(nets)
    about = {entry.id: _input(entry.model) for entry in results.entries}
    for path, card in exported:
        entry = exported_entry(path, card, results)
        results = msgspec.structs.replace(results, entries=(*results.entries, entry))
        place = f"nets/{entry.id.replace(' ', '-')}.onnx"
        content[place] = path.read_bytes()
        told = {"mean": card.input.mean, "std": card.input.std, "temperature": card.temperature}
        about[entry.id] = {**told, "file": place}
    content["shipped.json"] = msgspec.json.encode(results)
    content["results.html"] = page(_described(results), opening=_read(OPENING)).encode()
    build = hashlib.sha256(b"".join(content[name] for name in sorted(content))).hexdigest()[:16]
    content["site.json"] = json.dumps(_about(results, about, yardstick, build)).encode()
    first = [f for f in content if f.endswith(SHELL) and f not in LATER and "/" not in f]
    ours = [f for f in content if f.startswith(("nets/", "ort/")) and not f.startswith(ON_REQUEST)]
    downloaded = sum(len(content[f]) for f in ours)
    every = {"policy": POLICY, "version": version("lightfer")}
    for name, values in {
        "index.html": {
            **every,
            "count": str(len(results.entries)),
            "megabytes": f"{downloaded / 1e6:.0f}",
        },
        "live.html": every,
        "offline-worker.js": {
            "build": build,
            "/* shell */": ", ".join(json.dumps(f) for f in ["./", *sorted(first)]),
        },
    }.items():
        content[name] = _filled(content[name].decode(), values).encode()
    return content


def shipped_results(nets: list[str]) -> Results:
    """A results file of the shipped nets without any time; accuracies are quoted from the cards."""
    counts = published_counts()
    entries, cards = [], {}
    for name in nets:
        path, card = _weights(name), _card(name)
        sha256 = sha256_of(path)
        accuracy = msgspec.convert(card["test"], Accuracy) if card.get("test") else None
        entries.append(
            Entry(
                id=name,
                environment="",
                model=name,
                device="cpu",
                runtime=RUNTIME,
                precision="float32",
                weights=sha256,
                recipe=card["recipe"],
                seed=card["seed"],
                deployed_bytes=len(graph_file(name).read_bytes()) + path.stat().st_size,
                accuracy=accuracy and msgspec.structs.replace(accuracy, source="reference"),
                family=counts[name].family,
                output_stride=counts[name].output_stride,
                params=counts[name].params,
                macs=counts[name].macs,
                flops=2 * counts[name].macs,
            )
        )
        cards[sha256] = WeightCard.of(card)
    return Results(entries=tuple(entries), cards=cards)


def exported_entry(path: Path, card: Any, results: Results) -> Entry:
    """Of an exported file, to stand beside the others. Its accuracy is quoted, if it was measured
    on the same images as that of the weights.

    Raises ArgumentError for another architecture, or a net that is there already.
    """
    beside = next((e for e in results.entries if e.model == card.model), None)
    if beside is None:
        known = ", ".join(dict.fromkeys(e.model for e in results.entries))
        raise ArgumentError(f"{path} is of {card.model}; expected one of {known}")
    own = _card(card.model)
    sides = ("channels", "height", "width")
    size = tuple(getattr(card.input, side) for side in sides)
    expected = tuple(own["input"][side] for side in sides)
    if (size, card.classes) != (expected, tuple(own["classes"])):
        raise ArgumentError(
            f"{path} takes images of {size} for {len(card.classes)} classes; expected "
            f"{expected} for {', '.join(own['classes'])}, as the shipped nets"
        )
    name = f"{card.model} {card.precision}"
    if card.precision == "float32" or name in [e.id for e in results.entries]:
        raise ArgumentError(f"{path}: {card.model} in {card.precision} is there already")
    on = (card.accuracy_on or "").lower()  # "FER2013": the official pixels and labels
    same = card.weights_sha256 == beside.weights and on == own["data_name"]
    accuracy, top1 = None, card.accuracy.get("test")
    if same and top1 is not None and (of := beside.accuracy):
        accuracy = Accuracy(
            split=of.split,
            labels=of.labels,
            view=of.view,
            images=of.images,
            top1=top1,
            ci95=wilson_interval(round(top1 * of.images), of.images),
            source="reference",
        )
    trained = beside if card.weights_sha256 == beside.weights else None
    return msgspec.structs.replace(
        beside,
        id=name,
        precision=card.precision,
        weights=card.weights_sha256,
        recipe=trained and trained.recipe,
        seed=trained and trained.seed,
        deployed_bytes=path.stat().st_size,
        accuracy=accuracy,
    )


def _described(results: Results) -> Results:
    """The same on a machine that the browser will describe."""
    texts = dict.fromkeys(("system", "python", "allocator", "code", "command", "started"), "")
    somewhere = Environment(
        cpu="this device",
        cores=1,
        threads=1,
        versions={},
        flush_denormal=False,
        **texts,
        **dict.fromkeys(("memory_bytes", "gpu", "data")),
    )
    entries = tuple(msgspec.structs.replace(e, environment="device") for e in results.entries)
    return msgspec.structs.replace(results, environments={"device": somewhere}, entries=entries)


def _about(
    results: Results, inputs: dict[str, dict[str, Any]], yardstick: str, build: str
) -> dict[str, Any]:
    cards = {entry.model: _card(entry.model) for entry in results.entries}
    nets = [
        {
            "name": entry.id,
            "top1": entry.accuracy and entry.accuracy.top1,
            "params": entry.params,
            "bytes": entry.deployed_bytes,
            **inputs[entry.id],
        }
        for entry in results.entries
    ]
    live = {  # the two networks at first: that of `lightfer predict`, and the smallest file
        "classes": next(iter(cards.values()))["classes"],
        "first": max(cards, key=lambda name: cards[name]["validation"]["top1"]),
        "second": min(nets[: len(cards)], key=lambda net: net["bytes"])["name"],
    }
    return {
        "build": build,
        "version": version("lightfer"),
        "nets": nets,
        "live": live,
        "yardstick": f"frozen net {yardstick[:16]}, float32, in ONNX Runtime Web",
        "t": [t_quantile(freedom) for freedom in range(1, MOST_ROUNDS)],
    }


def _input(name: str) -> dict[str, Any]:
    """What a shipped net's images and answers need."""
    card = _card(name)
    return {
        **{key: card["input"][key] for key in ("mean", "std")},
        "temperature": card["temperature"],
    }


def _copied() -> Iterator[tuple[str, bytes]]:
    """What lies in the package as it is served."""
    for path in sorted(SITE.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != OPENING:
            yield path.relative_to(SITE).as_posix(), path.read_bytes()
    for name in ("page.css", "theme.js"):
        yield name, (PACKAGE / "report/page" / name).read_bytes()


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        mark = name if name.startswith("/*") else "{{" + name + "}}"
        if mark not in text:
            raise ValueError(f"the site's template has no {mark}")
        text = text.replace(mark, value)
    return text


def _read(name: str) -> str:
    return (SITE / name).read_text(encoding="utf-8")


def _weights(name: str) -> Path:
    path = shipped(name)
    if path is None:
        raise ValueError(f"the package has no weights of {name}")
    return path


def _card(name: str) -> dict[str, Any]:
    """The card in a weight file: eight bytes of length, then JSON with the card as text."""
    with _weights(name).open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["lightfer_card"])
