"""What users' files call the seven classes, the three splits and a column of pictures.

Numbers mean what the one convention that uses exactly those numbers means by them: 0 to 6 is the
order of `fer2013.csv`, 1 to 7 that of RAF-DB. AffectNet's 0 to 7 includes contempt, which FER2013
lacks, and is refused. (AffectNet without contempt also counts 0 to 6, in its own order, and cannot
be told apart: give its folders names.)
"""

import re

from lightfer.data.dataset import CLASSES, DataError, SplitName

CLASS_WORDS: dict[str, int] = {
    word: label
    for label, words in enumerate(
        (
            "angry anger",
            "disgust disgusted",
            "fear fearful afraid scared",
            "happy happiness joy",
            "sad sadness",
            "surprise surprised",
            "neutral neutrality",
        )
    )
    for word in words.split()
}
RAF_DB = {"1": 5, "2": 2, "3": 1, "4": 3, "5": 4, "6": 0, "7": 6}
"""RAF-DB's own order: surprise, fear, disgust, happiness, sadness, anger, neutral."""

IMAGE_COLUMNS = ("image", "img", "img_bytes", "image_bytes", "pixels")
USAGES: dict[str, SplitName] = {
    "training": "train",
    "publictest": "validation",
    "privatetest": "test",
}
"""What FER2013 itself calls its splits, in lower case."""
SPLIT_WORDS: dict[str, SplitName] = {
    **USAGES,
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def class_label(text: str) -> int | None:
    """Label of a class name, or of a number from 0 to 6 in the order of the CSV; None if neither.

    Case, blanks, a fraction of zeros ("6.0") and a leading number ("0_angry", "3 Happy") do not
    matter.
    """
    word = text.strip().lower()
    if re.fullmatch(r"[0-6](\.0*)?", word):
        return int(word[0])
    return CLASS_WORDS.get(re.sub(r"^\d+[\s._-]+", "", word))


def folder_labels(names: set[str], where: str) -> dict[str, int]:
    """Label of every class folder, decided over all of them because numbers are ambiguous."""
    numbers = {name for name in names if name.isascii() and name.isdigit()}
    if numbers and numbers == names == set(RAF_DB):
        return RAF_DB
    if "7" in numbers or (numbers and "0" not in numbers):  # 1 to 6 could be of either
        raise DataError(
            f"{where}: the class folders are numbered {', '.join(sorted(names))}, expected 0 to 6 "
            "(order of fer2013.csv) or 1 to 7 (RAF-DB). Rename them to "
            f"{', '.join(CLASSES)}; contempt (7 in AffectNet) has no class here, leave it out"
        )
    labels = {name: class_label(name) for name in names}
    unknown = sorted(name for name, label in labels.items() if label is None)
    if unknown:
        shown = ", ".join(repr(name) for name in unknown[:5])
        raise DataError(
            f"{where}: unknown class folder {shown}, expected {', '.join(CLASSES)}, "
            "0 to 6 or 1 to 7 (RAF-DB). Rename it, or move it out of the data"
        )
    return {name: label for name, label in labels.items() if label is not None}


def split_name(text: str) -> SplitName | None:
    """Split of a `Usage` value or a folder name; None if it is not one."""
    return SPLIT_WORDS.get(re.sub(r"[\s_-]", "", text.lower()))


def split_in_name(text: str) -> SplitName | None:
    """Split named by one word of a file name, as in `fer2013-train.parquet`; None if not one."""
    words = re.findall(r"[a-z]+", text.lower())
    found: set[SplitName] = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None
