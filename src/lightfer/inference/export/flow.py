"""The main flow of an export; see the package's docstring."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch
from torch import Tensor, nn

from lightfer._files import atomic_path
from lightfer.data.dataset import Dataset, normalize
from lightfer.data.loading import at_size
from lightfer.data.subsets import calibration_images
from lightfer.data.synthetic import synthetic_faces
from lightfer.inference.backends.int8 import METHODS, NNCF_IMAGES, NO_IMAGES
from lightfer.inference.backends.protocol import AGREES
from lightfer.inference.card import UNSEALED, ExportCard, export_card, seal
from lightfer.inference.export.config import ExportConfig, ExportError
from lightfer.inference.export.cost import with_accuracy
from lightfer.inference.export.targets import TARGETS, Net, as_prepared
from lightfer.measure.environment import code_version, package_version
from lightfer.models.find import Weights

COMPARED_IMAGES = 64
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    card: ExportCard
    files: tuple[Path, ...]
    size_bytes: int
    images: int  # that the logits were compared on
    difference: float  # largest one of a logit from PyTorch's
    logit: float  # largest one of PyTorch's


def export(
    weights: Weights,
    config: ExportConfig,
    data: Dataset | None,
    *,
    test_log: Path,
    on_step: OnStep = lambda text, done, of: None,
) -> Exported:
    """Export the weights of `weights`; int8 needs `data` with a train and a validation split.

    The logits are compared on validation images, on drawn faces without data. Raises ExportError.
    """
    if weights.card is None or weights.path is None:
        raise ExportError(
            f"no weights are shipped for {weights.key}: give the path of a weight file"
        )
    if config.precision == "int8" and data is None:
        raise ExportError(NO_IMAGES)
    target, contract = TARGETS[config.target], weights.card.input
    if contract.height != contract.width:
        size = f"{contract.height} x {contract.width}"
        raise ExportError(f"{weights.key} is for images of {size}, expected squares")
    calibration = described = None
    if config.precision == "int8" and data:
        calibration = normalize(calibration_images(data))
        used = calibration[:NNCF_IMAGES] if config.target == "openvino" else calibration
        described = {
            "method": METHODS[config.target],
            "calibration_split": "train",
            "calibration_images": len(used),
        }
    card = export_card(
        msgspec.to_builtins(weights.card),
        weights_sha256=weights.sha256,
        code=code_version(),
        preprocess=config.preprocess,
        precision=config.precision,
        batch=config.batch if target.any_size else config.batch or 1,
        quantisation=described,
        versions={
            name: package_version(name) or "unknown"
            for name in target.packages_for(config.precision)
        },
    )
    net = Net(weights.build("cpu"), card, calibration)
    with TemporaryDirectory() as folder:
        path = Path(folder) / config.out.with_suffix(target.suffix).name
        on_step(f"{weights.name}: writing {config.precision} for {config.target}", 0, 3)
        target.write(net, path)
        if config.precision == "int8" and data:
            on_step(f"{weights.name}: measuring what int8 costs", 1, 3)
            run = as_prepared(target.open(path), card)
            variant = f"{'onnxruntime' if target.name == 'onnx' else target.name}-int8"
            card = with_accuracy(
                card, net.model, run, weights, data, config.allow_loss, test_log, variant
            )
        card = replace(card, sha256=UNSEALED)
        target.stamp(path, card)
        card = seal(path, card)
        on_step(f"{weights.name}: comparing with PyTorch", 2, 3)
        images = _images(data, card.input.height)
        difference, logit = _compare(as_prepared(target.open(path), card), net.model, images)
        if config.precision == "float32" and not difference <= AGREES:
            raise ExportError(
                f"the logits of the exported {weights.name} differ from PyTorch's by "
                f"{difference:.1e}, more than {AGREES:.0e}: nothing was written. Please report it"
            )
        size = sum(file.stat().st_size for file in path.parent.iterdir())
        files = _move(path, config.out)
    return Exported(card, files, size, len(images), difference, logit)


def _images(data: Dataset | None, size: int) -> Tensor:
    """Faces to compare on, uint8 (N, 1, size, size): of validation, or drawn ones."""
    if data is not None and "validation" in data.splits:
        return data["validation"].images[:COMPARED_IMAGES]
    drawn = synthetic_faces({"validation": COMPARED_IMAGES}, seed=0)
    return at_size(drawn, size)["validation"].images


@torch.inference_mode()
def _compare(
    run: Callable[[Tensor], Tensor], model: nn.Module, images: Tensor
) -> tuple[float, float]:
    """The largest difference of a logit, and the largest logit of the model."""
    x = normalize(images)
    expected = model(x)
    return (run(x) - expected).abs().max().item(), expected.abs().max().item()


def _move(path: Path, out: Path) -> tuple[Path, ...]:
    """Write all files beside `path` to where `out` is: those that are there already are replaced
    once all are written, `out` itself last.
    """
    others = sorted(file for file in path.parent.iterdir() if file != path)
    files = [(path, out), *((file, out.with_name(file.name)) for file in others)]
    with ExitStack() as stack:
        for source, wanted in files:
            stack.enter_context(atomic_path(wanted)).write_bytes(source.read_bytes())
    return tuple(wanted for _, wanted in files)
