"""Purchase clocks: when a user buys a product line, with and without ads.

Without ads a buyer's purchases form a renewal process with a Weibull hazard in the time since the last
one, started from its stationary law (Cox, Renewal Theory, 1962, section 5). An ad-driven purchase may come
first; whichever comes first satisfies the need, and the clock starts anew. Beside it runs the *plain*
clock, the same user with the same dice and no ads: the difference is what advertising caused.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.core.units import MINUTE, NEVER
from bidsim.kernels.normal import sigmoid
from bidsim.response.truth import Truth

CLOCK = (
    *("user", "line", "link", "buyer", "last", "next", "pending", "count", "plain_next", "plain_count"),
    *("credit_time", "credit_campaign", "credit_row", "credit_price", "credit_levels", "credit_rate"),
    *("exposed", "bought", "plain_bought", "told"),
)
"""Columns of a clock: int64. Times are microseconds, `NEVER` where nothing is due; ``told`` is the purchase told
last."""
(USER, LINE, LINK, BUYER, LAST, NEXT, PENDING, COUNT, PLAIN_NEXT, PLAIN_COUNT) = range(10)
(CREDIT_TIME, CREDIT_CAMPAIGN, CREDIT_ROW, CREDIT_PRICE, CREDIT_LEVELS, CREDIT_RATE) = range(10, 16)
(EXPOSED, BOUGHT, PLAIN_BOUGHT, TOLD) = range(16, len(CLOCK))

NOT_EXPOSED, SERVED, HELD_OUT = range(3)
"""Values of column ``exposed``: before the first win, after a served first win, after a ghost one."""

_BUYER, _AGE, _LENGTH = -1, -2, -3


@kernel()
def is_buyer(truth: Truth, key: np.uint64, user: int, line: int, intent: float, interest: int) -> bool:
    """Whether a user buys this line without ads; likelier with a matching interest and with intent."""
    match = 1.0 if truth.interest[line] == interest else -0.2
    chance = sigmoid(truth.buyers[line] + 0.8 * match + truth.organic_intent * intent)
    return uniform(key, user, truth.line_id[line], _BUYER) < chance


@kernel()
def user_scale(truth: Truth, line: int, intent: float) -> float:
    """Weibull scale of a user's own intervals, microseconds; a minute at least."""
    return max(truth.scale[line] * math.exp(-truth.organic_intent * intent / truth.shape[line]), float(MINUTE))


@kernel()
def _interval(truth: Truth, key: np.uint64, user: int, line: int, count: int, scale: float) -> int:
    threshold = -math.log(uniform_open(key, user, truth.line_id[line], count))
    return 1 + int(scale * threshold ** (1.0 / truth.shape[line]))


@kernel()
def start_clock(
    clock: NDArray[np.int64], truth: Truth, key: np.uint64, user: int, line: int, buyer: bool, scale: float, start: int
) -> None:
    """Set a clock at time ``start``: a buyer is somewhere inside a length-biased interval."""
    clock[:] = 0
    clock[USER] = user
    clock[LINE] = line
    clock[BUYER] = 1 if buyer else 0
    clock[LAST] = -NEVER
    clock[NEXT] = NEVER
    if buyer:
        table = truth.start[line]
        u = uniform(key, user, truth.line_id[line], _LENGTH)
        length = scale * table[int(u * table.shape[0])] ** (1.0 / truth.shape[line])
        clock[LAST] = start - int(uniform(key, user, truth.line_id[line], _AGE) * length)
        clock[NEXT] = max(clock[LAST] + int(length), start) + 1
    clock[PENDING] = NEVER
    clock[PLAIN_NEXT] = clock[NEXT]
    clock[CREDIT_TIME] = -NEVER
    clock[CREDIT_CAMPAIGN] = -1
    clock[CREDIT_ROW] = -1


@kernel()
def next_purchase(clock: NDArray[np.int64]) -> int:
    """When the user buys next, as things stand."""
    return min(clock[NEXT], clock[PENDING])


@kernel()
def buy(clock: NDArray[np.int64], truth: Truth, key: np.uint64, scale: float) -> None:
    """Carry out the next purchase: the need is satisfied and the clock starts anew."""
    now = next_purchase(clock)
    clock[LAST] = now
    clock[PENDING] = NEVER
    clock[COUNT] += 1
    if clock[BUYER]:
        clock[NEXT] = now + _interval(truth, key, clock[USER], clock[LINE], clock[COUNT], scale)
    if clock[EXPOSED] != NOT_EXPOSED:
        clock[BOUGHT] += 1


@kernel()
def advance(clock: NDArray[np.int64], truth: Truth, key: np.uint64, scale: float, time: int) -> None:
    """Carry out all purchases up to ``time`` on both clocks."""
    while next_purchase(clock) <= time:
        buy(clock, truth, key, scale)
    while clock[PLAIN_NEXT] <= time:
        clock[PLAIN_COUNT] += 1
        clock[PLAIN_NEXT] += _interval(truth, key, clock[USER], clock[LINE], clock[PLAIN_COUNT], scale)
        if clock[EXPOSED] != NOT_EXPOSED:
            clock[PLAIN_BOUGHT] += 1
