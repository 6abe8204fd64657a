"""Where opportunities went: requests by reason of loss, and what wins led to, for each campaign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REASONS = ("not_targeted", "budget", "frequency_cap", "paced", "no_bid", "timeout", "internal", "below_floor", "outbid")
"""Why a request was not won, in order of precedence."""
NOT_TARGETED, BUDGET, FREQUENCY_CAP, PACED, NO_BID, TIMEOUT, INTERNAL, BELOW_FLOOR, OUTBID = range(len(REASONS))
WON = len(REASONS)
"""Column of wins, after the reasons."""

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
