"""The temperature that turns logits into calibrated probabilities; fitted on validation only."""

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy

from lightfer.measure.reliability import Reliability

RANGE = (0.05, 20.0)
"""Between which temperatures are looked for."""


class Calibration(NamedTuple):
    """A temperature, and what it does on the images that it was fitted on."""

    temperature: float
    nll: float  # mean negative log-likelihood with it
    nll_raw: float  # without
    ece: float  # expected calibration error with it
    ece_raw: float


def calibrate(logits: Tensor, labels: Tensor) -> Calibration | None:
    """The T for which softmax(logits / T) has the least negative log-likelihood of the labels.

    Logits (N, classes), labels (N,). One number, so no prediction changes. None where there is no
    such T in `RANGE`, as of images that are all right. Guo et al., 2017, section 4.2,
    https://arxiv.org/abs/1706.04599.
    """
    from scipy.optimize import minimize_scalar

    def nll(log_t: float) -> float:
        return cross_entropy(logits.double() / math.exp(log_t), labels).item()

    low, high = (math.log(t) for t in RANGE)
    found = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    if min(found.x - low, high - found.x) < 1e-3:
        return None
    return Calibration(
        temperature=math.exp(found.x),
        nll=float(found.fun),
        nll_raw=nll(0.0),
        ece=Reliability(logits / math.exp(found.x), labels).error,
        ece_raw=Reliability(logits, labels).error,
    )
