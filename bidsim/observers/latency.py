"""Response times of seats in buckets of equal ratio, as an HDR histogram has them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.buckets import OCTAVES, PER_OCTAVE
from bidsim.core.kernel import kernel

COUNTS = ("decisions", "late", "shed")
DECISIONS, LATE, SHED = range(len(COUNTS))
BUCKETS = OCTAVES * PER_OCTAVE


def empty_latency(seats: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counters int64[seats, columns], and histograms int64[seats, buckets]."""
    return np.zeros((seats, len(COUNTS)), np.int64), np.zeros((seats, BUCKETS), np.int64)


def upper_bounds() -> NDArray[np.float64]:
    """Upper bound of each bucket in microseconds."""
    return np.asarray(2.0 ** (np.arange(1, BUCKETS + 1) / PER_OCTAVE) / 1e3)


@kernel()
def count_response(histogram: NDArray[np.int64], microseconds: float) -> None:
    """Count one response time."""
    bucket = int(PER_OCTAVE * math.log2(max(microseconds * 1e3, 1.0)))
    histogram[min(bucket, BUCKETS - 1)] += 1
