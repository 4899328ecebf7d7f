"""RAF-DB, the subset of basic emotions: aligned faces and one list of labels.

    EmoLabel/list_patition_label.txt          train_00001.jpg 5     (its own spelling)
    Image/aligned/train_00001_aligned.jpg     100x100, colour

The split stands in the name. Li et al., 2017, http://www.whdeng.cn/RAF/model1.html.
"""

import re
from collections.abc import Sequence

from lightfer.data.dataset import CLASSES, DataError, SplitName
from lightfer.data.forms import FaceSet, Part, faces_part, one_of
from lightfer.data.images import Face
from lightfer.data.members import Member, text_lines
from lightfer.data.names import RAF_DB as LABELS

LIST = "list_patition_label.txt"
MEANING = {number: CLASSES[label] for number, label in LABELS.items()}


def _parts(members: Sequence[Member], where: str) -> list[Part]:
    labels = one_of(members, [m for m in members if m.parts[-1].lower() == LIST], LIST, where)
    aligned = {m.stem.removesuffix("_aligned"): m for m in members if m.stem.endswith("_aligned")}
    faces: dict[str, dict[str, Face]] = {"train": {}, "test": {}}
    for number, line in text_lines(labels):
        at = f"{labels.where}, line {number}"
        match = re.fullmatch(r"((train|test)_\d+)\.jpg\s+(\d+)", line)
        if match is None:
            raise DataError(f"{at}: {line!r:.60}, expected as in 'train_00001.jpg 5'")
        name, split, label = match.groups()
        if label not in LABELS:
            raise DataError(
                f"{at}: label {label}, expected 1 to 7. The list of compound emotions cannot be "
                "used: pass the folder of the basic ones"
            )
        if name not in aligned:
            raise DataError(
                f"{at}: no image {name}_aligned.jpg. Unpack Image/aligned.zip beside the list"
            )
        if name in faces[split]:
            raise DataError(f"{at}: {name}.jpg stands there twice. Get the list again")
        faces[split][name] = Face(aligned[name], LABELS[label])
    splits: dict[str, tuple[SplitName, ...]] = {"train": ("train", "validation"), "test": ("test",)}
    return [
        faces_part("rafdb", splits[split], (labels,), [*found.values()])
        for split, found in faces.items()
        if found
    ]


RAF_DB = FaceSet(
    title="RAF-DB",
    mapping=MEANING,
    counts={
        "train": (705, 717, 281, 4772, 1982, 1290, 2524, 0),
        "test": (162, 160, 74, 1185, 478, 329, 680, 0),
    },
    parts=_parts,
)
