"""Recognising the official FER2013 by its content.

A split is official where its pixels and labels, in the order of the CSV, have the hashes below.
The hashes leave out the rows in `EXEMPT_ROWS`, 324 of 35,887: the original pixels of 174 (nearly
all "not a face") were not at hand when the hashes were made, and 162 belong to groups of identical
images with conflicting labels, of which copies in circulation disagree which has which.

Kaggle's JPEG folder changes the pixels a little: there only the labels can be verified.
"""

import hashlib

import torch
from torch import Tensor

from lightfer.data.dataset import CLASSES, DataError, Split, SplitName, Verification

ROWS = 35_887
"""Images of FER2013, all splits; the splits follow each other in the CSV."""
FIRST_ROW: dict[SplitName, int] = {"train": 0, "validation": 28_709, "test": 32_298}
CLASS_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
PIXELS_SHA256: dict[SplitName, str] = {
    "train": "042b15c260e11cd157baa1a5f1d9e82f4cf2677a365c8c5db1db82ee6979dd70",
    "validation": "57a730dc77d7d43fc361157474b3c98fe83254e5cb4e82c600b5a40616ead9d0",
    "test": "c459746545e22fc86987ada93844a6d6742e7ef13544f7ddd800f761cf707459",
}
"""Of uint8 (N, 48, 48) in the order of the CSV, without the exempt rows."""
LABELS_SHA256: dict[SplitName, str] = {
    "train": "9dd14c58f6f93f99de0dd4ff34cbef406041190975fd3dc48bdf912b2b60a52a",
    "validation": "884d484942b7589e78a65ae0dc416eb0365505c60956f549dd86f70d95cd7217",
    "test": "2de9a3c4dbfed36b77d7e3c13d236957109f8c028263149c17ac841761a50d28",
}
"""Of uint8 (N,), likewise."""


def class_counts(labels: Tensor, classes: int = len(CLASSES)) -> tuple[int, ...]:
    """Labels (N,) -> how many of each class."""
    return tuple(torch.bincount(labels, minlength=classes).tolist())


def has_official_counts(name: SplitName, split: Split) -> bool:
    """Whether the split has exactly the official number of images of every class.

    Raises DataError where the counts show a mistake that would spoil every accuracy: the official
    classes in another order, or validation and test mixed into one split.
    """
    counts, official = class_counts(split.labels), CLASS_COUNTS[name]
    if counts != official and sorted(counts) == sorted(official):
        raise DataError(
            f"the {name} split has FER2013's class counts in another order: {counts}, expected "
            f"{official} for {', '.join(CLASSES)}. Number the classes in this order, or name them"
        )
    halves = zip(CLASS_COUNTS["validation"], CLASS_COUNTS["test"], strict=True)
    if name != "train" and counts == tuple(map(sum, halves)):
        raise DataError(
            f"the {name} split holds the 7,178 images of FER2013's validation and test splits "
            "together, and their file names do not tell them apart. Use fer2013.csv, Parquet, or "
            "an image folder with names such as PublicTest_28709.jpg and PrivateTest_32298.jpg"
        )
    return counts == official


def in_split(name: SplitName, rows: Tensor) -> bool:
    """Whether all rows are lines of this split."""
    first = FIRST_ROW[name]
    return bool(((rows >= first) & (rows < first + sum(CLASS_COUNTS[name]))).all())


def recognise(name: SplitName, split: Split) -> tuple[Split, Verification]:
    """Compare a split with the official one; fill in its rows where the content proves them."""
    if not has_official_counts(name, split):
        return split, "none"
    rows, first, n = split.rows, FIRST_ROW[name], len(split)
    ordered = torch.arange(first, first + n)
    if rows is not None and not torch.equal(rows, ordered) and in_split(name, rows):
        return split, "none"  # other rows are numbers of another kind, as from 0 in each split
    kept = ~torch.isin(ordered, torch.tensor(EXEMPT_ROWS))
    if _sha256(split.labels[kept].to(torch.uint8)) != LABELS_SHA256[name]:
        return split, "none"
    same_pixels = _sha256(split.images[kept]) == PIXELS_SHA256[name]
    recognised = Split(split.images, split.labels, ordered)
    return recognised, "pixels and labels" if same_pixels else "labels"


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()


# fmt: off
EXEMPT_ROWS = (
    17, 23, 59, 157, 170, 251, 474, 501, 633, 639, 824, 1216, 1292, 1303, 1441, 1648, 1665,
    2059, 2164, 2171, 2252, 2433, 2658, 2671, 2809, 2908, 3014, 3170, 3177, 3185, 3262, 3303,
    3336, 3360, 3385, 3403, 3549, 3783, 3931, 4033, 4069, 4178, 4217, 4275, 4327, 4436, 4521,
    4556, 5051, 5082, 5223, 5235, 5439, 5478, 5509, 5655, 5667, 5706, 5722, 5881, 5935, 6102,
    6202, 6369, 6458, 6478, 6511, 6521, 6541, 6646, 6699, 6708, 6777, 6936, 6938, 6965, 6968,
    7015, 7172, 7322, 7496, 7527, 7629, 7642, 7885, 7965, 8030, 8155, 8345, 8378, 8567, 8627,
    8737, 8856, 9026, 9121, 9256, 9264, 9474, 9500, 9673, 9679, 9693, 9797, 9990, 10015, 10023,
    10311, 10423, 10442, 10603, 10625, 10713, 10792, 10930, 11031, 11244, 11286, 11295, 11599,
    11626, 11846, 12064, 12102, 12130, 12243, 12289, 12352, 12465, 12745, 12840, 12975, 13011,
    13148, 13402, 13484, 13697, 13803, 13880, 13892, 13988, 14069, 14148, 14279, 14289, 14356,
    14535, 14613, 14702, 14769, 14918, 14971, 15013, 15027, 15144, 15302, 15491, 15522, 15553,
    15668, 15838, 15894, 15937, 15966, 15975, 16024, 16180, 16355, 16445, 16540, 16622, 16885,
    16921, 17081, 17210, 17251, 17307, 17610, 17620, 17859, 17947, 18012, 18190, 18333, 18337,
    18492, 18625, 18912, 19201, 19238, 19297, 19422, 19632, 19638, 19884, 19997, 20222, 20409,
    20466, 20585, 20712, 20817, 20885, 21094, 21320, 21392, 21683, 21792, 21817, 21937, 21993,
    22063, 22198, 22310, 22314, 22407, 22475, 22550, 22638, 22813, 22927, 23047, 23320, 23561,
    23596, 23625, 23689, 23772, 23894, 24053, 24191, 24318, 24392, 24437, 24441, 24456, 24593,
    24891, 24971, 24986, 25168, 25219, 25262, 25285, 25355, 25603, 25657, 25808, 25909, 25916,
    26383, 26420, 26705, 26860, 26897, 27002, 27295, 27403, 27696, 27908, 27989, 27993, 28190,
    28472, 28601, 28654, 28783, 28791, 28837, 29114, 29447, 29557, 29659, 29727, 30002, 30086,
    30232, 30325, 30705, 30750, 30813, 30981, 31127, 31220, 31607, 31734, 31825, 32032, 32165,
    32257, 32264, 32299, 32603, 32662, 32683, 32731, 32765, 32820, 33195, 33345, 33422, 33430,
    33566, 33569, 33750, 33797, 33928, 34012, 34052, 34200, 34334, 34390, 34615, 34691, 35121,
    35132, 35469, 35632, 35696, 35743, 35750, 35752, 35825, 35883,
)
# fmt: on
"""Not compared, see above; ascending."""
