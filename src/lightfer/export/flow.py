"""The main flow of an export; see the package's docstring."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch
from torch import Tensor, nn

from lightfer.checkpoint import Card
from lightfer.data.augment import normalize
from lightfer.data.dataset import Dataset
from lightfer.data.subsets import calibration_images
from lightfer.data.synthetic import synthetic_faces
from lightfer.deployed import DeployedCard, InputContract
from lightfer.export.cost import with_accuracy
from lightfer.export.errors import ExportError
from lightfer.export.opened import as_prepared
from lightfer.export.targets import TARGETS, Net, Target
from lightfer.files import write_bytes
from lightfer.measure.environment import code_version
from lightfer.runtimes.int8 import NO_IMAGES
from lightfer.subject import AGREES, Subject

COMPARED_IMAGES = 64
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ExportConfig:
    """What is wanted."""

    target: str  # of `TARGETS`
    out: Path
    precision: str = "float32"
    batch: int | None = None  # fixed number of images, None for any
    preprocess: bool = False  # grey, resizing and normalising inside the graph
    allow_loss: float = 1.0  # points of top-1 that int8 may cost on each split

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ExportError(f"there is no target {self.target!r}; there are {', '.join(TARGETS)}")
        target = TARGETS[self.target]
        if self.precision not in target.precisions:
            known = " or ".join(target.precisions)
            raise ExportError(f"{self.target} files are in {known}, not in {self.precision}")
        if self.out.suffix != target.suffix:
            raise ExportError(f"{self.out}: a file for {self.target} ends in {target.suffix}")
        if self.batch is not None and self.batch < 1:
            raise ExportError(f"batch is {self.batch}, expected at least 1")
        if self.preprocess and not target.any_size:
            raise ExportError(
                f"a {self.target} file has one input size, and --preprocess takes any: leave it out"
            )
        if reason := target.available():
            raise ExportError(reason)


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    card: DeployedCard
    files: tuple[Path, ...]
    size_bytes: int
    images: int  # that the logits were compared on
    difference: float  # largest one of a logit from PyTorch's
    logit: float  # largest one of PyTorch's


def export(
    item: Subject,
    config: ExportConfig,
    data: Dataset | None,
    *,
    test_log: Path,
    on_step: OnStep = lambda text, done, of: None,
) -> Exported:
    """Export the weights of `item`; int8 needs `data` with a train and a validation split.

    The logits are compared on validation images, on drawn faces without data. Raises ExportError.
    """
    if item.card is None or item.path is None:
        raise ExportError(f"no weights are shipped for {item.key}: give the path of a weight file")
    if config.precision == "int8" and data is None:
        raise ExportError(NO_IMAGES)
    target = TARGETS[config.target]
    target = TARGETS[config.target]
    net = _net(item, item.card, config, target, data)
    with TemporaryDirectory() as folder:
        path = Path(folder) / config.out.name
        on_step(f"{item.name}: writing {config.precision} for {config.target}", 0, 3)
        target.write(net, path)
        card = net.card
        if config.precision == "int8" and data:
            on_step(f"{item.name}: measuring what int8 costs", 1, 3)
            run = as_prepared(target.open(path), card)
            card = with_accuracy(card, net.model, run, item, data, config.allow_loss, test_log)
        target.stamp(path, card)
        on_step(f"{item.name}: comparing with PyTorch", 2, 3)
        images = _images(data)
        difference, logit = _compare(as_prepared(target.open(path), card), net.model, images)
        if config.precision == "float32" and not difference <= AGREES:
            raise ExportError(
                f"the logits of the exported {item.name} differ from PyTorch's by "
                f"{difference:.1e}, more than {AGREES:.0e}: nothing was written. Please report it"
            )
        files = _move(path, config.out)
    size = sum(file.stat().st_size for file in files)
    return Exported(card, files, size, len(images), difference, logit)


def _net(
    item: Subject, card: Card, config: ExportConfig, target: Target, data: Dataset | None
) -> Net:
    """What is to be written; accuracy that int8 has yet to earn is unknown."""
    batch = config.batch if target.any_size else config.batch or 1
    int8 = config.precision == "int8"
    calibration = normalize(calibration_images(data)) if int8 and data else None
    scores = {"validation": card.validation, "test": card.test}
    accuracy = {split: None if int8 or not score else score.top1 for split, score in scores.items()}
    deployed = DeployedCard(
        model=item.name,
        classes=card.classes,
        input=InputContract(**msgspec.structs.asdict(card.input)),
        preprocess=config.preprocess,
        precision=config.precision,
        batch=batch,
        temperature=card.temperature,
        accuracy=accuracy,
        accuracy_lost=None,
        quantisation=(
            target.describe_int8(len(calibration))
            if target.describe_int8 and calibration is not None
            else None
        ),
        data_name=card.data_name,
        data_sha256=card.data_sha256,
        weights_sha256=item.sha256,
        licence=card.license,
        intended_use=card.intended_use,
        not_intended_use=card.not_intended_use,
        code=code_version(),
        versions={name: version(name) for name in target.packages_for(config.precision)},
    )
    return Net(item.build("cpu"), deployed, calibration)


def _images(data: Dataset | None) -> Tensor:
    """Faces to compare on, uint8 (N, 1, 48, 48): of validation, or drawn ones."""
    if data is not None and "validation" in data.splits:
        return data["validation"].images[:COMPARED_IMAGES]
    return synthetic_faces({"validation": COMPARED_IMAGES}, seed=0)["validation"].images


@torch.inference_mode()
def _compare(
    run: Callable[[Tensor], Tensor], model: nn.Module, images: Tensor
) -> tuple[float, float]:
    """The largest difference of a logit, and the largest logit of the model."""
    x = normalize(images)
    expected = model(x)
    return (run(x) - expected).abs().max().item(), expected.abs().max().item()


def _move(path: Path, out: Path) -> tuple[Path, ...]:
    """Write all files beside `path` to where `out` is, `out` itself last."""
    others = sorted(file for file in path.parent.iterdir() if file != path)
    files = [(file, out.with_name(file.name)) for file in (*others, path)]
    for source, wanted in files:
        write_bytes(wanted, source.read_bytes())
    return tuple(wanted for _, wanted in reversed(files))
