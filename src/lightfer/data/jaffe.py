"""JAFFE, the Japanese Female Facial Expression set: pictures whose names hold the class.

    KA.AN1.39.tiff     person KA, anger, first picture, 39th of all; 256x256, grey

There are no official splits: every picture is of the test split. Lyons et al., 1998,
https://zenodo.org/records/3451524.
"""

import re
from collections.abc import Sequence

from lightfer.data.dataset import WITH_CONTEMPT, DataError
from lightfer.data.forms import FaceSet, Part, faces_part
from lightfer.data.images import Face
from lightfer.data.members import Member
from lightfer.data.pictures import SUFFIXES

MEANING = {
    "AN": "angry",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happy",
    "SA": "sad",
    "SU": "surprise",
    "NE": "neutral",
}


def _parts(members: Sequence[Member], where: str) -> list[Part]:
    faces = []
    for member in (m for m in members if m.suffix in SUFFIXES):
        name = re.fullmatch(r"[A-Z]{2}\.([A-Z]{2})\d\.\d+", member.stem)
        if name is None or name[1] not in MEANING:
            raise DataError(
                f"{member.where}: not called as KA.AN1.39.tiff, with one of {', '.join(MEANING)}. "
                "Rename it, or move it out of the data"
            )
        faces.append(Face(member, WITH_CONTEMPT.index(MEANING[name[1]])))
    if not faces:
        raise DataError(f"{where}: no pictures among {len(members):,} files. Unpack jaffe.zip")
    return [faces_part("jaffe", ("test",), (), faces, find=True)]


JAFFE = FaceSet(
    title="JAFFE",
    mapping=MEANING,
    counts={"test": (30, 29, 32, 31, 31, 30, 30, 0)},
    parts=_parts,
)
