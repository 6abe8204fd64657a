"""An alarm for every slice that can be left on: e-detectors of Shiryaev and Roberts' kind, one threshold for all.

For a change to ``r`` times the expected count, the statistic R = (1 + R) L, with L the likelihood ratio of the window's count, has mean
t after t quiet windows (Shiryaev 1963, Roberts 1966), so any weighted sum of such statistics over multipliers and slices alarms at
most once in A windows on average when the threshold is A (Shin, Ramdas and Rinaldo, "E-detectors", 2022). Windows are not independent and
baselines not known exactly, so the threshold is calibrated by replaying quiet windows (`calibrate_threshold`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

if TYPE_CHECKING:
    from bidsim.monitoring.baseline import Baseline

MULTIPLIERS = (0.25, 0.4, 0.55, 0.7, 0.8, 0.88, 0.94, 1.06, 1.13, 1.25, 1.43, 1.8, 2.5, 4.0)
"""Changes that are looked for, in counts; each is as likely as the others."""
_MOST = 1e200
_AGAIN = 0.1
"""A statistic that fell to this part of the threshold may alarm again."""


@dataclass(frozen=True)
class Alarm:
    """A slice whose conversions changed.

    Attributes:
        slice: Its number.
        window: When it was noticed.
        since: First window of the change, by maximum likelihood.
        multiplier: Observed over expected conversions since then.
        strength: Natural logarithm of the statistic over the threshold.

    """

    slice: int
    window: int
    since: int
    multiplier: float
    strength: float


@dataclass
class Detector:
    """Statistics of all slices, window after window.

    Attributes:
        baseline: What is normal.
        weight: float64[slices], how much of the false alarms each slice may have; sums to 1.
        threshold: What a slice's statistic, times its weight, must reach.
        statistics: float64[slices, multipliers].

    """

    baseline: Baseline
    weight: NDArray[np.float64]
    threshold: float
    statistics: NDArray[np.float64] = field(init=False)
    _seen: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)
    _begun: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing suspected."""
        self.statistics = np.zeros((len(self.weight), len(MULTIPLIERS)))
        self._begun = np.zeros(len(self.weight), np.int64)

    def watch(self, expected: NDArray[np.float64], observed: NDArray[np.float64]) -> list[Alarm]:
        """Take in one window, float64[slices] each; return new alarms, the strongest first. Slices that alarmed begin anew."""
        self._seen.append((expected, observed))
        total = advance(self.statistics, self.baseline.factor * expected, observed, self.baseline.size, np.array(MULTIPLIERS))
        found = np.flatnonzero(total * self.weight >= self.threshold)
        alarms = sorted((self._alarm(int(s), float(total[s])) for s in found), key=lambda a: -a.strength)
        self.statistics[found] = 0.0
        self._begun[found] = len(self._seen)
        return alarms

    def _alarm(self, s: int, total: float) -> Alarm:
        mean = np.array([self.baseline.factor[s] * e[s] for e, _ in self._seen])
        came = np.array([o[s] for _, o in self._seen])
        first, window = int(self._begun[s]), len(self._seen) - 1
        since, multiplier = change_point(mean[first:], came[first:])
        return Alarm(s, window, first + since, multiplier, math.log(total * self.weight[s] / self.threshold))


def change_point(mean: NDArray[np.float64], came: NDArray[np.float64]) -> tuple[int, float]:
    """Window from which a Poisson rate most likely is another one, and how much it then is of ``mean``."""
    told, seen = np.cumsum(mean[::-1])[::-1], np.cumsum(came[::-1])[::-1]
    ratio = np.divide(seen, told, out=np.ones_like(told), where=told > 0)
    gain = np.where(seen > 0, seen * np.log(np.maximum(ratio, 1e-12)), 0.0) - (seen - told)
    first = int(np.argmax(gain))
    return first, float(ratio[first])


@kernel(allocates=True)
def advance(
    statistics: NDArray[np.float64], mean: NDArray[np.float64], observed: NDArray[np.float64], size: NDArray[np.float64], multipliers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One step of every slice's statistics, in place; return their means over multipliers.

    The likelihood ratio of a negative binomial of mean r m against m, both of size k, at y: r^y ((k + m) / (k + r m))^(y + k).
    """
    slices, kinds = statistics.shape
    total = np.zeros(slices)
    for s in range(slices):
        y, m, k = observed[s], mean[s], size[s]
        if m <= 0.0:
            for j in range(kinds):
                total[s] += statistics[s, j] / kinds
            continue
        for j in range(kinds):
            r = multipliers[j]
            log_ratio = y * math.log(r) - (y + k) * math.log1p((r - 1.0) * m / (k + m))
            statistics[s, j] = min((1.0 + statistics[s, j]) * math.exp(min(log_ratio, 400.0)), _MOST)
            total[s] += statistics[s, j] / kinds
    return total


def calibrate_threshold(largest: NDArray[np.float64], rate: float) -> float:
    """Threshold that quiet windows pass ``rate`` times a window, over all slices together.

    Args:
        largest: float64[windows, slices], weighted statistics of replayed quiet windows that nothing set back.
        rate: Promised false alarms a window.

    """
    low, high = 0.0, math.log(max(float(largest.max()), 1.0)) + 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if count_alarms(largest, math.exp(middle)) > rate * len(largest):
            low = middle
        else:
            high = middle
    return math.exp(high)


@kernel()
def count_alarms(largest: NDArray[np.float64], threshold: float) -> int:
    """How often slices pass the threshold, each counted again only after it fell to a tenth of it."""
    found = 0
    for s in range(largest.shape[1]):
        armed = True
        for t in range(largest.shape[0]):
            value = largest[t, s]
            if armed and value >= threshold:
                found += 1
                armed = False
            elif value < _AGAIN * threshold:
                armed = True
    return found
