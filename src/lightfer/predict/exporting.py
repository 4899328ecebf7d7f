"""The part of prediction that needs torch: running a network in it, and exporting one."""

from pathlib import Path

import msgspec
import numpy as np

from lightfer.checkpoint import Card, CheckpointError, load_checkpoint
from lightfer.runtimes import find_runtime
from lightfer.zoo import architecture, create_model, list_models, shipped


def load_torch(model: str, runtime: str, batch_size: int, threads: int):
    """Name, card, and a function from uint8 faces (N, H, W) to logits (N, classes)."""
    import torch

    name, path, card = _with_card(model)
    network = create_model(name, pretrained=path)
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    contract = card.input
    shape = (batch_size, contract.channels, contract.height, contract.width)
    loaded = find_runtime(runtime).load(network, shape, threads=threads, precision="float32")

    @torch.inference_mode()
    def run(faces: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(faces).unsqueeze(1).float() / 255 - contract.mean) / contract.std
        x = x.expand(-1, contract.channels, -1, -1).contiguous(memory_format=torch.channels_last)
        return loaded(x).numpy()

    return name, card, run


def export_for_prediction(model: str, path: Path) -> None:
    """Write a shipped model or weight file as ONNX with its card, whole or not at all."""
    from importlib.metadata import version

    import onnx

    from lightfer.deployed import CARD_KEY, DeployedCard, InputContract
    from lightfer.files import sha256_of, write_bytes
    from lightfer.runtimes.onnx_file import to_onnx

    name, weights, card = _with_card(model)
    contract = card.input
    network = create_model(name, pretrained=weights)
    content = to_onnx(network, (1, contract.channels, contract.height, contract.width))
    proto = onnx.load_from_string(content)
    deployed = DeployedCard(
        model=name,
        classes=card.classes,
        input=InputContract(**msgspec.structs.asdict(contract)),
        preprocess=False,
        precision="float32",
        batch=None,
        temperature=card.temperature,
        accuracy={},
        accuracy_lost=None,
        quantisation=None,
        data_name=card.data_name,
        data_sha256=card.data_sha256,
        weights_sha256=sha256_of(weights),
        licence=card.license,
        intended_use=card.intended_use,
        not_intended_use=card.not_intended_use,
        code=version("lightfer"),
    )
    onnx.helper.set_model_props(proto, {CARD_KEY: deployed.to_json()})
    write_bytes(path, proto.SerializeToString())


def say_why_not(model: str) -> Exception:
    """The error for a model without weights: unknown, or not shipped; or a file that is missing."""
    if model.endswith(".safetensors"):
        return CheckpointError(f"{model}: no such weight file")
    architecture(model)  # raises for an unknown name
    with_weights = ", ".join(list_models(pretrained=True)) or "none"
    return CheckpointError(f"no weights are shipped for {model}; they are for: {with_weights}")


def _with_card(model: str) -> tuple[str, Path, Card]:
    path = Path(model) if model.endswith(".safetensors") else shipped(architecture(model).name)
    if path is None:
        raise say_why_not(model)
    _, card = load_checkpoint(path)
    return card.model, path, card
