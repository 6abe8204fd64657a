"""An alarm for every slice that can be left on: e-detectors of Shiryaev and Roberts' kind, one threshold for all.

For a change to ``r`` times the expected count, the statistic R = (1 + R) L, with L the likelihood ratio of the window's
count, has mean t after t quiet windows (Shiryaev 1963, Roberts 1966), so any weighted sum of such statistics over
multipliers and slices alarms at most once in A windows on average when the threshold is A (Shin, Ramdas and Rinaldo,
"E-detectors", 2022). Windows are not independent and levels not known exactly, so the threshold is calibrated by
replaying quiet windows (`calibrate_threshold`).
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

MULTIPLIERS = (0.03, 0.3, 0.5, 0.68, 0.82, 0.93, 1.07, 1.2, 1.45, 2.0, 4.0, 12.0)
"""Changes that are looked for, in counts; each is as likely as the others."""
_MOST = 1e200
_AGAIN = 0.1
"""A statistic that fell to this part of the threshold may alarm again."""
_RECOVERED = math.log(100.0)
_DEEPEST, _HIGHEST = 0.02, 50.0


@dataclass(frozen=True)
class Alarm:
    """A slice whose counts changed.

    Attributes:
        slice: Its number.
        window: When it was noticed.
        since: First window of the change, by maximum likelihood.
        multiplier: Observed over expected counts since then, when it was noticed.
        strength: Natural logarithm of the statistic over the threshold.

    """

    slice: int
    window: int
    since: int
    multiplier: float
    strength: float


@dataclass
class _Open:
    """An alarm that is not over.

    Counts expected and counted since it began, and evidence that they are what they were before it.
    """

    alarm: Alarm
    told: float
    came: float
    evidence: float = 0.0
    back: int = 0


@dataclass
class Detector:
    """Statistics of all slices, window after window.

    Attributes:
        baseline: What is normal; learns as windows come.
        weight: float64[slices], how much of the false alarms each slice may have; sums to 1.
        threshold: What a slice's statistic, times its weight, must reach.
        statistics: float64[slices, multipliers].
        means: float64[slices] of each window so far: counts that were expected, at the levels known by then.
        came: float64[slices] of each window so far: counts that came.
        ended: Slice and first window after its alarm, for alarms that are over.

    """

    baseline: Baseline
    weight: NDArray[np.float64]
    threshold: float
    statistics: NDArray[np.float64] = field(init=False)
    means: list[NDArray[np.float64]] = field(default_factory=list)
    came: list[NDArray[np.float64]] = field(default_factory=list)
    ended: list[tuple[Alarm, int]] = field(default_factory=list)
    _begun: NDArray[np.int64] = field(init=False)
    _open: dict[int, _Open] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing suspected."""
        self.statistics = np.zeros((len(self.weight), len(MULTIPLIERS)))
        self._begun = np.zeros(len(self.weight), np.int64)

    @property
    def open(self) -> list[Alarm]:
        """Alarms that are not over."""
        return [o.alarm for o in self._open.values()]

    def watch(self, expected: NDArray[np.float64], observed: NDArray[np.float64]) -> list[Alarm]:
        """Take in one window, float64[slices] each; return new alarms, the strongest first.

        A slice in alarm does not alarm again, and what is normal for it is not learned anew, until its counts are what
        they were.
        """
        level, left = self.baseline.level()
        mean, sizes = level * expected, self.baseline.sizes(left)
        total = advance(self.statistics, mean, observed, sizes, np.array(MULTIPLIERS))
        self.means.append(mean)
        self.came.append(observed)
        silent = np.array(sorted(self._open), np.int64)
        self._see_recoveries(sizes)
        self.statistics[silent] = 0.0
        total[silent] = 0.0
        found = np.flatnonzero(total * self.weight >= self.threshold)
        alarms = sorted((self._alarm(int(s), float(total[s])) for s in found), key=lambda a: -a.strength)
        self.statistics[found] = 0.0
        for a in alarms:
            told, came = (float(sum(row[a.slice] for row in rows[a.since :])) for rows in (self.means, self.came))
            self._open[a.slice] = _Open(a, told, came, back=a.window + 1)
        self.baseline.forget_waiting(found)
        frozen = np.zeros(len(self.weight), np.bool_)
        frozen[sorted(self._open)] = True
        self.baseline.learn(expected, observed, frozen)
        return alarms

    def accept(self, alarm: Alarm, expected: float, observed: float) -> None:
        """Take what changed for normal.

        The alarm is over, and the slice's level is learned from the counts since then.
        """
        del self._open[alarm.slice]
        self._begun[alarm.slice] = alarm.window + 1
        self.baseline.begin_anew(alarm.slice, expected, observed)

    def forget(self, keep: int) -> None:
        """Drop all windows but the last ``keep``, which are numbered from 0 then; statistics stay."""
        gone = max(len(self.means) - keep, 0)
        self.means, self.came = self.means[gone:], self.came[gone:]
        self._begun = np.maximum(self._begun - gone, 0)
        for waiting in self._open.values():
            waiting.back = max(waiting.back - gone, 0)

    def _see_recoveries(self, sizes: NDArray[np.float64]) -> None:
        """Close alarms where counts as before have become a hundred times likelier than counts as in the alarm."""
        now = len(self.means) - 1
        for s, waiting in list(self._open.items()):
            # as it was noticed a change looks larger than it is, so its size is taken from all that came since
            ratio = min(max(waiting.came / max(waiting.told, 1e-12), _DEEPEST), _HIGHEST)
            m, y, k = self.means[now][s], self.came[now][s], sizes[s]
            waiting.told, waiting.came = waiting.told + m, waiting.came + y
            gain = (y + k) * math.log1p((ratio - 1.0) * m / (k + m)) - y * math.log(ratio) if m > 0.0 else 0.0
            if waiting.evidence + gain <= 0.0:
                waiting.evidence, waiting.back = 0.0, now + 1
                continue
            waiting.evidence += gain
            if waiting.evidence > _RECOVERED:
                self.ended.append((waiting.alarm, waiting.back))
                self._begun[s] = waiting.back
                del self._open[s]

    def _alarm(self, s: int, total: float) -> Alarm:
        first, window = int(self._begun[s]), len(self.means) - 1
        mean, came = (np.array([row[s] for row in rows[first:]]) for rows in (self.means, self.came))
        since, multiplier = change_point(mean, came)
        return Alarm(s, window, first + since, multiplier, math.log(total * self.weight[s] / self.threshold))


