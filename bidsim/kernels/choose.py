"""Drawing from discrete distributions by a uniform number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

_MOST = 1000


def cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative shares of non-negative weights; the last is exactly 1."""
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    shares = total / total[-1]
    shares[-1] = 1.0
    return np.ascontiguousarray(shares)


@kernel()
def choose(shares: NDArray[np.float64], u: float) -> int:
    """Index of the first cumulative share above ``u`` (binary search)."""
    low, high = 0, shares.shape[0] - 1
    while low < high:
        middle = (low + high) >> 1
        if shares[middle] > u:
            high = middle
        else:
            low = middle + 1
    return low


@kernel()
def poisson_quantile(mean: float, u: float) -> int:
    """Smallest k with P(K <= k) >= u for a Poisson of small mean (below about 30), by summing the mass."""
    mass = math.exp(-mean)
    total = mass
    k = 0
    while total < u and k < _MOST:
        k += 1
        mass *= mean / k
        total += mass
    return k
