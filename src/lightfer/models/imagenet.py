"""Weights trained on ImageNet by torchvision and timm, as a start for training on faces.

    state = imagenet_state_dict("mobilenet_v2")  # downloads, checks the hash, caches
    ZOO["mobilenet_v2"]().load_state_dict(state)  # strict, as always here

Most nets here name their tensors as torchvision does, MobileNetV1 as timm does: their files load
directly. MobileNetV2 0.5 and 1.4 come from timm, whose names `_from_timm_v2` maps. Every tensor of
the file must have its place, and every tensor of the net its value.

Two things change, as the input is a grey image and the output is seven expressions:
  - The first convolution is summed over its three input channels, so that a grey image gives what
    three equal channels gave. The nets were trained with ImageNet's mean and deviation for each
    channel; with one mean and deviation for grey the result differs a little.
  - The classifier is drawn anew, by the net's own initialisation; with num_classes = 1000 it stays.
`mobilenet_v1` has the paper's ReLU where timm trained with ReLU6, so what exceeds 6 is not cut off
at the start. `mobilenet_v1_relu6` computes timm's function exactly.
"""

import hashlib
import re
import sys
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightfer.models import ZOO

CLASSES = 1000
_TORCHVISION = "https://download.pytorch.org/models/"
_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"
_HUB = "https://huggingface.co/"

# Hexadecimal digits at the end of a file's name begin its SHA-256.
URLS = {
    "mobilenet_v1": _HUB + "timm/mobilenetv1_100.ra4_e3600_r224_in1k",
    "mobilenet_v1_relu6": _HUB + "timm/mobilenetv1_100.ra4_e3600_r224_in1k",
    "mobilenet_v2": _TORCHVISION + "mobilenet_v2-7ebf99e0.pth",
    "mobilenet_v2_x1_4": _TIMM + "mobilenetv2_140_ra-21a4e913.pth",
    "mobilenet_v2_x0_5": _TIMM + "mobilenetv2_050-3d30d450.pth",
    "mobilenet_v3_small": _TORCHVISION + "mobilenet_v3_small-047dcff4.pth",
    "shufflenet_v2_x0_5": _TORCHVISION + "shufflenetv2_x0.5-f707e7126e.pth",
    "shufflenet_v2_x1_0": _TORCHVISION + "shufflenetv2_x1-5666bf0f80.pth",
    "shufflenet_v2_x1_5": _TORCHVISION + "shufflenetv2_x1_5-3c479a10.pth",
    "shufflenet_v2_x2_0": _TORCHVISION + "shufflenetv2_x2_0-8be3c8ee.pth",
    "squeezenet1_0": _TORCHVISION + "squeezenet1_0-b66bff10.pth",
    "squeezenet1_1": _TORCHVISION + "squeezenet1_1-b8a52dc0.pth",
}
# The first convolution and the classifier of each family: a tensor's name and a prefix.
ENDS = {
    "mobilenet_v1": ("conv_stem.weight", "classifier."),
    "mobilenet_v2": ("features.0.0.weight", "classifier.1."),
    "mobilenet_v3": ("features.0.0.weight", "classifier.3."),
    "shufflenet_v2": ("conv1.0.weight", "fc."),
    "squeezenet": ("features.0.weight", "classifier.1."),
}


def imagenet_state_dict(
    name: str, in_channels: int = 1, num_classes: int = 7, file: Path | None = None
) -> dict[str, Tensor]:
    """State dict for the zoo's net `name` with ImageNet weights, to be loaded strictly.

    `file` is a torchvision or timm weight file (.pth, .safetensors); None takes it from torch.hub's
    cache or downloads it. Output strides share weights: `mobilenet_v2_os16` has those of
    `mobilenet_v2`. The new classifier is drawn from torch's global random generator.

    Raises ValueError where no such weights exist or the file is not what it should be, OSError
    where it cannot be read or downloaded, ModuleNotFoundError without huggingface_hub.
    """
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}, but ImageNet's RGB becomes 1 or 3 only")
    if name not in ZOO or ZOO[name].family not in ENDS or file is None:
        file = _fetch(_url(name))
    path = Path(file)
    _check_hash(path)
    with torch.device("meta"):
        published = ZOO[name](CLASSES, 3).state_dict()
    state = _fit(_read(path), published, f"{path} does not fit {name}")
    first, head = ENDS[ZOO[name].family]
    if in_channels == 1:
        state[first] = state[first].sum(1, keepdim=True)
    if num_classes != CLASSES:
        fresh = ZOO[name](num_classes, in_channels).state_dict()
        state |= {key: tensor for key, tensor in fresh.items() if key.startswith(head)}
    return state


