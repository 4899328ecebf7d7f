"""The thesis put to the test: each claim with its verdict, computed from a results file.

A claim is tested once in every group of entries that may be compared: one machine, device, runtime
and precision. Each group says `supported`, `contradicted` or `undecided` with its figures; the
claim as a whole takes the verdict of the groups that decided, and is undecided where they disagree
or none did. Energy that is modelled from time is never evidence: what needs it stays undecided.

Three claims are the predecessor's summary of its results, two the first two lines of what it says
to show. Its third line, that carbon should be part of benchmarks, is a wish that no data decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightfer.report import claims
from lightfer.report.cells import threads
from lightfer.report.claims import CLOSE_POINTS, EQUAL_WORK, EXPLAINED, WITHIN_POINTS, Verdict
from lightfer.results import Entry, Results
from lightfer.results.select import Times, by_variant


class Case(NamedTuple):
    """A claim in one group of comparable entries."""

    where: str
    verdict: Verdict
    figures: str


@dataclass(frozen=True)
class Finding:
    """One claim, how it is judged, and what this data says of it."""

    key: str
    claim: str
    source: str  # who says so
    rule: str
    verdict: Verdict
    cases: tuple[Case, ...]


class Claim(NamedTuple):
    """One sentence and the function that tests it on the entries of a group."""

    key: str
    claim: str
    source: str
    rule: str
    test: Callable[[Sequence[Entry], Times], tuple[Verdict, str]]


def findings(results: Results, times: Times | None = None) -> list[Finding]:
    """Every claim of `CLAIMS` against the entries that did not fail, in their order."""
    alive = by_variant(e for e in results.entries if e.error is None)
    groups = [(_where(results, *variant), entries) for variant, entries in alive.items()]
    times = times or Times(results)
    found = []
    for claim in CLAIMS:
        cases = tuple(Case(where, *claim.test(entries, times)) for where, entries in groups)
        verdict = claims.agreed(case.verdict for case in cases)
        found.append(Finding(*claim[:4], verdict, cases))
    return found


def _where(results: Results, environment: str, device: str, runtime: str, precision: str) -> str:
    about = results.environments.get(environment)
    machine = environment
    if about:
        machine = about.cpu if device == "cpu" or not about.gpu else about.gpu
        machine += f", {about.node}" if about.node else ""
        machine += f", {threads(about.threads)}" if device == "cpu" else ""
    return f"{machine}: {runtime} {precision}"


CLAIMS = (
    Claim(
        "competitive",
        f"An efficient net stays within {WITHIN_POINTS:g} points of the most accurate net",
        "predecessor: “Efficient architectures remain competitive”",
        "The most accurate net of at most half the multiply-adds, against the most accurate of "
        f"all: supported if the 95 % interval of the difference lies below {WITHIN_POINTS:g} "
        "points, contradicted if above. That the better of several is picked flatters it a little.",
        claims.competitive,
    ),
    Claim(
        "fewer-flops",
        "Other lightweight nets come close to MobileNetV3 with at least 2 times fewer FLOPs",
        "predecessor: “strong accuracy (close to MobileNetV3) with 2–10× fewer FLOPs”",  # noqa: RUF001
        "Every net of another family with at most half of MobileNetV3's multiply-adds: supported "
        f"if one is less than {CLOSE_POINTS:g} points below by the whole 95 % interval, "
        "contradicted if all are further below, undecided if no net here does so little work.",
        claims.close_to_v3,
    ),
    Claim(
        "macs-time",
        "FLOPs alone do not predict time",
        "ours, beside the predecessor's on energy",
        f"r² of log time on log multiply-adds: supported if its 95 % interval lies below "
        f"{EXPLAINED:g}, contradicted if above, at the batch sizes that decide.",
        claims.macs_and_time,
    ),
    Claim(
        "macs-energy",
        "FLOPs alone do not predict energy",
        "predecessor: “FLOPs alone do not predict real energy usage”",
        f"r² of log energy on log multiply-adds: supported if its 95 % interval lies below "
        f"{EXPLAINED:g}, contradicted if above. Modelled energy decides nothing.",
        claims.macs_and_energy,
    ),
    Claim(
        "shift",
        "The shift net is faster than nets of equal work",
        "predecessor: “ShiftNet is extremely fast and efficient due to removal of spatial "
        "convolution”",
        f"One image at a time, against every other net within {EQUAL_WORK:g} times its "
        "multiply-adds: supported if it is significantly faster than each, contradicted "
        "if one is significantly faster than it.",
        claims.shift_is_fast,
    ),
    Claim(
        "carbon",
        "ShuffleNetV2 and MobileNetV2 have the lowest carbon footprint",
        "predecessor: “ShuffleNetV2, MobileNetV2 achieve the lowest carbon footprint”",
        "The lower of the two against every other net: supported if its energy is lower by "
        "intervals that do not overlap, contradicted if another's is lower than both. Emissions "
        "are energy times one grid intensity, so they rank as energy does. Modelled energy "
        "decides nothing.",
        claims.lowest_carbon,
    ),
)
