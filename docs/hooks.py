"""Hooks of MkDocs: every measured number in the pages comes from a file of the repository.

A line `<!-- generated: NAME -->` in a page is replaced by what the function of that name under
GENERATED returns. The weight cards and the table of benchmarks/README.md become pages of their own.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import msgspec
import yaml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from lightfer._files import sha256_of
from lightfer.data.dataset import CLASSES
from lightfer.measure.operations import count_operations
from lightfer.models.registry import architecture, create_model, list_models, shipped
from lightfer.models.weights import Card, load_checkpoint
from lightfer.report.cells import DASH, milliseconds, number, top1
from lightfer.report.choose import RULE
from lightfer.report.figures import shown_trade_off
from lightfer.report.rank import standings
from lightfer.report.readme import shown
from lightfer.report.tables import robustness, summary, views
from lightfer.report.thesis import findings
from lightfer.results import Accuracy, Results, read_results
from lightfer.results.select import mean_corrupted_top1, over_nets, scored_alike
from lightfer.results.stats import between_seeds, prediction_interval, rank_correlation

ROOT = Path(__file__).parents[1]
SHIPPED = [n for of in ("fer2013", "ferplus") for n in list_models(pretrained=True, labels=of)]
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.M)


def on_config(config: Any) -> None:
    """Fill the two sections of the navigation that follow what is there."""
    listed = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    pages = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    sections = {
        "Weights": [f"weights/{name}.md" for name in SHIPPED],
        "Studies": [page for page in pages if page not in listed] + ["benchmarks.md"],
    }
    for item in config.nav:
        for title in sections.keys() & item.keys():
            item[title] = sections[title]


def on_files(files: Files, config: Any) -> None:
    """Add the pages that are made from other files, and the weight files themselves."""
    made = {"benchmarks.md": (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")}
    for name in SHIPPED:
        made[f"weights/{name}.md"] = card_page(name)
        path = shipped(name)
        assert path is not None
        files.append(File.generated(config, f"weights/{path.name}", abs_src_path=str(path)))
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the marks. Raises PluginError for one that has no function."""

    def made(mark: re.Match[str]) -> str:
        if mark[1] not in GENERATED:
            raise PluginError(
                f"{page.file.src_path}: nothing generates {mark[1]!r}; there are "
                f"{', '.join(GENERATED)}"
            )
        return GENERATED[mark[1]](published())

    return MARK.sub(made, markdown)


def on_post_build(config: Any) -> None:
    """The search's worker for pages opened from disk is that of the site, not of another host."""
    site = Path(config.site_dir)
    for page in site.rglob("*.html"):
        ours = os.path.relpath(site / "iframe-worker.js", page.parent)
        text = page.read_text(encoding="utf-8")
        page.write_text(
            text.replace("https://unpkg.com/iframe-worker/shim", ours), encoding="utf-8"
        )


def published() -> Results:
    """The results that the README shows."""
    return read_results(ROOT / "results.json")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results_table(results: Results) -> str:
    """Every net in eager PyTorch, and the time in every runtime; figures to the right."""
    return _right(summary(results))


def _right(text: str) -> str:
    """Tables with all columns but the first to the right."""
    return text.replace(" --- |", " ---: |").replace("\n| ---: |", "\n| --- |")


def front(results: Results) -> str:
    """The figure of accuracy against time, and its models in words."""
    chosen = shown(results)
    if chosen is None:
        raise PluginError("the published results hold no net with a time in float32")
    rows = [
        (
            f"[{row.model}](weights/{row.model}.md)",
            row.status,
            f"{100 * row.top1.estimate:.2f} [{100 * row.top1.low:.1f}, {100 * row.top1.high:.1f}]",
            milliseconds(row.latency_s),
        )
        for row in standings(chosen.entries, chosen.times)
    ]
    return "\n\n".join(
        (
            shown_trade_off(chosen.results, "figures/trade-off.png", chosen.times),
            table(("Model", "Standing", "Top-1 %", "1 image ms"), rows),
        )
    )


