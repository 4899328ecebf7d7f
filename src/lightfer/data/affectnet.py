"""AffectNet, manually annotated: two CSV files and folders of pictures with boxes of the faces.

    training.csv, validation.csv     subDirectory_filePath, face_x, face_y, face_width, face_height,
                                     facial_landmarks, expression, valence, arousal
    .../689/737db2483489.jpg         subDirectory_filePath, in any folder

The official test set is not public: what is reported everywhere is its validation set, which is the
test split here, and never chosen on. Mollahosseini et al., 2017, https://arxiv.org/abs/1708.03985.
"""

import csv
from collections.abc import Sequence

from lightfer.data.crop import Box
from lightfer.data.dataset import WITH_CONTEMPT, DataError, SplitName
from lightfer.data.forms import FaceSet, Part, faces_part
from lightfer.data.images import Face
from lightfer.data.members import Member, text_lines

MEANING = {
    "0": "neutral",
    "1": "happy",
    "2": "sad",
    "3": "surprise",
    "4": "fear",
    "5": "disgust",
    "6": "angry",
    "7": "contempt",
    "8": None,  # none of these
    "9": None,  # uncertain
    "10": None,  # no face
}
BOX = ("face_x", "face_y", "face_width", "face_height")
NEEDED = ("subDirectory_filePath", "expression", *BOX)
FILES: dict[str, tuple[SplitName, ...]] = {
    "training.csv": ("train", "validation"),
    "validation.csv": ("test",),
}


def _parts(members: Sequence[Member], where: str) -> list[Part]:
    lists = [m for m in members if m.parts[-1].lower() in FILES]
    if not lists or len({m.parts[-1].lower() for m in lists}) < len(lists):
        raise DataError(
            f"{where}: {len(lists)} files {' or '.join(FILES)} among {len(members):,}, expected "
            "one or both. Pass the folder that holds them and the pictures"
        )
    pictures = {"/".join(m.parts[-2:]): m for m in members}
    return [
        faces_part("affectnet", FILES[m.parts[-1].lower()], (m,), _faces(m, pictures))
        for m in lists
    ]


def _faces(member: Member, pictures: dict[str, Member]) -> list[Face]:
    lines = text_lines(member)
    header = _fields(next(lines, (1, ""))[1], f"{member.where}, line 1")
    columns = {name: header.index(name) for name in NEEDED if header.count(name) == 1}
    if missing := [name for name in NEEDED if name not in columns]:
        raise DataError(
            f"{member.where}, line 1: no column {missing[0]} among {', '.join(header)!r:.200}, "
            f"expected {', '.join(NEEDED)}. Get the file again"
        )
    faces = []
    for number, line in lines:
        fields = _fields(line, at := f"{member.where}, line {number}")
        if len(fields) != len(header):
            raise DataError(f"{at}: {len(fields)} columns, expected {len(header)} as in line 1")
        label, path = fields[columns["expression"]].strip(), fields[columns[NEEDED[0]]].strip()
        if label not in MEANING:
            raise DataError(f"{at}: expression {label!r:.40}, expected 0 to 10. Correct the line")
        name = MEANING[label]
        if name is None:
            continue
        picture = pictures.get("/".join(path.split("/")[-2:]))
        if picture is None:
            raise DataError(
                f"{at}: no picture {path}. Put the folder Manually_Annotated_Images beside the CSV"
            )
        try:
            box = Box(*(round(float(fields[columns[side]])) for side in BOX))
        except (ValueError, OverflowError):
            raise DataError(
                f"{at}: the box of the face is no four numbers. Correct the line"
            ) from None
        if min(box.width, box.height) < 1:
            raise DataError(f"{at}: a box of {box.width}x{box.height} pixels. Correct the line")
        faces.append(Face(picture, WITH_CONTEMPT.index(name), box))
    return faces


def _fields(line: str, at: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise DataError(f"{at}: not readable as CSV ({error}). Get the file again") from error


AFFECTNET = FaceSet(
    title="AffectNet",
    mapping=MEANING,
    counts={
        "train": (24_882, 3_803, 6_378, 134_415, 25_459, 14_090, 74_874, 3_750),
        "test": (500,) * 8,
    },
    parts=_parts,
)
