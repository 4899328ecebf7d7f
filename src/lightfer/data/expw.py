"""ExpW, Expression in the Wild: photographs, and a list with a box and a label of each face.

    label.lst            image_name face_id top left right bottom confidence label
    origin/NAME.jpg      image_name, in any folder

There are no official splits: every face is of the test split. Zhang et al., 2016,
https://arxiv.org/abs/1609.06426.
"""

from collections.abc import Sequence

from lightfer.data.crop import Box
from lightfer.data.dataset import CLASSES, DataError
from lightfer.data.forms import FaceSet, Part, faces_part, one_of
from lightfer.data.images import Face
from lightfer.data.members import Member, text_lines

LIST = "label.lst"
FIELDS = "image_name face_id top left right bottom confidence label"


def _parts(members: Sequence[Member], where: str) -> list[Part]:
    labels = one_of(members, [m for m in members if m.parts[-1].lower() == LIST], LIST, where)
    pictures = {m.parts[-1]: m for m in members}
    faces = []
    for number, line in text_lines(labels):
        at, fields = f"{labels.where}, line {number}", line.split()
        try:
            name, _, top, left, right, bottom, _, label = fields
            box = Box(int(left), int(top), int(right) - int(left), int(bottom) - int(top))
        except ValueError:
            raise DataError(f"{at}: {line!r:.80}, expected {FIELDS}. Correct the line") from None
        if label not in MEANING or min(box.width, box.height) < 1:
            raise DataError(
                f"{at}: label {label:.20} and a box of {box.width}x{box.height} pixels, expected 0 "
                "to 6 and at least 1x1. Correct the line"
            )
        if name not in pictures:
            raise DataError(f"{at}: no picture {name}. Put the folder origin beside {LIST}")
        faces.append(Face(pictures[name], int(label), box))
    return [faces_part("expw", ("test",), (labels,), faces)]


MEANING = {str(label): name for label, name in enumerate(CLASSES)}
EXPW = FaceSet(
    title="ExpW",
    mapping=MEANING,
    counts={"test": (3_671, 3_995, 1_088, 30_537, 10_559, 7_060, 34_883, 0)},
    parts=_parts,
)
