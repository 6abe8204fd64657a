"""What bids of the exploration slice led to, by arm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("offered", "bids", "wins", "payment_nanos")
OFFERED, BIDS, WINS, PAYMENT = range(len(COLUMNS))


def empty_tried(campaigns: int, arms: int) -> NDArray[np.int64]:
    """Counters int64[campaigns, arms, columns]."""
    return np.zeros((campaigns, arms, len(COLUMNS)), np.int64)