def thesis(results: Results) -> str:
    """Each claim with its verdict and its figures."""
    parts = []
    for finding in findings(results):
        parts.append(f"**{finding.claim}** ({finding.source}): **{finding.verdict}**.")
        parts.append(f"{finding.rule}")
        parts.append("\n".join(f"- {case.where}: {case.figures}" for case in finding.cases))
    return "\n\n".join(parts)


def every_view(results: Results) -> str:
    """Top-1 of every model in each view and on each set of images and labels."""
    entries = [e for e in results.entries if e.accuracy and not e.accuracy_of]
    return _right(views([e for e in entries if e.precision == "float32"]))


def made_worse(results: Results) -> str:
    """Top-1 of every net and precision on test images made worse."""
    own = [e for e in results.entries if mean_corrupted_top1(e) and not e.accuracy_of]
    if not own:
        return "Not in the published results."
    clean = scored_alike(e for e in own if (e.runtime, e.precision) == ("pytorch", "float32"))
    pairs = over_nets(clean, lambda e: e.accuracy and e.accuracy.top1, mean_corrupted_top1)
    ranks = ranked_alike(pairs, "Rank correlation with the accuracy on the images as they are")
    return f"{_right(robustness(own))}\n\n{ranks}"


def ranked_alike(pairs: Sequence[tuple[float, float]], what: str) -> str:
    """One sentence on two figures of the same nets."""
    if len(pairs) < 4:
        return f"{what}: {len(pairs)} nets are too few."
    first, second = zip(*pairs, strict=True)
    rho = rank_correlation(first, second).interval
    return f"{what}, over {len(pairs)} nets: {rho.estimate:.2f} [{rho.low:.2f}, {rho.high:.2f}]."


def classes(results: Results) -> str:
    """F1 of every class on test, model by model."""
    rows = []
    for name in SHIPPED:
        test = _card(name).test
        scores = (test and test.per_class) or ()
        rows.append([name, number(test and test.macro_f1, ".1f", 100)])
        rows[-1] += [_percent(score.f1) for score in scores]
    return table(("Weights", "Macro", *CLASSES), rows)


def retrained(results: Results) -> str:
    """Top-1 of weight files of one net that differ in the seed, or in the copies."""
    rows = []
    for run in json.loads((ROOT / "docs/data/retrained.json").read_text(encoding="utf-8")):
        whole, fresh = run["test"], run["test without copies"]
        copies = {key: whole[key] - fresh[key] for key in whole}
        shares = [_percent(part["right"] / part["images"]) for part in (whole, copies, fresh)]
        own = (run["model"], run["recipe"], f"{run['seed']}", _percent(run["validation_top1"]))
        rows.append((*own, *shares))
    header = ("Model", "Recipe", "Seed", "Validation", "Test", "its copies", "the others")
    return table(header, rows)


def training_speed(results: Results) -> str:
    """How fast a step on the CPU was before and is now, and where its time goes."""
    measured = (ROOT / "benchmarks/measured/train_layers.json").read_text(encoding="utf-8")
    rows, parts = [], []
    for row in json.loads(measured)["rows"]:
        before, now = row["parts_ms"]
        low, high = row["ratios"]
        ratio = f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
        went = (f"{before[part]:.0f} → {now[part]:.0f}" for part in now)
        rows.append((row["model"], f"{row['before']} → {row['now']}", ratio, *went))
        parts = [f"{part}, ms" for part in now]
    return table(("Net", "Images/s", "Ratio [least, most]", *parts), rows)


def equal(results: Results) -> str:
    """The table of one recipe and length for every net, without teachers."""
    return trained("equal")


def taught(results: Results) -> str:
    """The table of nets that had a teacher."""
    return trained("taught")


def ferplus(results: Results) -> str:
    """The table of nets that learned FER+'s votes, by its majority: cost, and accuracy with its
    interval over images.
    """
    rows = [
        (f"[{net}](weights/{net}.md)", top1(card.validation), top1(card.test))
        for net, cards in trained_cards("ferplus").items()
        for card in cards
    ]
    accuracies = table(("Net", "Validation top-1 % [95 %]", "Test top-1 % [95 %]"), rows)
    return f"{accuracies}\n\n{trained('ferplus')}"


