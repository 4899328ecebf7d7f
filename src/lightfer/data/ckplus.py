"""CK+, the extended Cohn-Kanade set, as it is distributed or as folders of crops by class.

    Emotion/S005/001/S005_001_00000011_emotion.txt     3.0000000e+00
    cohn-kanade-images/S005/001/S005_001_00000011.png  the frame of that name
or  anger/S010_004_00000017.png                        (CK+48: the last three frames)

There are no official splits: every labelled frame is of the test split. Frames without a label,
those of neutral faces among them, are left out. Lucey et al., 2010.
"""

import re
from collections.abc import Sequence

from lightfer.data.dataset import WITH_CONTEMPT, DataError
from lightfer.data.forms import FaceSet, Part, faces_part
from lightfer.data.images import Face
from lightfer.data.members import Member
from lightfer.data.names import CLASS_WORDS

FRAME = r"S\d{3}_\d{3}_\d{8}"
MEANING = {
    "0": "neutral",
    "1": "angry",
    "2": "contempt",
    "3": "disgust",
    "4": "fear",
    "5": "happy",
    "6": "sad",
    "7": "surprise",
}


def _parts(members: Sequence[Member], where: str) -> list[Part]:
    frames = {m.stem: m for m in members if re.fullmatch(FRAME, m.stem) and m.suffix == ".png"}
    texts = [m for m in members if re.fullmatch(FRAME + r"_emotion\.txt", m.parts[-1])]
    faces = []
    for member in texts:
        frame = frames.get(member.stem.removesuffix("_emotion"))
        label = re.fullmatch(rb"\s*([0-7])\.?0*(e\+0+)?\s*", member.read())
        if label is None:
            raise DataError(f"{member.where}: no label from 0 to 7, as 3.0000000e+00. Get it again")
        if frame is None:
            raise DataError(f"{member.where}: no frame of its name. Add cohn-kanade-images")
        faces.append(Face(frame, WITH_CONTEMPT.index(MEANING[label[1].decode()])))
    if not texts:
        for member in frames.values():
            folder = member.parts[-2].lower()
            label = 7 if folder == "contempt" else CLASS_WORDS.get(folder)
            if label is None:
                raise DataError(
                    f"{member.where}: no files *_emotion.txt, and {folder!r:.40} is no class, "
                    "expected anger, contempt, ... Pass the folder with Emotion and the images"
                )
            faces.append(Face(member, label))
    if not faces:
        raise DataError(
            f"{where}: none of {len(members):,} files is called as S005_001_00000011.png. Pass the "
            "folder with Emotion and cohn-kanade-images, or with anger, contempt, ..."
        )
    return [faces_part("ckplus", ("test",), texts, faces, find=True)]


CKPLUS = FaceSet(
    title="CK+",
    mapping=MEANING,
    counts={"test": (45, 59, 25, 69, 28, 83, 0, 18)},
    parts=_parts,
)
