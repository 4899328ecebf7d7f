"""ImageNet weights: torchvision's and timm's own nets are the oracle, through files on disk.

Nothing is downloaded from elsewhere: the nets have random weights, and a server on 127.0.0.1 hands
them out.
"""

import hashlib
import http.server
import re
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightfer.models import RACE, ZOO, imagenet
from lightfer.models._torchvision import import_torchvision
from lightfer.models.imagenet import imagenet_state_dict

torchvision = import_torchvision("torchvision.models")


def _mobilenet_v3_small(width: float) -> nn.Module:
    v3 = import_torchvision("torchvision.models.mobilenetv3")
    return v3.MobileNetV3(*v3._mobilenet_v3_conf("mobilenet_v3_small", width_mult=width))


def _timm(name: str, **options) -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is the oracle here")  # after torchvision
    return timm.create_model(name, **options)


def _timm_v1(width: float) -> nn.Module:
    efficientnet = pytest.importorskip("timm.models.efficientnet", reason="timm is the oracle here")
    return efficientnet._gen_mobilenet_v1("mobilenetv1_100", width)


# fmt: off
ORACLES = {
    "mobilenet_v2_x0_35":       lambda: torchvision.mobilenet_v2(width_mult=0.35),
    "mobilenet_v2_x0_5":        lambda: torchvision.mobilenet_v2(width_mult=0.5),
    "mobilenet_v2_x0_75":       lambda: torchvision.mobilenet_v2(width_mult=0.75),
    "mobilenet_v2":             torchvision.mobilenet_v2,
    "mobilenet_v2_x1_4":        lambda: torchvision.mobilenet_v2(width_mult=1.4),
    "mobilenet_v3_small_x0_75": lambda: _mobilenet_v3_small(0.75),
    "mobilenet_v3_small":       torchvision.mobilenet_v3_small,
    "shufflenet_v2_x0_5":       torchvision.shufflenet_v2_x0_5,
    "shufflenet_v2_x1_0":       torchvision.shufflenet_v2_x1_0,
    "shufflenet_v2_x1_5":       torchvision.shufflenet_v2_x1_5,
    "shufflenet_v2_x2_0":       torchvision.shufflenet_v2_x2_0,
    "squeezenet1_0":            torchvision.squeezenet1_0,
    "squeezenet1_1":            torchvision.squeezenet1_1,
}
TIMM_ORACLES = {
    "mobilenet_v1_relu6":       lambda: _timm_v1(1.0),
    "mobilenet_v1_x0_5":        lambda: _timm_v1(0.5),
    "mobilenet_v2_x0_5":        lambda: _timm("mobilenetv2_050"),
    "mobilenet_v2":             lambda: _timm("mobilenetv2_100"),
    "mobilenet_v2_x1_4":        lambda: _timm("mobilenetv2_140"),
}
# fmt: on


@pytest.mark.parametrize("name", ORACLES)
def test_torchvision_files_give_torchvisions_outputs(name, tmp_path, settle):
    torch.manual_seed(0)
    theirs = settle(ORACLES[name](), torch.randn(8, 3, 64, 64))
    _assert_no_difference(name, theirs, tmp_path / "weights.pth")


@pytest.mark.parametrize("name", TIMM_ORACLES)
def test_timm_files_give_timms_outputs(name, tmp_path, settle):
    torch.manual_seed(0)
    theirs = settle(TIMM_ORACLES[name](), torch.randn(8, 3, 64, 64))
    act = {"act": nn.ReLU6} if name == "mobilenet_v1_x0_5" else {}
    _assert_no_difference(name, theirs, tmp_path / "weights.safetensors", **act)


def _assert_no_difference(name: str, theirs: nn.Module, file: Path, **options) -> None:
    state = theirs.state_dict()
    save_file(state, file) if file.suffix == ".safetensors" else torch.save(state, file)
    entry = ZOO[name]
    ours = entry.constructor(1000, 3, **{**entry.options, **options}).eval()
    ours.load_state_dict(imagenet_state_dict(name, in_channels=3, num_classes=1000, file=file))
    x = 4 * torch.randn(2, 3, 64, 64)  # large, so that ReLU6 cuts
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std(0).max() > 0.01
        assert (ours(x) - expected).abs().max() == 0


