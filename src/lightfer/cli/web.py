"""lightfer web: a site that benchmarks the shipped nets in its visitors' browsers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.report.site.build import Exported


def web(
    exported: Annotated[
        list[Path] | None,
        typer.Argument(help="Exported .onnx files to measure beside the shipped nets, as of int8."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the site; any file host can serve it.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of --serve; 0 is any free one.")
    ] = 8000,
) -> None:
    """Make a site that measures every shipped net on its visitor's own device, in the browser.

    Nothing is installed there and nothing leaves the device; what was measured is downloaded as a
    results file, which `rank`, `compare`, `merge` and `report` take beside those of `bench`.
    """
    from contextlib import nullcontext
    from tempfile import TemporaryDirectory

    from lightfer.cli.console import progress
    from lightfer.measure.yardstick import sha256
    from lightfer.report.site.build import build_site

    if out is None and not serve:
        raise ArgumentError("nothing to do: give --out FOLDER, or --serve, or both")
    files = [_opened(path) for path in exported or ()]
    with nullcontext(out) if out else TemporaryDirectory(prefix="lightfer-web-") as folder:
        with progress() as bar:
            size = build_site(Path(folder), sha256(), files, on_step=bar)
        if out is not None:
            typer.echo(f"{out}: {size / 1e6:.1f} MB, ready for any file host")
        if serve:
            _serve(Path(folder), port)


def _opened(path: Path) -> "Exported":
    """Raises ExportedFileError or ArgumentError for a file that the page cannot measure."""
    from lightfer.inference.session import read_card

    if path.suffix != ".onnx":
        raise ArgumentError(f"{path}: expected an .onnx file of `lightfer export`")
    card = read_card(path)
    if card.preprocess or card.batch not in (None, 1):
        raise ArgumentError(
            f"{path} takes other images than the shipped nets: export it without --preprocess, and "
            "without --batch or with 1"
        )
    return path, card


def _serve(folder: Path, port: int) -> None:
    from lightfer.report.site.serve import site_server

    try:
        server = site_server(folder, port)
    except OSError as error:
        raise ArgumentError(
            f"port {port} cannot be used ({error.strerror}): give --port 0"
        ) from error
    with server:
        typer.echo(f"http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")
