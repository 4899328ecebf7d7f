"""Training on synthetic faces: it learns, it resumes to the same bits, it never sees the test."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from lightfer.bench.entry import spent_on_training
from lightfer.data import Dataset
from lightfer.data.augment import (
    MEAN,
    STD,
    Augmentation,
    augment,
    cut_mix,
    mix,
    warp_matrices,
)
from lightfer.data.dataset import normalize
from lightfer.errors import ArgumentError
from lightfer.measure.accuracy import measure_accuracy, predict_logits
from lightfer.models.registry import create_model
from lightfer.models.weights import load_checkpoint, rewrite_card
from lightfer.train.config import TrainConfig
from lightfer.train.initialise import unit_variance
from lightfer.train.job import train_to_file
from lightfer.train.loop import train
from lightfer.train.loss import Batch, label_loss
from lightfer.train.state import DivergedError, RunState, _load, _save
from tests.measure.energy.simulated import MissingMeter, SimulatedMachine, simulated_meters

CONFIG = TrainConfig(epochs=3, batch_size=16, warmup_epochs=0.5, ema_decay=0.9)
MODEL = "shufflenet_v2_x0_5"


def fresh():
    torch.manual_seed(0)
    return create_model(MODEL)


def run(faces: Dataset, folder: Path, config: TrainConfig = CONFIG, **options):
    return train(fresh(), faces["train"], faces["validation"], config, folder, **options)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "schedule": "linear"},
        {"optimizer": "adamw", "mixup": 0.4, "precision": "bfloat16", "keep": "final"},
    ],
    ids=["sgd", "adamw"],
)
def test_a_resumed_run_gives_the_same_bits(faces: Dataset, tmp_path: Path, changes):
    config = replace(CONFIG, **changes)
    whole = run(faces, tmp_path / "whole", config)

    def stop_in_epoch_two(epoch: int, done: int, of: int) -> None:
        if (epoch, done) == (2, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(faces, tmp_path / "parts", config, on_batch=stop_in_epoch_two)
    parts = run(faces, tmp_path / "parts", config)
    assert [replace(e, wall_s=0, cpu_s=0) for e in parts.history] == [
        replace(e, wall_s=0, cpu_s=0) for e in whole.history
    ]
    assert all(torch.equal(parts.weights[k], v) for k, v in whole.weights.items())


class _Shared(nn.Sequential):
    """One activation with a weight, under two names."""

    def __init__(self) -> None:
        act = nn.PReLU()
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7)
        super().__init__(nn.Conv2d(1, 8, 3, 4), act, nn.Conv2d(8, 8, 3), act, *pooled)


@pytest.mark.parametrize("keep", ["best", "final"])
def test_a_network_with_a_shared_weight_is_trained_and_goes_on(
    faces: Dataset, tmp_path: Path, keep
):
    def trained(epochs: int, folder: Path):
        torch.manual_seed(0)
        model = _Shared()
        config = replace(CONFIG, epochs=2, keep=keep)

        def stop(epoch: int, done: int, of: int) -> None:
            if epoch > epochs:
                raise KeyboardInterrupt

        return train_to_file(
            *("shared", model, faces, config, folder), recipe="any", on_batch=stop
        )[0]  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        trained(1, tmp_path / "parts")
    whole, parts = trained(2, tmp_path / "whole"), trained(2, tmp_path / "parts")
    weights = load_checkpoint(parts)[0]
    assert weights["1.weight"].equal(weights["3.weight"])
    assert all(weights[name].equal(w) for name, w in load_checkpoint(whole)[0].items())


class _Counting(_Shared):
    """It counts its batches, and has seen one."""

    batches: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.batches += 1
            self.begun = torch.tensor(True)
        return super().forward(x)


@pytest.mark.parametrize("keep", ["best", "final"])
def test_what_has_no_mean_is_kept_as_it_is_after_the_epoch(faces: Dataset, tmp_path: Path, keep):
    """It was as at the start: what was validated and written was a net that nobody trained."""
    config = replace(CONFIG, epochs=2, keep=keep)
    splits = faces["train"], faces["validation"]
    result = train(_Counting(), *splits, config, tmp_path)
    steps = -(-len(splits[0]) // config.batch_size)
    assert result.weights["batches"] == steps * result.kept.epoch
    assert result.weights["begun"]


def test_a_shared_weight_is_averaged_once(tmp_path: Path):
    model = _Shared()
    run = RunState(model, CONFIG, tmp_path)
    nn.init.ones_(model.get_parameter("1.weight"))
    run.average(0)
    assert run.averaged.get_parameter("1.weight").item() == pytest.approx(0.1 * 0.25 + 0.9)


def test_the_kept_weights_are_those_of_the_best_epoch(faces: Dataset, tmp_path: Path):
    result = run(faces, tmp_path)
    model = fresh()
    model.load_state_dict(result.weights)
    validation = faces["validation"]
    accuracy = measure_accuracy(
        predict_logits(model, validation.images),
        validation.labels,
        split="validation",
        label_source="synthetic",
    )
    assert accuracy.top1 == pytest.approx(max(e.validation_top1 for e in result.history))
    assert result.kept.validation_top1 == max(e.validation_top1 for e in result.history)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_the_last_epochs_average_is_kept_where_asked_for(faces: Dataset, tmp_path: Path):
    result = run(faces, tmp_path, replace(CONFIG, keep="final", learning_rate=0.05))
    assert result.kept == result.history[-1]
    state = load_file(tmp_path / "state.safetensors")
    assert all(state[f"averaged.{name}"].equal(value) for name, value in result.weights.items())


def test_without_averaging_the_weights_are_the_networks_own(faces: Dataset, tmp_path: Path):
    model = fresh()
    config = replace(CONFIG, epochs=1, ema_decay=0.0)
    result = train(model, faces["train"], faces["validation"], config, tmp_path)
    own = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    assert all(value.equal(result.weights[name]) for name, value in own.items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "SGD"},
        {"schedule": "cos"},
        {"keep": "last"},
        {"precision": "bf16"},
        {"epochs": 2.5},
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
        {"label_smoothing": 1.0},
        {"ema_decay": 1.0},
        {"dropout": 1.0},
        {"mixup": -1.0},
        {"warmup_epochs": 36},
        {"warmup_epochs": -1},
        {"clip_norm": float("inf")},
        {"augmentation": {"zoom": 0.1}},
        {"augmentation": {"scale": "much"}},
        {"augmentation": {"warp": 1.1}},
        {"epochs": True},
        {"learning_rate": True},
        {"augmentation": {"flip": "no"}},
        {"augmentation": {"crop": 2.5}},
        {"augmentation": None},
        {"augmentation": [0.1]},
    ],
    ids=str,
)
def test_settings_that_cannot_be_used_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name if name != "augmentation" else "expected|has no"):
        TrainConfig(**wrong)


def test_a_table_of_augmentation_becomes_one():
    config = TrainConfig(augmentation={"scale": 0.3})  # pyright: ignore[reportArgumentType]
    assert config.augmentation == Augmentation(scale=0.3)


def test_a_warm_up_ends_at_the_peak_and_never_above():
    for warmup in (0.5, 1.0, 3.0):
        config = TrainConfig(epochs=4, warmup_epochs=warmup, learning_rate=1.0)
        rates = [config.rate_at(step / 100) for step in range(400)]
        assert max(rates) == 1.0 == config.rate_at(warmup)
        assert rates[0] == pytest.approx(0.01)
        assert rates[: int(100 * warmup)] == sorted(rates[: int(100 * warmup)])
    TrainConfig(epochs=4, warmup_epochs=3.999)
    with pytest.raises(ValueError, match="warmup_epochs"):
        TrainConfig(epochs=4, warmup_epochs=4)


def test_dropout_and_augmentation_draw_different_numbers(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[torch.Tensor] = []

    def spy(images, config, generator):
        torch.manual_seed(torch.initial_seed())  # as at the start of the epoch
        both = torch.rand(64), torch.rand(64, generator=generator)
        drawn.extend(both)
        return normalize(images)

    monkeypatch.setattr("lightfer.train.loop.torch.randperm", lambda n, **_: torch.arange(n))
    monkeypatch.setattr("lightfer.train.loop.augment", spy)
    run(faces, tmp_path, replace(CONFIG, epochs=1, batch_size=96))
    assert len(drawn) == 2
    assert not torch.isclose(drawn[0], drawn[1]).any()


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1}])
def test_the_view_does_not_depend_on_the_network(faces: Dataset, tmp_path: Path, changes):
    """Dropout of one network moves no image and no share of another."""
    seen: dict[str, list[Batch]] = {}
    for name in ("shufflenet_v2_x0_5", "squeezenet1_1_bn"):  # without and with dropout

        def loss(logits: torch.Tensor, batch: Batch, name: str = name) -> torch.Tensor:
            seen.setdefault(name, []).append(batch)
            return logits.square().mean()

        config = replace(CONFIG, epochs=1, **changes)
        train(
            create_model(name), faces["train"], faces["validation"], config, tmp_path / name,
            loss=loss,
        )  # fmt: skip
    shares = set()
    for one, other in zip(*seen.values(), strict=True):
        assert one.images.equal(other.images)
        assert one.share == other.share
        shares.add(one.share)
    assert len(shares) > 3


def test_a_training_that_leaves_the_numbers_stops_and_keeps_the_last_good_state(
    faces: Dataset, tmp_path: Path
):
    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        epoch = 1 + len((tmp_path / "history.jsonl").read_text().splitlines())
        return logits.square().mean() * (torch.nan if epoch == 3 else 1.0)

    (tmp_path / "history.jsonl").write_text("")
    with pytest.raises(DivergedError, match=r"epoch 3.*learning rate.*after epoch 2 is kept"):
        run(faces, tmp_path, loss=loss)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    state = load_file(tmp_path / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_weights_too_large_for_the_file_are_refused(faces: Dataset, tmp_path: Path):
    model = fresh()

    def explode(epoch) -> None:
        header, state = _load(tmp_path / "state.safetensors")
        name = next(k for k, v in state.items() if k.startswith("averaged.") and v.ndim == 4)
        state[name] = torch.full_like(state[name], 1e6)
        _save(tmp_path / "state.safetensors", state, header)
        raise KeyboardInterrupt

    config = replace(CONFIG, epochs=1, keep="final")
    with pytest.raises(KeyboardInterrupt):
        train_to_file(MODEL, model, faces, config, tmp_path, recipe="r", on_epoch=explode)
    with pytest.raises(DivergedError, match="not finite in float16"):
        train_to_file(MODEL, model, faces, config, tmp_path, recipe="r")
    assert not list(tmp_path.glob(f"{MODEL}*"))


def test_a_run_folder_of_lightfer_0_1_goes_on(faces: Dataset, tmp_path: Path):
    """Its kept weights lay in a file of their own, and it knew neither cutmix nor warp, nor what an
    epoch took and where.
    """

    def stop(epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(faces, tmp_path / "old", on_epoch=stop)
    path = tmp_path / "old" / "state.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    del header["crc32"]
    config, history = json.loads(header["config"]), json.loads(header["history"])
    del config["cutmix"], config["augmentation"]["warp"]
    for epoch in history:
        del epoch["energy_j"], epoch["device"]
    state = load_file(path)
    kept = {k.removeprefix("kept."): v for k, v in state.items() if k.startswith("kept.")}
    save_file(kept, tmp_path / "old" / "kept.safetensors")
    rest = {k: v for k, v in state.items() if not k.startswith("kept.")}
    about = {"config": json.dumps(config, sort_keys=True), "history": json.dumps(history)}
    save_file(rest, path, about)
    resumed, whole = run(faces, tmp_path / "old"), run(faces, tmp_path / "whole")
    assert all(value.equal(resumed.weights[name]) for name, value in whole.weights.items())


@pytest.mark.parametrize("number", [3, 4])
def test_killed_while_the_second_epoch_is_written_the_kept_weights_are_of_a_told_epoch(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    """They lay in a file of their own, which was written before the one that tells of the epoch."""
    accuracies, written, move = iter((0.1, 0.2, 0.3)), [], Path.replace
    monkeypatch.setattr("lightfer.train.loop._validate", lambda *_: (1.0, next(accuracies)))

    def killed(path: Path, target: Path) -> Path:
        written.append(target)
        if len(written) == number:
            raise KeyboardInterrupt
        return move(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(faces, tmp_path)
    header, state = _load(tmp_path / "state.safetensors")
    assert len(json.loads(header["history"])) == number - 2
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["state.safetensors"]
    kept = {name.removeprefix("kept.") for name in state if name.startswith("kept.")}
    assert kept
    assert all(state[f"kept.{name}"].equal(state[f"averaged.{name}"]) for name in kept)


def test_killed_before_the_last_line_of_the_history_the_next_start_writes_it(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config, move = replace(CONFIG, epochs=1), Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.name == "history.jsonl":
            raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(faces, tmp_path, config)
    assert not (tmp_path / "history.jsonl").exists()
    (told,) = run(faces, tmp_path, config).history
    (line,) = (tmp_path / "history.jsonl").read_text().splitlines()
    assert json.loads(line) == asdict(told)


def test_a_resumed_optimiser_holds_what_was_saved_where_its_parameters_are(
    faces: Dataset, tmp_path: Path
):
    run(faces, tmp_path, replace(CONFIG, epochs=1))
    model = fresh().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    state = RunState(model, replace(CONFIG, epochs=1), tmp_path)
    state.resume()
    stored = load_file(tmp_path / "state.safetensors")
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        own = state.optimizer.state[parameter]
        assert own["step"].device == parameter.device
        assert own["exp_avg"].stride() == parameter.stride()
        assert own["exp_avg"].equal(stored[f"optimizer.{i}.exp_avg"])


def test_schedules():
    linear = TrainConfig(epochs=10, warmup_epochs=2, learning_rate=1.0, schedule="linear")
    cosine = replace(linear, schedule="cosine")
    for config in (linear, cosine):
        assert 0 < config.rate_at(0) < config.rate_at(1) < config.rate_at(2) == 1.0
        assert config.rate_at(6) == pytest.approx(0.5)
        assert config.rate_at(10) == pytest.approx(0)
    assert cosine.rate_at(4) > linear.rate_at(4)


def test_norms_and_biases_do_not_decay(faces: Dataset, tmp_path: Path):
    state = RunState(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), CONFIG, tmp_path)
    decayed, plain = state.optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert [p.ndim for p in plain["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (CONFIG.weight_decay, 0.0)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_a_loss_sees_the_view_that_the_network_sees(faces: Dataset, tmp_path: Path, mixup: float):
    """A loss that gives the label loss itself changes nothing; one that sees the view can check."""
    config = replace(CONFIG, epochs=1, mixup=mixup)
    labels = faces["train"].labels
    seen: list[Batch] = []

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        seen.append(batch)
        return label_loss(labels, config)(logits, batch)

    own = run(faces, tmp_path / "own", config)
    given = run(faces, tmp_path / "given", config, loss=loss)
    assert all(value.equal(given.weights[name]) for name, value in own.weights.items())
    assert torch.cat([b.indices for b in seen]).sort().values.equal(torch.arange(len(labels)))
    assert seen[0].images.shape == (16, 1, 48, 48)
    assert (seen[0].partners is not None) == (mixup > 0)


def test_mixed_targets_are_mixed_as_the_images_are():
    values = torch.eye(4)
    batch = Batch(torch.tensor([0, 1]), torch.empty(2), torch.tensor([2, 0]), 0.75)
    expected = torch.tensor([[0.75, 0, 0.25, 0], [0.25, 0.75, 0, 0]])
    assert batch.of(values).equal(expected)
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    soft = nn.functional.cross_entropy(logits, expected)
    assert label_loss(torch.arange(4), replace(CONFIG, label_smoothing=0.0))(
        logits, batch
    ).item() == pytest.approx(soft.item())


def test_unit_variance_start():
    torch.manual_seed(0)
    model = create_model("squeezenet1_1").train()
    x = torch.randn(64, 1, 48, 48)
    last = model.classifier[1].weight.clone()  # type: ignore[union-attr,index]
    unit_variance(model, x)
    deviations = []
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions:
        convolution.register_forward_hook(lambda _, __, y: deviations.append(y.std().item()))
    model.eval()(x)
    assert deviations[:-1] == pytest.approx([1.0] * (len(convolutions) - 1), abs=0.01)
    assert convolutions[-1].weight.equal(last)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_network_learns_the_same(faces: Dataset, tmp_path: Path):
    def small() -> nn.Module:
        torch.manual_seed(0)
        pool = nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 7))

    config = replace(CONFIG, epochs=1, batch_size=len(faces["train"]), ema_decay=0.0)
    plain, compiled = (
        train(
            small(),
            faces["train"],
            faces["validation"],
            replace(config, compiled=flag),
            tmp_path / str(flag),
        )
        for flag in (False, True)
    )
    for name, value in plain.weights.items():
        torch.testing.assert_close(compiled.weights[name], value, rtol=1e-3, atol=1e-4)


def test_learns_faces_it_can_memorise(faces: Dataset, tmp_path: Path):
    still = Augmentation(False, 0, 0, 0, 0, 0, 0, 0, 0.1)
    config = replace(CONFIG, epochs=12, augmentation=still, weight_decay=0.0)
    history = run(faces, tmp_path, config).history
    assert history[-1].train_loss < 0.75 * history[0].train_loss


def test_writes_a_card_without_having_the_test_split(faces: Dataset, tmp_path: Path):
    blind = replace(faces, splits={k: v for k, v in faces.splits.items() if k != "test"})
    config = replace(CONFIG, epochs=1)
    path, card = train_to_file(MODEL, fresh(), blind, config, tmp_path, recipe="r")
    _, read = load_checkpoint(path)
    assert read == card
    assert (card.recipe, card.seed, card.epochs, card.test) == ("r", 0, 1, None)
    assert card.data_sha256["train"] == faces["train"].sha256()
    model = create_model(MODEL, pretrained=path)
    logits = predict_logits(model, faces["validation"].images)
    assert card.validation is not None
    right = (logits.argmax(1) == faces["validation"].labels).float().mean().item()
    assert card.validation.top1 == pytest.approx(right)


def test_a_finished_training_leaves_what_was_written_into_its_card(faces: Dataset, tmp_path: Path):
    """As by `lightfer evaluate --into-card`; a damaged file is written anew."""
    options = {"config": replace(CONFIG, epochs=1), "run_dir": tmp_path, "recipe": "r"}
    path, card = train_to_file(MODEL, fresh(), faces, **options)
    rewritten = rewrite_card(path, test=card.validation)
    before = path.read_bytes()
    assert train_to_file(MODEL, fresh(), faces, **options) == (path, rewritten)
    assert path.read_bytes() == before
    path.write_bytes(b"damaged")
    assert train_to_file(MODEL, fresh(), faces, **options)[1].test is None
    assert load_checkpoint(path)[1].validation == card.validation


def test_the_card_tells_the_energy_that_meters_told(faces: Dataset, tmp_path: Path):
    """Simulated: 50 W always and 50 W for each busy thread; the second meter of a component and one
    that is not there count for nothing.
    """
    counter, power = simulated_meters()
    counter.component = power.component = "cpu"
    meters = [counter, MissingMeter(), power]
    options = {"recipe": "r", "meters": meters}
    _, card = train_to_file(MODEL, fresh(), faces, CONFIG, tmp_path / "all", **options)
    cost = card.training
    assert cost is not None
    assert cost.energy_j is not None
    assert (cost.energy_method, cost.energy_includes) == ("counter", ("cpu",))
    assert (cost.energy_source, cost.watts_per_thread) == (counter.source, None)
    assert cost.energy_j == pytest.approx(50 * (card.training_s + cost.cpu_s), rel=0.05)
    assert cost.g_co2e == pytest.approx(cost.energy_j / 3.6e6 * cost.intensity.g_co2e_per_kwh)
    spent = spent_on_training(card)
    assert spent is not None
    assert (spent.joules, spent.method, spent.includes) == (cost.energy_j, "counter", ("cpu",))

    other = {"recipe": "r", "meters": simulated_meters()[:1]}  # of a GPU, that trained nothing here
    _, card = train_to_file(MODEL, fresh(), faces, CONFIG, tmp_path / "other", **other)
    assert card.training is not None
    assert (card.training.energy_method, card.training.energy_includes) == ("modelled", ("cpu",))

    rest = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        train_to_file(MODEL, fresh(), faces, CONFIG, rest, recipe="r", on_epoch=interrupt)
    _, card = train_to_file(MODEL, fresh(), faces, CONFIG, rest, **options)
    assert card.training is not None  # an epoch was trained without a meter
    assert (card.training.energy_method, card.training.energy_includes) == ("modelled", ("cpu",))


def test_long_epochs_keep_their_measured_energy_and_the_card_says_why_one_lost_it(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Simulated: 400 W of a counter that wraps as AMD's does, and batches of half a minute."""
    machine = SimulatedMachine(lambda t: 400 * t)
    monkeypatch.setattr("lightfer.measure.energy.training.now", machine.clock)

    def cost(folder: str, seconds: dict[int, float]):
        def on_batch(number: int, done: int, of: int) -> None:
            machine.spend(seconds.get(number, 30.0))

        counter = machine.counter(component="cpu", wrap_j=65_532.6, highest_w=1000)
        options = {"recipe": "r", "meters": [counter], "on_batch": on_batch}
        _, card = train_to_file(MODEL, fresh(), faces, CONFIG, tmp_path / folder, **options)
        assert card.training is not None
        assert card.history is not None
        assert "energy_lost" not in card.history[0]  # its values are numbers
        return card, card.training

    batches = CONFIG.epochs * 96 // CONFIG.batch_size
    _, told = cost("long", {})
    assert told.energy_j == pytest.approx(400 * 30 * batches, rel=1e-3)
    assert (told.energy_method, told.energy_reason) == ("counter", None)

    card, told = cost("too long", {2: 3600.0})
    why = "simulated counter told 2 of 3 epochs: simulated counter: 3600 s may hold more than one"
    assert told.energy_method == "modelled"
    assert (told.energy_reason or "").startswith(why)
    spent = spent_on_training(card)
    assert spent is not None
    assert (spent.method, spent.reason) == ("modelled", told.energy_reason)


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("metered", [True, False])
def test_the_energy_of_a_training_that_moved_to_another_device_is_unknown(
    faces: Dataset, tmp_path: Path, epochs: int, metered: bool
):
    """It was the CPU's, and said nothing of the GPU. All epochs may be done where it moves."""
    meters = simulated_meters()[:1] if metered else []
    for meter in meters:
        meter.component = "cpu"
    options = {"recipe": "r", "config": replace(CONFIG, epochs=epochs), "meters": meters}
    with pytest.raises(KeyboardInterrupt):
        train_to_file(MODEL, fresh(), faces, run_dir=tmp_path, on_epoch=interrupt, **options)
    header, state = _load(tmp_path / "state.safetensors")
    (first,) = json.loads(header["history"])
    assert first["device"] == "cpu"
    header["history"] = json.dumps([{**first, "device": "a GPU"}])
    _save(tmp_path / "state.safetensors", state, header)
    _, card = train_to_file(MODEL, fresh(), faces, run_dir=tmp_path, **options)
    cost = card.training
    assert cost is not None
    assert cost.device == ("a GPU" if epochs == 1 else "a GPU, cpu")
    assert (cost.energy_method, cost.energy_includes) == ("absent", ())
    assert (cost.energy_j, cost.g_co2e, cost.watts_per_thread) == (None, None, None)
    moved = "it was continued on another device: a GPU, cpu"
    assert cost.energy_reason == ("no meter of the gpu was read" if epochs == 1 else moved)
    spent = spent_on_training(card)
    assert spent is not None
    assert spent.reason == cost.energy_reason  # not that the card tells nothing
    assert card.history is not None
    assert not {"device", "energy_j"} & card.history[0].keys()


