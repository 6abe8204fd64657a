"""Honest intervals of means and differences over replications."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from bidsim.kernels.distributions import student_t_quantile

_LEAST = 0.05
"""Least variance of a sum of counts, as a part of its mean: that all users bought alike is chance."""


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """The interval of a multiple, positive."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def under(self, numerator: float) -> Interval:
        """The interval of a number divided by this one, positive; ends at zero become infinite."""
        return Interval(*(numerator / x if x else math.inf for x in (self.value, self.high, self.low)))


def mean_interval(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Mean of independent values with Student's interval (two values at least)."""
    half = student_t_quantile(0.5 + level / 2, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half)


def lead_of(values: list[NDArray[np.float64]], first: int, level: float = 0.95) -> dict[int, Interval]:
    """How far one choice leads each of the others, on the same worlds, with intervals that hold all at once.

    A lead over all of them that lies above zero is wrong at most as often as ``level`` promises, though the choice was
    made by looking (Bonferroni's inequality).

    Args:
        values: float64[worlds] of each choice, worlds in the same order (two at least).
        first: The choice that is held against the others.
        level: Confidence of all intervals together.

    """
    others = [k for k in range(len(values)) if k != first]
    each = 1.0 - (1.0 - level) / max(len(others), 1)
    return {k: mean_interval(values[first] - values[k], each) for k in others}


def welch_interval(values: NDArray[np.float64], base: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Difference of two independent means, variances unlike (Welch 1947)."""
    a, b = float(values.var(ddof=1)) / len(values), float(base.var(ddof=1)) / len(base)
    gap = float(values.mean() - base.mean())
    if a + b == 0.0:
        return Interval(gap, gap, gap)
    freedom = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (len(base) - 1))
    half = student_t_quantile(0.5 + level / 2, freedom) * math.sqrt(a + b)
    return Interval(gap, gap - half, gap + half)


def poisson_interval(count: float, level: float = 0.95) -> Interval:
    """Exact interval of a Poisson mean (Garwood 1936).

    A sum that is no count takes the same gamma quantiles (Fay and Feuer 1997).
    """
    tail = (1 - level) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return Interval(float(count), low, float(gammaincinv(count + 1, 1 - tail)))


def total_interval(total: float, squares: float, parts: int, level: float = 0.95) -> Interval:
    """Interval of the mean of a sum of many independent counts.

    It is right where few are above 0, as purchases of users are.

    Gamma distributions with the mean and variance of the sum below, and with those after one more above: Fay and Feuer
    (1997), who take the largest part for the one more; only the mean size of a part, drawn by size, is known here. For
    single purchases it is Garwood's interval.

    Args:
        total: The sum.
        squares: Sum of the squares of its parts.
        parts: How many there are.
        level: Confidence.

    """
    variance = max(squares - total**2 / parts, _LEAST * total)
    tail, one_more = (1 - level) / 2, max(squares / total - total / parts, 1.0) if total else 1.0
    low = variance / total * float(gammaincinv(total**2 / variance, tail)) if total else 0.0
    above, spread = total + one_more, variance + one_more**2
    return Interval(total, low, spread / above * float(gammaincinv(above**2 / spread, 1 - tail)))


def difference_interval(first: Interval, second: Interval) -> Interval:
    """Interval of a difference from those of its independent parts (Zou and Donner 2008, MOVER)."""
    gap = first.value - second.value
    low = math.hypot(first.value - first.low, second.high - second.value)
    return Interval(gap, gap - low, gap + math.hypot(first.high - first.value, second.value - second.low))


def told(interval: Interval | None) -> dict[str, float] | None:
    """Give an interval the form in which pages and JSON carry it."""
    return None if interval is None else interval._asdict()


def rates_differ(one: tuple[int, float], other: tuple[int, float], level: float = 0.95) -> bool:
    """Whether two Poisson counts, each with its exposure, have rates that differ by more than chance explains.

    Given the total, the first count is binomial where they do not (Przyborowski and Wilenski 1940).
    """
    from scipy.stats import binomtest  # noqa: PLC0415  (slow to import)

    total, exposure = one[0] + other[0], one[1] + other[1]
    if total == 0 or min(one[1], other[1]) <= 0:
        return False
    return bool(binomtest(one[0], total, one[1] / exposure).pvalue < 1.0 - level)
