"""One training, from what is wanted of it to a weight file with its card.

`lightfer train` runs one `Job`, a queue many.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct, structs
from torch import nn

from lightfer._files import alone, file_name, read_bytes, read_json, write_text
from lightfer.data.dataset import (
    IMAGE_SIZE,
    LARGEST_SIZE,
    MEAN,
    SPLITS,
    STD,
    Dataset,
    SplitName,
)
from lightfer.data.ferplus import Labels, Target, with_votes
from lightfer.data.folds import Fold, without_fold
from lightfer.data.subsets import trained_without_copies
from lightfer.errors import ArgumentError
from lightfer.measure.accuracy import measure_accuracy, predict_logits
from lightfer.measure.calibration import calibrate
from lightfer.measure.carbon import WORLD
from lightfer.measure.energy import WATTS_PER_THREAD, EpochMeter, Meter
from lightfer.measure.environment import code_version
from lightfer.measure.process import computes_bfloat16, device_name
from lightfer.models.find import own_source
from lightfer.models.registry import architecture
from lightfer.models.weights import (
    Card,
    CheckpointError,
    InputContract,
    TrainingCost,
    load_checkpoint,
    rounded,
    save_checkpoint,
    sha256_of_tensors,
    unrounded,
)
from lightfer.train.config import TrainConfig
from lightfer.train.distill import (
    Targets,
    distillation,
    load_teacher,
    load_teachers,
    student_options,
)
from lightfer.train.loop import OnBatch, OnEpoch, train
from lightfer.train.loss import Loss
from lightfer.train.recipes import find_recipe
from lightfer.train.soft_labels import read_soft_labels, write_soft_labels
from lightfer.train.state import DivergedError, Epoch
from lightfer.train.views import KeptAnswers


class Job(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that decides the weights of one training."""

    model: str
    recipe: str = "equal"
    seed: int = 0
    settings: dict[str, Any] = {}  # what differs from the recipe
    fold: str | None = None  # part of the train split to leave out, as "0/5"
    size: int = IMAGE_SIZE  # side of the images in pixels
    labels: Labels = "fer2013"  # others need FER+'s votes beside the data
    copies: bool = True  # False: without train images that occur in validation or test
    teachers: tuple[str, ...] = ()  # models with shipped weights, or weight files
    once: bool = False  # teachers are asked once, about plain images, as `lightfer teach` does
    soft_labels: str | None = None  # instead of teachers: a file of `lightfer teach`
    temperature: float | None = None  # None: the default of `lightfer.train.distill.Distillation`
    weight: float | None = None

    @property
    def network(self) -> str:
        """Name of the trained network: the model's, and behind it that of other labels."""
        return self.model if self.labels == "fer2013" else f"{self.model}_{self.labels}"

    @property
    def taught(self) -> bool:
        return bool(self.teachers or self.soft_labels)

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """What has to be read: of test only the pixels are looked at, for copies."""
        return ("train", "validation") if self.copies else SPLITS

    @property
    def recipe_text(self) -> str:
        """The recipe as the card has it, with what differs from it."""
        changes = [f"{name}={value}" for name, value in self.settings.items()]
        changes += [] if self.size == IMAGE_SIZE else [f"size={self.size}"]
        return ",".join([self.recipe, *changes, *([] if self.copies else ["without-copies"])])

    def _settings(self, config_for: Callable[..., TrainConfig]) -> TrainConfig:
        """With a shorter warm-up where fewer epochs are asked for than it takes, and it is not; of
        the augmentation, too, what is not said is the recipe's.
        """
        settings, plain = dict(self.settings), config_for(self.model, self.seed)
        if isinstance(changes := settings.get("augmentation"), dict):
            settings["augmentation"] = {**asdict(plain.augmentation), **changes}
        epochs = settings.get("epochs")
        if isinstance(epochs, int) and 0 < epochs <= plain.warmup_epochs:
            settings.setdefault("warmup_epochs", epochs / 2)
        return config_for(self.model, self.seed, **settings)

    def config(self) -> TrainConfig:
        """The recipe's settings. Raises ValueError for a job that cannot be run."""
        architecture(self.network)
        if not 32 <= self.size <= LARGEST_SIZE:
            raise ArgumentError(f"size is {self.size}, expected 32 to {LARGEST_SIZE} pixels a side")
        if self.teachers and self.soft_labels:
            raise ArgumentError("give teachers or soft labels, not both")
        if self.once and not self.teachers:
            raise ArgumentError("once is of teachers, and there are none: give teachers")
        if self.fold and self.taught:
            raise ArgumentError(
                "a network of a fold cannot be a student: its teachers saw the fold"
            )
        if not self.taught and not (self.temperature is None and self.weight is None):
            raise ArgumentError(
                "temperature and weight are of teachers, and there are none: give teachers or "
                "soft labels, or leave them out"
            )
        if self.recipe == "taught" and not self.taught:
            raise ArgumentError(
                "the recipe taught is with a teacher, and there is none: give teachers, as "
                "vgg_slim, or soft labels; without, it is the recipe equal with 150 epochs"
            )
        distillation(self.temperature, self.weight)
        if self.fold:
            Fold.parse(self.fold)
        try:
            config = self._settings(find_recipe(self.recipe).config_for)
        except TypeError as error:
            raise ArgumentError(f"settings {self.settings} do not fit: {error}") from error
        check_target(self.labels, config.target)
        return config