def interrupt(epoch) -> None:
    raise KeyboardInterrupt


def test_a_folder_of_another_run_is_refused(faces: Dataset, tmp_path: Path):
    run(faces, tmp_path, replace(CONFIG, epochs=1))
    with pytest.raises(ValueError, match="another configuration"):
        run(faces, tmp_path, replace(CONFIG, epochs=2))
    one, named = replace(CONFIG, epochs=1), tmp_path / "named"
    train_to_file(MODEL, fresh(), faces, one, named, recipe="a")
    with pytest.raises(ValueError, match="recipe a, now it is b"):
        train_to_file(MODEL, fresh(), faces, one, named, recipe="b")
    about = json.loads((named / "run.json").read_text())
    (named / "run.json").write_text(json.dumps({**about, "code": "\ud83d"}))
    with pytest.raises(ArgumentError, match=r"run\.json is damaged"):
        train_to_file(MODEL, fresh(), faces, one, named, recipe="a")
    (named / "run.json").unlink()  # then nothing tells other data
    with pytest.raises(ArgumentError, match=r"holds a state without the run\.json"):
        train_to_file(MODEL, fresh(), faces, one, named, recipe="a")


def test_augmentation_of_nothing_is_the_plain_input(faces: Dataset):
    images = faces["train"].images[:8]
    nothing = Augmentation(False, 0, 0, 0, 0, 0, 0, 0, 0.1)
    changed = augment(images, nothing, torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed, normalize(images), atol=1e-4, rtol=0)


