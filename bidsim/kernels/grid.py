"""A logarithmic grid of money, sixteen steps to an octave.

Where bids and prices are counted by those who learn from them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

STEPS = 16
"""Steps to an octave: a step is 4.4%."""
_LOWEST = 10
BINS = STEPS * 36
"""Bins, from 2^10 nanos (a thousandth of a CPM) to 2^46 (70,000 currency units for one impression)."""


@kernel()
def bin_of(nanos: float) -> int:
    """Bin of an amount; what lies outside goes to the first or last."""
    if nanos < 2.0**_LOWEST:
        return 0
    return min(int((math.log2(nanos) - _LOWEST) * STEPS), BINS - 1)


@kernel()
def lower_edge(b: int) -> float:
    """Lowest amount of a bin, nanos."""
    return 2.0 ** (_LOWEST + b / STEPS)


def edges() -> NDArray[np.float64]:
    """Lower edges of all bins, float64[BINS]."""
    return np.asarray(2.0 ** (_LOWEST + np.arange(BINS) / STEPS))