def check_target(labels: Labels, target: Target) -> None:
    """Raises ValueError for a target that the labels do not have."""
    if target != "distribution" and labels == "fer2013":
        raise ArgumentError(
            f"target {target} is of FER+'s votes, and the labels are FER2013's: give labels "
            "ferplus, or leave the target out"
        )


def learned_from(
    data: Dataset, labels: Labels, target: Target = "distribution", copies: bool = True
) -> Dataset:
    """`data` as a training with these settings of a job takes it. Raises DataError where the votes
    are not beside the data, or a split was not read.
    """
    if not copies:
        data = trained_without_copies(data)
    return data if labels == "fer2013" else with_votes(data, labels, target)


def for_processor(job: Job, run_dir: Path, device: str = "cpu") -> Job:
    """The same in float32, and recorded so, where the recipe asks for bfloat16 of a processor that
    has none; a run that was begun stays as it is, and so does what the settings ask for.
    """
    if "precision" in job.settings or job.config().precision == "float32":
        return job
    plain = structs.replace(job, settings={**job.settings, "precision": "float32"})
    path = run_dir / "run.json"
    if path.exists():
        return plain if plain.recipe_text in path.read_text(errors="replace") else job
    return job if computes_bfloat16(device) else plain


def run_job(
    job: Job,
    data: Dataset,
    run_dir: Path,
    *,
    view_cache: Path | None = None,
    device: str = "cpu",
    meters: Sequence[Meter] = (),
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[Path, Card]:
    """Train in `run_dir`, from where it stopped, on `data` with the splits that the job names.

    In float32 where `for_processor` says so. With `view_cache` the answers of live teachers are
    kept there, see `train.views`. Raises as `train_to_file` does, and what reading the teachers
    raises.
    """
    job = for_processor(job, run_dir, device)
    config, student = job.config(), {}
    source = own_source(job.network)
    data = learned_from(data, job.labels, config.target, job.copies)
    split = data["train"]
    if job.taught:
        targets: Targets
        labels = Path(job.soft_labels) if job.soft_labels else run_dir / "soft_labels.safetensors"
        if job.once:
            write_soft_labels(labels, [load_teacher(t, split, device) for t in job.teachers], split)
        if job.once or job.soft_labels:
            targets = read_soft_labels(labels, split, device)
        else:
            targets = load_teachers(job.teachers, split, device, config.precision)
            if view_cache:
                targets = KeptAnswers(targets, view_cache, split, config)
        amount = distillation(job.temperature, job.weight)
        student = student_options(targets, amount, split, config, device)
    if source:
        student["about"] = {**student.get("about", {}), "source_sha256": source}
    torch.manual_seed(job.seed)
    with alone(run_dir / ".lock", f"the training in {run_dir}"):
        return train_to_file(
            job.network,
            architecture(job.network)(len(data.classes)),
            data,
            config,
            run_dir,
            recipe=job.recipe_text,
            fold=Fold.parse(job.fold) if job.fold else None,
            device=device,
            meters=meters,
            on_batch=on_batch,
            on_epoch=on_epoch,
            **student,
        )


def train_to_file(
    name: str,
    model: nn.Module,
    data: Dataset,
    config: TrainConfig,
    run_dir: Path,
    *,
    recipe: str,
    fold: Fold | None = None,
    loss: Loss | None = None,
    about: Mapping[str, Any] | None = None,
    device: str = "cpu",
    meters: Sequence[Meter] = (),
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[Path, Card]:
    """Train, round, score the rounded weights on validation, and write `run_dir/NAME.safetensors`.

    With a `fold` the network does not see that part of the train split, and may later teach others
    about it. `about` says what else decides the weights; it is JSON, and what it says under
    "distillation", of the teachers behind `loss`, stands in the card. `meters` tell the energy;
    where they do not, that of a CPU is modelled.

    A file that holds these weights already stays as it is: its card may hold what was scored since.

    Raises ValueError if `run_dir` holds a run of another model, data, configuration or `about`,
    DivergedError if it leaves the numbers.
    """
    splits = {split: data[split].sha256() for split in ("train", "validation")}
    known = {"model": name, "recipe": recipe, "data": splits, "fold": str(fold) if fold else None}
    run = _same_run(run_dir, {**known, **(about or {})})
    result = train(
        model,
        without_fold(data["train"], fold) if fold else data["train"],
        data["validation"],
        config,
        run_dir,
        loss=loss,
        device=device,
        meters=meters,
        on_batch=on_batch,
        on_epoch=on_epoch,
    )
    path = run_dir / f"{file_name(name)}.safetensors"
    with suppress(CheckpointError):  # there is none yet, or a damaged one
        stored, card = load_checkpoint(path)
        if sha256_of_tensors(stored) == sha256_of_tensors(result.weights):
            return path, card
    weights = unrounded(rounded(result.weights))
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise DivergedError(
            f"weights that are not finite in float16: {', '.join(broken)}; the run is kept in "
            f"{run_dir}; train with a lower learning rate, in another folder"
        )
    model.load_state_dict(weights)
    validation = data["validation"]
    logits, labels = predict_logits(model, validation.images), validation.labels
    accuracy = measure_accuracy(logits, labels, split="validation", label_source=data.name)
    calibration = calibrate(logits, labels)
    history = [asdict(epoch) for epoch in result.history]
    for epoch in history:
        del epoch["energy_j"], epoch["energy_lost"], epoch["device"]  # which stand in the cost
    card = Card(
        model=name,
        classes=data.classes,
        input=InputContract(mean=MEAN, std=STD, height=data.size, width=data.size),
        data_name=data.name,
        data_sha256=splits,
        trained_on="train",
        chosen_on="validation",
        recipe=recipe,
        config=asdict(config),
        seed=config.seed,
        epochs=config.epochs,
        epoch=result.kept.epoch,
        training_s=sum(epoch.wall_s for epoch in result.history),
        training=_cost(result.history, device, meters),
        history=tuple(history),
        code=run["code"],
        fold=run.get("fold"),
        distillation=run.get("distillation"),
        validation=accuracy,
        temperature=calibration.temperature if calibration else None,
        ece_calibrated=calibration.ece if calibration else None,
    )
    save_checkpoint(path, result.weights, card)
    return path, card


def _cost(history: Sequence[Epoch], device: str, meters: Sequence[Meter]) -> TrainingCost:
    """Energy by the meters that were read in every epoch, if the device is among what they read;
    else, on a CPU, modelled from time. Of a training on several devices it is unknown.
    """
    here = device_name(device)
    devices = [*dict.fromkeys(epoch.device or here for epoch in history)]
    cpu_s = sum(epoch.cpu_s for epoch in history)
    read = EpochMeter(meters).meters
    reasons = {name: _why_unknown(history, meter) for name, meter in read.items()}
    known = [meter for name, meter in read.items() if reasons[name] is None]
    of_work = "cpu" if devices[0] == "cpu" else "gpu"
    if len(devices) > 1 or of_work not in [m.component for m in known]:
        known = []
    modelled = devices == ["cpu"] and not known
    said = [why for why in reasons.values() if why]
    if len(devices) > 1:
        said.insert(0, f"it was continued on another device: {', '.join(devices)}")
    elif not (known or modelled or said):
        said = [f"no meter of the {of_work} was read"]
    energy_j = cpu_s * WATTS_PER_THREAD if modelled else None
    if known:
        energy_j = sum(epoch.energy_j[m.component] for m in known for epoch in history)
    return TrainingCost(
        device=", ".join(devices),
        threads=torch.get_num_threads(),
        cpu_s=cpu_s,
        energy_j=energy_j,
        energy_method=known[0].method if known else "modelled" if modelled else "absent",
        energy_includes=tuple(m.component for m in known) or (("cpu",) if modelled else ()),
        energy_source="; ".join(m.source for m in known) or None,
        energy_reason="; ".join(said) or None,
        watts_per_thread=WATTS_PER_THREAD if modelled else None,
        g_co2e=None if energy_j is None else energy_j / 3.6e6 * WORLD.g_co2e_per_kwh,
        intensity=WORLD,
    )


def _why_unknown(history: Sequence[Epoch], meter: Meter) -> str | None:
    """Why the energy of a training is not known by this meter; None if it is."""
    name = meter.component
    told = sum(name in epoch.energy_j for epoch in history)
    if told == len(history):
        return None
    lost = [epoch.energy_lost[name] for epoch in history if name in epoch.energy_lost]
    why = lost[0] if lost else "it was not read in the others"
    return f"{meter.source} told {told} of {len(history)} epochs: {why}"


def _same_run(run_dir: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What `run_dir/run.json` says of the run, written now if it is new."""
    path = run_dir / "run.json"
    if not path.exists() and (run_dir / "state.safetensors").exists():
        raise ArgumentError(
            f"{run_dir} holds a state without the run.json that says of which data it is: train in "
            "another folder, or delete this one to begin anew"
        )
    if not path.exists():
        about = {**about, "code": code_version()}
        write_text(path, json.dumps(about, indent=1) + "\n")
        return about
    try:
        known = msgspec.convert(read_json(read_bytes(path)), dict[str, Any])
        msgspec.convert(known["code"], str).encode()  # half a character is in no card
    except (ValueError, KeyError, RecursionError) as error:
        raise ArgumentError(
            f"{path} is damaged ({error}): train in another folder, or delete this one to begin "
            "anew"
        ) from error
    for key in {**about, **known}:
        unknown = key == "source_sha256" and key not in known  # which was not always written
        if key == "code" or unknown or known.get(key) == about.get(key):
            continue
        if key == "source_sha256":
            raise ArgumentError(
                f"{run_dir} holds a run with other code of {about['model']}: put its file back as "
                "it was, or choose another folder"
            )
        raise ArgumentError(
            f"{run_dir} holds a run with {key} {known.get(key)}, now it is {about.get(key)}: "
            "choose another folder"
        )
    return known
