"""Purchases that may be credited, in order of time: the queue of late conversions."""

from __future__ import annotations

import math
from typing import NamedTuple

from bidsim.bidder.memory import Memory
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform_open
from bidsim.core.units import nanos_of
from bidsim.engine.feed import Feed, report
from bidsim.engine.tables import Keys
from bidsim.engine.users import CLOCKS, EVENTS, Store
from bidsim.kernels.heap import heap_pop
from bidsim.kernels.normal import normal_quantile
from bidsim.response.purchases import (
    COUNT,
    CREDIT_CAMPAIGN,
    CREDIT_LEVELS,
    CREDIT_PRICE,
    CREDIT_RATE,
    CREDIT_ROW,
    CREDIT_TIME,
    LINE,
    PENDING,
    PLAIN_NEXT,
    USER,
    advance,
    buy,
    next_purchase,
)
from bidsim.response.truth import Truth


class Conversion(NamedTuple):
    """A purchase credited to a campaign; ``campaign`` -1 where the event was stale.

    ``levels`` and ``rate`` are what observers kept of the impression; ``plain_would_have`` is 1 where the user without
    ads would have bought at the very same moment.
    """

    campaign: int
    time: int
    user: int
    credit_time: int
    row: int
    levels: int
    rate: int
    value: int
    ad_driven: int
    plain_would_have: int


@kernel(inner=True)
def due(store: Store, time: int) -> bool:
    """Whether an event is due by ``time``."""
    return store.used[EVENTS] > 0 and store.heap[0, 0] <= time


@kernel(inner=True)
def next_conversion(store: Store, truth: Truth, keys: Keys, feed: Feed, memory: Memory) -> Conversion:
    """Take the earliest event from the queue and carry out its purchase, of which the shop's ``feed`` tells."""
    time, entry = store.heap[0, 0], store.heap[0, 1]
    store.used[EVENTS] = heap_pop(store.heap, store.used[EVENTS])
    clock = store.clocks[entry]
    campaign = clock[CREDIT_CAMPAIGN]
    if campaign < 0 or next_purchase(clock) != time:
        return Conversion(-1, time, 0, 0, -1, 0, 0, 0, 0, 0)
    ad_driven = 1 if clock[PENDING] == time else 0
    plain = 1 if clock[PLAIN_NEXT] == time else 0
    spread = truth.basket[clock[LINE]]
    noise = normal_quantile(uniform_open(keys.basket, clock[USER], truth.line_id[clock[LINE]], clock[COUNT]))
    value = nanos_of(clock[CREDIT_PRICE] * math.exp(spread * noise - 0.5 * spread * spread))
    found = Conversion(
        campaign,
        time,
        clock[USER],
        clock[CREDIT_TIME],
        clock[CREDIT_ROW],
        clock[CREDIT_LEVELS],
        clock[CREDIT_RATE],
        value,
        ad_driven,
        plain,
    )
    buy(clock, truth, keys.organic, store.scale[entry])
    report(feed, memory, clock, ad_driven == 1, time)
    clock[CREDIT_CAMPAIGN] = -1
    return found


@kernel()
def advance_all(store: Store, truth: Truth, keys: Keys, time: int) -> None:
    """Bring every clock up to ``time``; events due by then must have been taken before."""
    for entry in range(store.used[CLOCKS]):
        advance(store.clocks[entry], truth, keys.organic, store.scale[entry], time)
