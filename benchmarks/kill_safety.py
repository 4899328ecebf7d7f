"""Stop every command that writes at random moments, fill its disk, start it twice at once.

    python -m benchmarks.kill_safety --moments 20 --full 5 --twice 20 --out FILE [COMMAND ...]

Each is first run undisturbed. Then, for SIGINT (to its group, as a terminal sends it), SIGTERM and
SIGKILL, it is stopped at moments drawn over that time and started again, and at last run to its
end: what it wrote must be that of the undisturbed run, weights to the bit, results in all that time
does not decide. After each stop a file is as it was or complete, and lines that were kept stand
unchanged. After SIGINT and SIGTERM the exit code is 130 or 143, the last line says what is kept,
and nothing is left but what the command goes on with. The full disk is a tmpfs of random size,
which root can mount, under all that the command writes; then the same command goes on with more
space. Of two at once each ends well, or says in a line which process is in the way; two
`bench --append` of two nets must both be in the file. On drawn faces, with one thread. `data fetch`
needs a network and `evaluate --into-card` the real FER2013: they are not here.

Every fourth start is a new Python; the others are processes that have loaded torch already, so that
most moments fall into the work itself. Counted are moments at which the command ran. "late" are
those at which it had ended, as a continued run is shorter, "early" those before it had read its own
code: Python itself ends then, with nothing touched. What FILE holds is not tried again: with more
moments the missing ones are added. A fault is printed, and the exit code is then 1.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from benchmarks.queue_kill import LIST, SETTINGS, write_faces
from PIL import Image

from lightfer._files import write_text
from lightfer.data.synthetic import synthetic_faces
from lightfer.models.weights import load_checkpoint
from lightfer.results import read_results

MODEL = "shufflenet_v2_x0_5"
LIGHTFER = [sys.executable, "-m", "lightfer"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
ENDS_S = 120.0  # to be waited for
PAGE_BYTES = 4096  # bytes, of a tmpfs
ENDED_BY_PYTHON = (-signal.SIGINT, -signal.SIGTERM)
PUBLISHED = Path(__file__).parents[1] / "results.json"
PAGE = b"above\n<!-- results:begin -->\nolder\n<!-- results:end -->\nbelow\n"


def same_bytes(whole: Path, found: Path) -> None:
    assert found.read_bytes() == whole.read_bytes(), found


def same_size(whole: Path, found: Path) -> None:
    """Where the content holds times or names of its own: not cut short."""
    assert found.stat().st_size > 0.98 * whole.stat().st_size, found


def same_weights(whole: Path, found: Path) -> None:
    (a, card), (b, again) = load_checkpoint(whole), load_checkpoint(found)
    assert a.keys() == b.keys()
    assert all(a[name].equal(b[name]) for name in a), found
    assert (card.epoch, card.validation) == (again.epoch, again.validation)


def same_figures(whole: Path, found: Path) -> None:
    for a, b in zip(read_results(whole).entries, read_results(found).entries, strict=True):
        assert not b.error, b.error
        assert (a.model, a.params, a.macs, a.weights) == (b.model, b.params, b.macs, b.weights)
        assert (a.accuracy, a.accuracy_other) == (b.accuracy, b.accuracy_other)
        timed = [[(t.batch_size, t.clock, t.rounds) for t in e.latency] for e in (a, b)]
        assert timed[0] == timed[1]


def same_lines(whole: Path, found: Path) -> None:
    """Of a log: at least one more than there was, each that of the undisturbed run but the time."""
    wanted, *lines = (
        {**json.loads(line), "time": None}
        for path in (whole, found)
        for line in path.read_text().splitlines()[1:]
    )
    assert lines
    assert all(line == wanted for line in lines)


@dataclass(frozen=True)
class Command:
    """What is run in a folder with the inputs, and all that it writes, in the folder `o`."""

    words: str
    same: Callable[[Path, Path], None] = same_bytes
    compared: str = "*"  # which files, as a pattern
    older: bytes | None = None  # complete there before, at `o/out`
    grows: tuple[str, ...] = ()  # files to which lines are only ever added
    kept: tuple[str, ...] = ()  # what a stop leaves beside complete files, to go on with
    at_once: str = ""  # what the second of two at once is told instead
    environment: dict[str, str] = field(default_factory=dict)


OLDER = b"older"
SHORT = "--data fer2013.csv --threads 1"
TRAINING = {"compared": "*_*.safetensors", "grows": ("*.jsonl",), "kept": ()}
JOURNAL = {
    "compared": "out",
    "grows": (".out.journal", "*.jsonl"),
    "kept": (".out.journal*",),
}
APPEND = "--data fer2013.csv --threads 1 --quick --rounds 2 --batch-size 1 --append --out o/out"
COMMANDS = {
    "train": Command(f"train {MODEL} {SHORT} --epochs 2 --out o/out", same_weights, **TRAINING),
    "train --view-cache": Command(
        f"train {MODEL} {SHORT} --epochs 2 --teachers teacher.safetensors --view-cache o/views "
        "--out o/out",
        same_weights,
        **TRAINING,
    ),
    "bench": Command(
        f"bench teacher.safetensors mobilenet_v1_x0_25 {SHORT} --quick --rounds 2 --batch-size 1 "
        "--out o/out",
        same_figures,
        older=OLDER,
        **JOURNAL,
    ),
    "bench --processes": Command(
        f"bench teacher.safetensors {SHORT} --quick --rounds 2 --batch-size 1 --processes "
        "--out o/out",
        same_figures,
        older=OLDER,
        **JOURNAL,
    ),
    "bench --append": Command(
        f"bench mobilenet_v1_x0_25 {APPEND}",
        same_figures,
        older=PUBLISHED.read_bytes(),
        at_once=f"bench teacher.safetensors {APPEND}",
        **JOURNAL,
    ),
    "teach": Command("teach teacher.safetensors --data fer2013.csv --out o/out"),
    "queue": Command(
        "queue list.toml --data fer2013.csv --workers 2 --out o/out --pack o/pack.zip",
        same_weights,
        **TRAINING,
    ),
    "evaluate": Command(
        "evaluate teacher.safetensors --data fer2013.csv --log o/out",
        same_lines,
        older=b'{"an": "older line"}\n',
        grows=("out",),
    ),
    "predict": Command("predict faces --threads 1 --out o/out", older=OLDER),
    "predict --annotate": Command("predict faces --threads 1 --annotate o/out"),
    "predict a video": Command("predict film.avi --threads 1 --annotate o/out.avi", same_size),
    "predict --executor": Command(
        "predict faces --executor pool --workers 1 --out o/out", compared="*.parquet"
    ),
    "export onnx": Command("export mobilenet_v1 --to onnx --out o/out.onnx", same_size),
    "export openvino": Command(
        "export mobilenet_v1 --to openvino --data fer2013.csv --out o/out.xml", same_size
    ),
    "report": Command("report results.json --html o/out", same_size, older=OLDER),
    "report --figures": Command("report results.json --figures o/out", same_size),
    "table --into": Command("table results.json --into o/out --figure o/a.png", older=PAGE),
    "table": Command(
        "table results.json --csv o/out --latex o/a.tex --parquet o/a.parquet --boamps o/boamps",
        same_size,
        older=OLDER,
    ),
    "merge": Command("merge results.json other.json --out o/out", older=OLDER),
    "web": Command("web --out o/out"),
    "data audit": Command(
        "data audit --data fer2013.csv", compared="*.npy", environment={"LIGHTFER_CACHE": "o/out"}
    ),
}
TWICE = ("bench --append", "train", "predict")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", help=f"of {', '.join(COMMANDS)}; default: all")
    parser.add_argument("--moments", type=int, default=20, help="a command and signal")
    parser.add_argument("--full", type=int, default=5, help="sizes of the disk a command")
    parser.add_argument("--twice", type=int, default=20, help="pairs of " + ", ".join(TWICE))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON, written after every part")
    args = parser.parse_args()
    found = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        base = inputs(Path(folder) / "base")
        for name in args.commands or COMMANDS:
            wanted = {n.name: ("hit", args.moments) for n in CODES}
            wanted |= {"full disk": ("disks", args.full)}
            wanted |= {"two at once": ("pairs", args.twice)} if name in TWICE else {}
            known = found.setdefault(name, {})
            missing = {
                part: times - known.get(part, {}).get(unit, 0)
                for part, (unit, times) in wanted.items()
            }
            if max(missing.values()) <= 0:
                continue
            trial = Trial(COMMANDS[name], base, Path(folder) / name.replace(" ", ""))
            known.setdefault("undisturbed_s", round(trial.seconds[True], 1))
            for part, times in missing.items():
                if times <= 0:
                    continue
                before = known.get(part, {})
                trial.draw = random.Random(f"{name} {part} {sum(before.values())} {args.seed}")
                try:
                    counts = trial.disturb(part, times)
                except AssertionError:
                    faults += 1
                    print(f"{name}, {part}: {traceback.format_exc()}", flush=True)
                    continue
                known[part] = {unit: n + before.get(unit, 0) for unit, n in counts.items()}
                print(f"{name}, {part}: {json.dumps(known[part])}", flush=True)
                if args.out:
                    write_text(args.out, json.dumps(found, indent=1) + "\n")
            shutil.rmtree(trial.folder)
    return 1 if faults else 0


def inputs(base: Path, train: int = 100) -> Path:
    """A folder with what the commands read."""
    from lightfer.inference.predict.video import video_writer

    base.mkdir()
    write_faces(base, train=train, validation=train // 4, test=train // 4)
    (base / "faces").mkdir()
    with video_writer(base / "film.avi", 10.0) as film:
        for i, image in enumerate(synthetic_faces({"test": 40})["test"].images):
            picture = Image.fromarray(image[0].numpy())
            picture.save(base / "faces" / f"{i:02}.png")
            film.write(picture.convert("RGB"))
    for name in ("results.json", "other.json"):
        shutil.copy(PUBLISHED, base / name)
    (base / "list.toml").write_text(LIST.format(settings=SETTINGS.format(epochs=2)))
    words = f"train {MODEL} {SHORT} --epochs 1 --out teacher".split()
    code, said = Running(words, base, {}, loaded=True).end()
    assert code == 0, said
    shutil.move(base / "teacher" / f"{MODEL}.safetensors", base / "teacher.safetensors")
    shutil.rmtree(base / "teacher")
    return base


FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(
    [
        "lightfer.cli.main",
        "lightfer.bench.run",
        "lightfer.train.job",
        "lightfer.inference.predict.command",
        "torch._dynamo",
        "torch.onnx",
        "onnxscript",
        "scipy.stats",
        "altair",
        "pyarrow.parquet",
    ]
)


class Running:
    """A command at work, in a process group of its own so that all of it can be stopped.

    With `loaded` it is forked from a process that has loaded torch, and does what `lightfer` does.
    """

    def __init__(
        self, words: Sequence[str], place: Path, environment: dict[str, str], loaded: bool
    ) -> None:
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix="said")
        self.said = Path(name)
        self.process: Any
        if loaded:
            os.close(descriptor)
            self.process = FORK.Process(target=_lightfer, args=(words, place, environment, name))
            self.process.start()
            while self.process.is_alive() and os.getpgid(self.process.pid) != self.process.pid:
                sleep(0.001)
        else:
            with os.fdopen(descriptor, "wb") as said:
                self.process = subprocess.Popen(
                    [*LIGHTFER, *words],
                    cwd=place,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    process_group=0,
                    # what runs this in the background may ignore it, which is inherited
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )

    def send(self, number: signal.Signals) -> None:
        """SIGINT to all of it, as a terminal does; the others to the command alone."""
        with suppress(ProcessLookupError):
            (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said, when all processes of the group are gone."""
        if isinstance(self.process, subprocess.Popen):
            code = self.process.wait(ENDS_S)
        else:
            self.process.join(ENDS_S)
            code = self.process.exitcode
        end = perf_counter() + ENDS_S
        with suppress(ProcessLookupError):
            while perf_counter() < end:
                os.killpg(self.process.pid, 0)
                sleep(0.01)
            raise AssertionError("processes of the command are still there")
        said = self.said.read_text()
        self.said.unlink()
        return code, said


