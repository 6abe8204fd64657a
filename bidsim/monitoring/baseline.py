"""What is normal for every slice: its level, shrunk towards that of the slices it is part of and followed slowly, and how counts scatter.

Counts of a window are negative binomial: a Poisson count whose mean varies from window to window (overdispersion), around a level that is itself
only known from the windows seen so far. Levels of slices are spread around their parent's (Gamma-Poisson empirical Bayes; Robbins 1956,
Morris 1983), and what was seen long ago counts less (West and Harrison, "Bayesian Forecasting", section 6.3), so that a slow drift becomes
normal and a fault, which comes at once, does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

_LARGEST_SIZE = 1e9
_LEAST_SPREAD = 0.0025
_STRETCH = 12
SURE = 0.5
"""Level of the upper bound of conversions' scatter: the median, for a higher one costs delay."""
_WEAK = 2.0
"""Counts that a slice without a parent begins with."""


@dataclass(frozen=True)
class Family:
    """How slices hang together.

    Attributes:
        parent: int64[slices], the slice that each is part of; itself where there is none. Parents come before their parts.
        kind: int64[slices]; slices of one kind are spread alike around their parents.

    """

    parent: NDArray[np.int64]
    kind: NDArray[np.int64]


@dataclass
class Baseline:
    """What is normal now.

    Attributes:
        family: How slices hang together.
        overdispersion: float64[slices], relative variance of a window's mean around what is expected.
        spread: float64[slices], relative variance of true levels around the parent's.
        keep: Weight of a window after the next one has come; below 1 levels are followed.
        gap: Latest windows that are not learned from yet, so that a fault is not learned before it is found.
        told: float64[slices], counts expected in the windows seen, discounted.
        came: float64[slices], counts that came in them.

    """

    family: Family
    overdispersion: NDArray[np.float64]
    spread: NDArray[np.float64]
    keep: float
    gap: int
    told: NDArray[np.float64]
    came: NDArray[np.float64]
    _waiting: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]] = field(default_factory=list)

    def part(self, slices: NDArray[np.int64]) -> Baseline:
        """Some slices only, their parents among them."""
        place = np.full(len(self.told), -1)
        place[slices] = np.arange(len(slices))
        family = Family(place[self.family.parent[slices]], self.family.kind[slices])
        return Baseline(family, self.overdispersion[slices], self.spread[slices], self.keep, self.gap, self.told[slices], self.came[slices])

    def level(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Level of each slice, observed over expected, and the relative variance with which it is known; float64[slices] each."""
        told, came, parent = self.told, self.came, self.family.parent
        level, left = np.ones_like(told), np.ones_like(told)
        alone = parent == np.arange(len(parent))
        level[alone] = (came[alone] + _WEAK * 1e-3) / (told[alone] + _WEAK * 1e-3)
        left[alone] = 1.0 / (came[alone] + _WEAK)
        for kind in np.unique(self.family.kind[~alone]):
            mine = np.flatnonzero((self.family.kind == kind) & ~alone)
            above, prior = level[parent[mine]], 1.0 / self.spread[mine]
            level[mine] = (prior + came[mine]) / (prior / above + told[mine])
            left[mine] = 1.0 / (prior + came[mine])
        return level, left

    def sizes(self, left: NDArray[np.float64]) -> NDArray[np.float64]:
        """Size of each slice's negative binomial: variance = mean + mean^2 / size."""
        return np.minimum(1.0 / np.maximum(self.overdispersion + left, 1.0 / _LARGEST_SIZE), _LARGEST_SIZE)

    def learn(self, expected: NDArray[np.float64], observed: NDArray[np.float64], frozen: NDArray[np.bool_]) -> None:
        """Take in a window that has been judged; slices that are ``frozen``, now or by the time it counts, do not learn from it."""
        self._waiting.append((expected, observed, frozen))
        if len(self._waiting) <= self.gap:
            return
        then_expected, then_observed, then_frozen = self._waiting.pop(0)
        open_now = ~(frozen | then_frozen)
        keep = np.where(open_now, self.keep, 1.0)
        self.told = keep * self.told + np.where(open_now, then_expected, 0.0)
        self.came = keep * self.came + np.where(open_now, then_observed, 0.0)

    def forget_waiting(self, slices: NDArray[np.int64]) -> None:
        """Leave windows that wait out of what is learned of some slices."""
        for _, _, frozen in self._waiting:
            frozen[slices] = True


def fit_baseline(
    expected: NDArray[np.float64], observed: NDArray[np.float64], family: Family, *, half_life: float = np.inf, gap: int = 0, independent: int | None = None, sure: float = 0.95
) -> Baseline:
    """Learn what is normal from quiet windows.

    Args:
        expected: float64[windows, slices], counts that should have come.
        observed: float64[windows, slices], counts that came.
        family: How slices hang together.
        half_life: Windows after which a window counts half.
        gap: Latest windows that are not learned from.
        independent: Stretches of time that are independent of each other, from which the scatter is known; then its upper bound is taken,
        sure: at this level.

    Raises:
        ValueError: There are fewer than two windows.

    """
    if len(expected) < 2:  # noqa: PLR2004
        raise ValueError(f"{len(expected)} quiet windows are too few to learn what is normal; two are the least")
    keep = 0.5 ** (1.0 / half_life)
    age = keep ** np.arange(len(expected) - 1, -1, -1)[:, None]
    told, came = (age * expected).sum(axis=0), (age * observed).sum(axis=0)
    overdispersion, spread = np.zeros(expected.shape[1]), np.full(expected.shape[1], _LEAST_SPREAD)
    for kind in np.unique(family.kind):
        mine = family.kind == kind
        overdispersion[mine] = local_overdispersion(expected[:, mine], observed[:, mine])
    if independent is not None:
        overdispersion *= independent / chi2.ppf(1.0 - sure, independent)
    above = np.divide(came, told, out=np.ones_like(told), where=told > 0)[family.parent]
    for kind in np.unique(family.kind):
        mine = family.kind == kind
        mean = above[mine] * told[mine]
        noise = mean + overdispersion[mine] * above[mine] ** 2 * ((age * expected[:, mine]) ** 2).sum(axis=0)
        spread[mine] = max(float(((came[mine] - mean) ** 2 - noise).sum() / max((mean**2).sum(), 1e-12)), _LEAST_SPREAD)
    return Baseline(family, overdispersion, spread, keep, gap, told, came)


def local_overdispersion(expected: NDArray[np.float64], observed: NDArray[np.float64]) -> float:
    """As `window_overdispersion`, around the level of each stretch of some windows, so that a slow drift is no scatter."""
    stretches = max(len(expected) // _STRETCH, 1)
    parts = [(np.array_split(expected, stretches)[k], np.array_split(observed, stretches)[k]) for k in range(stretches)]
    weight = [float((e.sum(axis=0) ** 2).sum()) for e, _ in parts]
    found = [window_overdispersion(e, o, floor=False) for e, o in parts]
    return max(float(np.average(found, weights=weight)) if sum(weight) > 0 else 0.0, 0.0)


def window_overdispersion(expected: NDArray[np.float64], observed: NDArray[np.float64], *, floor: bool = True) -> float:
    """Relative variance of windows' means around each slice's own level, by moments, pooled over slices; never below 0 with ``floor``."""
    told = expected.sum(axis=0)
    level = np.divide(observed.sum(axis=0), told, out=np.zeros_like(told), where=told > 0)
    mean = level * expected
    share = np.divide(expected, told, out=np.zeros_like(expected), where=told > 0)
    # the fitted level takes part of the scatter with it
    poisson = mean * (1.0 - share)
    found = float((((observed - mean) ** 2) - poisson).sum() / max((mean**2).sum(), 1e-12))
    return max(found, 0.0) if floor else found
