"""Two accuracies: on the same images, and on different ones; and those of several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, variance

from lightfer.results.stats.difference import Difference, Interval, t_quantile


def mcnemar(only_a: int, only_b: int, images: int, level: float = 0.95) -> Difference:
    """Accuracy of b minus that of a on the same images, as fractions.

    `only_a` images were right in a alone, `only_b` in b alone. Exact binomial test on these
    discordant images (McNemar, 1947); interval of Agresti & Min (2005, doi:10.1002/sim.1781): Wald
    after adding half an image to each of the four cells.
    """
    from scipy.special import bdtr, ndtri

    if not 0 <= only_a + only_b <= images or min(only_a, only_b) < 0:
        raise ValueError(f"{only_a} + {only_b} discordant of {images} images: expected a part")
    discordant = only_a + only_b
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))
    n, down, up = images + 2, only_a + 0.5, only_b + 0.5
    center = (up - down) / n
    half = float(ndtri((1 + level) / 2)) * (up + down - (up - down) ** 2 / n) ** 0.5 / n
    interval = Interval(
        (only_b - only_a) / images, max(-1.0, center - half), min(1.0, center + half), level
    )
    return Difference(interval, p, f"McNemar, exact, {discordant} discordant of {images} images")


def compare_proportions(
    hits_a: float, images_a: int, hits_b: float, images_b: int, level: float = 0.95
) -> Difference:
    """Accuracy of b minus that of a, as if on different images: wider than the paired `mcnemar`.

    Hits from a share that was rounded are rounded to the nearest whole number. Interval of Newcombe
    (1998, method 10) from two Wilson intervals; score test of two proportions.
    """
    from scipy.special import ndtr

    hits_a, hits_b = round(hits_a), round(hits_b)
    pa, pb = hits_a / images_a, hits_b / images_b
    la, ua = wilson_interval(hits_a, images_a, level)
    lb, ub = wilson_interval(hits_b, images_b, level)
    d = pb - pa
    low = d - ((pb - lb) ** 2 + (ua - pa) ** 2) ** 0.5
    high = d + ((ub - pb) ** 2 + (pa - la) ** 2) ** 0.5
    pooled = (hits_a + hits_b) / (images_a + images_b)
    error = (pooled * (1 - pooled) * (1 / images_a + 1 / images_b)) ** 0.5
    p = float(2 * ndtr(-abs(d) / error)) if error > 0 else 1.0
    return Difference(Interval(d, low, high, level), p, "unpaired: predictions are not in both")


def wilson_interval(hits: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson, 1927)."""
    from scipy import stats

    found = stats.binomtest(hits, images).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class SeedSpread:
    """How far accuracies of one net differ between seeds, in the unit of the accuracies."""

    nets: int  # with several seeds
    freedom: int  # degrees of freedom of the deviation
    deviation: float  # pooled over these nets
    least: float  # two nets of one seed each differ significantly by more than this


def between_seeds(by_net: Sequence[Sequence[float]], level: float = 0.95) -> SeedSpread | None:
    """The accuracies of each net, one per seed -> their spread, taken to be equal for all nets.

    None where no net has several seeds.
    """
    several = [shares for shares in by_net if len(shares) > 1]
    freedom = sum(len(shares) - 1 for shares in several)
    if not freedom:
        return None
    pooled = sum((len(shares) - 1) * variance(shares) for shares in several) / freedom
    least = t_quantile(freedom, level) * (2 * pooled) ** 0.5
    return SeedSpread(len(several), freedom, pooled**0.5, least)


def prediction_interval(shares: Sequence[float], level: float = 0.95) -> Interval:
    """Where one more accuracy of the same kind falls, from several: t interval around their mean.

    Raises ValueError for less than two.
    """
    from scipy.special import stdtrit

    n = len(shares)
    if n < 2:
        raise ValueError(f"{n} accuracies, expected at least 2: one tells no spread")
    half = float(stdtrit(n - 1, (1 + level) / 2)) * (variance(shares) * (1 + 1 / n)) ** 0.5
    middle = mean(shares)
    return Interval(middle, middle - half, middle + half, level)
