"""Late conversions: a rate and a mean delay from labels that have not all arrived (Chapelle, KDD 2014).

A click converts with probability p after an exponential delay of mean m. What has not converted after an elapsed time
e may still do so, with probability p exp(-e/m) / (1 - p + p exp(-e/m)). Maximum likelihood by expectation and
maximisation; elapsed times of the unconverted are counted in fine bins, for only they enter each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

_BINS = 1024
_STEPS = 2000
_CONVERGED = 1e-10


@dataclass(frozen=True)
class DelayModel:
    """A rate and an exponential delay.

    Attributes:
        rate: Probability that a click ever converts.
        mean: Mean delay, in the unit of the times given.

    """

    rate: float
    mean: float

    def still_to_come(self, elapsed: NDArray[np.float64], rate: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Probability that what has not converted after ``elapsed`` will, float64[n]; ``rate`` may differ by row."""
        p = np.full_like(elapsed, self.rate) if rate is None else rate
        late = p * np.exp(-elapsed / self.mean)
        return np.asarray(late / (1.0 - p + late))


def fit_delay(delay: NDArray[np.float64], elapsed: NDArray[np.float64]) -> DelayModel:
    """Fit the model.

    Args:
        delay: float64[conversions], time from click to conversion of those seen so far.
        elapsed: float64[others], time from click to now of those that have not converted.

    Raises:
        ValueError: There is no conversion to learn from.

    """
    if not len(delay):
        raise ValueError("no conversion has arrived yet, so nothing can be said of delays")
    longest = float(elapsed.max()) if len(elapsed) else 1.0
    counts, edges = np.histogram(elapsed, _BINS, (0.0, max(longest, 1e-300)))
    middle = 0.5 * (edges[1:] + edges[:-1])
    rate, mean = _climb(float(len(delay)), float(delay.sum()), counts.astype(np.float64), middle)
    return DelayModel(rate, mean)


@kernel()
def _climb(seen: float, total_delay: float, counts: NDArray[np.float64], elapsed: NDArray[np.float64]) -> tuple[float, float]:
    others = 0.0
    for b in range(counts.shape[0]):
        others += counts[b]
    rate, mean = seen / (seen + others), total_delay / seen
    for _ in range(_STEPS):
        hidden, hidden_delay = 0.0, 0.0
        for b in range(counts.shape[0]):
            if counts[b] > 0.0:
                late = rate * np.exp(-elapsed[b] / mean)
                share = late / (1.0 - rate + late)
                hidden += counts[b] * share
                hidden_delay += counts[b] * share * (elapsed[b] + mean)
        new_rate = (seen + hidden) / (seen + others)
        new_mean = (total_delay + hidden_delay) / (seen + hidden)
        moved = abs(new_rate - rate) / rate + abs(new_mean - mean) / mean
        rate, mean = new_rate, new_mean
        if moved < _CONVERGED:
            break
    return rate, mean
