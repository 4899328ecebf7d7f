"""Faces and labels in memory: FER2013 from the files users have, or synthetic faces.

from lightfer.data import load
test = load("fer2013.csv")["test"]
"""

from lightfer.data.dataset import CLASSES, SPLITS, DataError, Dataset, Split, SplitName
from lightfer.data.loading import find, load

__all__ = ["CLASSES", "SPLITS", "DataError", "Dataset", "Split", "SplitName", "find", "load"]
