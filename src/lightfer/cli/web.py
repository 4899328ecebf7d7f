"""lightfer web: a site that benchmarks the shipped nets in its visitors' browsers."""

from pathlib import Path
from typing import Annotated

import typer

from lightfer.errors import ArgumentError


def web(
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
    import tempfile

    if out is None and not serve:
        raise ArgumentError("nothing to do: give --out FOLDER, or --serve, or both")
    if out is not None:
        _build(out)
    if not serve:
        return
    if out is not None:
        _serve(out, port)
        return
    with tempfile.TemporaryDirectory(prefix="lightfer-web-") as folder:
        _build(Path(folder), say=False)
        _serve(Path(folder), port)


def _build(folder: Path, say: bool = True) -> None:
    from lightfer.cli.console import progress
    from lightfer.measure.yardstick import sha256
    from lightfer.report.site.build import build_site

    with progress() as bar:
        size = build_site(folder, sha256(), on_step=bar)
    if say:
        typer.echo(f"{folder}: {size / 1e6:.1f} MB, ready for any file host")


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
