"""Rows that a run keeps, with names for their columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.kernel import kernel
from bidsim.core.requests import CATEGORIES

WIN_INTS = (
    *("request", "time_us", "user", "campaign", "bid_nanos", "payment_nanos", "minimum_bid_nanos", "bidfloor_nanos"),
    *("rival_nanos", "position", "price_nanos", "viewed", "clicked", "converted", "conversion_time_us"),
    *CATEGORIES,
    *("arms", "sampled"),
)
WIN_FLOATS = (
    *("pcvr", "value_nanos", "multiplier", "true_rate", "direct_rate", "true_view", "true_click", "true_conversion"),
    *("natural_rate", "natural_direct_rate", "offer"),
)
DECISION_INTS = (
    *("request", "time_us", "user", "campaign", "bid_nanos", "minimum_bid_nanos", "payment_nanos", "reason"),
    "price_nanos",
)
DECISION_FLOATS = ("pcvr", "value_nanos", "multiplier", "propensity", "true_rate", "direct_rate", "quality")
CONVERSION_INTS = (
    *("time_us", "user", "campaign", "credit_time_us", "value_nanos", "ad_driven", "observed", "plain_would_have"),
    "reported_us",
)
WIN, WIN_F = columns(WIN_INTS), columns(WIN_FLOATS)
DECISION, DECISION_F = columns(DECISION_INTS), columns(DECISION_FLOATS)
CONVERSION = columns(CONVERSION_INTS)


class Log(NamedTuple):
    """Rows kept of one kind: ``ints`` and ``floats`` by row, ``features`` float32 where it has any.

    ``used`` int64[1].
    """

    ints: NDArray[np.int64]
    floats: NDArray[np.float64]
    features: NDArray[np.float32]
    used: NDArray[np.int64]


def empty_log(rows: int, ints: int, floats: int, features: int) -> Log:
    """Allocate a log."""
    return Log(
        np.zeros((rows, ints), np.int64),
        np.zeros((rows, floats)),
        np.zeros((rows, features), np.float32),
        np.zeros(1, np.int64),
    )


def roomier(log: Log, rows: int) -> Log:
    """Return a log with room for ``rows`` more, its contents kept; the same log where there is room."""
    used = int(log.used[0])
    if used + rows <= len(log.ints):
        return log
    larger = empty_log(2 * len(log.ints) + rows, log.ints.shape[1], log.floats.shape[1], log.features.shape[1])
    larger.ints[:used], larger.floats[:used], larger.features[:used] = (
        log.ints[:used],
        log.floats[:used],
        log.features[:used],
    )
    larger.used[0] = used
    return larger


@kernel(inner=True)
def log_has_room(log: Log, rows: int) -> bool:
    """Whether ``rows`` more fit."""
    return log.used[0] + rows <= log.ints.shape[0]


@kernel(inner=True)
def take_row(log: Log) -> int:
    """Next free row of a log."""
    row = log.used[0]
    log.used[0] += 1
    return row
