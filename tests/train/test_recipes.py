"""What a recipe's docstring promises is what the cards of the weights made by it say."""

import dataclasses
import re
from dataclasses import asdict
from types import ModuleType

import pytest
from msgspec.structs import replace

from lightfer.models.registry import ZOO, list_models, shipped
from lightfer.models.weights import Card, load_checkpoint
from lightfer.train.job import Job
from lightfer.train.recipes import NAMES, find_recipe

ROW = re.compile(r"^    (\w+) +([\d.]+) +(\d+) +([\d.]+)$", re.M)
WATTS_PER_THREAD = 5  # as the docstrings say
CARDS = {name: load_checkpoint(path)[1] for name in list_models() if (path := shipped(name))}


def cards_of(recipe: str) -> dict[str, Card]:
    return {name: card for name, card in CARDS.items() if card.recipe.split(",")[0] == recipe}


def recipe_module(name: str) -> ModuleType:
    module = find_recipe(name)
    assert isinstance(module, ModuleType)
    return module


@pytest.mark.parametrize("recipe", NAMES)
def test_the_docstring_states_command_accuracy_time_and_energy(recipe: str):
    text = recipe_module(recipe).__doc__ or ""
    assert "lightfer train " in text
    rows = {name: (top1, s, kj) for name, top1, s, kj in ROW.findall(text)}
    expected = {}
    for name, card in cards_of(recipe).items():
        assert card.validation is not None
        cost = card.training
        seconds = card.training_s if cost is None else cost.cpu_s
        joules = seconds * WATTS_PER_THREAD if cost is None else cost.energy_j
        assert joules is not None
        top1 = f"{100 * card.validation.top1:.2f}"
        expected[name] = (top1, f"{seconds:.0f}", f"{joules / 1000:.2f}")
    assert rows == expected


@pytest.mark.parametrize("name", CARDS)
def test_the_recipe_still_gives_the_settings_of_the_card(name: str):
    card = CARDS[name]
    recipe, *changes = card.recipe.split(",")
    pairs = dict(change.split("=") for change in changes)
    given = {key: float(value) if "." in value else int(value) for key, value in pairs.items()}
    now = asdict(find_recipe(recipe).config_for(name, card.seed, **given))
    then = {key: value for key, value in card.config.items() if key != "augmentation"}
    assert {key: now[key] for key in then} == then
    augmentation = card.config["augmentation"]
    assert {key: now["augmentation"][key] for key in augmentation} == augmentation


@pytest.mark.parametrize("recipe", NAMES)
def test_a_recipe_has_settings_for_every_model(recipe: str):
    for model in ZOO:
        assert find_recipe(recipe).config_for(model, 3, epochs=50).seed == 3
        assert find_recipe(recipe).config_for(model, 3, epochs=50).epochs == 50


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="no recipe 'x'; there are first_light"):
        find_recipe("x")


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0.5), (3, 1.5), (4, 3.0), (60, 3.0)])
def test_fewer_epochs_than_the_warm_up_takes_shorten_it(epochs: int, warmup: float):
    """A list of a queue with `settings = { epochs = 1 }` failed; `train --epochs 1` did not."""
    job = Job(model="vgg_slim", recipe="equal", settings={"epochs": epochs})
    assert job.config().warmup_epochs == warmup
    with pytest.raises(ValueError, match="warmup_epochs"):
        replace(job, settings={"epochs": 3, "warmup_epochs": 3.0}).config()


@pytest.mark.parametrize("recipe", NAMES)
def test_one_value_of_the_augmentation_leaves_the_recipes_others(recipe: str):
    teachers = ("vgg_slim",) if recipe == "taught" else ()
    job = Job(
        model="vgg_slim",
        recipe=recipe,
        teachers=teachers,
        settings={"augmentation": {"erase": 0.75}},
    )
    plain = find_recipe(recipe).config_for("vgg_slim").augmentation
    assert job.config().augmentation == dataclasses.replace(plain, erase=0.75)
