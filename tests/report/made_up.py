"""Results files of any size for the page, drawn by lot: no figure in them was measured."""

import random
from collections.abc import Iterator
from statistics import fmean

from lightfer.results import (
    Accuracy,
    Carbon,
    ClassScore,
    Energy,
    EnergyComponent,
    EnergyComponents,
    EnergyTotal,
    Entry,
    Environment,
    GridIntensity,
    Latency,
    Noise,
    Results,
    WeightCard,
)

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
IMAGES = 3589
GRID = GridIntensity(g_co2e_per_kwh=400.0, zone="drawn", year=2024, source="drawn by lot")
ABSENT = EnergyComponent(joules_per_image=None, method="absent")


def made_up(models: int, machines: int, seed: int = 0, rounds: int = 3) -> Results:
    """`models` rows on each of `machines`."""
    lot = random.Random(seed)
    nets = [_net(i, lot) for i in range(models)]
    environments = {f"machine-{m}": _environment(m, lot) for m in range(machines)}
    entries = [
        _entry(key, net, 2.0 ** lot.uniform(-2, 2), lot, rounds)
        for key in environments
        for net in nets
    ]
    cards = {net["weights"]: _card(net, lot) for net in nets}
    return Results(environments=environments, entries=tuple(entries), cards=cards)


def _net(number: int, lot: random.Random) -> dict:
    macs = int(10 ** lot.uniform(6, 8.5))
    skill = min(0.74, 0.5 + 0.03 * (len(str(macs)) - 6) + lot.uniform(0, 0.17))
    right = [lot.random() < skill for _ in range(IMAGES)]
    labels = [lot.randrange(len(CLASSES)) for _ in right]
    bits = "".join("1" if r else "0" for r in right) + "0" * (-IMAGES % 4)
    digits = f"{int(bits, 2):0{len(bits) // 4}x}"
    return {
        "model": f"net_{number:03d}",
        "family": f"family_{number % 8}",
        "macs": macs,
        "params": int(macs * lot.uniform(0.05, 0.3)),
        "weights": f"{lot.getrandbits(256):064x}",
        "accuracy": _accuracy(right, labels, digits, lot),
    }


def _accuracy(right: list[bool], labels: list[int], digits: str, lot: random.Random) -> Accuracy:
    top1 = sum(right) / IMAGES
    half = 1.96 * (top1 * (1 - top1) / IMAGES) ** 0.5
    counts = [[0] * len(CLASSES) for _ in CLASSES]
    for label, hit in zip(labels, right, strict=True):
        counts[label][label if hit else (label + lot.randrange(1, 7)) % 7] += 1
    scores = tuple(
        ClassScore(name=name, images=true, precision=None, recall=hits / true, f1=f1)
        for name, true, hits, f1 in _by_class(counts)
    )
    return Accuracy(
        split="test", labels="fer2013", view="single", images=IMAGES, top1=top1,
        ci95=(top1 - half, top1 + half),
        macro_f1=fmean(s.f1 or 0.0 for s in scores), per_class=scores,
        confusion=tuple(map(tuple, counts)), correct_hex=digits,
    )  # fmt: skip


def _by_class(counts: list[list[int]]) -> Iterator[tuple[str, int, int, float]]:
    for i, name in enumerate(CLASSES):
        true, guessed = sum(counts[i]), sum(row[i] for row in counts)
        yield name, true, counts[i][i], 2 * counts[i][i] / (true + guessed)


def _entry(machine: str, net: dict, speed: float, lot: random.Random, rounds: int) -> Entry:
    second = net["macs"] / 6e9 * speed * lot.uniform(0.7, 1.4)
    times = [
        Latency.of(
            [[second * size * lot.uniform(0.97, 1.06) for _ in range(5)] for _ in range(rounds)],
            batch_size=size, threads=2,
        )
        for size in (1, 64)
    ]  # fmt: skip
    joules = second * 12
    energy = Energy(
        components=EnergyComponents(
            gpu=ABSENT, dram=ABSENT, cpu=EnergyComponent(joules_per_image=joules, method="counter")
        ),
        gross=EnergyTotal(joules_per_image=joules),
        net=None,
        kwh_test_set=joules * IMAGES / 3.6e6,
        ci95=(joules * 0.97, joules * 1.04),
    )
    grams = joules * 1000 / 3.6e6 * GRID.g_co2e_per_kwh
    return Entry(
        id=f"{machine}/{net['model']}", environment=machine, model=net["model"],
        family=net["family"], device="cpu", runtime="pytorch", precision="float32",
        output_stride=32, weights=net["weights"], params=net["params"], macs=net["macs"],
        flops=2 * net["macs"], accuracy=net["accuracy"], latency=tuple(times),
        inference_total_s=second * IMAGES, inference_images=IMAGES, energy=energy,
        carbon=Carbon(kg_co2e_test_set=None, g_co2e_per_1000_images=grams, intensity=GRID),
    )  # fmt: skip


def _environment(number: int, lot: random.Random) -> Environment:
    verdict = lot.choice(("quiet", "quiet", "noisy"))
    return Environment(
        cpu=f"Processor {number}", cores=4, threads=2, memory_bytes=2**34, gpu=None,
        system="Linux", python="3.12", versions={"torch": "2.13.0"}, allocator="glibc",
        flush_denormal=True, code="made up", command="none", data=None,
        started="2026-01-01T00:00:00+00:00",
        noise=Noise(
            verdict=verdict, reasons=() if verdict == "quiet" else ("drawn by lot",), seconds=1.0,
            load_before=None, load_after=None, other_cpu_share=None, steal_share=None,
            governor=None, throttle_events=None, round_spread=None,
        ),
    )  # fmt: skip


def _card(net: dict, lot: random.Random) -> WeightCard:
    history = tuple(
        {"epoch": e, "train_loss": 2 / (1 + e / 9), "validation_top1": 0.7 - 0.4 / (1 + e / 5)}
        for e in range(1, 13)
    )
    return WeightCard(
        model=net["model"], recipe="none", settings={"epochs": 12}, seed=0, epochs=12, epoch=11,
        training_s=60.0, trained_on="train", chosen_on="validation", data="drawn", code="none",
        license="none", intended_use="tests", not_intended_use="anything else", history=history,
    )  # fmt: skip
