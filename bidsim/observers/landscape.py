"""What other bids would have bought: the auction is cleared again at multiples of each campaign's bid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FACTORS = (0.5, 0.8, 1.0, 1.2, 1.5)
"""Multiples of a campaign's own bid; rivals' bids are fixed and budgets are not looked at."""

COLUMNS = ("bids", "wins", "payment_nanos")
BIDS, WINS, PAYMENT = range(len(COLUMNS))
SUMS = ("expected_conversions", "expected_value_nanos")
CONVERSIONS, VALUE = range(len(SUMS))


def empty_landscape(campaigns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counters int64[campaigns, factors, columns] and sums float64[campaigns, factors, sums]."""
    shape = (campaigns, len(FACTORS))
    return np.zeros((*shape, len(COLUMNS)), np.int64), np.zeros((*shape, len(SUMS)))
