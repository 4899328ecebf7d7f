"""lightfer export: a model as a file for another runtime, checked against PyTorch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lightfer._files import output_file
from lightfer.cli.evaluate import Log, check_log


def export(
    model: Annotated[str, typer.Argument(help="A model with shipped weights, or a weight file.")],
    to: Annotated[Literal["onnx", "openvino", "litert"], typer.Option(help="Form of the file.")],
    out: Annotated[
        Path, typer.Option(parser=output_file, help="File to write: .onnx, .xml or .tflite.")
    ],
    precision: Annotated[
        Literal["float32", "int8"], typer.Option(help="int8 needs --data to be calibrated on.")
    ] = "float32",
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=65536, help="Fixed number of images; default: any (litert: 1)."),
    ] = None,
    preprocess: Annotated[
        bool,
        typer.Option(
            "--preprocess", help="Take uint8 RGB (N, H, W, 3) of any size; prepare it in the graph."
        ),
    ] = False,
    data: Annotated[
        str | None, typer.Option(help="FER2013, or 'synthetic'; default: only drawn faces.")
    ] = None,
    allow_loss: Annotated[
        float,
        typer.Option(min=0, max=100, help="Points of top-1 that int8 may cost on validation."),
    ] = 1.0,
    log: Log = Path("out/test_scorings.jsonl"),
) -> None:
    """Write a model as ONNX, OpenVINO or LiteRT, with its card, and compare it with PyTorch.

    int8 is calibrated on train images; what it costs is measured on validation and test. A file
    that differs, or loses too much on validation, is not written.
    """
    from lightfer._files import is_stream
    from lightfer.cli.console import check_beside_data, load_data, progress
    from lightfer.inference.export import ExportConfig
    from lightfer.inference.export import export as export_model
    from lightfer.measure.process import tune_process
    from lightfer.models.find import find_weights

    config = ExportConfig(to, out, precision, batch, preprocess, allow_loss)
    beside = out.with_suffix(".bin") if to == "openvino" else None
    scored = log if precision == "int8" else None
    if scored:
        check_log(scored)
    check_beside_data((out, beside, scored), [model], data)
    tune_process()
    needed = ("train", "validation") if precision == "int8" else ()
    weights = find_weights(model)
    size = weights.card.input.height if weights.card else None
    wanted = data or precision == "int8"
    dataset = load_data(data, needed=needed, size=size) if wanted else None
    with progress() as bar:
        done = export_model(weights, config, dataset, test_log=log, on_step=bar)
    card = done.card
    typer.echo(
        f"{', '.join(map(str, done.files))}: {done.size_bytes:,} bytes, {card.precision}, "
        f"batch {card.batch or 'any'}; largest difference of a logit from PyTorch on "
        f"{done.images} faces: {done.difference:.1e} (largest logit {done.logit:.1f})",
        err=is_stream(out),
    )
    for split, lost in (card.accuracy_lost or {}).items():
        typer.echo(
            f"{split}: top-1 {card.accuracy[split]:.2%}, {lost:+.2f} points lost to int8",
            err=is_stream(out),
        )
