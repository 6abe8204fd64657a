"""What is normal for every slice.

Its level, shrunk towards that of the slices it is part of and followed slowly, and how counts scatter.

Counts of a window are negative binomial: a Poisson count whose mean varies from window to window (overdispersion),
around a level that is itself only known from the windows seen so far. Levels of slices are spread around their parent's
(Gamma-Poisson empirical Bayes; Robbins 1956, Morris 1983), and what was seen long ago counts less (West and Harrison,
"Bayesian Forecasting", section 6.3), so that a slow drift becomes normal and a fault, which comes at once, does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

_LARGEST_SIZE = 1e9
_LEAST_SPREAD = 0.0025
_STRETCH = 12
SURE = 0.5
"""Level of the upper bound of conversions' scatter: the median, for a higher one costs delay."""
_WEAK = 2.0
"""Counts that say how surely the level of a slice without a parent is known, before any."""
_HINT = 0.002
"""Counts that such a level is drawn to 1 by: next to nothing, so that what never comes is expected to go on not to."""
PAST = 200.0
"""Windows after which one counts half in how a slice differs from its parent."""
_DRIFT = 400.0
"""Counts that say as much of a slice now as what it was and how its parent drifted: slices drift apart by one part in
twenty."""
_REMEMBERED = 0.5 ** (1.0 / 400.0)
"""Weight in the scatter of a window after the next one has come."""


@dataclass(frozen=True)
class Family:
    """How slices hang together.

    Attributes:
        parent: int64[slices], the slice that each is part of; itself where there is none. Parents come before their
            parts.
        kind: int64[slices]; slices of one kind are spread alike around their parents.

    """

    parent: NDArray[np.int64]
    kind: NDArray[np.int64]

    @cached_property
    def generations(self) -> list[NDArray[np.int64]]:
        """Slices that are parts of others, kind by kind: parents come before their parts."""
        parts = self.parent != np.arange(len(self.parent))
        return [np.flatnonzero((self.kind == kind) & parts) for kind in np.unique(self.kind[parts])]


@dataclass
class Memory:
    """Counts of the windows seen, of which what came long ago counts less.

    Attributes:
        keep: Weight of a window after the next one has come.
        told: float64[slices], counts expected in the windows seen, discounted.
        came: float64[slices], counts that came in them.

    """

    keep: float
    told: NDArray[np.float64]
    came: NDArray[np.float64]

    def take(self, expected: NDArray[np.float64], observed: NDArray[np.float64], open_now: NDArray[np.bool_]) -> None:
        """Take in a window for the slices that are open; what is known of the others stays as it is."""
        keep = np.where(open_now, self.keep, 1.0)
        self.told = keep * self.told + np.where(open_now, expected, 0.0)
        self.came = keep * self.came + np.where(open_now, observed, 0.0)

    def part(self, slices: NDArray[np.int64]) -> Memory:
        """Some slices only."""
        return Memory(self.keep, self.told[slices], self.came[slices])


def memory_of(expected: NDArray[np.float64], observed: NDArray[np.float64], half_life: float) -> Memory:
    """What is remembered of windows [windows, slices], each of which counts half after ``half_life`` more."""
    keep = 0.5 ** (1.0 / half_life)
    age = keep ** np.arange(len(expected) - 1, -1, -1)[:, None]
    return Memory(keep, (age * expected).sum(axis=0), (age * observed).sum(axis=0))


@dataclass
class Scatter:
    """Relative variance of windows' means around what is expected, by kind of slice, learned on as windows come.

    Attributes:
        excess: float64[kinds], squared residuals beyond Poisson's and the level's.
        scale: float64[kinds], squared means.
        known_from: Stretches of time that are independent of each other, from which it is known.
        each: Such stretches that a window adds.
        sure: Level of the upper bound that is taken; None for the estimate itself.

    """

    excess: NDArray[np.float64]
    scale: NDArray[np.float64]
    known_from: float
    each: float
    sure: float | None

    def by_kind(self) -> NDArray[np.float64]:
        """float64[kinds]."""
        found = np.maximum(np.divide(self.excess, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0), 0.0)
        return (
            found
            if self.sure is None
            else found * self.known_from / (2.0 * float(gammaincinv(self.known_from / 2.0, 1.0 - self.sure)))
        )

    def take(
        self,
        kind: NDArray[np.int64],
        mean: NDArray[np.float64],
        observed: NDArray[np.float64],
        left: NDArray[np.float64],
    ) -> None:
        """Take in a window, in which ``mean`` counts were expected, float64[slices].

        Levels are known with relative variance ``left``, float64[slices].
        """
        over = (observed - mean) ** 2 - mean - left * mean**2
        kinds = len(self.scale)
        self.excess = _REMEMBERED * self.excess + np.bincount(kind, over, kinds)
        self.scale = _REMEMBERED * self.scale + np.bincount(kind, mean**2, kinds)
        self.known_from = _REMEMBERED * self.known_from + self.each


