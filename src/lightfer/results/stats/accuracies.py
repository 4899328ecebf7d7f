"""Two accuracies: on the same images, and on different ones."""

from lightfer.results.stats.difference import Difference, Interval


def mcnemar(only_a: int, only_b: int, images: int, level: float = 0.95) -> Difference:
    """Accuracy of b minus that of a on the same images, as fractions.

    `only_a` images were right in a alone, `only_b` in b alone. Exact binomial test on these
    discordant images (McNemar, 1947); interval of Agresti & Min (2005, doi:10.1002/sim.1781): Wald
    after adding half an image to each of the four cells.
    """
    from scipy import stats

    if not 0 <= only_a + only_b <= images or min(only_a, only_b) < 0:
        raise ValueError(f"{only_a} + {only_b} discordant of {images} images: expected a part")
    discordant = only_a + only_b
    p = float(stats.binomtest(only_b, discordant, 0.5).pvalue) if discordant else 1.0
    n, down, up = images + 2, only_a + 0.5, only_b + 0.5
    center = (up - down) / n
    half = stats.norm.ppf((1 + level) / 2) * (up + down - (up - down) ** 2 / n) ** 0.5 / n
    interval = Interval(
        (only_b - only_a) / images, max(-1.0, center - half), min(1.0, center + half), level
    )
    return Difference(interval, p, f"McNemar, exact, {discordant} discordant of {images} images")


def compare_proportions(
    hits_a: float, images_a: int, hits_b: float, images_b: int, level: float = 0.95
) -> Difference:
    """Accuracy of b minus that of a, as if on different images: wider than the paired `mcnemar`.

    Interval of Newcombe (1998, method 10) from two Wilson intervals; score test of two proportions.
    """
    from scipy import stats

    z = float(stats.norm.ppf((1 + level) / 2))
    pa, la, ua = _wilson(hits_a, images_a, z)
    pb, lb, ub = _wilson(hits_b, images_b, z)
    d = pb - pa
    low = d - ((pb - lb) ** 2 + (ua - pa) ** 2) ** 0.5
    high = d + ((ub - pb) ** 2 + (pa - la) ** 2) ** 0.5
    pooled = (hits_a + hits_b) / (images_a + images_b)
    error = (pooled * (1 - pooled) * (1 / images_a + 1 / images_b)) ** 0.5
    p = float(2 * stats.norm.sf(abs(d) / error)) if error > 0 else 1.0
    return Difference(Interval(d, low, high, level), p, "unpaired: predictions are not in both")


def _wilson(hits: float, images: int, z: float) -> tuple[float, float, float]:
    """Proportion and its score interval (Wilson, 1927)."""
    p, z2 = hits / images, z * z
    center = (p + z2 / (2 * images)) / (1 + z2 / images)
    half = z * (p * (1 - p) / images + z2 / (4 * images**2)) ** 0.5 / (1 + z2 / images)
    return p, center - half, center + half
