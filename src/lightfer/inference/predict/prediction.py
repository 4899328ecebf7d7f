"""What is said about one face, or about an item of which nothing can be said."""

import json
from dataclasses import dataclass
from typing import Any

from lightfer.data.crop import Box

DIGITS = 6  # of probabilities in JSON


@dataclass(frozen=True)
class Prediction:
    """One face of one item; or, with `error` set and no label, why the item has none."""

    item: str | int  # its path, "-" for standard input, or its position among the arrays
    model: str
    label: str | None = None  # the class with the largest probability
    probabilities: dict[str, float] | None = None  # of every class, in the network's order; sum 1
    calibrated: bool = False  # whether a temperature fitted on validation was applied
    box: Box | None = None  # in pixels of the upright picture; None: all of it was the crop
    frame: int | None = None  # of a video or camera, from 0
    time_s: float | None = None  # of that frame, from the start of the video
    error: str | None = None

    def to_json(self) -> str:
        """One line; `frame` and `time_s` stand in lines of videos only."""
        line: dict[str, Any] = {"item": self.item}
        if self.frame is not None:
            line |= {"frame": self.frame, "time_s": self.time_s}
        if self.error is not None:
            return json.dumps(line | {"error": self.error})
        shares = {name: round(p, DIGITS) for name, p in (self.probabilities or {}).items()}
        box = None if self.box is None else list(self.box)
        line |= {"box": box, "label": self.label, "probabilities": shares}
        line |= {"calibrated": self.calibrated, "model": self.model}
        return json.dumps(line)