def equal_and_taught(results: Results) -> str:
    """What a teacher and more epochs brought each net, and whether the nets' order stays."""
    plain, longer = trained_cards("equal"), trained_cards("taught")
    rows, pairs = [], []
    for net in sorted(plain.keys() & longer.keys()):
        row: list[str] = [net]
        for split in ("validation", "test"):
            found = [[getattr(card, split) for card in of[net]] for of in (plain, longer)]
            before, after = (mean(accuracy.top1 for accuracy in known) for known in found)
            row += [*map(_mean_and_deviation, found), f"{100 * (after - before):+.2f}"]
        pairs.append((before, after))
        rows.append(row)
    header = (
        "Net",
        *(f"{w}, {s} %" for s in ("validation", "test") for w in ("Equal", "Taught", "Gain")),
    )
    ranks = ranked_alike(pairs, "Rank correlation of the two on test")
    return f"{table(header, rows)}\n\n{ranks}"


def again(results: Results) -> str:
    """Whether one more seed falls where the stated ones of the equal table say."""
    stated, rows = trained_cards("equal"), []
    for net, cards in trained_cards("again").items():
        for card in cards:
            row = [net, f"{card.seed}"]
            for split in ("validation", "test"):
                several = [100 * getattr(known, split).top1 for known in stated[net]]
                found, own = prediction_interval(several), 100 * getattr(card, split).top1
                inside = "inside" if found.low <= own <= found.high else "outside"
                row += [f"{found.low:.2f} to {found.high:.2f}", f"{own:.2f}, {inside}"]
            rows.append(row)
    header = ("Net", "Seed", "Validation: expected", "found %", "Test: expected", "found %")
    return table(header, rows)


def length(results: Results) -> str:
    """What more epochs bring one net, and what a teacher does."""
    long = trained_cards("length")
    (net,) = long
    plain, taught = ([c for c in long[net] if bool(c.distillation) is t] for t in (False, True))
    steps = {
        "60 epochs": trained_cards("equal")[net],
        "150 epochs": plain,
        "150 epochs, teacher": trained_cards("taught")[net] + taught,
    }
    rows = [[step, ", ".join(str(card.seed) for card in of)] for step, of in steps.items()]
    for split in ("validation", "test"):
        own, equal = (
            [[100 * getattr(card, split).top1 for card in of] for of in cards]
            for cards in (steps.values(), trained_cards("equal").values())
        )
        spread = between_seeds(equal)
        assert spread
        gains = [DASH]
        for before, after in pairwise(own):
            gain = mean(after) - mean(before)
            half = spread.least * ((1 / len(before) + 1 / len(after)) / 2) ** 0.5
            gains.append(f"{gain:+.2f} [{gain - half:.2f}, {gain + half:.2f}]")
        for row, of, gain in zip(rows, steps.values(), gains, strict=True):
            row += [_mean_and_deviation([getattr(card, split) for card in of]), gain]
    header = (net, "Seeds", "Validation %", "Gain [95 %]", "Test %", "Gain [95 %]")
    return table(header, rows)


def trained_cards(name: str) -> dict[str, list[Card]]:
    """What `benchmarks/trained.py` wrote of a queue: the cards of each net, one a seed."""
    by_net: dict[str, list[Card]] = {}
    for line in (ROOT / f"docs/data/{name}.jsonl").read_bytes().splitlines():
        card = msgspec.json.decode(line, type=Card)
        by_net.setdefault(card.model, []).append(card)
    return by_net