def test_relu_and_relu6_differ_on_these_weights(tmp_path, settle):
    """Or the comparison with timm would not show which of them is right."""
    theirs = settle(_timm_v1(1.0), torch.randn(8, 3, 64, 64))
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = ZOO["mobilenet_v1"](1000, 3).eval()
    state = imagenet_state_dict("mobilenet_v1", 3, 1000, file=tmp_path / "weights.safetensors")
    ours.load_state_dict(state)
    x = 4 * torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert (ours(x) - theirs(x)).abs().max() > 1e-3


@pytest.fixture
def squeezenet(tmp_path):
    """A published file's double, its SHA-256 in its name, and its tensors."""
    torch.manual_seed(0)
    state = torchvision.squeezenet1_1().state_dict()
    torch.save(state, tmp_path / "raw")
    digest = hashlib.sha256((tmp_path / "raw").read_bytes()).hexdigest()
    return (tmp_path / "raw").rename(tmp_path / f"squeezenet1_1-{digest[:8]}.pth"), state


def test_grey_stem_gives_what_three_equal_channels_give(squeezenet):
    file, state = squeezenet
    grey = imagenet_state_dict("squeezenet1_1", 1, 1000, file)
    x = torch.randn(2, 1, 48, 48)
    ours, theirs = ZOO["squeezenet1_1"](1000, 1), torchvision.squeezenet1_1()
    ours.load_state_dict(grey)
    theirs.load_state_dict(state)
    with torch.no_grad():
        expected = theirs.eval()(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(ours.eval()(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in RACE if not name.startswith("shiftnet")])
def test_only_stem_and_head_change(name, tmp_path):
    torch.manual_seed(0)
    theirs = (TIMM_ORACLES | ORACLES)[name.replace("v1", "v1_relu6")]().state_dict()
    torch.save(theirs, tmp_path / "weights.pth")
    state = imagenet_state_dict(f"{name}_os8", file=tmp_path / "weights.pth")
    net = ZOO[f"{name}_os8"]()
    net.load_state_dict(state)
    changed = [key for key in theirs if not torch.equal(theirs[key], net.state_dict()[key])]
    first, head = imagenet.ENDS[ZOO[name].family]
    assert changed == [first, f"{head}weight", f"{head}bias"]
    torch.testing.assert_close(net.state_dict()[first], theirs[first].sum(1, keepdim=True))
    assert len(net.state_dict()[f"{head}weight"]) == 7
    assert net.state_dict()[f"{head}weight"].std() > 0


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the folder `served`, and an empty cache. `GET /short/NAME` ends half way."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            if not self.path.startswith("/short/"):
                return super().do_GET()
            content = (folder / self.path.removeprefix("/short/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *_):
            pass

    requested: list[str] = []
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    handler = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}/", requested
        running.shutdown()


def test_downloads_once_and_checks_the_hash(server, squeezenet, monkeypatch):
    (folder, address, requested), (file, state) = server, squeezenet
    (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setitem(imagenet.URLS, "squeezenet1_1", address + file.name)
    for _ in range(2):
        loaded = imagenet_state_dict("squeezenet1_1_os8", 3, 1000)
        assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())
    assert requested == [f"/{file.name}"]


@pytest.mark.parametrize("fault", ["wrong", "short", "absent"])
def test_a_bad_download_is_named_and_not_kept(fault, server, squeezenet, monkeypatch, tmp_path):
    (folder, address, _), (file, _) = server, squeezenet
    content = file.read_bytes()
    if fault != "absent":
        (folder / file.name).write_bytes(content[:-1] + b"?" if fault == "wrong" else content)
    url = address + ("short/" if fault == "short" else "") + file.name
    monkeypatch.setitem(imagenet.URLS, "squeezenet1_1", url)
    reason = {"wrong": "hash", "short": "hash|bytes", "absent": "404"}[fault]
    with pytest.raises(OSError, match=f"{re.escape(file.name)} could not .*({reason})"):
        imagenet_state_dict("squeezenet1_1")
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_a_file_changed_in_the_cache_is_noticed(server, squeezenet, monkeypatch, tmp_path):
    (folder, address, _), (file, _) = server, squeezenet
    (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setitem(imagenet.URLS, "squeezenet1_1", address + file.name)
    imagenet_state_dict("squeezenet1_1")
    (cached,) = (tmp_path / "cache").rglob("*.pth")
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        imagenet_state_dict("squeezenet1_1")


def test_wrong_files_are_described(squeezenet, tmp_path):
    file, state = squeezenet
    renamed = tmp_path / f"squeezenet1_1-{'0' * 8}.pth"
    renamed.write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="its name says 00000000"):
        imagenet_state_dict("squeezenet1_1", file=renamed)
    with pytest.raises(ValueError, match=r"does not fit mobilenet_v2; missing: .*unknown: "):
        imagenet_state_dict("mobilenet_v2", file=file)
    with pytest.raises(ValueError, match="of another shape"):
        imagenet_state_dict("squeezenet1_0", file=file)
    fewer = {key: tensor for key, tensor in state.items() if key != "features.0.bias"}
    torch.save(fewer, tmp_path / "fewer.pth")
    with pytest.raises(ValueError, match=r"missing: features\.0\.bias$"):
        imagenet_state_dict("squeezenet1_1", file=tmp_path / "fewer.pth")
    for name, content in (("text.pth", b"not weights"), ("text.safetensors", b"not weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="not a readable"):
            imagenet_state_dict("squeezenet1_1", file=tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        imagenet_state_dict("squeezenet1_1", file=tmp_path / "list.pth")
    with pytest.raises(FileNotFoundError):
        imagenet_state_dict("squeezenet1_1", file=tmp_path / "absent.pth")


class Rogue:
    """What a pickled file may hold: a call that its reader would make."""

    def __reduce__(self):
        return print, ("executed",)


def test_code_in_a_weight_file_is_not_executed(tmp_path, capsys):
    torch.save({"features.0.weight": Rogue()}, tmp_path / "rogue.pth")
    with pytest.raises(ValueError, match="not a readable"):
        imagenet_state_dict("squeezenet1_1", file=tmp_path / "rogue.pth")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("shiftnet_b", "of its family none; train it from scratch"),
        ("vgg_slim", "of its family none"),
        ("squeezenet1_0_bn", "of its family there are squeezenet1_0, squeezenet1_1"),
        ("mobilenet_v1_x0_25", "of its family there are mobilenet_v1, mobilenet_v1_relu6"),
        ("mobilenet_v9", "no model 'mobilenet_v9'"),
    ],
)
def test_says_what_to_use_where_there_are_none(name, advice, monkeypatch):
    monkeypatch.setattr(imagenet, "_fetch", lambda url: pytest.fail("must not download"))
    with pytest.raises(ValueError, match=advice):
        imagenet_state_dict(name)


def test_files_from_before_batch_counters_load(tmp_path):
    state = torchvision.shufflenet_v2_x0_5().state_dict()
    old = {key: t for key, t in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    loaded = imagenet_state_dict("shufflenet_v2_x0_5", file=tmp_path / "old.pth")
    ZOO["shufflenet_v2_x0_5"]().load_state_dict(loaded)


def test_urls_are_the_ones_torchvision_and_timm_have():
    for name, url in imagenet.URLS.items():
        assert ZOO[name].family in imagenet.ENDS
        if "pytorch.org" in url:
            weights = torchvision.get_model_weights(name)
            assert url in {entry.url for entry in weights}
    timm = pytest.importorskip("timm", reason="timm is the oracle here")
    for name, tag in (("mobilenet_v2_x0_5", "mobilenetv2_050.lamb_in1k"),
                      ("mobilenet_v2_x1_4", "mobilenetv2_140.ra_in1k")):  # fmt: skip
        theirs = timm.get_pretrained_cfg(tag).url
        assert theirs.rpartition("/")[2] == imagenet.URLS[name].rpartition("/")[2]
    hub = timm.get_pretrained_cfg("mobilenetv1_100.ra4_e3600_r224_in1k").hf_hub_id
    assert imagenet.URLS["mobilenet_v1"] == f"https://huggingface.co/{hub}"
