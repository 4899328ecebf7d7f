"""lightfer evaluate: how well one weight file classifies a split."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lightfer._files import OutputError, check_writable, is_stream, output_file, read_json
from lightfer.errors import ArgumentError


def check_log(path: Path) -> None:
    """Raise OutputError where no line can be added to `path`, or it holds something else, which a
    line more would spoil.
    """
    check_writable(path)
    if path.is_file() and path.stat().st_size and not is_stream(path):
        with path.open("rb") as file:
            first = file.readline(10_000)
        try:
            known = "top1" in read_json(first)
        except (ValueError, TypeError, RecursionError):
            known = False
        if not known:
            raise OutputError(f"{path} is no log of scorings: choose another file to write")


Log = Annotated[
    Path,
    typer.Option(parser=output_file, help="Where each scoring of a test split is written down."),
]


def evaluate(
    model: Annotated[str, typer.Argument(help="A model with shipped weights, or a weight file.")],
    data: Annotated[
        str | None, typer.Option(help="FER2013, 'synthetic' or another set, as rafdb:PATH.")
    ] = None,
    split: Annotated[
        Literal["test", "validation"], typer.Option(help="Scoring test is written down.")
    ] = "test",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    log: Log = Path("out/test_scorings.jsonl"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    into_card: Annotated[
        bool,
        typer.Option(
            "--into-card",
            help="Write the accuracy into the file's card; of validation also the temperature.",
        ),
    ] = False,
) -> None:
    """Top-1 with its interval, macro-F1, balanced accuracy, per class, confusion, calibration.

    By the labels that the network learned: those of the data, or FER+'s majority.
    """
    import msgspec

    from lightfer.cli.console import check_beside_data, load_data, print_accuracy, progress
    from lightfer.data.ferplus import as_learned, votes_beside
    from lightfer.measure.accuracy import check_scored, measure_accuracy, predict_logits, score_test
    from lightfer.measure.calibration import calibrate
    from lightfer.measure.process import tune_process, without_tf32
    from lightfer.models.find import find_weights
    from lightfer.models.weights import rewrite_card

    if split == "test":
        check_log(log)
        check_beside_data([log], [model], data)
    tune_process(device=device)
    without_tf32(device)
    weights = find_weights(model)
    if weights.card is None:
        raise ArgumentError(f"no weights are shipped for {model}: give the path of a weight file")
    check_scored(weights.card, model)
    if into_card and weights.path:
        check_writable(weights.path)
    dataset = load_data(data, needed=(split,), size=weights.card.input.height)
    if into_card and not dataset.verified:
        raise ArgumentError("a card holds accuracies on verified FER2013 only")
    network = weights.build(device)
    calibration: dict[str, float] = {}
    with progress() as bar:

        def on_batch(done: int, of: int) -> None:
            bar(weights.name, done, of)

        if split == "test":
            accuracy, others = score_test(
                network,
                dataset,
                model_name=weights.name,
                weights_sha256=weights.sha256,
                log=log,
                labels=weights.card.labels,
                votes=votes_beside(dataset),
                on_batch=on_batch,
            )
        else:
            own = as_learned(dataset, weights.card.labels)
            part, others = own["validation"], ()
            logits = predict_logits(network, part.images, on_batch=on_batch)
            accuracy = measure_accuracy(
                logits,
                part.labels,
                split=split,
                label_source=own.name,
                data_sha256=part.sha256() if own.known_as else None,
            )
            if into_card and (found := calibrate(logits, part.labels)):
                calibration = {"temperature": found.temperature, "ece_calibrated": found.ece}
                typer.echo(
                    f"temperature {found.temperature:.3f}: negative log-likelihood "
                    f"{found.nll_raw:.4f} -> {found.nll:.4f}, calibration error "
                    f"{found.ece_raw:.4f} -> {found.ece:.4f}",
                    err=True,
                )
    if into_card and weights.path:
        rewrite_card(weights.path, **{split: accuracy}, **calibration)
    if as_json:
        scores = {"accuracy": accuracy, "accuracy_other": others}
        typer.echo(msgspec.json.format(msgspec.json.encode(scores)).decode())
    else:
        print_accuracy(accuracy, others)
