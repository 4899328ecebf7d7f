"""What the tests of mutated files share: the faces, how bytes are damaged, and what came of it."""

from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lightfer.data import DataError, Dataset, load
from lightfer.data.synthetic import synthetic_faces
from tests.data import writers

FACES = synthetic_faces({"train": 3, "validation": 2, "test": 2}, seed=5)
USAGE = list(writers.USAGE.values())
Faces = dict[str, list[tuple[int, bytes]]]

seeds = st.integers(0, 2**32 - 1)


def mutated(examples: int):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def plain(data: Dataset) -> Faces:
    """Labels and pixels in a form that can be compared."""
    return {
        name: [
            (int(label), image.numpy().tobytes())
            for label, image in zip(split.labels, split.images, strict=True)
        ]
        for name, split in data.splits.items()
    }


ORIGINAL = plain(FACES)


def outcome(source: Path) -> Faces | None:
    """What `load` returns, or None after a DataError that names the source and is one text."""
    try:
        data = load(source)
    except DataError as error:
        message = str(error)
    else:
        assert not data.verified
        return plain(data)
    assert str(source) in message
    assert len(message) < 1000
    return None


def flip(data: bytes, random: Random) -> bytes:
    """A few bytes changed, lost, repeated or inserted, or the end cut off."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(changed) or 1)
        match random.choice(("flip", "set", "cut", "lose", "insert", "repeat")):
            case "flip":
                changed[at : at + 1] = bytes(
                    b ^ (1 << random.randrange(8)) for b in changed[at : at + 1]
                )
            case "set":
                changed[at : at + 1] = random.choice(
                    (b"\0", b"\xff", b",", b"\n", b'"', b" ", b"9")
                )
            case "cut":
                del changed[at:]
            case "lose":
                del changed[at : at + random.randrange(1, 100)]
            case "insert":
                changed[at:at] = random.randbytes(random.randrange(1, 20))
            case "repeat":
                changed[at:at] = changed[at : at + random.randrange(1, 10_000)]
    return bytes(changed)
