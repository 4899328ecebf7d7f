"""An exported file, opened: by ONNX Runtime or OpenVINO, without torch.

Arrays go in as `lightfer.inference.card` describes the input, logits (N, classes) come out. `run`
may be called by several threads at once.
"""

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightfer._files import check_input, is_utf8
from lightfer.inference.card import (
    CARD_KEY,
    INPUT,
    OUTPUT,
    ExportCard,
    ExportedFileError,
    check_seal,
    files_of,
    parse_card,
)

Run = Callable[[np.ndarray], np.ndarray]
PROVIDERS = ["CPUExecutionProvider"]


@dataclass(frozen=True)
class Session:
    """What was opened, and the card in it as text, if it has one."""

    run: Run
    card_text: str | None
    where: str  # for messages
    path: Path | None = None  # of a file

    def card(self) -> ExportCard:
        """Raises ExportedFileError where there is none, or one that cannot be right, or whose
        checksum is not that of the file.
        """
        card = parse_card(self.card_text, self.where)
        if self.path is not None:
            check_seal(self.path, card)
        return card


def open_session(
    source: Path | bytes, runtime: str, threads: int = 1, streams: int = 1, name: str = "the model"
) -> Session:
    """Open an ONNX file, or its content, or an OpenVINO .xml file, by `runtime`, one of `READERS`.

    OpenVINO works on `streams` batches at once, ONNX Runtime on one a calling thread. `name` is
    what messages call a content. Raises ExportedFileError for what the runtime cannot read or run.
    """
    path = source if isinstance(source, Path) else None
    for file in files_of(path) if path else ():
        check_input(file)
    where = str(path or name)
    session = READERS[runtime](source, where, threads, streams)

    def run(x: np.ndarray) -> np.ndarray:
        try:
            return session.run(x)
        except Exception as error:  # as of opening
            raise ExportedFileError(
                f"{where} cannot be run on {x.dtype} of {x.shape}, as its card has it: {error}"
            ) from error

    return replace(session, run=run, path=path)


def read_card(path: Path) -> ExportCard:
    """The card of an exported .onnx file, by ONNX Runtime, or of an OpenVINO .xml file.

    Raises ExportedFileError for a file that is not there, cannot be read or has no card.
    """
    path = Path(path)
    if not path.exists():
        raise ExportedFileError(f"{path}: no such file")
    check_input(path)
    if path.suffix == ".xml":
        card = parse_card(_rt_info(path), str(path))
        check_seal(path, card)
        return card
    return open_session(path, "onnxruntime").card()


def _rt_info(path: Path) -> str | None:
    """The value of our key in the `rt_info` at the end of an OpenVINO file."""
    from xml.etree import ElementTree

    try:
        found = ElementTree.parse(path).getroot().find(f"./rt_info/{CARD_KEY}")
    except ElementTree.ParseError as error:
        raise ExportedFileError(f"{path} is not an OpenVINO model: {error}") from error
    return None if found is None else found.get("value")


def onnx_options(threads: int) -> Any:
    """Of a session of ONNX Runtime on so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # without it, x86 processors that have no VNNI add int8 products of 8-bit weights with overflow
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3  # errors
    return options


def _onnxruntime(source: Path | bytes, where: str, threads: int, streams: int) -> Session:
    import onnxruntime

    try:
        if isinstance(source, Path) and not is_utf8(source):
            source = source.read_bytes()
        session = onnxruntime.InferenceSession(source, onnx_options(threads), providers=PROVIDERS)
    except Exception as error:  # its exceptions have no common base beside Exception
        raise ExportedFileError(f"{where} is not an ONNX model that can be run: {error}") from error

    def run(x: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([OUTPUT], {INPUT: x})[0])

    return Session(run, session.get_modelmeta().custom_metadata_map.get(CARD_KEY), where)


def _openvino(source: Path | bytes, where: str, threads: int, streams: int) -> Session:
    import openvino

    try:
        readable = io.BytesIO(source) if isinstance(source, bytes) else source
        network = openvino.Core().read_model(readable)
    except RuntimeError as error:
        raise ExportedFileError(
            f"{where} is not a model that OpenVINO can read: {error}"
        ) from error
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
    }
    compiled = openvino.Core().compile_model(network, "CPU", config)
    local = threading.local()  # a request serves one thread at a time

    def run(x: np.ndarray) -> np.ndarray:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        (logits,) = local.request.infer([np.ascontiguousarray(x)], share_inputs=True).values()
        return np.array(logits)

    # An OpenVINO model has the card itself, one read from ONNX among the framework's notes.
    places = [p for p in ([CARD_KEY], ["framework", CARD_KEY]) if network.has_rt_info(p)]
    text = str(network.get_rt_info(places[0]).value) if places else None
    return Session(run, text, where)


READERS: dict[str, Callable[[Path | bytes, str, int, int], Session]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
"""The runtimes that read exported files."""
