"""Images that occur more than once, pixel by pixel. Crops of one another do not count."""

from torch import Tensor, tensor

from lightfer.data.dataset import SPLITS, Dataset, Split, SplitName


def image_groups(dataset: Dataset) -> dict[SplitName, Tensor]:
    """Number of every image (N,), int64, for every split; equal images have equal numbers.

    Flips of one another do not count.
    Numbered from 0 in the order of first occurrence through train, validation and test.
    """
    seen: dict[bytes, int] = {}
    groups: dict[SplitName, Tensor] = {}
    for name in SPLITS:
        if name in dataset.splits:
            pixels = dataset[name].images.flatten(1).numpy()  # (N, 2304)
            groups[name] = tensor([seen.setdefault(image.tobytes(), len(seen)) for image in pixels])
    return groups


def unflipped(split: Split) -> list[bytes]:
    """The pixels of every image or of its mirror image: equal for the two, and for their copies.

    Training mirrors at random, so a network that saw one of them saw the other.
    """
    images = split.images.flatten(1).numpy()
    mirrored = split.images.flip(3).flatten(1).numpy()
    return [min(i.tobytes(), m.tobytes()) for i, m in zip(images, mirrored, strict=True)]