def change_point(mean: NDArray[np.float64], came: NDArray[np.float64]) -> tuple[int, float]:
    """Window from which a Poisson rate most likely is another one, and how much it then is of ``mean``."""
    told, seen = np.cumsum(mean[::-1])[::-1], np.cumsum(came[::-1])[::-1]
    gain = deviance(told, seen)
    first = int(np.argmax(gain))
    return first, float(seen[first] / told[first]) if told[first] > 0 else 1.0


def deviance(mean: NDArray[np.float64], came: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihood ratio of Poisson counts at their own rate against ``mean``, half the deviance."""
    ratio = np.divide(came, mean, out=np.ones_like(mean), where=mean > 0)
    return np.asarray(np.where(came > 0, came * np.log(np.maximum(ratio, 1e-12)), 0.0) - (came - mean))


@kernel(allocates=True)
def advance(
    statistics: NDArray[np.float64],
    mean: NDArray[np.float64],
    observed: NDArray[np.float64],
    size: NDArray[np.float64],
    multipliers: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One step of every slice's statistics, in place; return their means over multipliers.

    The likelihood ratio of a negative binomial of mean r m against m, both of size k, at y: r^y ((k + m) / (k + r
    m))^(y + k).
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


def calibrate_threshold(
    largest: NDArray[np.float64], rate: float, stands_for: NDArray[np.float64] | None = None
) -> float:
    """Threshold that quiet windows pass ``rate`` times a window, over all slices together.

    Args:
        largest: float64[windows, slices], weighted statistics of replayed quiet windows that nothing set back.
        rate: Promised false alarms a window.
        stands_for: float64[slices], how many slices each of them stands for; by default itself.

    """
    many = np.ones(largest.shape[1]) if stands_for is None else stands_for
    low, high = 0.0, math.log(max(float(largest.max()), 1.0)) + 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if count_alarms(largest, math.exp(middle), many) > rate * len(largest):
            low = middle
        else:
            high = middle
    return math.exp(high)


@kernel()
def count_alarms(largest: NDArray[np.float64], threshold: float, stands_for: NDArray[np.float64]) -> float:
    """How often slices pass the threshold, each counted again only after it fell to a tenth of it."""
    found = 0.0
    for s in range(largest.shape[1]):
        armed = True
        for t in range(largest.shape[0]):
            value = largest[t, s]
            if armed and value >= threshold:
                found += stands_for[s]
                armed = False
            elif value < _AGAIN * threshold:
                armed = True
    return found
