"""A file server for a site on this machine, with the headers that isolate its pages."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from typing import Any

ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".gz": "application/gzip"}


class _Handler(SimpleHTTPRequestHandler):
    isolated = True

    def guess_type(self, path: str | PathLike[str]) -> Any:
        """As it should be on every system: some call scripts text/plain, which browsers refuse."""
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def end_headers(self) -> None:
        if self.isolated:
            for name, value in ISOLATING.items():
                self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a page asks for forty files."""


class _Plain(_Handler):
    isolated = False


def site_server(folder: Path, port: int = 0, *, isolated: bool = True) -> ThreadingHTTPServer:
    """A server of `folder` for this machine alone; port 0 is any free one.

    Raises OSError where the port is taken.
    """
    handler = _Handler if isolated else _Plain
    return ThreadingHTTPServer(("127.0.0.1", port), partial(handler, directory=str(folder)))
