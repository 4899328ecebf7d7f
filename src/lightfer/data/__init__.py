"""Faces and labels in memory: FER2013 from the files users have, other sets, or synthetic faces.

from lightfer.data import load
test = load("fer2013.csv")["test"]

Pictures, their crops and the finder of faces (`pictures`, `crop`, `finder`) need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightfer.data.dataset import CLASSES, SPLITS, DataError, Dataset, Split, SplitName
    from lightfer.data.loading import find, load

__all__ = ["CLASSES", "SPLITS", "DataError", "Dataset", "Split", "SplitName", "find", "load"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `lightfer predict` uses none, and no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'lightfer.data' has no attribute {name!r}")
    home = "loading" if name in ("find", "load") else "dataset"
    return getattr(import_module(f"lightfer.data.{home}"), name)
