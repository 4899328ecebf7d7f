"""What a pass of each shipped net does: `graphs/operations.json`, read without torch."""

import msgspec
from msgspec import Struct

from lightfer._files import graph_file
from lightfer.results.schema import Work


class Counts(Struct, frozen=True, kw_only=True, gc=False):
    """Of one image of 48x48 and seven classes, as `lightfer.measure.operations` counts it."""

    family: str
    output_stride: int
    params: int
    macs: int
    work: Work


def published_counts() -> dict[str, Counts]:
    """Those of every model with shipped weights, in the order of `lightfer models`."""
    content = graph_file("").with_name("operations.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Counts])
