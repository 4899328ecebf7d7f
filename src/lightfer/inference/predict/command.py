"""lightfer predict: from arguments to JSON lines and annotated pictures.

Standard library, NumPy and Pillow, and what opens the model: it runs where neither torch nor typer
is installed, and starts quickly.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from itertools import chain, groupby, islice
from pathlib import Path
from time import monotonic
from typing import TextIO

from lightfer._files import (
    STDOUT,
    atomic_path,
    check_outputs,
    check_writable,
    is_stream,
    open_stream,
    output_file,
)
from lightfer.errors import ArgumentError, one_line
from lightfer.inference.predict.annotate import READ, Annotator, is_file
from lightfer.inference.predict.network import DEFAULT_MODEL
from lightfer.inference.predict.options import parse
from lightfer.inference.predict.prediction import Prediction
from lightfer.inference.predict.predictor import Predictor, Seen
from lightfer.inference.predict.sources import Item, is_video, items_of
from lightfer.inference.predict.video import frames

COUNTER_S = 0.5  # between two updates of the counter on a terminal
FLUSH_S = 0.2  # whoever reads the lines waits no longer for what is known
FAILED = 1


def main(arguments: list[str]) -> int:
    """Run the command with what stands behind `lightfer predict`; returns the exit code."""
    options = parse(arguments)
    if options.executor:
        return _label(options)
    _check(options)
    predictor = Predictor(
        options.model or DEFAULT_MODEL,
        options.runtime,
        faces="never" if options.crop else options.faces,
        batch_size=options.batch_size,
        threads=options.threads,
        note=_say,
    )
    return _run(options, predictor)


def _run(options: argparse.Namespace, predictor: Predictor) -> int:
    live = options.camera is not None
    camera = frames(options.camera, options.every) if live else ()
    items = chain(items_of(options.paths, options.every), islice(camera, options.frames))
    counter, flushed_s = _Counter(), 0.0
    with ExitStack() as stack:
        out = stack.enter_context(_lines(options.out))
        annotator = stack.enter_context(Annotator(options.annotate)) if options.annotate else None
        try:
            found = predictor.stream(items, keep_pictures=annotator is not None, live=live)
            for seen in _with_faceless_videos(found, predictor.network.name):
                for prediction in seen.predictions:
                    print(prediction.to_json(), file=out)
                if live or monotonic() - flushed_s > FLUSH_S:
                    out.flush()
                    flushed_s = monotonic()
                if annotator is not None:
                    annotator.add(seen)
                counter.count(seen)
        except (KeyboardInterrupt, SystemExit):
            if not live:  # the outputs stay as they were: a part would pass for the whole
                raise  # a camera's are kept: this is how it ends
    counter.end()
    return FAILED if counter.failed else 0


def _label(options: argparse.Namespace) -> int:
    """By `lightfer.inference.predict.shards`; the code is 1 where inputs were unusable."""
    from lightfer.inference.predict.shards import Setup, label_shards

    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {of:,} inputs", end="", file=sys.stderr, flush=True)

    setup = Setup(
        model=options.model or DEFAULT_MODEL,
        runtime=options.runtime,
        faces="never" if options.crop else options.faces,
        every=options.every,
        batch_size=options.batch_size,
    )
    told = label_shards(
        options.paths,
        options.out,
        setup,
        options.executor,
        options.workers,
        on_part=show,
        note=_say,
    )
    again = f"; shards whose workers were lost again and again: {told.failed} ({told.why[-300:]})"
    lost = again if told.failed else ""
    said = f"{told.inputs:,} inputs, {told.unusable:,} of them unusable"
    _say(f"{said}; {told.here:,} labelled now{lost}")
    return FAILED if told.unusable or told.failed else 0


def _check(options: argparse.Namespace) -> None:
    """What would only be found out after the work. Raises ValueError or OutputError."""
    if options.out == STDOUT:
        options.out = None
    target = file = None
    if options.annotate is not None:
        target = options.annotate = Path(given := options.annotate)
        file = output_file(given) if is_file(target) else None
    drawn = target if file is None else None
    check_outputs((options.out, file), [*options.paths, options.model, drawn], READ)
    if target is None:
        return
    inputs = list(options.paths) + ([] if options.camera is None else ["camera"])
    if file is None:
        check_writable(target, folder=True)
        for path in options.paths:
            _check_apart(Path(path), target)
        return
    if len(inputs) > 1 or os.path.isdir(inputs[0]):  # noqa: PTH112 (as below)
        raise ArgumentError(
            f"--annotate {target} is one file: pass a folder for more than one item"
        )
    film = options.camera is not None or is_video(inputs[0])
    if film != is_video(str(target)):
        named, given, do = ("picture", "video", ".mp4") if film else ("video", "picture", ".png")
        raise ArgumentError(
            f"--annotate {target} is a {named}, and a {given} was given: name a {do}"
        )


def _check_apart(given: Path, target: Path) -> None:
    """Pictures are drawn into no folder that is read or holds what is: the next run would take
    them for inputs. Raises ArgumentError.
    """
    source, folder = (Path(os.path.realpath(path)) for path in (given, target))
    there = os.path.exists(given)  # noqa: PTH110 (that of Path raises where a folder is closed)
    if there and (source.is_relative_to(folder) or folder.is_relative_to(source)):
        raise ArgumentError(
            f"--annotate {target} holds inputs, or lies among them ({given}): choose another folder"
        )


@contextmanager
def _lines(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there in full or not at all."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    if is_stream(path):
        with TextIOWrapper(open_stream(path), encoding="utf-8") as file:
            yield file
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def _with_faceless_videos(found: Iterator[Seen], model: str) -> Iterator[Seen]:
    """The same, and an error behind a video in none of whose frames there was a face."""
    begun = 0

    def film(seen: Seen) -> tuple[str | int, int]:
        nonlocal begun
        begun += seen.item.frame == 0  # also of the same film, named twice
        return seen.item.name, begun

    for (name, _), of_item in groupby(found, film):
        frames = faces = 0
        for seen in of_item:
            frames += seen.item.frame is not None
            faces += sum(prediction.label is not None for prediction in seen.predictions)
            yield seen
        if frames and not faces:
            error = f"no face in any of the {frames:,} frames that were looked at"
            yield Seen(Item(name, None), (Prediction(name, model, error=error),))


class _Counter:
    """Says what failed, and on a terminal how far it is."""

    def __init__(self) -> None:
        self.items = self.faces = self.failed = 0
        self.last_s = monotonic()
        self.shown = sys.stderr.isatty()

    def count(self, seen: Seen) -> None:
        self.items += 1
        for prediction in seen.predictions:
            self.faces += prediction.error is None
            if prediction.error is not None:
                self.failed += 1
                _say(f"{prediction.item}: {prediction.error}")
        if self.shown and monotonic() - self.last_s > COUNTER_S:
            self.last_s = monotonic()
            print(f"\r{self}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.shown and self.items > 1:
            print(f"\r{self}", file=sys.stderr)

    def __str__(self) -> str:
        return f"{self.items:,} items, {self.faces:,} faces, {self.failed:,} failed"


def _say(text: str) -> None:
    print(f"lightfer: {one_line(text)}", file=sys.stderr)
