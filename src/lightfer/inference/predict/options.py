"""The options of `lightfer predict`: the one table of them. Standard library only."""

import argparse
from collections.abc import Callable

from lightfer._files import output_file

DESCRIPTION = """\
Expressions of the faces in images, folders, video files, an image on standard input (-) or a
camera, as JSON lines: item, box [x, y, width, height] in pixels (null if the whole image was taken
as a face crop), label, the probabilities of all seven expressions, whether these are calibrated.
"""
EPILOG = """\
Exit code 0: everything was classified. 1: some items could not be; each has a line with "error"
and a message on standard error, the others were done. 2: wrong options, or no usable model.
A face shows an expression, not a feeling.
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        "lightfer predict",
        usage="lightfer predict [options] PATH...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # as of the other commands; `__main__` looks for whole names
    )
    add = found.add_argument
    add("paths", nargs="*", metavar="PATH", help="an image, a folder, a video, or - for stdin")
    add("--model", help="a shipped model, a weight file, or an exported .onnx or .xml file")
    add("--runtime", help="onnxruntime, openvino, pytorch or compile; default: the fastest here")
    add(
        "--faces",
        choices=("auto", "always", "never"),
        default="auto",
        help="whether to look for faces; auto: in images of more than 128 pixels",
    )
    add("--crop", action="store_true", help="every image is the crop of one face: --faces never")
    add("--camera", type=int, nargs="?", const=0, metavar="N", help="camera number N, or 0")
    add("--out", metavar="FILE", help="the JSON lines; default, and -: standard output")
    add(
        "--executor",
        metavar="NAME",
        help="label any number of pictures into Parquet files in the folder --out, where: pool, "
        "ray[:ADDRESS], dask:ADDRESS, slurm or package.module:factory; goes on where it stopped",
    )
    add("--workers", type=_up_to(1024), metavar="N", help="of the executor; default: all it has")
    add(
        "--annotate",
        metavar="PATH",
        help="draw on the pictures: a file for one image or video, a folder for several",
    )
    add("--every", type=_up_to(10**6), default=1, metavar="N", help="every N-th frame of a video")
    add("--frames", type=_up_to(10**9), metavar="N", help="stop the camera after N frames")
    add(
        "--batch-size",
        type=_up_to(65536),
        default=64,
        metavar="N",
        help="faces at once; default 64",
    )
    add("--threads", type=_up_to(1024), metavar="N", help="default: all cores")
    return found


def parse(arguments: list[str]) -> argparse.Namespace:
    """Arguments after `lightfer predict`. Ends the process with code 2 where they are wrong."""
    parse_from = parser()
    options = parse_from.parse_args(arguments)
    if options.crop and options.faces == "always":
        parse_from.error("--crop and --faces always exclude each other")
    if options.camera is None and not options.paths:
        parse_from.error("nothing to look at: give a PATH or --camera")
    if options.executor and (options.out in (None, "-") or not options.paths):
        parse_from.error("--executor needs PATHs and a folder to write to: --out DIR")
    others = ("camera", "annotate", "threads", "frames")
    if options.executor and (given := [n for n in others if getattr(options, n) is not None]):
        parse_from.error(f"--executor excludes --{given[0]}")
    if options.frames and options.camera is None:
        parse_from.error("--frames are a camera's: give --camera, or leave it out")
    if options.workers and not options.executor:
        parse_from.error("--workers are an executor's: name one with --executor")
    if options.out is not None and not options.executor:
        options.out = output_file(options.out)
    return options


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text) if text.isdecimal() and len(text) < 10 else 0
        if not 1 <= value <= most:
            raise argparse.ArgumentTypeError(f"{text}, expected a whole number, 1 to {most:,}")
        return value

    return number
