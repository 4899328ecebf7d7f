"""Teachers' answers on augmented views, kept on disk: asked once, used by many students.

Which view of an image a network sees in an epoch follows from the seed, the batch size, the
augmentation, the mixing and the kind of device alone (`train.loop`). So students that share these
share their teachers' answers, and a teacher that costs more than its students is asked once in each
epoch instead of once for each of them. The weights are those of a training without the folder, to
the bit.

One safetensors file an epoch: `logits`, float32 (teachers, N, classes), NaN where a teacher was not
asked, and `sums` (N,), of the pixels of each view, by which a foreign view is noticed. The header
has the CRC-32 of both: the teachers are asked anew for what is damaged, or has none.
"""

import hashlib
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lightfer._files import atomic_path, check_input
from lightfer.data.dataset import Split
from lightfer.errors import ArgumentError
from lightfer.train.config import TrainConfig
from lightfer.train.distill import Teachers, mean_of_softened
from lightfer.train.loss import Batch


class KeptAnswers:
    """`Teachers` whose answers are kept in `folder`: `lightfer.train.distill.Targets`."""

    def __init__(
        self, teachers: Teachers, folder: Path, train_split: Split, config: TrainConfig
    ) -> None:
        self.teachers, self.images = teachers, len(train_split)
        view = ("seed", "batch_size", "augmentation", "mixup", "cutmix")
        settings = asdict(config)
        deciding = {name: settings[name] for name in view}
        if (kind := teachers.mask.device.type) != "cpu":  # another kind draws other views
            deciding["device"] = kind
        about = {**teachers.describe(), **deciding, "train": train_split.sha256()}
        text = json.dumps(about, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._epoch = 0
        self._open(0)

    def __call__(self, batch: Batch, temperature: float) -> Tensor:
        """As `Teachers` does. Raises ValueError if the folder holds answers on other views."""
        if batch.epoch != self._epoch:
            self._open(batch.epoch)
        i, sums = batch.indices.cpu(), batch.images.float().sum((1, 2, 3)).cpu()
        if self._sums[i].isnan().any():
            self._logits[:, i], self._sums[i] = self.teachers.ask(batch).cpu(), sums
            if not self._sums.isnan().any():
                kept = {"logits": self._logits, "sums": self._sums}
                with atomic_path(self._path) as temporary:
                    save_file(kept, temporary, metadata={"crc32": _crc32(kept)})
        elif not torch.allclose(self._sums[i], sums, rtol=1e-4, atol=0.05):
            raise ArgumentError(
                f"{self._path} holds answers on other views than these: it comes from another "
                "machine or version; delete the folder, or name another"
            )
        return mean_of_softened(self._logits[:, i].to(batch.images.device), temperature)

    def describe(self) -> dict[str, Any]:
        """See `lightfer.train.distill.Targets`."""
        return self.teachers.describe()

    def _open(self, epoch: int) -> None:
        """The answers of an epoch, as far as they are there; a damaged file is asked for anew."""
        self._epoch, self._path = epoch, self.folder / f"epoch-{epoch:04d}.safetensors"
        shape = (len(self.teachers.teachers), self.images, self.teachers.classes)
        self._logits = torch.full(shape, torch.nan)
        self._sums = torch.full((self.images,), torch.nan)
        check_input(self._path)
        try:
            with safe_open(self._path, framework="pt") as file:
                told = (file.metadata() or {}).get("crc32")
                kept = {name: file.get_tensor(name) for name in ("logits", "sums")}
        except (OSError, SafetensorError):
            return
        shapes = [value.shape for value in kept.values()]
        if shapes == [shape, (self.images,)] and told == _crc32(kept):
            self._logits, self._sums = kept["logits"], kept["sums"]


def _crc32(kept: dict[str, Tensor]) -> str:
    crc32 = 0
    for value in kept.values():
        crc32 = zlib.crc32(value.contiguous().numpy().tobytes(), crc32)
    return f"{crc32:08x}"