def test_augmentation_repeats_with_its_generator_and_differs_per_image(faces: Dataset):
    images = faces["train"].images[:1].expand(8, -1, -1, -1)
    first, second = (
        augment(images, Augmentation(), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.allclose(first[0], first[1])
    assert first.min() >= -MEAN / STD - 1e-5
    assert first.max() <= (1 - MEAN) / STD + 1e-5


def test_erasing_sets_one_rectangle_to_the_mean(faces: Dataset):
    images = faces["train"].images[:32]
    erase = Augmentation(False, 0, 0, 0, 0, 0, 0, erase=1.0, erase_area=0.15)
    changed = augment(images, erase, torch.Generator().manual_seed(0))
    touched = (changed - normalize(images)).abs().flatten(1).gt(1e-3).float().mean(1)
    assert touched.min() > 0.005
    assert touched.max() <= 0.16


def test_a_crop_is_a_move_by_whole_pixels(faces: Dataset):
    images = faces["train"].images[:32]
    crop = Augmentation(False, 3, 0, 0, 0, 0, 0)
    changed = augment(images, crop, torch.Generator().manual_seed(0))
    plain = normalize(images)
    inner = changed[:, :, 3:-3, 3:-3]
    moves = set()
    for i in range(len(images)):
        found = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if torch.allclose(inner[i], plain[i, :, y : y + 42, x : x + 42], atol=1e-5)
        ]
        assert found
        moves.add(found[0])
    assert len(moves) > 10


def draws(n: int):
    generator = torch.Generator().manual_seed(0)
    return lambda low, high: torch.empty(n).uniform_(low, high, generator=generator)


def test_warps_fill_their_ranges_and_no_more():
    config = Augmentation(translate=0.1, scale=0.2, rotate_degrees=15.0)
    matrices = warp_matrices(config, draws(20_000))
    cos, sin, shift = matrices[:, 0, 0], matrices[:, 1, 0], matrices[:, :, 2]
    zoom = 1 / (cos.square() + sin.square()).sqrt()  # of the face in the result
    angle = torch.rad2deg(torch.atan2(sin, cos))
    for values, low, high in ((zoom, 0.8, 1.2), (angle, -15, 15), (shift / 2, -0.1, 0.1)):
        assert low - 1e-5 <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-5
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    assert matrices[:, 0, 1].equal(-sin)
    assert matrices[:, 1, 1].equal(cos)


def test_a_share_of_the_images_is_warped_the_others_keep_their_pixels(faces: Dataset):
    images = faces["train"].images[:1].expand(1000, -1, -1, -1)
    config = Augmentation(False, 2, 0.1, 0.2, 15.0, 0, 0, warp=0.3)
    changed = augment(images, config, torch.Generator().manual_seed(0))
    levels = normalize(torch.arange(256).view(1, 1, 1, 256).to(torch.uint8)).flatten()
    distance = (changed[:, :, 4:-4, 4:-4].flatten(1)[..., None] - levels).abs().amin(2)
    sharp = (distance < 1e-4).all(1)
    assert 0.64 < sharp.float().mean() < 0.76  # 0.7; standard deviation 0.014


def test_cutmix_pastes_a_rectangle_of_the_partner():
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 48, 48)
    generator = torch.Generator().manual_seed(0)
    kept, centres = [], []
    for _ in range(200):
        mixed, partners, share = cut_mix(images, 0.6, generator)
        assert partners.sort().values.equal(torch.arange(8))
        i = next(i for i in range(8) if partners[i] != i)
        pasted = mixed[i, 0] == partners[i]
        rows, columns = pasted.any(1).nonzero()[:, 0], pasted.any(0).nonzero()[:, 0]
        assert int(pasted.sum()) == len(rows) * len(columns)  # a rectangle
        assert (mixed[i, 0][~pasted] == i).all()
        assert share == pytest.approx(1 - pasted.float().mean().item())
        kept.append(share)
        centres.append(((rows[0] + rows[-1]) / 2).item())
    assert 0.57 < min(kept) < 0.62  # whole rectangles
    assert max(kept) > 0.8  # cut off at a border
    assert min(centres) < 12
    assert max(centres) > 35
    assert cut_mix(images, 1.0, generator)[2] == 1.0
    assert cut_mix(images, 0.0, generator)[2] < 0.8


def test_flips_alone_need_no_resampling(faces: Dataset):
    images = faces["train"].images[:32]
    changed = augment(
        images, Augmentation(True, 0, 0, 0, 0, 0, 0), torch.Generator().manual_seed(0)
    )
    plain = normalize(images)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(changed, plain, strict=True)]
    turned = [torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(changed, plain, strict=True)]
    assert all(s or t for s, t in zip(same, turned, strict=True))
    assert 5 < sum(turned) < 27


def test_mixup_mixes_pairs_in_one_share():
    torch.manual_seed(0)
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 2, 2)
    share = 0.7
    mixed, partners, given = mix(images, share, torch.Generator().manual_seed(0))
    assert given == share
    assert partners.sort().values.equal(torch.arange(6))
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[partners])
