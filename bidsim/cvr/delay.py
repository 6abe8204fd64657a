"""Late conversions: a rate and a mean delay from labels that have not all arrived (Chapelle, KDD 2014).

A click converts with probability p after an exponential delay of mean m. What has not converted after an elapsed time
e may still do so, with probability p exp(-e/m) / (1 - p + p exp(-e/m)). Maximum likelihood by expectation and
maximisation, finished by Newton's method; elapsed times of the unconverted are counted in fine bins, for only they
enter each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

_BINS = 1024
_EM_STEPS, _NEWTON_STEPS = 30, 50
_NUDGE = 1e-5
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

    def still_to_come(
        self, elapsed: NDArray[np.float64], rate: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
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
def _log_likelihood(
    log_odds: float,
    log_mean: float,
    seen: float,
    total_delay: float,
    counts: NDArray[np.float64],
    elapsed: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Log-likelihood and its slopes in the log-odds of the rate and the log of the mean delay."""
    rate, mean = 1.0 / (1.0 + np.exp(-log_odds)), np.exp(log_mean)
    value = seen * (np.log(rate) - log_mean) - total_delay / mean
    by_rate, by_mean = seen / rate, total_delay / mean - seen
    for b in range(counts.shape[0]):
        if counts[b] > 0.0:
            survives = np.exp(-elapsed[b] / mean)
            silent = 1.0 - rate + rate * survives
            value += counts[b] * np.log(silent)
            by_rate += counts[b] * (survives - 1.0) / silent
            by_mean += counts[b] * rate * survives * elapsed[b] / (mean * silent)
    return value, by_rate * rate * (1.0 - rate), by_mean


@kernel()
def _em_step(
    rate: float,
    mean: float,
    seen: float,
    total_delay: float,
    counts: NDArray[np.float64],
    elapsed: NDArray[np.float64],
    others: float,
) -> tuple[float, float]:
    """One step of expectation and maximisation: clicks that have not converted count by the chance that they will."""
    hidden, hidden_delay = 0.0, 0.0
    for b in range(counts.shape[0]):
        if counts[b] > 0.0:
            late = rate * np.exp(-elapsed[b] / mean)
            share = late / (1.0 - rate + late)
            hidden += counts[b] * share
            hidden_delay += counts[b] * share * (elapsed[b] + mean)
    return (seen + hidden) / (seen + others), (total_delay + hidden_delay) / (seen + hidden)


@kernel()
def _climb(
    seen: float, total_delay: float, counts: NDArray[np.float64], elapsed: NDArray[np.float64]
) -> tuple[float, float]:
    """Expectation and maximisation for a start, which is slow at the end; then Newton's method, never downhill."""
    others = 0.0
    for b in range(counts.shape[0]):
        others += counts[b]
    rate, mean = seen / (seen + others), total_delay / seen
    for _ in range(_EM_STEPS):
        rate, mean = _em_step(rate, mean, seen, total_delay, counts, elapsed, others)
    if others == 0.0:
        return rate, mean
    x, y = np.log(rate / (1.0 - rate)), np.log(mean)
    best, dx, dy = _log_likelihood(x, y, seen, total_delay, counts, elapsed)
    for _ in range(_NEWTON_STEPS):
        _, xx, xy = _log_likelihood(x + _NUDGE, y, seen, total_delay, counts, elapsed)
        _, yx, yy = _log_likelihood(x, y + _NUDGE, seen, total_delay, counts, elapsed)
        a, cross, c = (xx - dx) / _NUDGE, 0.5 * ((xy - dy) + (yx - dx)) / _NUDGE, (yy - dy) / _NUDGE
        determinant = a * c - cross * cross
        if not (a < 0.0 and determinant > 0.0):
            break
        step_x, step_y = -(c * dx - cross * dy) / determinant, -(a * dy - cross * dx) / determinant
        part = 1.0
        while part > _NUDGE:
            tried, tried_dx, tried_dy = _log_likelihood(
                x + part * step_x, y + part * step_y, seen, total_delay, counts, elapsed
            )
            if tried >= best:
                break
            part *= 0.5
        if part <= _NUDGE:
            break
        x, y, best, dx, dy = x + part * step_x, y + part * step_y, tried, tried_dx, tried_dy
        if abs(part * step_x) + abs(part * step_y) < _CONVERGED:
            break
    return 1.0 / (1.0 + np.exp(-x)), np.exp(y)
