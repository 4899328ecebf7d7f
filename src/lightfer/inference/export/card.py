"""What an exported file says of itself, as far as the weights and the order tell."""

from importlib.metadata import version

import msgspec
from torch import Tensor

from lightfer.inference.card import DeployedCard, InputContract
from lightfer.inference.export.config import ExportConfig
from lightfer.inference.export.targets import TARGETS
from lightfer.measure.environment import code_version
from lightfer.models.registry import Weights
from lightfer.models.weights import Card


def first_card(
    weights: Weights, card: Card, config: ExportConfig, calibration: Tensor | None
) -> DeployedCard:
    """The card before anything was measured.

    A float32 file, which computes what the weights do, has their accuracy. That of an int8 file is
    unknown until it is measured.
    """
    target, int8 = TARGETS[config.target], config.precision == "int8"
    scores = {"validation": card.validation, "test": card.test}
    described = None
    if target.describe_int8 and calibration is not None:
        described = target.describe_int8(len(calibration))
    return DeployedCard(
        model=weights.name,
        classes=card.classes,
        input=InputContract(**msgspec.structs.asdict(card.input)),
        preprocess=config.preprocess,
        precision=config.precision,
        batch=config.batch if target.any_size else config.batch or 1,
        temperature=card.temperature,
        accuracy={
            split: None if int8 or not score else score.top1 for split, score in scores.items()
        },
        accuracy_on=None if int8 else card.data_name,
        accuracy_lost=None,
        quantisation=described,
        data_name=card.data_name,
        data_sha256=card.data_sha256,
        weights_sha256=weights.sha256,
        licence=card.license,
        intended_use=card.intended_use,
        not_intended_use=card.not_intended_use,
        code=code_version(),
        versions={name: version(name) for name in target.packages_for(config.precision)},
    )
