"""The zoo against published and computed counts, and each net against itself in other forms."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from lightfer.measure.operations import count_operations
from lightfer.models import shift
from lightfer.models.registry import DEFAULT_MODELS, ZOO
from lightfer.models.shiftresnet import ShiftResNet
from tests.conftest import by_day

FACES, IMAGENET = (1, 48, 48), (3, 224, 224)

# Computed with FlopCounterMode / 2 on torchvision 0.28, timm 1.0.31 and, where they have none, on
# independent implementations; ShiftNet less the one-hot convolutions.
# fmt: off
COUNTS = {
    # name                          params @1000   MACs @224x224x3   params @7  MACs @48x48x1
    "mobilenet_v1_x0_25":            (  470_072,      41_030_272,     214_727,   1_969_216),
    "mobilenet_v1_x0_5":             (1_331_592,     149_497_088,     821_895,   7_379_072),
    "mobilenet_v1_x0_75":            (2_585_560,     325_400_448,   1_821_511,  16_229_568),
    "mobilenet_v1":                  (4_231_976,     568_740_352,   3_213_575,  28_520_704),
    "mobilenet_v1_relu6":            (4_231_976,     568_740_352,   3_213_575,  28_520_704),
    "mobilenet_v2_x0_35":            (1_677_128,      59_285_808,     404_807,   3_025_696),
    "mobilenet_v2_x0_5":             (1_968_680,      97_131_840,     696_359,   5_140_768),
    "mobilenet_v2_x0_75":            (2_636_424,     209_069_792,   1_363_959,  11_029_040),
    "mobilenet_v2":                  (3_504_872,     300_774_272,   2_232_263,  16_243_584),
    "mobilenet_v2_x1_4":             (6_108_776,     582_195_824,   4_327_463,  31_655_168),
    "mobilenet_v3_small":            (2_542_856,      56_510_400,   1_524_743,   3_984_776),
    "mobilenet_v3_small_x0_75":      (1_653_920,      39_115_576,     890_015,   2_519_360),
    "shufflenet_v2_x0_5":            (1_366_792,      40_476_448,     348_535,   2_050_576),
    "shufflenet_v2_x1_0":            (2_278_604,     144_907_992,   1_260_347,   7_968_548),
    "shufflenet_v2_x1_5":            (3_503_624,     295_759_392,   2_485_367,  16_316_048),
    "shufflenet_v2_x2_0":            (7_393_996,     583_253_464,   5_358_907,  33_323_940),
    "squeezenet1_0":                 (1_248_424,     818_924_576,     729_607,  21_102_432),
    "squeezenet1_0_simple_bypass":   (1_248_424,     818_924_576,     729_607,  21_102_432),
    "squeezenet1_0_complex_bypass":  (1_589_672,   1_165_298_720,   1_070_855,  32_980_832),
    "squeezenet1_1":                 (1_235_496,     349_151_936,     724_935,   7_924_288),
    "squeezenet1_1_simple_bypass":   (1_235_496,     349_151_936,     724_935,   7_924_288),
    "squeezenet1_1_complex_bypass":  (1_572_648,     447_660_736,   1_062_087,  10_914_368),
    "shiftnet_a":                    (4_188_680,   1_424_306_176,   3_676_135,  65_639_936),
    "shiftnet_b":                    (1_183_480,     370_956_288,     926_711,  16_636_672),
}
# The authors' count.py gives 95 642 for 20 layers, E = 3; MACs to the precision of the source.
SHIFTRESNET = {
    # name             params 32x32x3/10, M MACs;  params 48x48x1/7, M MACs at strides 4 and 8
    "shiftresnet20_e1": ( 34_906,  5.95,            34_423,  12.72,  3.18),
    "shiftresnet20_e3": ( 95_642, 16.43,            95_159,  36.31,  9.08),
    "shiftresnet20_e6": (186_746, 32.16,           186_263,  71.70, 17.93),
    "shiftresnet20_e9": (277_850, 47.89,           277_367, 107.09, 26.77),
    "shiftresnet56_e1": (102_106, 15.39,           101_623,  33.95,  8.49),
    "shiftresnet56_e3": (294_554, 44.75,           294_071, 100.01, 25.00),
    "shiftresnet56_e6": (583_226, 88.79,           582_743, 199.10, 49.78),
    "shiftresnet56_e9": (871_898, 132.83,          871_415, 298.19, 74.55),
}
# 110 layers are not in the zoo, but the constructor has them.
SHIFTRESNET110 = {
    # E: as above
    1: (  202_906,  29.54,   202_423,  65.80,  16.45),
    3: (  592_922,  87.21,   592_439, 195.56,  48.89),
    6: (1_177_946, 173.72, 1_177_463, 390.21,  97.55),
    9: (1_762_970, 260.23, 1_762_487, 584.85, 146.21),
}
# M MACs at 48x48x1 without one and without two strides, to the precision of the source: computed on
# independent nets. SqueezeNet and ShiftNet are not here: the source has other stems for them.
HIGHER_RESOLUTION = {
    # name                       _os16    _os8
    "mobilenet_v1_x0_25":       (  7.16,  26.75),
    "mobilenet_v1_x0_5":        ( 26.70, 101.28),
    "mobilenet_v1_x0_75":       ( 58.64, 223.58),
    "mobilenet_v1":             (102.95, 393.66),
    "mobilenet_v2_x0_35":       ( 10.00,  34.44),
    "mobilenet_v2_x0_5":        ( 16.95,  62.25),
    "mobilenet_v2_x0_75":       ( 37.18, 132.43),
    "mobilenet_v2":             ( 53.69, 196.60),
    "mobilenet_v2_x1_4":        (104.63, 380.65),
    "mobilenet_v3_small_x0_75": (  6.88,  24.69),
    "mobilenet_v3_small":       ( 10.39,  37.40),
    "shufflenet_v2_x0_5":       (  6.26,  23.52),
    "shufflenet_v2_x1_0":       ( 25.44, 100.24),
    "shufflenet_v2_x1_5":       ( 53.15, 211.07),
    "shufflenet_v2_x2_0":       (105.77, 421.55),
}
# fmt: on


def empty(name: str, num_classes: int = 7, in_channels: int = 1) -> nn.Module:
    """The net without memory for its weights."""
    with torch.device("meta"):
        return ZOO[name](num_classes, in_channels)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones_in_both_settings(name):
    large = count_operations(empty(name, 1000, 3), IMAGENET)
    small = count_operations(empty(name), FACES)
    assert (large.params, large.macs, small.params, small.macs) == COUNTS[name]


@pytest.mark.parametrize("name", SHIFTRESNET)
def test_shiftresnet_counts_are_the_authors(name):
    cifar = count_operations(empty(name, 10, 3), (3, 32, 32))
    faces = count_operations(empty(name), FACES)
    faces_os8 = count_operations(empty(name + "_os8"), FACES)
    megas = [round(counts.macs / 1e6, 2) for counts in (cifar, faces, faces_os8)]
    assert (cifar.params, megas[0], faces.params, *megas[1:]) == SHIFTRESNET[name]


@pytest.mark.parametrize("expansion", by_day([3], list(SHIFTRESNET110)))
def test_shiftresnet110_counts_are_the_authors(expansion):
    def count(in_channels: int, side: int, classes: int, **options):
        with torch.device("meta"):
            net = ShiftResNet(classes, in_channels, layers=110, expansion=expansion, **options)
        return count_operations(net, (in_channels, side, side))

    cifar, faces, faces_os8 = count(3, 32, 10), count(1, 48, 7), count(1, 48, 7, output_stride=8)
    megas = [round(counts.macs / 1e6, 2) for counts in (cifar, faces, faces_os8)]
    assert (cifar.params, megas[0], faces.params, *megas[1:]) == SHIFTRESNET110[expansion]


RACE = [name for name in HIGHER_RESOLUTION if name in DEFAULT_MODELS]


@pytest.mark.parametrize("name", by_day(RACE, [*HIGHER_RESOLUTION]))
def test_nets_with_fewer_strides_have_the_computed_counts(name):
    macs = (count_operations(empty(f"{name}_os{s}"), FACES).macs / 1e6 for s in (16, 8))
    assert tuple(round(m, 2) for m in macs) == HIGHER_RESOLUTION[name]


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_ends_at_its_output_stride_and_needs_no_data(name, monkeypatch):
    """A forward pass on the meta device has no numbers that Python could branch on. Batch norms,
    which change no shape, are left out: there they take half of the time.
    """
    monkeypatch.setattr(nn.functional, "batch_norm", lambda x, *_, **__: x)
    architecture, sides = ZOO[name], []
    net = empty(name).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, y: sides.append(y.shape[-1]))
    side = 32 * architecture.output_stride  # large enough that padding rounds nothing
    logits = net(torch.empty(2, 1, side, side, device="meta"))
    assert logits.shape == (2, 7)
    assert 31 <= sides[-1 if sides[-1] > 1 else -2] <= 33  # SqueezeNet does not pad its stem
    suffix = re.search(r"_os(\d+)$", name)
    if suffix:
        assert int(suffix[1]) == architecture.output_stride
        stock = empty(name.removesuffix(suffix[0]))
        shapes, other = ({k: t.shape for k, t in m.state_dict().items()} for m in (net, stock))
        assert shapes == other  # strides have no weights


def test_the_race_is_six_families_at_their_stock_strides():
    assert len({ZOO[name].family for name in DEFAULT_MODELS}) == 6
    assert "reference" not in {ZOO[name].family for name in DEFAULT_MODELS}
    assert not any("_os" in name for name in DEFAULT_MODELS)


@pytest.mark.parametrize("name", ZOO)
def test_names_state_the_width(name):
    width = re.search(r"_x(\d+)_(\d+)", name)
    if width:
        assert ZOO[name].width == float(f"{width[1]}.{width[2]}")
    else:
        assert ZOO[name].width == (0.5 if name.startswith("shiftnet_b") else 1.0)


def test_deviations_hold_for_the_names_they_are_listed_under():
    def listed(phrase: str) -> set[str]:
        return {name for name, entry in ZOO.items() if phrase in " ".join(entry.deviations)}

    assert all(
        re.fullmatch(r"https://arxiv.org/abs/1\d{3}\.\d{4,5}", e.paper) for e in ZOO.values()
    )
    assert listed("takes one channel") == set(ZOO)
    assert listed("batch norm after every") == {
        name for name in ZOO if name.startswith("squeezenet") and "_bn" in name
    }
    assert listed("max-pool, whose stride") == {
        f"shufflenet_v2_x{width}_os8" for width in ("0_5", "1_0", "1_5", "2_0")
    }
    assert listed("ReLU6 for ReLU") == {n for n in ZOO if n.startswith("mobilenet_v1_relu6")}
    assert listed("output stride") == {name for name in ZOO if "_os" in name}


def test_papers_and_deviations_do_not_need_docstrings():
    """`python -OO` strips them."""
    code = (
        "from lightfer.models.registry import ZOO\n"
        "print([(entry.name, entry.paper, entry.deviations) for entry in ZOO.values()])"
    )
    command = [sys.executable, "-OO", "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([(e.name, e.paper, e.deviations) for e in ZOO.values()])


DEFAULTS = {
    "mobilenet_v1": "mobilenet_v1",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3": "mobilenet_v3_small",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "squeezenet": "squeezenet1_0",
    "shiftnet": "shiftnet_b",
    "shiftresnet": "shiftresnet20_e3",
    "resnet": "resnet18_cifar",
    "vgg": "vgg_slim",
}


@pytest.mark.parametrize("file", DEFAULTS)
def test_docstrings_state_the_right_counts(file):
    docstring = sys.modules[f"lightfer.models.{file}"].__doc__ or ""
    stated = re.search(
        r"([\d ]+\d) parameters, ([\d.]+) M multiply-adds at 48x48", " ".join(docstring.split())
    )
    assert stated
    counted = count_operations(empty(DEFAULTS[file]), FACES)
    assert int(stated[1].replace(" ", "")) == counted.params
    digits = len(stated[2].replace(".", ""))
    assert float(stated[2]) == float(f"{counted.macs / 1e6:.{digits}g}")


FORMS = [
    *DEFAULT_MODELS,
    "squeezenet1_1_complex_bypass_bn",
    "shiftnet_small",
    "shiftresnet20_e1",
    "vgg_slim",
]


@pytest.mark.parametrize("name", FORMS)
def test_other_forms_compute_the_same(name, settled):
    """channels_last within rounding, bf16 autocast within its precision; oracle: plain float32."""
    net, x = settled(name)
    with torch.inference_mode():
        expected = net(x)
        assert expected.std(0).max() > 0.01  # or every tolerance would do
        last = net.to(memory_format=torch.channels_last)
        torch.testing.assert_close(
            last(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4
        )
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(x).float()
    error = (rough - expected).abs().max() / expected.abs().max()
    assert error < 0.25  # random nets amplify rounding


@pytest.mark.parametrize("name", ["shiftnet_b", "shiftnet_small", "shiftresnet20_e1"])
def test_inference_and_training_paths_agree(name, settled, monkeypatch):
    """Copies in training give what the convolution gives, gradients too, and the fused norm does
    within rounding. Oracle: the net without the extension."""
    net, x = settled(name)
    with torch.no_grad():
        fused = net(x)
    logits = net(x)
    gradients = torch.autograd.grad(logits.square().sum(), list(net.parameters()))
    monkeypatch.setattr(shift, "_LIBRARY", None)
    expected = net(x)
    wanted = torch.autograd.grad(expected.square().sum(), list(net.parameters()))
    assert torch.equal(logits, expected)
    assert all(torch.equal(*pair) for pair in zip(gradients, wanted, strict=True))
    torch.testing.assert_close(fused, expected.detach(), rtol=1e-4, atol=1e-4)


def test_resnet18_cifar_is_torchvisions_with_another_stem():
    from lightfer.models._torchvision import import_torchvision

    theirs = import_torchvision("torchvision.models").resnet18(num_classes=7)
    theirs.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = ZOO["resnet18_cifar"]()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("mobilenet_v2", "mobilenet_v2", {}),
        ("mobilenet_v2_x0_5", "mobilenet_v2", {"width_mult": 0.5}),
        ("shufflenet_v2_x0_5", "shufflenet_v2_x0_5", {}),
        ("shufflenet_v2_x1_0", "shufflenet_v2_x1_0", {}),
        ("shufflenet_v2_x1_5", "shufflenet_v2_x1_5", {}),
        ("shufflenet_v2_x2_0", "shufflenet_v2_x2_0", {}),
        ("squeezenet1_0", "squeezenet1_0", {}),
        ("squeezenet1_1", "squeezenet1_1", {}),
    ],
)
def test_a_net_computes_what_torchvisions_does(name: str, theirs: str, options: dict[str, float]):
    from lightfer.models._torchvision import import_torchvision

    torch.manual_seed(0)
    other = getattr(import_torchvision("torchvision.models"), theirs)(**options).eval()
    ours = ZOO[name](1000, 3).eval()
    for tensor in ours.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if tensor.ndim == 1 else tensor)
    other.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), other(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobilenet_v2", {"output_stride": 24}, "output_stride 24"),
        ("shiftresnet20_e3", {"layers": 44}, "layers is 44"),
        ("shufflenet_v2_x1_0", {"width": 0.75}, "width is 0.75"),
        ("squeezenet1_0", {"bypass": "double"}, "bypass 'double'"),
    ],
)
def test_impossible_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        ZOO[name].constructor(7, 1, **options)