def _lightfer(words: Sequence[str], place: Path, environment: dict[str, str], said: str) -> None:
    """What a forked process does: a stop before the command's own code has it ends it at once."""
    from lightfer.__main__ import main

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(place)
    os.environ.update(environment)
    tempfile.tempdir = None
    with open(said, "wb") as file:  # noqa: PTH123
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["lightfer", *words]
    os.setpgid(0, 0)
    try:
        main()
    finally:  # as Python does it in a process that was not forked: pools end before their pipes
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]


class Trial:
    """One command, undisturbed once, then disturbed in every way."""

    def __init__(self, command: Command, base: Path, folder: Path) -> None:
        self.command, self.base, self.folder = command, base, folder
        self.draw = random.Random(0)
        self.whole = self.fresh("whole")
        self.seconds = {True: self.to_the_end(self.whole)}  # by whether torch was loaded before

    def fresh(self, name: str, size: int = 0) -> Path:
        """A folder as before the command; with a size it has a disk of so many bytes to itself."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if size and not _mount(place, size):
            raise OSError("no tmpfs can be mounted here")
        shutil.copytree(self.base, place, dirs_exist_ok=True)
        for part in ("o", "tmp"):
            (place / part).mkdir()
        if self.command.older is not None:
            (place / "o" / "out").write_bytes(self.command.older)
        return place

    def start(self, place: Path, loaded: bool = True, words: str = "") -> "Running":
        own = {"LIGHTFER_CACHE": "cache", "TMPDIR": str(place / "tmp"), "OMP_NUM_THREADS": "1"}
        environment = {**own, **self.command.environment}
        return Running((words or self.command.words).split(), place, environment, loaded)

    def to_the_end(self, place: Path, loaded: bool = True, clean: bool = True) -> float:
        """The seconds that it took."""
        begun = perf_counter()
        code, said = self.start(place, loaded).end()
        seconds = perf_counter() - begun
        assert code == 0, said
        self.check_complete(place)
        assert not clean or not self.left(place), self.left(place)
        return seconds

    def disturb(self, part: str, times: int) -> dict[str, int]:
        """Counts of what was done, by the name of a signal, "full disk" or "two at once"."""
        if part == "full disk":
            return self.fill(times)
        if part == "two at once":
            return self.twice(times)
        return self.stop(signal.Signals[part], times)

    def stop(self, number: signal.Signals, moments: int) -> dict[str, int]:
        place, lines = self.fresh("stopped"), {}
        counts = {"hit": 0, "late": 0, "early": 0}
        span, new = dict(self.seconds), True
        while counts["hit"] < moments:
            loaded = counts["hit"] % 4 < 3
            if loaded not in span:
                self.seconds[loaded] = span[loaded] = self.to_the_end(self.fresh("again"), loaded)
            running = self.start(place, loaded)
            moment = self.draw.uniform(0, 1) * span[loaded]
            sleep(moment)
            running.send(number)
            code, said = running.end()
            if code == 0:
                counts["late"] += 1
                assert counts["late"] < 20 + 4 * moments, "it ends well whatever it is sent"
                span[loaded] = moment if new else span[loaded]  # quicker than when it was timed
                self.check_complete(place)
            elif code in ENDED_BY_PYTHON or "init_import_site" in said:
                counts["early"] += 1
            else:
                counts["hit"] += 1
                assert code == CODES[number], f"exit code {code}: {said}"
                self.check_stopped(place, said if number != signal.SIGKILL else None)
            if code == 0 or self.is_complete(place):
                place, lines, new = self.fresh("stopped"), {}, True
            else:
                lines, new = self.check_lines(place, lines), False
        self.to_the_end(place, clean=number != signal.SIGKILL)
        return counts

    def check_complete(self, place: Path) -> None:
        for path in self.files(self.whole):
            self.command.same(self.whole / path, place / path)

    def check_stopped(self, place: Path, said: str | None) -> None:
        """What is there is complete; a command that could say something said it in a line."""
        for path in self.files(place):
            older = self.command.older if path == Path("o/out") else None
            if (place / path).read_bytes() != older:
                self.command.same(self.whole / path, place / path)
        if said is not None:
            assert "Traceback" not in said, said
            assert said.splitlines()[-1].startswith("lightfer: "), said
            assert not self.left(place), self.left(place)

    def check_lines(self, place: Path, before: dict[Path, list[bytes]]) -> dict[Path, list[bytes]]:
        for path, lines in before.items():
            now = (place / path).read_bytes().splitlines(keepends=True)
            assert now[: len(lines)] == lines, f"what {path} held has changed"
        return {
            path.relative_to(place): [
                line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
            ]
            for pattern in self.command.grows
            for path in place.rglob(pattern)
        }

    def is_complete(self, place: Path) -> bool:
        """Whether it was killed behind its last write."""
        older = self.command.older
        return older is not None and (place / "o" / "out").read_bytes() != older

    def files(self, place: Path) -> list[Path]:
        """What is written to be kept, and is compared."""
        paths = [p.relative_to(place) for p in sorted((place / "o").rglob("*")) if p.is_file()]
        return [p for p in paths if fnmatch(p.name, self.command.compared) and not _hidden(p)]

    def left(self, place: Path) -> list[Path]:
        """Files that are neither written to be kept nor gone on with."""
        known = ("*.lock", "torchinductor_*", *self.command.kept)  # torch's is a cache
        return [
            p
            for part in ("o", "tmp", "cache")
            for p in (path.relative_to(place) for path in sorted((place / part).rglob("*")))
            if (_hidden(p) or part == "tmp")
            and not any(fnmatch(name, pattern) for name in p.parts for pattern in known)
        ]

    def fill(self, sizes: int) -> dict[str, int]:
        before, full = _used(self.base) + _pages(len(self.command.older or b"")), 0
        written = _used(self.whole) - _used(self.base)
        for _ in range(sizes):
            room = int(self.draw.uniform(0, 1.2) * written) // PAGE_BYTES * PAGE_BYTES
            place = self.fresh("full", before + room)
            try:
                code, said = self.start(place).end()
                if code:
                    full += 1
                    assert "space" in said, said
                    self.check_stopped(place, said)
                _mount(place, before + 20 * written + (64 << 20), "remount,")
                self.to_the_end(place)
            finally:
                subprocess.run(["umount", place], check=True)
        return {"disks": sizes, "too_small": full}

    def twice(self, pairs: int) -> dict[str, int]:
        refused = 0
        for _ in range(pairs):
            place = self.fresh("twice")
            both = [self.start(place), self.start(place, words=self.command.at_once)]
            ended = [running.end() for running in both]
            assert any(code == 0 for code, _ in ended), ended
            for code, said in ended:
                assert code == 0 or "is in use by process" in said, said
            refused += sum(code != 0 for code, _ in ended)
            if self.command.at_once:
                places = [p / "o" / "out" for p in (self.whole, place)]
                a, b = (Counter(e.model for e in read_results(p).entries) for p in places)
                assert b == a + Counter([MODEL])
            else:
                self.check_complete(place)
            assert not self.left(place), self.left(place)
        return {"pairs": pairs, "refused_by_name": refused}


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _used(folder: Path) -> int:
    return sum(_pages(p.stat().st_size) for p in folder.rglob("*") if p.is_file())


def _pages(size: int) -> int:
    """Bytes that a file of so many has on a tmpfs."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _mount(folder: Path, size: int, options: str = "") -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"{options}size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