@dataclass
class _Waiting:
    """A window that is not learned from yet."""

    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    level: NDArray[np.float64]
    left: NDArray[np.float64]
    frozen: NDArray[np.bool_]


@dataclass
class Baseline:
    """What is normal now.

    Attributes:
        family: How slices hang together.
        spread: float64[slices], relative variance of true levels around the parent's.
        scatter: How counts scatter.
        recent: What came lately; it follows a drift.
        past: What came in a longer time; how a slice differs from its parent.
        gap: Latest windows that are not learned from yet, so that a fault is not learned before it is found.

    """

    family: Family
    spread: NDArray[np.float64]
    scatter: Scatter
    recent: Memory
    past: Memory
    gap: int
    _waiting: list[_Waiting] = field(default_factory=list)
    _now: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def overdispersion(self) -> NDArray[np.float64]:
        """Relative variance of a window's mean around what is expected, float64[slices]."""
        return self.scatter.by_kind()[self.family.kind]

    def part(self, slices: NDArray[np.int64]) -> Baseline:
        """Some slices only, their parents among them."""
        place = np.full(len(self.spread), -1)
        place[slices] = np.arange(len(slices))
        family = Family(place[self.family.parent[slices]], self.family.kind[slices])
        return Baseline(
            family, self.spread[slices], self.scatter, self.recent.part(slices), self.past.part(slices), self.gap
        )

    def level(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Level of each slice, observed over expected, and the relative variance with which it is known.

        Float64[slices] each.

        What was long ago tells how a slice differs from its parent, with the parent's own level as a prior; that, times
        the parent's level now, is the prior for what came lately, which may have drifted from it.
        """
        if self._now is None:
            self._now = self._level()
        return self._now

    def _level(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        old_told, old_came = self.past.told - self.recent.told, self.past.came - self.recent.came
        differs, unsure = shrunk_levels(self.family, self.spread, np.maximum(old_told, 0.0), np.maximum(old_came, 0.0))
        parent = self.family.parent
        prior = 1.0 / (1.0 / _DRIFT + unsure)
        told, came = self.recent.told, self.recent.came
        level = (came + _HINT) / (told + _HINT)
        left = 1.0 / (came + _WEAK)
        for mine in self.family.generations:
            above = level[parent[mine]] * differs[mine] / differs[parent[mine]]
            level[mine] = (prior[mine] + came[mine]) / (prior[mine] / above + told[mine])
            left[mine] = 1.0 / (prior[mine] + came[mine])
        return level, left

    def sizes(self, left: NDArray[np.float64]) -> NDArray[np.float64]:
        """Size of each slice's negative binomial: variance = mean + mean^2 / size."""
        return np.minimum(1.0 / np.maximum(self.overdispersion + left, 1.0 / _LARGEST_SIZE), _LARGEST_SIZE)

    def learn(self, expected: NDArray[np.float64], observed: NDArray[np.float64], frozen: NDArray[np.bool_]) -> None:
        """Take in a window that has been judged.

        Slices that are ``frozen``, now or by the time it counts, do not learn from it.
        """
        self._waiting.append(_Waiting(expected, observed, *self.level(), frozen))
        if len(self._waiting) <= self.gap:
            return
        then, self._now = self._waiting.pop(0), None
        open_now = ~(frozen | then.frozen)
        for memory in (self.recent, self.past):
            memory.take(then.expected, then.observed, open_now)
        kept = np.flatnonzero(open_now)
        self.scatter.take(
            self.family.kind[kept], (then.level * then.expected)[kept], then.observed[kept], then.left[kept]
        )

    def begin_anew(self, s: int, expected: float, observed: float) -> None:
        """Know of a slice these counts only."""
        self.forget_waiting(np.array([s]))
        self._now = None
        for memory in (self.recent, self.past):
            memory.told[s], memory.came[s] = expected, observed

    def forget_waiting(self, slices: NDArray[np.int64]) -> None:
        """Leave windows that wait out of what is learned of some slices."""
        for window in self._waiting:
            window.frozen[slices] = True


def shrunk_levels(
    family: Family, spread: NDArray[np.float64], told: NDArray[np.float64], came: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels drawn to those of the parents, and the relative variance with which they are known, float64[slices] each.

    Given its parent's level, a slice's is Gamma with relative variance ``spread`` and counts are Poisson, so that the
    posterior is Gamma, too.
    """
    level, left = (came + _HINT) / (told + _HINT), 1.0 / (came + _WEAK)
    for mine in family.generations:
        above, prior = level[family.parent[mine]], 1.0 / spread[mine]
        level[mine] = (prior + came[mine]) / (prior / above + told[mine])
        left[mine] = 1.0 / (prior + came[mine])
    return level, left


def fit_baseline(
    expected: NDArray[np.float64],
    observed: NDArray[np.float64],
    family: Family,
    *,
    half_life: float = np.inf,
    gap: int = 0,
    past: float = PAST,
    independent: int | None = None,
    sure: float = 0.95,
) -> Baseline:
    """Learn what is normal from quiet windows.

    Args:
        expected: float64[windows, slices], counts that should have come.
        observed: float64[windows, slices], counts that came.
        family: How slices hang together.
        half_life: Windows after which a window counts half in what a drift is followed by.
        gap: Latest windows that are not learned from.
        past: Windows after which a window counts half in how a slice differs from its parent.
        independent: Stretches of time that are independent of each other, from which the scatter is known; then its
            upper bound is taken,
        sure: at this level.

    Raises:
        ValueError: There are fewer than two windows.

    """
    if len(expected) < 2:  # noqa: PLR2004
        raise ValueError(f"{len(expected)} quiet windows are too few to learn what is normal; two are the least")
    recent, whole = (memory_of(expected, observed, life) for life in (half_life, max(half_life, past)))
    kinds = int(family.kind.max()) + 1
    excess, scale = np.zeros(kinds), np.zeros(kinds)
    for kind in np.unique(family.kind):
        mine = family.kind == kind
        level = np.divide(whole.came, whole.told, out=np.zeros_like(whole.told), where=whole.told > 0)[mine]
        scale[kind] = ((level * expected[:, mine]) ** 2).sum()
        excess[kind] = local_overdispersion(expected[:, mine], observed[:, mine]) * scale[kind]
    stretches = len(expected) - 1 if independent is None else independent
    scatter = Scatter(excess, scale, stretches, stretches / len(expected), None if independent is None else sure)
    spread = _spread(expected, whole, family, scatter.by_kind())
    return Baseline(family, spread, scatter, recent, whole, gap)


def _spread(
    expected: NDArray[np.float64], past: Memory, family: Family, overdispersion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How levels of each kind are spread around those of their parents, by moments, float64[slices]."""
    spread = np.full(len(family.kind), _LEAST_SPREAD)
    age = past.keep ** np.arange(len(expected) - 1, -1, -1)[:, None]
    above = np.divide(past.came, past.told, out=np.ones_like(past.told), where=past.told > 0)[family.parent]
    for kind in np.unique(family.kind):
        mine = family.kind == kind
        mean = above[mine] * past.told[mine]
        noise = mean + overdispersion[kind] * above[mine] ** 2 * ((age * expected[:, mine]) ** 2).sum(axis=0)
        spread[mine] = max(
            float(((past.came[mine] - mean) ** 2 - noise).sum() / max((mean**2).sum(), 1e-12)), _LEAST_SPREAD
        )
    return spread


def local_overdispersion(expected: NDArray[np.float64], observed: NDArray[np.float64]) -> float:
    """Return `window_overdispersion` around the level of each stretch of some windows.

    So a slow drift is no scatter.
    """
    stretches = max(len(expected) // _STRETCH, 1)
    parts = [(np.array_split(expected, stretches)[k], np.array_split(observed, stretches)[k]) for k in range(stretches)]
    weight = [float((e.sum(axis=0) ** 2).sum()) for e, _ in parts]
    found = [window_overdispersion(e, o, floor=False) for e, o in parts]
    return max(float(np.average(found, weights=weight)) if sum(weight) > 0 else 0.0, 0.0)


def window_overdispersion(expected: NDArray[np.float64], observed: NDArray[np.float64], *, floor: bool = True) -> float:
    """Relative variance of windows' means around each slice's own level, by moments, pooled over slices.

    Never below 0 with ``floor``.
    """
    told = expected.sum(axis=0)
    level = np.divide(observed.sum(axis=0), told, out=np.zeros_like(told), where=told > 0)
    mean = level * expected
    share = np.divide(expected, told, out=np.zeros_like(expected), where=told > 0)
    # the fitted level takes part of the scatter with it
    poisson = mean * (1.0 - share)
    found = float((((observed - mean) ** 2) - poisson).sum() / max((mean**2).sum(), 1e-12))
    return max(found, 0.0) if floor else found
