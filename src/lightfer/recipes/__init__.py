"""Recipes: one file each, `config_for(model)` says how a network is trained."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def find_recipe(name: str) -> ModuleType:
    """The recipe called `name`. Raises ValueError, naming those that there are."""
    names = [module.name for module in iter_modules(__path__)]
    if name not in names:
        raise ValueError(f"there is no recipe {name!r}, only {', '.join(sorted(names))}")
    return import_module(f"{__name__}.{name}")
