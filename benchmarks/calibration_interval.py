"""How often the interval of the calibration error holds the true error.

    python -m benchmarks.calibration_interval

Samples of as many images as FER2013's test split, of networks whose confidence is drawn from one
distribution and that are right less often than they say, by a gap that is known.
"""

import json
from pathlib import Path

import torch
from rich.progress import track

from lightfer._files import write_text
from lightfer.measure.reliability import Reliability

OUT = Path(__file__).parent / "measured" / "calibration_interval.json"
GAPS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.06)
IMAGES, SAMPLES = 3589, 200


def sample(gap: float, generator: torch.Generator, images: int = IMAGES) -> Reliability:
    """Of two classes, so that a confidence is at least a half."""
    confidence = 0.56 + 0.42 * torch.rand(images, generator=generator).sqrt()
    wrong = torch.rand(images, generator=generator) >= confidence - gap
    return Reliability(torch.stack([confidence, 1 - confidence], 1).log(), wrong.long())


def main() -> None:
    """Run as a script."""
    rows = []
    for gap in GAPS:
        generator = torch.Generator().manual_seed(0)
        found = [
            (*about.interval(), about.error)
            for about in track(
                [sample(gap, generator) for _ in range(SAMPLES)], f"gap {gap}", transient=True
            )
        ]
        row = {
            "true": gap,
            "mean_error": sum(error for *_, error in found) / SAMPLES,
            "held": sum(low <= gap <= high for low, high, _ in found) / SAMPLES,
            "mean_width": sum(high - low for low, high, _ in found) / SAMPLES,
        }
        rows.append({name: round(value, 4) for name, value in row.items()})
        print(rows[-1])
    text = json.dumps({"images": IMAGES, "samples": SAMPLES, "gaps": rows}, indent=1)
    write_text(OUT, text + "\n")


if __name__ == "__main__":
    main()