def _url(name: str) -> str:
    if name not in ZOO:
        raise ValueError(f"there is no model {name!r}; `lightfer models` lists them")
    base = re.sub(r"_os\d+$", "", name)
    if base not in URLS:
        family = [other for other in URLS if ZOO[other].family == ZOO[name].family]
        raise ValueError(
            f"no ImageNet weights are published for {name}: "
            + (f"of its family there are {', '.join(family)}" if family else "of its family none")
            + f"; train it from scratch, or start from one of {', '.join(family or URLS)}"
        )
    return URLS[base]


def _fetch(url: str) -> Path:
    """The file at `url` in the usual cache, downloaded if it is not there."""
    try:
        if url.startswith(_HUB):
            return _fetch_from_hub(url.removeprefix(_HUB))
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            progress = sys.stderr.isatty()
            torch.hub.download_url_to_file(url, str(path), _hash_in_name(path), progress)
        return path
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torch.hub, wrong hash
        raise OSError(
            f"{url} could not be downloaded whole: {error}. "
            "Try again, or get the file by other means and pass its path"
        ) from error


def _fetch_from_hub(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the weights are on {_HUB}{repository}: pip install huggingface_hub, or download "
            "model.safetensors there and pass its path"
        ) from error
    return Path(hf_hub_download(repository, "model.safetensors"))


def _hash_in_name(path: Path) -> str | None:
    """The beginning of the SHA-256 that a file's name states, as torchvision's and timm's do.

    In the cache of huggingface_hub the file is a link to one whose whole name is the hash.
    """
    found = re.fullmatch(r".*-([0-9a-f]{8,64})\.\w+|([0-9a-f]{64})", path.name)
    return (found[1] or found[2]) if found else None


def _check_hash(path: Path) -> None:
    for name in (path, path.resolve()):
        stated = _hash_in_name(name)
        if stated is None:
            continue
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if not actual.startswith(stated):
            raise ValueError(
                f"{path} has the SHA-256 {actual}, but its name says {stated}: "
                "it is damaged or another file; delete it and download it again"
            )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .pth or .safetensors file: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise ValueError(f"{path} does not hold a state dict, a mapping of names to tensors")
    return dict(content)


def _fit(
    state: dict[str, Tensor], published: dict[str, Tensor], complaint: str
) -> dict[str, Tensor]:
    """`state` under the names of the net, all of `published` and nothing else."""
    if "conv_stem.weight" in state and "conv_stem.weight" not in published:
        state = {_from_timm_v2(key): tensor for key, tensor in state.items()}
    counters = {key for key in published if key.endswith(".num_batches_tracked")}
    if not counters & state.keys():  # as before torch 0.4.1; evaluation does not read them
        state |= {key: torch.tensor(0) for key in counters}
    faults = {
        "missing": published.keys() - state.keys(),
        "unknown": state.keys() - published.keys(),
        "of another shape": {
            key for key in state.keys() & published if state[key].shape != published[key].shape
        },
    }
    found = [f"{fault}: {_some(keys)}" for fault, keys in faults.items() if keys]
    if found:
        raise ValueError(f"{complaint}; {'; '.join(found)}")
    return state


def _from_timm_v2(key: str) -> str:
    """Name in torchvision's MobileNetV2 of a tensor in timm's; a name it does not know stays."""
    stem = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.18.0",
            "bn2": "features.18.1", "classifier": "classifier.1"}  # fmt: skip
    first = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}  # without expansion
    other = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2",
             "bn3": "3"}  # fmt: skip
    blocks_before = (1, 2, 4, 7, 11, 14, 17)  # the block of a stage's start, counted with the stem
    block = re.fullmatch(r"blocks\.([0-6])\.(\d+)\.(\w+)\.(\w+)", key)
    if block:
        layer = (first if block[1] == "0" else other).get(block[3])
        number = blocks_before[int(block[1])] + int(block[2])
        return f"features.{number}.conv.{layer}.{block[4]}" if layer else key
    layer, _, tensor = key.rpartition(".")
    return f"{stem[layer]}.{tensor}" if layer in stem else key


def _some(keys: set[str]) -> str:
    names = sorted(keys)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
