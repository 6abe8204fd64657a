"""What each campaign did in each bucket of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

COLUMNS = ("eligible", "bids", "wins", "views", "clicks", "conversions", "payment_nanos", "sales_nanos")
ELIGIBLE, BIDS, WINS, VIEWS, CLICKS, CONVERSIONS, PAYMENT, SALES = range(len(COLUMNS))


def empty_timeline(campaigns: int, duration: int, bucket: int) -> NDArray[np.int64]:
    """Counters int64[campaigns, buckets, columns]."""
    return np.zeros((campaigns, -(-duration // bucket), len(COLUMNS)), np.int64)


@kernel()
def count(timeline: NDArray[np.int64], campaign: int, bucket: int, column: int, amount: int) -> None:
    """Add to one cell; times after the end belong to no bucket."""
    if 0 <= bucket < timeline.shape[1]:
        timeline[campaign, bucket, column] += amount
