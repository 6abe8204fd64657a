"""What is normal for every slice: its calibration factor, shrunk towards all others', and how far counts scatter around it.

Counts of a window are negative binomial: a Poisson count whose mean varies from window to window (overdispersion), around a factor that is
itself only known from the windows seen so far (Gamma-Poisson empirical Bayes; Robbins 1956, Morris 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST_SIZE = 1e9


@dataclass(frozen=True)
class Baseline:
    """What is normal.

    Attributes:
        factor: float64[slices], observed over expected conversions, shrunk.
        size: float64[slices], size of the negative binomial: variance = mean + mean^2 / size.
        overdispersion: Relative variance of a window's mean around what is expected, common to all slices.
        spread: Relative variance of the slices' true factors.

    """

    factor: NDArray[np.float64]
    size: NDArray[np.float64]
    overdispersion: float
    spread: float


def fit_baseline(expected: NDArray[np.float64], observed: NDArray[np.float64]) -> Baseline:
    """Learn what is normal from quiet windows.

    Args:
        expected: float64[windows, slices], conversions that the model expects to have been seen by now.
        observed: float64[windows, slices], conversions that were.

    Raises:
        ValueError: There are fewer than two windows.

    """
    if len(expected) < 2:  # noqa: PLR2004
        raise ValueError(f"{len(expected)} quiet windows are too few to learn what is normal; two are the least")
    told, came = expected.sum(axis=0), observed.sum(axis=0)
    level = float(came.sum() / max(told.sum(), 1e-12))
    overdispersion = window_overdispersion(expected, observed)
    mean = level * told
    # a sum over windows scatters by its Poisson part and by each window's own mean
    noise = mean + overdispersion * level**2 * (expected**2).sum(axis=0)
    spread = max(float(((came - mean) ** 2 - noise).sum() / max((mean**2).sum(), 1e-12)), 1e-6)
    # precision of log-factors: prior, and what the windows tell
    known = np.divide(mean**2, noise, out=np.zeros_like(mean), where=noise > 0)
    trust = spread / (spread + np.divide(1.0, known, out=np.full_like(mean, np.inf), where=known > 0))
    ratio = np.divide(came, mean, out=np.ones_like(mean), where=mean > 0)
    factor = level * (1.0 + trust * (ratio - 1.0))
    left = spread * (1.0 - trust)
    size = np.minimum(1.0 / np.maximum(overdispersion + left, 1.0 / _LARGEST_SIZE), _LARGEST_SIZE)
    return Baseline(np.maximum(factor, 1e-6 * level), size, overdispersion, spread)


def window_overdispersion(expected: NDArray[np.float64], observed: NDArray[np.float64]) -> float:
    """Relative variance of windows' means around each slice's own level, by moments, pooled over slices; never below 0."""
    told = expected.sum(axis=0)
    level = np.divide(observed.sum(axis=0), told, out=np.zeros_like(told), where=told > 0)
    mean = level * expected
    share = np.divide(expected, told, out=np.zeros_like(expected), where=told > 0)
    # the fitted level takes part of the scatter with it
    poisson = mean * (1.0 - share)
    return max(float((((observed - mean) ** 2) - poisson).sum() / max((mean**2).sum(), 1e-12)), 0.0)