def trained(name: str) -> str:
    """A row per net, over its seeds."""
    rows = []
    for net, cards in trained_cards(name).items():
        costs = [card.training for card in cards]
        counts = count_operations(create_model(net), (1, 1, 48, 48))
        own = [cards[0].config[key] for key in ("learning_rate", "initialise")]
        rows.append(
            (
                net,
                f"{len(cards)}",
                number(counts.params, ".2f", 1e-6),
                number(counts.macs, ".1f", 2e-6),
                _mean_and_deviation([card.validation for card in cards]),
                _mean_and_deviation([card.test for card in cards]),
                number(_mean([cost and cost.cpu_s for cost in costs]), ".0f", 1 / 60),
                number(_mean([cost and cost.energy_j for cost in costs]), ".1f", 1e-3),
                number(_mean([cost and cost.g_co2e for cost in costs]), ".2f"),
                ", ".join(map(str, own)),
            )
        )
    header = ("Net", "Seeds", "Params M", "FLOPs M", "Validation %", "Test %", "CPU min")
    modelled = ("kJ (modelled)", "g CO2e (modelled)")
    return table((*header, *modelled, "Rate, start"), rows) + _between_seeds(name)


def _between_seeds(name: str) -> str:
    """What a difference of single trainings means, where nets have several."""
    spread = between_seeds(
        [
            [100 * card.test.top1 for card in cards if card.test]
            for cards in trained_cards(name).values()
        ]
    )
    if not spread:
        return ""
    return (
        f"\n\nBetween seeds of one net, top-1 on test has a standard deviation of "
        f"{spread.deviation:.2f} points, pooled over the {spread.nets} nets with several seeds "
        f"({spread.freedom} degrees of freedom). So two nets with one training each differ "
        f"significantly only if they are more than {spread.least:.1f} points apart (t test, 95 %)."
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is unknown."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _mean_and_deviation(accuracies: Sequence[Accuracy | None]) -> str:
    shares = [100 * accuracy.top1 for accuracy in accuracies if accuracy]
    spread = f" ± {stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{mean(shares):.2f}{spread}" if shares else DASH


def weights(results: Results) -> str:
    """The shipped weights: recipe, teachers, epoch, cost of training, accuracies."""
    rows = []
    for name in SHIPPED:
        card = _card(name)
        rows.append(
            (
                f"[{name}](weights/{name}.md)",
                card.recipe,
                _teachers(card),
                f"{card.epoch} of {card.epochs}",
                number(card.training_s, ".1f", 1 / 3600),
                _cost(card),
                top1(card.validation),
                top1(card.test),
            )
        )
    header = ("Weights", "Recipe", "Taught by", "Epoch kept", "Training h", "kJ, gCO2e")
    return table((*header, "Validation top-1 %", "Test top-1 %"), rows)


def _cost(card: Card) -> str:
    cost = card.training
    if cost is None or cost.energy_j is None:
        return DASH
    grams = number(cost.g_co2e, ".2g")
    return f"{cost.energy_j / 1e3:.1f}, {grams} ({cost.energy_method})"


def _teachers(card: Card) -> str:
    """The nets that this one learnt from beside the labels."""
    return ", ".join(t["model"] for t in (card.distillation or {}).get("teachers", ())) or DASH


def zoo(results: Results) -> str:
    """The names of the zoo, family by family."""
    families = dict.fromkeys(architecture(name).family for name in list_models())
    rows = [(family, ", ".join(f"`{n}`" for n in list_models(family))) for family in families]
    return table(("Family", "Names"), rows).replace("---:", "---")


def rule(results: Results) -> str:
    """Which model to take."""
    return f"> {RULE}"


def files(results: Results) -> str:
    """Every weight file that comes with the package."""
    rows = []
    for name in SHIPPED:
        path, card = shipped(name), _card(name)
        assert path is not None
        rows.append(
            (
                f"[{name}](weights/{name}.md)",
                top1(card.validation),
                top1(card.test),
                f"[{path.stat().st_size:,} bytes](weights/{path.name})",
                f"`{sha256_of(path)}`",
            )
        )
    return table(("Weights", "Validation top-1 %", "Test top-1 %", "Download", "SHA-256"), rows)


def bibtex(results: Results) -> str:
    """The entry for this software, from CITATION.cff."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    names = (a.get("name") or f"{a['family-names']}, {a['given-names']}" for a in cited["authors"])
    fields = {
        "title": f"{{{cited['title']}}}",
        "author": " and ".join(f"{{{name}}}" for name in names),
        "version": cited["version"],
        "year": f"{cited['date-released']:%Y}",
        "license": cited["license"],
        "url": cited["repository-code"],
    }
    lines = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items())
    return f"```bibtex\n@software{{lightfer,\n{lines}\n}}\n```"


def changelog(results: Results) -> str:
    """All versions, from CHANGELOG.md without its heading."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")[2]


