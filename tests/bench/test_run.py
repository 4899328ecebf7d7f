"""The main flow on synthetic faces: every promise of an entry, failures, interruption."""

import errno
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import pytest
import torch

from lightfer._files import OutputError, sha256_of
from lightfer.bench import run as benchmark
from lightfer.bench.case import Case, compared
from lightfer.bench.entry import entry_of
from lightfer.bench.journal import Failed, Journal
from lightfer.bench.plan import NO_METERS, BenchConfig, fingerprint
from lightfer.bench.run import run_benchmark
from lightfer.data import Dataset
from lightfer.errors import ArgumentError
from lightfer.inference.backends import RUNTIMES, Loaded
from lightfer.measure.energy import TEST_IMAGES, CpuModel
from lightfer.measure.yardstick import Yardstick
from lightfer.models.blocks import ConvBNAct
from lightfer.models.find import Weights, find_weights
from lightfer.models.registry import create_model
from lightfer.results import GridIntensity, Results, read_results, write_results
from lightfer.results.select import Times
from lightfer.results.validate import violations
from tests.conftest import files_of_at_most
from tests.models.test_weights import card
from tests.results.test_schema import ENVIRONMENT

NAMES = ("shufflenet_v2_x0_5", "mobilenet_v3_small")
pytestmark = pytest.mark.usefixtures("brief")


@pytest.fixture
def config(tmp_path: Path) -> BenchConfig:
    """One model with a weight file, one without weights."""
    from lightfer.models.weights import save_checkpoint

    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    reference = benchmark_reference()
    save_checkpoint(path, create_model(NAMES[0]).state_dict(), card(NAMES[0], test=reference))
    return BenchConfig(
        (str(path), "mobilenet_v1_x0_25"),
        rounds=3,
        seconds=0,
        passes=4,
        warmup=1,
        batch_sizes=(1, 16),
    )


def benchmark_reference():
    from lightfer.results import Accuracy

    return Accuracy(
        split="test", labels="fer2013", view="single", images=3589, top1=0.6, ci95=(0.58, 0.62)
    )


def run(config: BenchConfig, data: Dataset | None, folder: Path, **options) -> Results:
    return run_with_journal(config, data, folder, **options)[0]


def run_with_journal(config: BenchConfig, data: Dataset | None, folder: Path, **options):
    return run_benchmark(
        config,
        data,
        allocator="test",
        journal_path=folder / "journal",
        test_log=folder / "scorings.jsonl",
        **options,
    )


def test_an_entry_holds_what_it_promises(config: BenchConfig, faces: Dataset, tmp_path: Path):
    results = run(config, faces, tmp_path)
    own, plain = results.entries
    assert (own.model, own.family, own.output_stride) == (NAMES[0], "shufflenet_v2", 32)
    assert own.weights is not None
    assert own.weights == sha256_of(Path(config.models[0]))
    assert results.cards[own.weights].model == NAMES[0]
    assert list(results.cards) == [own.weights]  # the other has random weights
    assert (own.params, own.macs, own.flops) == (348_535, 2_050_576, 2 * 2_050_576)
    assert own.accuracy is not None
    assert (own.accuracy.source, own.accuracy.labels) == ("measured", "synthetic")
    assert own.accuracy.images == len(faces["test"])
    assert [(a.split, a.view) for a in own.accuracy_other] == [
        ("test", "flip"),
        ("test without copies", "single"),
        ("validation + test", "single"),
    ]
    single, batch = own.latency
    assert (single.batch_size, len(single.samples_s), single.rounds) == (1, 3 * 4, 3)
    assert (batch.batch_size, batch.passes) == (16, (2, 2, 2))
    assert own.inference_total_s is not None
    assert own.inference_per_image_s == pytest.approx(own.inference_total_s / 48)
    assert own.inference_model_s is not None
    assert 0.5 * 3 * min(batch.samples_s) <= own.inference_model_s < own.inference_total_s
    assert own.inference_with_decoding_s is not None
    assert own.inference_with_decoding_s > own.inference_total_s
    assert own.work is not None
    assert (own.work.weight_bytes > 4 * 348_535, own.work.uncounted) == (True, ())
    assert (own.runtime, own.precision, own.logit_difference) == ("pytorch", "float32", None)
    assert own.runtime_settings == {"precision": "float32", "threads": 1}
    assert own.deployed_bytes is None  # PyTorch reads no file
    assert own.energy is not None
    assert own.energy.components.cpu.method == "modelled"
    assert plain.accuracy is None
    assert plain.weights is None
    assert plain.error is None
    environment = results.environments[own.environment]
    assert environment.data is not None
    assert environment.data.sha256["test"] == faces["test"].sha256()
    assert len((tmp_path / "scorings.jsonl").read_text().splitlines()) == 1


