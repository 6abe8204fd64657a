"""Where opportunities went: requests by reason of loss, and what wins led to, for each campaign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.reasons import REASONS

COUNTS = ("views", "clicks", "conversions", "conversions_eventual", "conversions_ad_driven", "ghost_wins")
VIEWS, CLICKS, CONVERSIONS, EVENTUAL, AD_DRIVEN, GHOST_WINS = range(len(COUNTS))

AMOUNTS = ("payment_nanos", "sales_nanos", "sales_eventual_nanos", "value_nanos")
PAYMENT, SALES, SALES_EVENTUAL, VALUE = range(len(AMOUNTS))

SUMS = ("pcvr", "true_rate", "direct_rate")
"""Sums over wins of the predicted rate, the true attributed rate, and the purchases added."""
PCVR, TRUE_RATE, DIRECT_RATE = range(len(SUMS))


def empty_reasons(campaigns: int) -> NDArray[np.int64]:
    """Counters int64[campaigns, reasons + 1]; ``not_targeted`` is what is left of all requests."""
    return np.zeros((campaigns, len(REASONS) + 1), np.int64)
