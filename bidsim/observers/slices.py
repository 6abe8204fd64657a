"""Won impressions by level of each categorical field and window of time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

COUNTS = ("wins", "views", "clicks", "payment_nanos")
WINS, VIEWS, CLICKS, PAYMENT = range(len(COUNTS))
SUMS = ("pcvr", "true_rate")
PCVR, TRUE_RATE = range(len(SUMS))


class Slices(NamedTuple):
    """Counters int64[slices, windows, counts] and sums float64[slices, windows, sums]; slice = first[field] + level."""

    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]


def empty_slices(levels: list[int], duration: int, window: int) -> Slices:
    """Allocate slices for fields with the given numbers of levels."""
    first = np.cumsum([0, *levels]).astype(np.int64)
    windows = -(-duration // window)
    return Slices(first, np.zeros((first[-1], windows, len(COUNTS)), np.int64), np.zeros((first[-1], windows, len(SUMS))))


@kernel()
def count_win(slices: Slices, categories: NDArray[np.int32], window: int, viewed: int, clicked: int, payment: int, pcvr: float, true_rate: float) -> None:
    """Count one won impression in the slice of each field."""
    for field in range(categories.shape[0]):
        s = slices.first[field] + categories[field]
        cell = slices.counts[s, window]
        cell[WINS] += 1
        cell[VIEWS] += viewed
        cell[CLICKS] += clicked
        cell[PAYMENT] += payment
        slices.sums[s, window, PCVR] += pcvr
        slices.sums[s, window, TRUE_RATE] += true_rate
