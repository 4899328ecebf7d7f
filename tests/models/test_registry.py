"""The public way to a network."""

import pytest
import torch

import lightfer
from lightfer.models.registry import DEFAULT_MODELS, ZOO
from lightfer.models.weights import CheckpointError


@pytest.mark.parametrize("name", DEFAULT_MODELS)
def test_the_race_takes_any_channels_and_classes(name: str):
    model = lightfer.create_model(name, num_classes=5, in_channels=3)
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 5)


def test_lists():
    assert lightfer.list_models() == list(ZOO)
    assert set(lightfer.list_models("squeezenet")) < set(ZOO)
    assert all(name.startswith("squeezenet") for name in lightfer.list_models("squeezenet"))
    assert {ZOO[name].family for name in DEFAULT_MODELS} == {
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3",
        "shufflenet_v2",
        "squeezenet",
        "shiftnet",
    }


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(ValueError, match="did you mean mobilenet_v2"):
        lightfer.create_model("mobilnet_v2")


def test_no_shipped_weights_names_those_that_have_some():
    with pytest.raises(CheckpointError, match="no weights are shipped for mobilenet_v2_x1_4"):
        lightfer.create_model("mobilenet_v2_x1_4", pretrained=True)
