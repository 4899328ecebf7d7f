"""From a name or a file to a function from faces to logits; torch is imported only if needed."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lightfer._files import (
    cache_folder,
    check_input,
    graph_file,
    plain_name,
    sha256_of,
    shipped,
    write_bytes,
)
from lightfer.errors import LightferError
from lightfer.inference.card import ExportCard, files_of
from lightfer.inference.onnx_from_weights import assembled
from lightfer.inference.session import READERS, Run, open_session
from lightfer.measure.process import usable_cores

DEFAULT_MODEL = "vgg_slim"
"""Of `predict`, README, pages and notebooks: of the shipped models the most accurate on validation,
not the fastest. Tests hold all of them to this rule."""

FORMAT = 2
"""Part of the names in the cache: to be changed with what an exported file is."""

EXPORTED = (".onnx", ".xml")
Note = Callable[[str], None]


class PredictError(LightferError):
    """A network cannot be used for predictions; the message says why and what to do."""


@dataclass(frozen=True)
class Network:
    """uint8 faces (N, height, width) -> float32 logits (N, classes), and what its card says.

    `run` may be called by several threads at once.
    """

    name: str
    classes: tuple[str, ...]
    size: tuple[int, int]  # height, width of a face
    temperature: float | None  # softmax(logits / temperature) is calibrated
    runtime: str
    run: Run

    def probabilities(self, faces: np.ndarray) -> np.ndarray:
        """uint8 (N, height, width) -> float64 (N, classes), each row's sum 1.

        Raises PredictError where the network gives something else than a finite number a class.
        """
        logits = self.run(faces).astype(np.float64) / (self.temperature or 1.0)
        if logits.shape != (len(faces), len(self.classes)):
            raise PredictError(
                f"{self.name} gives logits of shape {logits.shape}, expected "
                f"{(len(faces), len(self.classes))}: its file is damaged, or its card is another's"
            )
        if not np.isfinite(logits).all():
            raise PredictError(
                f"{self.name} gives logits that are not finite numbers: its file is damaged, or "
                "its training diverged; get it again"
            )
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)


def load_network(
    model: str | Path = DEFAULT_MODEL,
    runtime: str | None = None,
    *,
    batch_size: int,
    threads: int | None = None,
    note: Note = lambda text: None,
) -> Network:
    """A shipped model by its name, a weight file, or an exported .onnx or .xml file.

    `runtime` is one of `lightfer.inference.backends`; None takes ONNX Runtime where it can, else
    what can read the file, else PyTorch. ONNX Runtime and OpenVINO get a name or weight file
    assembled (see `lightfer.inference.onnx_from_weights`); one of an architecture without a graph
    is exported once and kept in the user's cache, under the hashes of its weights and, of a net of
    your own, its code; `note` is told.

    Raises PredictError, ExportedFileError, or what the zoo raises for unknown names and bad files.
    """
    path, threads = Path(model), threads or usable_cores()
    ready = path.suffix in EXPORTED
    if ready or path.suffix == ".safetensors":
        check_input(path)
    if ready and not path.exists():
        raise PredictError(f"{path}: no such file; `lightfer export` makes one")
    runtime = runtime or _best_runtime(str(model), path.suffix)
    if runtime not in READERS:
        if not ready:
            return _from_torch(str(model), runtime, batch_size, threads)
        able = " or ".join(READERS)
        raise PredictError(f"runtime {runtime} cannot read {path}; {able} can")
    if find_spec(runtime) is None:
        raise PredictError(f"{runtime} is not installed: pip install {runtime}")
    source = path if ready else assembled(_weights(str(model))) or exported(str(model), note)
    # Batches are spread over the cores: each on a thread of ONNX Runtime, a stream of OpenVINO.
    each = 1 if runtime == "onnxruntime" else threads
    name = f"the model assembled from {model}"
    session = open_session(source, runtime, threads=each, streams=threads, name=name)
    card, run = session.card(), session.run
    size = (card.input.height, card.input.width)
    faces = _prepared(card, run)
    if card.batch:
        faces = in_batches_of(card.batch, faces)
    return Network(card.model, card.classes, size, card.temperature, runtime, faces)


def exported(model: str, note: Note = lambda text: None) -> Path | bytes:
    """The cached ONNX file of a shipped model or a weight file; made, with torch, if need be. Where
    it cannot be kept, its content.
    """
    path = _cached(model)
    if not os.path.exists(path):  # noqa: PTH110 (that of Path raises where a folder is closed)
        if find_spec("torch") is None:
            raise PredictError(
                f"{model} has to be exported first, which needs torch: run `lightfer export "
                f"{model} --to onnx --out {model}.onnx` where lightfer is installed in full, and "
                f"pass the file as the model"
            )
        note(f"exporting {model} to ONNX, once, to be kept as {path}")
        from lightfer.inference.predict.exporting import export_for_prediction

        with TemporaryDirectory(prefix="lightfer-") as folder:
            export_for_prediction(model, made := Path(folder) / path.name)
            content = made.read_bytes()
        try:
            write_bytes(path, content)
        except OSError as error:
            note(f"{error}. {model} is used all the same; it is exported again the next time")
            return content
    return path


def in_batches_of(size: int, run: Run) -> Run:
    """`run` for any number of faces, where it takes `size` at a time: the last ones are doubled."""

    def batched(faces: np.ndarray) -> np.ndarray:
        whole = np.concatenate([faces, np.repeat(faces[-1:], -len(faces) % size, axis=0)])
        logits = [run(whole[i : i + size]) for i in range(0, len(whole), size)]
        return np.concatenate(logits)[: len(faces)]

    return batched


def _prepared(card: ExportCard, run: Run) -> Run:
    """From uint8 faces to what the graph takes, see `lightfer.inference.card`."""
    contract = card.input

    def inside(faces: np.ndarray) -> np.ndarray:
        return run(np.repeat(faces[..., None], 3, axis=3))

    def outside(faces: np.ndarray) -> np.ndarray:
        x = (faces.astype(np.float32) / 255 - contract.mean) / contract.std
        return run(np.repeat(x[:, None], contract.channels, axis=1))

    return inside if card.preprocess else outside


def _from_torch(model: str, runtime: str, batch_size: int, threads: int) -> Network:
    if find_spec("torch") is None:
        raise PredictError(
            f"torch is not installed, and {model} needs it in runtime {runtime}: pass an exported "
            "file (`lightfer export` makes one), or pip install torch"
        )
    from lightfer.inference.predict.exporting import load_torch

    card, run = load_torch(model, runtime, batch_size, threads)
    if runtime == "compile":
        run = in_batches_of(batch_size, run)
    size = (card.input.height, card.input.width)
    return Network(card.model, card.classes, size, card.temperature, runtime, run)


def weights_sha256(model: str) -> str:
    """Of the files with the weights of what `load_network` takes; of two, both."""
    path = Path(model)
    files = files_of(path) if path.suffix in EXPORTED else [_weights(model)]
    return " ".join(sha256_of(file) for file in files)


def code_sha256(model: str) -> str | None:
    """Of the file with the code of a net of your own, which its weights do not tell; else None."""
    if find_spec("torch") is None or Path(model).suffix in EXPORTED:
        return None
    from lightfer.models.find import find_weights, own_and_file, own_source

    if not own_and_file(model)[0] and not entry_points(group="lightfer.models"):
        return None
    return own_source(find_weights(model).name)


def _weights(model: str) -> Path:
    path = Path(model) if model.endswith(".safetensors") else shipped(model)
    if path is None or not path.exists():
        if find_spec("torch") is None:
            raise PredictError(f"{model} is neither a shipped model nor a file that is there")
        from lightfer.models.find import find_weights

        path = find_weights(model, needed=True).path
        assert path is not None
    return path


def _cached(model: str) -> Path:
    path = _weights(model)
    hashes = filter(None, (sha256_of(path), code_sha256(model)))
    made_of = "-".join(sha256[:16] for sha256 in hashes)
    return cache_folder() / "exported" / f"{path.stem}-{made_of}-{FORMAT}.onnx"


def _best_runtime(model: str, suffix: str) -> str:
    """ONNX Runtime if it is there, and so is what it runs, or can be made."""
    if suffix == ".xml" or (suffix in EXPORTED and find_spec("onnxruntime") is None):
        return "openvino"
    if suffix in EXPORTED:
        return "onnxruntime"
    usable = find_spec("onnxruntime") is not None and (
        (shipped(model) and plain_name(model) == model and graph_file(model).exists())
        or all(find_spec(name) for name in ("torch", "onnx", "onnxscript"))
        or os.path.exists(_cached(model))  # noqa: PTH110 (as above)
        or assembled(_weights(model)) is not None
    )
    return "onnxruntime" if usable else "pytorch"
