"""Other data sets than FER2013, by the name that `--data NAME:PATH` takes; one module each.

Sets with the eighth class, contempt, have a second name with an 8 behind it, which keeps it.
Official splits are kept; where only train and test are official, every tenth group of equal train
images is validation, to choose on; where there are none, every image is of the test split.
"""

from collections.abc import Mapping

from lightfer.data.affectnet import AFFECTNET
from lightfer.data.ckplus import CKPLUS
from lightfer.data.expw import EXPW
from lightfer.data.forms import FaceSet
from lightfer.data.jaffe import JAFFE
from lightfer.data.rafdb import RAF_DB

SETS: Mapping[str, FaceSet] = {
    "rafdb": RAF_DB,
    "affectnet": AFFECTNET,
    "expw": EXPW,
    "ckplus": CKPLUS,
    "jaffe": JAFFE,
}
_EIGHT = (f"{name}8" for name, of in SETS.items() if "contempt" in of.mapping.values())
NAMES = frozenset((*SETS, *_EIGHT))
