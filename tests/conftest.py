"""What the tests share: a small synthetic data set, and the real one where it is found."""

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
from PIL import Image

from lightfer.data import SPLITS, Dataset
from lightfer.data.synthetic import synthetic_faces

ROOT = Path(__file__).parents[1]
_COUNTED: dict[str, Any] = {}
T = TypeVar("T")


def by_day(few: Sequence[T], every: Sequence[T]) -> Sequence[T]:
    """`every` where `LIGHTFER_CAMPAIGN` asks for a night's work, else `few` of them."""
    assert set(few) <= set(every)
    return every if "LIGHTFER_CAMPAIGN" in os.environ else few


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What this process writes behind `size` bytes of a file fails, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def pytest_configure() -> None:
    """Ctrl-C as in a terminal, and one core for each worker of a parallel run.

    A run that was started in the background ignores SIGINT, which its children inherit. Two threads
    of one worker beside two of another wait for each other for longer than they compute.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect():
    """What is there before the tests of a file stays: to look through it anew takes a good part of
    a second, and each round of a benchmark begins with it.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a benchmark in this process take the fewest passes, and of noise, where there is no
    data, few images: figures that no test reads. The operations of equal nets are counted once.
    """
    from lightfer.measure import operations

    gc.freeze()  # what earlier tests imported, as `_little_to_collect`
    count = operations.count_operations

    def counted_once(model: torch.nn.Module, shape: tuple[int, ...]) -> operations.Operations:
        key = f"{type(model)} {model} {shape}"
        if key not in _COUNTED:
            _COUNTED[key] = count(model, shape)
        return _COUNTED[key]

    monkeypatch.setattr(operations, "count_operations", counted_once)
    monkeypatch.setattr("lightfer.bench.run.TEST_IMAGES", 32)
    monkeypatch.setattr("lightfer.bench.case.YARDSTICK_S", 0)
    monkeypatch.setattr("lightfer.measure.yardstick.FEWEST", 1)
    monkeypatch.setattr("lightfer.measure.yardstick.COOLED", 0)
    monkeypatch.setattr("lightfer.measure.latency.STABLE", inf)  # warm after two groups


def _fingerprint(model: torch.nn.Module) -> bytes:
    """Equal for networks of the same code, settings and weights."""
    found = sha256()
    for name, module in model.named_modules():
        code = type(module).forward.__code__
        settings = {k: v for k, v in vars(module).items() if k not in ("_parameters", "_buffers")}
        settings["_modules"] = list(module._modules)
        said = (name, type(module), code.co_code, code.co_consts, code.co_names, settings)
        found.update(repr(said).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().numpy().tobytes())
    return found.digest()


@pytest.fixture(scope="session", autouse=True)
def _equal_nets_are_exported_once():
    """PyTorch's exporter takes a good part of all time; what we make of its file is made anew."""
    export, kept = torch.onnx.export, {}

    def exported(model: torch.nn.Module, args: Any, *rest: Any, **settings: Any) -> Any:
        if rest or not settings.get("dynamo"):
            return export(model, args, *rest, **settings)
        shapes = [(tuple(x.shape), x.dtype, x.stride()) for x in args]
        key = (_fingerprint(model), repr(shapes), repr(settings))
        if key not in kept:
            program = export(model, args, **settings)
            assert program is not None
            kept[key] = type(program.model_proto), program.model_proto.SerializeToString()
        kind, content = kept[key]
        return SimpleNamespace(model_proto=kind.FromString(content))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", exported)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_user_data(tmp_path_factory):
    """Tests see neither the user's data nor the user's cache, unless they ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTFER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("LIGHTFER_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def faces() -> Dataset:
    return synthetic_faces({"train": 96, "validation": 48, "test": 48}, seed=1)


_REAL = Path(os.environ.get("LIGHTFER_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def fer2013_dir() -> Path:
    if not _REAL.exists():
        pytest.skip("the real FER2013 is neither at LIGHTFER_DATA nor at ../shared/data")
    return _REAL


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks and batches this small lose by more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_csv(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic faces in the form of Kaggle's file."""
    path = tmp_path_factory.mktemp("data") / "fer2013.csv"
    lines = ["emotion,pixels,Usage"]
    for name, usage in zip(SPLITS, ("Training", "PublicTest", "PrivateTest"), strict=True):
        split = faces[name]
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            pixels = " ".join(map(str, image.flatten().tolist()))
            lines.append(f"{label},{pixels},{usage}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def blind_csv(small_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic faces without a test split."""
    path = tmp_path_factory.mktemp("blind") / "fer2013.csv"
    lines = small_csv.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.endswith("PrivateTest")) + "\n")
    return path


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """The portrait of Eileen Collins that scikit-image ships; NASA, public domain."""
    pytest.importorskip("cv2")
    return Image.fromarray(pytest.importorskip("skimage.data").astronaut())
