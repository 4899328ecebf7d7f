"""Recipes: one file each, `config_for(model)` says how a network is trained."""

from importlib import import_module
from typing import Any, Protocol, cast

from lightfer.errors import ArgumentError

NAMES = ("first_light", "second_light", "third_light", "equal", "teacher", "taught")


class Recipe(Protocol):
    """A module of this package."""

    @staticmethod
    def config_for(model: str, seed: int = 0, **changes: Any) -> Any:
        """The settings for a model of the zoo, with single fields changed."""


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises ValueError if there is none."""
    if name not in NAMES:
        raise ArgumentError(f"there is no recipe {name!r}; there are {', '.join(NAMES)}")
    return cast(Recipe, import_module(f"lightfer.train.recipes.{name}"))