GENERATED: dict[str, Callable[[Results], str]] = {
    "results": results_table,
    "rule": rule,
    "front": front,
    "thesis": thesis,
    "views": every_view,
    "made_worse": made_worse,
    "classes": classes,
    "retrained": retrained,
    "training_speed": training_speed,
    "length": length,
    "equal": equal,
    "taught": taught,
    "again": again,
    "equal_and_taught": equal_and_taught,
    "ferplus": ferplus,
    "weights": weights,
    "zoo": zoo,
    "files": files,
    "bibtex": bibtex,
    "changelog": changelog,
}


def card_page(name: str) -> str:
    """The page of one weight file: all that its card says."""
    card, arch = _card(name), architecture(name)
    contract = card.input
    facts = {
        "Architecture": f"[{arch.family}]({arch.paper}), output stride {arch.output_stride}",
        "Classes": ", ".join(card.classes),
        "Input": f"({contract.channels}, {contract.height}, {contract.width}), {contract.crop}; "
        f"x = (pixel / 255 - {contract.mean}) / {contract.std}",
        "Trained on": f"{card.trained_on} split of {card.data_name}",
        "Kept": f"the last of {card.epochs} epochs, as the recipe has it"
        if card.config.get("keep") == "final"
        else f"epoch {card.epoch} of {card.epochs}, the best on {card.chosen_on}",
        "Chosen on": f"{card.chosen_on} split (recipe, and which weights are shipped)",
        "Recipe": f"{card.recipe}, seed {card.seed}, code {card.code}",
        "Taught by": _teachers(card),
        "Training": f"{card.training_s / 3600:.1f} hours",
        "Temperature": f"{number(card.temperature, '.3f')}: softmax(logits / temperature) is "
        "calibrated on validation",
        "Validation": f"top-1 {top1(card.validation)} %",
        "Test": f"top-1 {top1(card.test)} %",
        "Size": f"{(shipped(name) or Path()).stat().st_size:,} bytes, kernels as float16",
    }
    parts = [
        f"# {name}",
        table(("Property", "Value"), list(facts.items())).replace("---:", "---"),
        f"```python\nimport lightfer\n\nmodel = lightfer.create_model({name!r}, pretrained=True)"
        "\n```".replace("'", '"'),
        f"## Intended use\n\n{card.intended_use}",
        f"## Not intended use\n\n{card.not_intended_use}",
        f"## Licence\n\n{card.license}",
        "## Differs from the paper\n\n" + "\n".join(f"- {text}" for text in arch.deviations),
        *([_classes(card.test)] if card.test and card.test.per_class else []),
        "## Settings of the training\n\n"
        + table(("Setting", "Value"), [(f"`{k}`", f"{v}") for k, v in card.config.items()]).replace(
            "---:", "---"
        ),
        "## Data\n\n"
        + "\n".join(f"- {split}: sha256 `{sha}`" for split, sha in card.data_sha256.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _classes(accuracy: Accuracy) -> str:
    rows = [
        (score.name, f"{score.images:,}", *map(_percent, (score.precision, score.recall, score.f1)))
        for score in accuracy.per_class or ()
    ]
    header = ("Class", "Images", "Precision %", "Recall %", "F1 %")
    return f"## Each class of the {accuracy.split} split\n\n" + table(header, rows)


def _percent(share: float | None) -> str:
    return number(share, ".1f", 100)


def _card(name: str) -> Card:
    path = shipped(name)
    assert path is not None, name
    return load_checkpoint(path)[1]
