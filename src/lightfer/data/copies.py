"""Images that occur more than once, pixel by pixel. Crops and flips of one another do not count."""

from torch import Tensor, tensor

from lightfer.data.dataset import SPLITS, Dataset, SplitName


def image_groups(dataset: Dataset) -> dict[SplitName, Tensor]:
    """Number of every image (N,), int64, for every split; equal images have equal numbers.

    Numbered from 0 in the order of first occurrence through train, validation and test.
    """
    seen: dict[bytes, int] = {}
    groups: dict[SplitName, Tensor] = {}
    for name in SPLITS:
        if name in dataset.splits:
            pixels = dataset[name].images.flatten(1).numpy()  # (N, 2304)
            groups[name] = tensor([seen.setdefault(image.tobytes(), len(seen)) for image in pixels])
    return groups