def test_each_first_figure_is_told_as_soon_as_it_is_measured(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    told: list[tuple[str, int]] = []
    done = 0

    def on_step(text: str, before: int, of: int) -> None:
        nonlocal done
        done = before

    results = run(
        config, faces, tmp_path, on_step=on_step, on_record=lambda text: told.append((text, done))
    )
    own, plain = results.entries
    assert own.accuracy is not None
    assert [number for _, number in told] == [0, 1, 2, 3]  # of the rounds only the first
    assert [text.split(",")[0] for text, _ in told[:2]] == [own.model, plain.model]
    assert f"top-1 {100 * own.accuracy.top1:.2f} %, 0.349 M parameters, 4.1 M FLOPs" in told[0][0]
    assert "top-1" not in told[1][0]  # untrained
    times = {text.split(",")[0]: text for text, _ in told[2:]}
    for entry in (own, plain):
        first = 1000 * median(entry.latency[0].samples_s[:4])
        assert f": {first:.3g} ms an image at batch 1, in the first round" in times[entry.model]


def test_without_data_the_accuracy_is_the_cards_and_says_so(config: BenchConfig, tmp_path: Path):
    told: list[str] = []
    config = replace(config, rounds=1, seconds=0, passes=1)
    own, plain = run(config, None, tmp_path, on_record=told.append).entries
    assert "top-1 60.00 % (ref), " in told[0]
    assert own.accuracy is not None
    assert (own.accuracy.source, own.accuracy.top1) == ("reference", 0.6)
    assert plain.accuracy is None
    assert own.inference_images == benchmark.TEST_IMAGES
    assert TEST_IMAGES == 3589  # outside of tests
    assert not (tmp_path / "scorings.jsonl").exists()


def test_a_batch_larger_than_all_images_is_filled_up(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    """Of 48 images one batch of 48 ran, under the name of the larger one."""
    config = replace(config, rounds=1, passes=1, batch_sizes=(1, 100))
    config = replace(config, models=config.models[1:])
    (entry,) = run(config, faces, tmp_path).entries
    assert (entry.inference_batch_size, entry.inference_images) == (100, 100)
    assert entry.inference_total_s is not None
    assert entry.inference_per_image_s == pytest.approx(entry.inference_total_s / 100)


@pytest.fixture
def other_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runtimes: `same` computes what PyTorch does, `wrong` adds a half to each logit."""

    def load(error: float):
        def loader(model, shape, *, threads, precision, calibration=None):
            return Loaded(lambda x: model(x) + error, {"threads": threads, "error": str(error)})

        return loader

    for name, error in (("same", 0.0), ("wrong", 0.5)):
        eager = RUNTIMES["pytorch"]
        monkeypatch.setitem(RUNTIMES, name, replace(eager, name=name, load=load(error)))


@pytest.mark.usefixtures("other_runtimes")
def test_a_runtime_takes_over_the_accuracy_only_if_its_logits_agree(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    runtimes = ("wrong", "same", "pytorch")
    results = run(
        replace(config, models=config.models[:1], runtimes=runtimes, rounds=1), faces, tmp_path
    )
    eager, wrong, same = results.entries
    assert [e.runtime for e in results.entries] == ["pytorch", "wrong", "same"]
    assert len({e.id for e in results.entries}) == 3
    assert same.logit_difference == 0.0
    assert (same.accuracy, same.accuracy_of) == (eager.accuracy, "pytorch-float32")
    assert wrong.logit_difference == pytest.approx(0.5)
    assert wrong.accuracy is not None
    assert wrong.accuracy_of is None
    assert wrong.runtime_settings == {"threads": 1, "error": "0.5", "opened": "once"}
    assert "opened" not in (eager.runtime_settings or {})
    assert len((tmp_path / "scorings.jsonl").read_text().splitlines()) == 2


def test_each_round_opens_the_net_at_another_place_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[int] = []

    def load(model, shape, *, threads, precision, calibration=None):
        def loaded(number: int) -> Loaded:
            def noted(x):
                opened.append(number)
                return model(x)

            return Loaded(noted, {"threads": threads}, reopen=lambda: loaded(number + 1))

        return loaded(0)

    monkeypatch.setitem(RUNTIMES, "moved", replace(RUNTIMES["pytorch"], name="moved", load=load))
    config = BenchConfig(("mobilenet_v1_x0_25",), ("moved",), rounds=3, seconds=0, passes=1)
    (entry,) = run(config, None, tmp_path).entries
    assert [*dict.fromkeys(opened)] == [0, 1, 2, 3]  # 0: what is measured once
    assert entry.latency[0].rounds == 3


def test_the_start_of_a_runtime_is_not_in_the_load_s_of_its_first_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nor is what a net imports. Both were in the figure of whichever net came first."""
    started: list[str] = []
    once, build = Yardstick.time, Weights.build

    def starts(self: Yardstick, batch_size: int, seconds: float) -> list[float]:
        started.append("runtime")
        return once(self, batch_size, seconds)

    def imports(self: Weights, device: str = "cpu"):
        started.append("net")
        return build(self, device)

    def load(model, shape, *, threads, precision, calibration=None):
        started.append("load")
        return Loaded(model, {"threads": threads})

    monkeypatch.setattr(Yardstick, "time", starts)
    monkeypatch.setattr(Weights, "build", imports)
    monkeypatch.setitem(RUNTIMES, "cold", replace(RUNTIMES["pytorch"], name="cold", load=load))
    config = BenchConfig(("mobilenet_v1_x0_25",), ("cold",), rounds=1, seconds=0, passes=1)
    run(config, None, tmp_path)
    assert started[:4] == ["runtime", "net", "net", "load"]  # the latter two are timed


@pytest.mark.usefixtures("other_runtimes")
def test_a_module_of_a_package_of_another_name_has_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As onnxruntime of `onnxruntime-gpu`, which was said not to be installed."""
    site = tmp_path / "site"
    for name, text in (
        ("fast.py", ""),
        (
            "fast_gpu-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: fast-gpu\nVersion: 1.2\n",
        ),
        ("fast_gpu-1.2.dist-info/top_level.txt", "fast\n"),
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    fast = replace(RUNTIMES["same"], name="fast", package="fast")
    monkeypatch.setitem(RUNTIMES, "fast", fast)
    config = BenchConfig(("mobilenet_v1_x0_25",), ("fast",), rounds=1, seconds=0, passes=1)
    (entry,) = run(config, None, tmp_path).entries
    assert (entry.error, entry.runtime_version) == (None, "1.2")


@pytest.mark.usefixtures("other_runtimes")
def test_random_weights_are_the_same_in_every_runtime(tmp_path: Path):
    config = BenchConfig(("mobilenet_v1_x0_25",), ("same",), rounds=1, seconds=0, passes=1)
    (entry,) = run(config, None, tmp_path).entries
    assert (entry.logit_difference, entry.accuracy) == (0.0, None)


def test_a_runtime_that_takes_another_precision_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def load(model, shape, *, threads, precision, calibration=None):
        return Loaded(model, {"precision": "bfloat16"})

    sly = replace(RUNTIMES["pytorch"], name="sly", load=load)
    monkeypatch.setitem(RUNTIMES, "sly", sly)
    (entry,) = run(
        BenchConfig(("mobilenet_v1_x0_25",), ("sly",), rounds=1, seconds=0), None, tmp_path
    ).entries
    assert entry.error == "ArgumentError: sly computes in bfloat16 here, not in float32"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"settings": {"arena": True}}, "states arena: True, expected str or int"),
        ({"settings": {"scale": None}}, "states scale: None, expected str or int"),
        ({"settings": {}, "load_s": np.float64(1)}, "states load_s: "),
        ({"settings": {}, "load_s": float("nan")}, "states load_s: nan, expected"),
        ({"settings": {}, "deployed_bytes": 1.5}, "states deployed_bytes: 1.5, expected int or"),
        ({"settings": {"threads": 7}}, "computes with 7 threads here, not with 1"),
    ],
)
def test_a_runtime_that_states_what_no_file_holds_is_an_error_of_its_rows(
    stated: dict, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The results file was written, and no command could read it."""

    def load(model, shape, *, threads, precision, calibration=None):
        return Loaded(model, **stated)

    monkeypatch.setitem(RUNTIMES, "odd", replace(RUNTIMES["pytorch"], name="odd", load=load))
    config = BenchConfig(("mobilenet_v1_x0_25",), ("odd",), rounds=1, seconds=0, passes=1)
    write_results(tmp_path / "r.json", run(config, None, tmp_path))
    (entry,) = read_results(tmp_path / "r.json").entries
    assert entry.error is not None
    assert f"odd {said}" in entry.error


@pytest.mark.parametrize("data", [True, False], ids=["data", "no data"])
def test_int8_is_calibrated_on_train_and_scored_itself_or_says_why_not(
    config: BenchConfig, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bool
):
    def load(model, shape, *, threads, precision, calibration=None):
        if calibration is None:
            raise ValueError("no images")
        assert len(calibration) == len(faces["train"])
        return Loaded(lambda x: model(x) + 0.5, {"precision": precision}, 1234)

    small = replace(RUNTIMES["pytorch"], name="small", precisions=("int8",), load=load)
    monkeypatch.setitem(RUNTIMES, "small", small)
    config = replace(
        config, models=config.models[:1], runtimes=("small",), precisions=("int8",), rounds=1
    )
    (entry,) = run(config, faces if data else None, tmp_path).entries
    if not data:
        assert (entry.error, entry.deployed_bytes) == ("ValueError: no images", None)
        return
    assert (entry.precision, entry.deployed_bytes) == ("int8", 1234)
    assert entry.accuracy is not None
    assert (entry.accuracy.source, entry.accuracy_of) == ("measured", None)


def test_bfloat16_is_a_row_of_its_own_and_scored_itself(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    config = replace(config, models=config.models[:1], precisions=("float32", "bfloat16"), rounds=1)
    full, half = run(config, faces, tmp_path).entries
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    assert half.logit_difference is not None
    assert half.accuracy is not None
    assert half.accuracy_of is None
    assert len((tmp_path / "scorings.jsonl").read_text().splitlines()) == 2
    (tmp_path / "without").mkdir()
    (half,) = run(replace(config, precisions=("bfloat16",)), None, tmp_path / "without").entries
    assert half.accuracy is None  # the card speaks of float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtimes": ("tflite",)}, "there is no runtime 'tflite'"),
        ({"precisions": ("int8",)}, "computes in float32 or bfloat16 here, not int8"),
        ({"runtimes": ("openvino",), "device": "mps"}, "runs on cpu, not on mps"),
    ],
)
def test_a_runtime_that_cannot_be_used_stops_before_anything_runs(
    tmp_path: Path, options, message: str, monkeypatch: pytest.MonkeyPatch
):
    available = replace(RUNTIMES["openvino"], available=lambda: None)
    monkeypatch.setitem(RUNTIMES, "openvino", available)
    with pytest.raises(ValueError, match=message):
        run(BenchConfig(("mobilenet_v1",), **options), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_does_not_exist_is_refused_not_left_out():
    with pytest.raises(ValueError, match="no precision 'in8'; there are float32, bfloat16, int8"):
        BenchConfig(("mobilenet_v1",), precisions=("float32", "in8"))


def test_a_pue_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="PUE is nan, expected at least 1"):
        BenchConfig(("mobilenet_v1",), pue=float("nan"))


def test_a_failing_model_is_an_entry_and_loses_no_other(
    config: BenchConfig, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build = Weights.build

    def broken(self, device):
        if self.name == NAMES[0]:
            raise RuntimeError("out of paper")
        return build(self, device)

    monkeypatch.setattr(Weights, "build", broken)
    own, plain = run(config, faces, tmp_path).entries
    assert own.error == "RuntimeError: out of paper"
    assert (own.params, own.accuracy, own.latency) == (None, None, ())
    assert plain.error is None
    assert len(plain.latency) == 2


@pytest.mark.parametrize("kind", [OutputError, partial(OSError, errno.ENOSPC)])
def test_a_full_disk_is_no_failure_of_the_net(
    config: BenchConfig, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind
):
    """It was written down as one, and the same command never measured that net."""

    def full(path: Path, line: str) -> None:
        raise kind("full")

    config = replace(config, rounds=1)
    with monkeypatch.context() as disk:
        disk.setattr("lightfer.measure.accuracy.append_line", full)
        with pytest.raises(OSError, match="full"):
            run(config, faces, tmp_path)
    assert [entry.error for entry in run(config, faces, tmp_path).entries] == [None, None]


def test_an_interrupted_run_continues_with_what_it_had(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    def stop(text: str, done: int, of: int) -> None:
        if done == 5:  # two accuracies and three of six visits are done
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, faces, tmp_path, on_step=stop)
    before = (tmp_path / "scorings.jsonl").read_text()
    results = run(config, faces, tmp_path)
    assert (tmp_path / "scorings.jsonl").read_text() == before
    assert all(len(t.samples_s) and t.rounds == 3 for e in results.entries for t in e.latency)


def test_the_journal_of_another_run_is_not_continued(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    run(replace(config, rounds=1), faces, tmp_path)
    first = (tmp_path / "journal").read_bytes()
    results, journal = run_with_journal(replace(config, rounds=2), faces, tmp_path)
    assert {t.rounds for e in results.entries for t in e.latency} == {2}
    assert journal.other == tmp_path / "journal"
    assert (tmp_path / "journal").read_bytes() == first  # it can still be finished
    journal.remove()
    assert (tmp_path / "journal").exists()


def test_a_file_that_is_no_journal_is_left_alone(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    (tmp_path / "journal").write_bytes(b"\xff not ours")
    run(replace(config, rounds=1), faces, tmp_path)
    assert (tmp_path / "journal").read_bytes() == b"\xff not ours"


def test_what_is_applied_after_measuring_measures_nothing_again(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    first = run(config, faces, tmp_path)
    grid = GridIntensity(g_co2e_per_kwh=50.0, zone="FR", year=2024, source="given")
    changes = {"intensity": grid, "pue": 1.5, "cpu_model": CpuModel(9.0, "given")}
    second = run(replace(config, **changes), faces, tmp_path)
    assert [e.latency for e in second.entries] == [e.latency for e in first.entries]
    carbon = second.entries[0].carbon
    assert carbon is not None
    assert (carbon.intensity, carbon.pue) == (grid, 1.5)


@pytest.mark.parametrize("failures", [1, 2])
def test_a_round_that_fails_is_tried_again_and_loses_no_other_round(
    config: BenchConfig, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures
):
    visit, calls = benchmark.visit_case, []

    def sometimes(*args, **options):
        calls.append(args)
        if 3 <= len(calls) < 3 + failures:
            raise RuntimeError("a passing cloud")
        return visit(*args, **options)

    monkeypatch.setattr(benchmark, "visit_case", sometimes)
    entries = run(config, faces, tmp_path).entries
    errors = [entry.error for entry in entries if entry.error]
    rounds = sorted(t.rounds for e in entries for t in e.latency if t.batch_size == 1)
    if failures == 1:
        assert (errors, rounds) == ([], [3, 3])
    else:
        assert errors == ["1 of 3 rounds failed twice: RuntimeError: a passing cloud"]
        assert rounds == [2, 3]


def test_the_same_weights_by_name_and_by_path_are_one_entry(
    config: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, plain = config.models
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(own).read_bytes())
    shipped = {NAMES[0]: copy}
    monkeypatch.setattr("lightfer.models.find.shipped", shipped.get)
    twice = replace(config, models=(own, NAMES[0], plain, plain, str(copy)), rounds=1)
    results = run(twice, None, tmp_path)
    assert [entry.model for entry in results.entries] == [NAMES[0], plain]
    assert violations(msgspec.json.decode(msgspec.json.encode(results))) == []


@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime", "openvino"])
def test_a_slower_block_or_runtime_of_ours_leaves_the_yardstick_as_it_is(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
):
    """Nothing that a planted fault slows is called while the yardstick is timed."""
    if runtime != "pytorch":
        pytest.importorskip(runtime)
    forward, load, timed = ConvBNAct.forward, RUNTIMES[runtime].load, Yardstick.time
    calls = {"beside": 0, "of the yardstick": 0}
    now = ["beside"]

    def slow_forward(self, x):
        if not torch.compiler.is_exporting():
            calls[now[0]] += 1
        return forward(self, x)

    def slow_load(*arguments, **options):
        loaded = load(*arguments, **options)

        def run_slowly(x):
            calls[now[0]] += 1
            time.sleep(0.03)
            return loaded(x)

        return Loaded(run_slowly, loaded.settings)

    def watched(self, *arguments):
        now[0] = "of the yardstick"
        try:
            return timed(self, *arguments)
        finally:
            now[0] = "beside"

    monkeypatch.setattr(Yardstick, "time", watched)
    monkeypatch.setattr(ConvBNAct, "forward", slow_forward)
    monkeypatch.setitem(RUNTIMES, runtime, replace(RUNTIMES[runtime], load=slow_load))
    config = BenchConfig(
        ("mobilenet_v1_x0_25",),
        (runtime,),
        rounds=2,
        seconds=0,
        passes=4,
        warmup=1,
        batch_sizes=(1, 8),
    )
    (entry,) = run(config, faces, tmp_path).entries
    single = entry.latency[0]
    assert single.yardstick_s is not None
    assert min(single.samples_s) > 0.03
    assert calls["beside"] > 0
    assert calls["of the yardstick"] == 0


def test_a_model_that_does_not_exist_stops_before_anything_runs(tmp_path: Path):
    with pytest.raises(ValueError, match="there is no model 'resnet50'"):
        run(BenchConfig(("mobilenet_v1", "resnet50")), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_of_the_journal_costs_its_step_alone(
    config: BenchConfig, faces: Dataset, tmp_path: Path
):
    whole = run(config, faces, tmp_path)
    path = tmp_path / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 2 + 2 * 3  # its head, two models, three rounds of both
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][: len(lines[-2]) // 2])
    steps: list[str] = []
    again = run(config, faces, tmp_path, on_step=lambda text, done, of: steps.append(text))
    assert len(steps) == 2
    assert path.read_bytes().splitlines(keepends=True)[:-2] == lines[:-2]
    assert [t.rounds for e in again.entries for t in e.latency] == [3] * 4
    assert [e.accuracy for e in again.entries] == [e.accuracy for e in whole.entries]


def test_two_processes_have_a_journal_each_and_a_third_is_refused(tmp_path: Path):
    """The second's steps are not the first's: each would take the other's for its own."""
    place = tmp_path / "journal"
    first = Journal(place, "one", ENVIRONMENT)
    second = Journal(place, "one", ENVIRONMENT)
    assert (first.path, second.path) == (place, tmp_path / "journal-one")
    with pytest.raises(ArgumentError, match="in use by other processes"):
        Journal(place, "one", ENVIRONMENT)
    second.remove()
    first.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_byte_is_no_other_run(tmp_path: Path):
    """A stop of the machine leaves such a file; the run took another name for ever."""
    place = tmp_path / "journal"
    place.touch()
    first = Journal(place, "one", ENVIRONMENT)
    assert (first.path, first.other) == (place, None)
    first.append("case", Failed(kind="static", error="of the net"))
    first._lock.release()
    again = Journal(place, "one", ENVIRONMENT)
    assert (again.path, again.pieces["case"].error) == (place, "of the net")


def test_a_journal_begins_with_its_whole_head_or_is_not_there(tmp_path: Path):
    """Half of it was taken for another's run."""
    place = tmp_path / "journal"
    first = Journal(place, "one", ENVIRONMENT)
    with files_of_at_most(100), pytest.raises(OutputError, match="journal was not written: File"):
        first.append("case", Failed(kind="static", error="of the net"))
    assert not place.exists()


def test_an_own_net_that_was_edited_is_not_continued(
    config: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = (
        "from torch import nn\n\n\n"
        "def net(*_):\n    return nn.Sequential(nn.Flatten(), nn.Linear(2304, 7))\n"
    )
    (tmp_path / "edited_nets.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = replace(config, models=("edited_nets:net",), rounds=1)
    run(own, None, tmp_path)
    assert run_with_journal(own, None, tmp_path)[1].other is None
    (tmp_path / "edited_nets.py").write_text(f"{code}\n\nmore = 1\n")
    assert run_with_journal(own, None, tmp_path)[1].other == tmp_path / "journal"


def test_rounds_of_other_cores_or_thread_settings_are_not_mixed(monkeypatch: pytest.MonkeyPatch):
    """Of all rounds the file says what held for those of the last command."""
    config = BenchConfig(("mobilenet_v1_x0_25",))
    cases = [Case(find_weights(name)) for name in config.models]

    def found() -> str:
        return fingerprint(config, cases, ENVIRONMENT, NO_METERS)

    known = {found()}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_CBWR", "ONEDNN_X"):
        monkeypatch.setenv(name, "1")
        known.add(found())
    assert len(known) == 6
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    assert found() in known
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 511}, raising=False)
    assert found() not in known


def test_a_device_has_rows_of_its_own(config: BenchConfig, tmp_path: Path):
    config = replace(config, rounds=1)
    results, journal = run_with_journal(config, None, tmp_path)
    case = Case(find_weights(config.models[0]))
    ids = [
        entry_of(case, journal, "machine", "run", replace(config, device=device), 48, None).id
        for device in ("cpu", "mps", "cuda:1")
    ]
    assert [i.rpartition("/")[2] for i in ids] == [
        "pytorch-float32",
        "pytorch-float32@mps",
        "pytorch-float32@cuda:1",
    ]
    assert results.entries[0].id.endswith("/pytorch-float32")


def test_modelled_energy_is_of_the_time_that_is_quoted(
    config: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    visit, slow = benchmark.visit_case, [1.0, 1.0, 4.0]

    def known(*arguments, **options):
        found, beside = visit(*arguments, **options), slow.pop(0)
        timed = [msgspec.structs.replace(t, yardstick_s=beside) for t in found.timed]
        return msgspec.structs.replace(found, timed=tuple(timed), total_s=10.0)

    monkeypatch.setattr(benchmark, "visit_case", known)
    results = run(replace(config, models=config.models[1:]), None, tmp_path)
    (entry,) = results.entries
    found = Times(results).all_images(entry)
    assert found is not None
    assert found.rounds_s.tolist() == [10.0, 10.0, 2.5]
    assert found.interval is not None
    assert entry.inference_total_s == 10.0
    assert entry.energy is not None
    assert entry.energy.gross is not None
    watts = config.cpu_model.watts_per_thread * results.environments[entry.environment].threads
    each = found.estimate_s / (entry.inference_images or 0)
    assert entry.energy.gross.joules_per_image == pytest.approx(watts * each)


@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime"])
def test_logits_that_are_no_numbers_are_an_error_of_the_net(config: BenchConfig, runtime: str):
    """Eager PyTorch's own were timed beside the card's accuracy, or failed when scored."""
    case = Case(find_weights(config.models[1]), runtime)
    broken = Loaded(lambda x: torch.full((len(x), 7), float("nan")), {})
    with pytest.raises(ValueError, match=f"{runtime}-float32 gives logits that are no numbers"):
        compared(case, broken, torch.zeros(2, 1, 48, 48, dtype=torch.uint8), "cpu")


def test_a_name_that_is_not_utf_8_can_be_written_to_the_journal(config: BenchConfig):
    weights = replace(find_weights(config.models[1]), key="net\udcff.safetensors")
    assert Case(weights).journal_key.encode() == rb"net\xff.safetensors pytorch-float32"
