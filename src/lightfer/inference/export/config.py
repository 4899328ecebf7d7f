"""What can be wanted of an export, and what goes wrong in one."""

from dataclasses import dataclass
from pathlib import Path

from lightfer._files import is_stream
from lightfer.errors import LightferError
from lightfer.inference.export.targets import TARGETS


class ExportError(LightferError):
    """A file cannot be made or is not what it should be; the message says why. None was written."""


@dataclass(frozen=True)
class ExportConfig:
    """What is wanted."""

    target: str  # of `TARGETS`
    out: Path
    precision: str = "float32"
    batch: int | None = None  # fixed number of images, None for any
    preprocess: bool = False  # grey, resizing and normalising inside the graph
    allow_loss: float = 1.0  # points of top-1 that int8 may cost on validation

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ExportError(f"there is no target {self.target!r}; there are {', '.join(TARGETS)}")
        target = TARGETS[self.target]
        if self.precision not in target.precisions:
            known = " or ".join(target.precisions)
            raise ExportError(f"{self.target} files are in {known}, not in {self.precision}")
        stream = is_stream(self.out)
        if stream and self.target == "openvino":
            raise ExportError(f"openvino makes two files, and {self.out} is none: name an .xml")
        if self.out.suffix != target.suffix and not stream:
            raise ExportError(f"{self.out}: a file for {self.target} ends in {target.suffix}")
        if self.batch is not None and self.batch < 1:
            raise ExportError(f"batch is {self.batch}, expected at least 1")
        if self.preprocess and not target.any_size:
            raise ExportError(
                f"a {self.target} file has one input size, and --preprocess takes any: leave it out"
            )
        if reason := target.available():
            raise ExportError(reason)
