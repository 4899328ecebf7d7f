"""Temperatures against labels drawn from a known one, and those of the shipped weights."""

import pytest
import torch

from lightfer.data import load
from lightfer.measure.accuracy import predict_logits
from lightfer.measure.calibration import calibrate
from lightfer.models.registry import create_model, list_models, shipped
from lightfer.models.weights import load_checkpoint


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(true: float):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 7, generator=generator)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=generator)[:, 0]
    found = calibrate(logits, labels)
    assert found is not None
    assert found.temperature == pytest.approx(true, rel=0.03)
    assert found.nll <= found.nll_raw
    assert found.ece < 0.02
    assert found.ece <= found.ece_raw + 0.005


def test_without_an_error_there_is_no_temperature():
    logits = torch.eye(7)
    assert calibrate(logits, torch.arange(7)) is None
    assert calibrate(logits, torch.arange(7).roll(1)) is None


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_shipped_weights_have_one(name: str):
    """Fit and write it with `lightfer evaluate FILE --split validation --into-card`."""
    path = shipped(name)
    assert path is not None
    _, card = load_checkpoint(path)
    assert card.temperature is not None
    assert 0.3 < card.temperature < 3
    assert card.ece_calibrated is not None
    assert card.ece_calibrated < 0.06


def test_that_of_a_shipped_file_is_fitted_on_validation(fer2013_dir):
    name = "squeezenet1_0"
    path = shipped(name)
    assert path is not None
    _, card = load_checkpoint(path)
    validation = load(fer2013_dir, ("validation",))["validation"]
    logits = predict_logits(create_model(name, pretrained=True), validation.images)
    found = calibrate(logits, validation.labels)
    assert found is not None
    assert card.temperature == pytest.approx(found.temperature, rel=1e-3)
    assert card.ece_calibrated == pytest.approx(found.ece, abs=2e-3)
