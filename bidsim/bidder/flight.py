"""Bids in flight: sent, and not yet answered by a notice; found by their id, dropped by age.

Used where notices come late. Each entry remembers what was offered, so that a policy hears of its bid as it was.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.contracts import Offers
from bidsim.core.kernel import kernel
from bidsim.core.random import mix

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

BID = columns(
    ("id", "campaign", "user", "bid", "day", "sent", "chain", "older", "newer", "active", "cap", "floor", "budget")
)
"""Columns of `Flight.bids`: what was sent; ``chain`` links bids of one bucket, ``older`` and ``newer`` those in
time."""
BELIEF = columns(("pcvr", "value", "multiplier", "passed", "lift", "propensity", "quality"))
"""Columns of `Flight.beliefs`: what the bidder thought when it sent the bid."""
IN_FLIGHT, FREE, OLDEST, NEWEST, TOP = range(5)
"""Columns of `Flight.used`: bids in flight, head of the free entries, oldest and newest bid, entries ever used."""
UNKNOWN, EXPIRED, TWICE = range(3)
"""Columns of `Flight.counts`: notices for no bid in flight, bids released by age, bids sent twice under one id."""


class Flight(NamedTuple):
    """Bids in flight.

    Fields: ``bids`` int64[n, columns] and ``beliefs`` float64[n, columns]; ``dice`` uint64[n] of the offers;
    ``buckets`` int64[m], heads of chains by hash of the id; ``used`` int64[5]; ``counts`` int64[3].
    """

    bids: I64
    beliefs: F64
    dice: NDArray[np.uint64]
    buckets: I64
    used: I64
    counts: I64


def empty_flight(bids: int) -> Flight:
    """Allocate room for ``bids`` bids in flight."""
    return Flight(
        bids=np.zeros((bids, len(BID)), np.int64),
        beliefs=np.zeros((bids, len(BELIEF))),
        dice=np.zeros(bids, np.uint64),
        buckets=np.full(bids, -1, np.int64),
        used=np.array([0, -1, -1, -1, 0], np.int64),
        counts=np.zeros(3, np.int64),
    )


@kernel()
def flight_has_room(flight: Flight, bids: int) -> bool:
    """Whether ``bids`` more bids may be sent."""
    return flight.used[IN_FLIGHT] + bids <= flight.bids.shape[0]


def grown_flight(flight: Flight, bids: int) -> Flight:
    """Return a flight with room for ``bids`` more; itself where it has that."""
    if int(flight.used[IN_FLIGHT]) + bids <= len(flight.bids):
        return flight
    old, size = len(flight.bids), 2 * len(flight.bids) + bids
    larger = empty_flight(size)
    larger.bids[:old], larger.beliefs[:old], larger.dice[:old] = flight.bids, flight.beliefs, flight.dice
    larger.used[:], larger.counts[:] = flight.used, flight.counts
    _rehash(larger.bids, larger.buckets, larger.used)
    return larger


@kernel()
def _rehash(bids: I64, buckets: I64, used: I64) -> None:
    entry = used[OLDEST]
    while entry >= 0:
        at = _bucket(buckets, bids[entry, BID.id])
        bids[entry, BID.chain] = buckets[at]
        buckets[at] = entry
        entry = bids[entry, BID.newer]


@kernel(inner=True)
def _bucket(buckets: I64, bid: int) -> int:
    at: Any = np.int64(mix(np.uint64(bid)) % np.uint64(buckets.shape[0]))
    return at


@kernel(inner=True)
def find_bid(flight: Flight, bid: int) -> int:
    """Entry of a bid in flight, -1 where there is none of that id."""
    entry = flight.buckets[_bucket(flight.buckets, bid)]
    while entry >= 0 and flight.bids[entry, BID.id] != bid:
        entry = flight.bids[entry, BID.chain]
    return entry


@kernel(inner=True)
def send_bid(flight: Flight, bid: int, offers: Offers, k: int, user: int, day: int, time: int) -> int:
    """Note that row ``k`` of the offers was sent; return its entry, -1 where a bid of that id is in flight already."""
    if find_bid(flight, bid) >= 0:
        flight.counts[TWICE] += 1
        return -1
    entry = flight.used[FREE]
    if entry >= 0:
        flight.used[FREE] = flight.bids[entry, BID.chain]
    else:
        entry = flight.used[TOP]
        flight.used[TOP] += 1
    flight.used[IN_FLIGHT] += 1
    at = _bucket(flight.buckets, bid)
    row, belief = flight.bids[entry], flight.beliefs[entry]
    row[BID.id], row[BID.campaign], row[BID.user], row[BID.bid] = bid, offers.campaign[k], user, offers.bid[k]
    row[BID.day], row[BID.sent], row[BID.active], row[BID.cap] = day, time, offers.active[k], offers.cap[k]
    row[BID.floor], row[BID.budget] = offers.floor[k], offers.budget[k]
    row[BID.chain] = flight.buckets[at]
    flight.buckets[at] = entry
    row[BID.older], row[BID.newer] = flight.used[NEWEST], -1
    if flight.used[NEWEST] >= 0:
        flight.bids[flight.used[NEWEST], BID.newer] = entry
    else:
        flight.used[OLDEST] = entry
    flight.used[NEWEST] = entry
    belief[BELIEF.pcvr], belief[BELIEF.value], belief[BELIEF.multiplier] = (
        offers.pcvr[k],
        offers.value[k],
        offers.multiplier[k],
    )
    belief[BELIEF.passed], belief[BELIEF.lift] = offers.passed[k], offers.lift[k]
    belief[BELIEF.propensity], belief[BELIEF.quality] = offers.propensity[k], offers.quality[k]
    flight.dice[entry] = offers.dice[k]
    return entry


@kernel(inner=True)
def lay_out(flight: Flight, entry: int, offers: Offers) -> None:
    """Write a bid in flight to the first row of ``offers``, as it was when it was sent, not won so far."""
    row, belief = flight.bids[entry], flight.beliefs[entry]
    offers.campaign[0], offers.bid[0], offers.active[0] = row[BID.campaign], row[BID.bid], row[BID.active]
    offers.cap[0], offers.floor[0], offers.budget[0] = row[BID.cap], row[BID.floor], row[BID.budget]
    offers.pcvr[0], offers.value[0] = belief[BELIEF.pcvr], belief[BELIEF.value]
    offers.multiplier[0], offers.passed[0] = belief[BELIEF.multiplier], belief[BELIEF.passed]
    offers.lift[0], offers.propensity[0] = belief[BELIEF.lift], belief[BELIEF.propensity]
    offers.quality[0], offers.dice[0] = belief[BELIEF.quality], flight.dice[entry]
    offers.won[0], offers.payment[0], offers.price[0], offers.minimum[0], offers.effect[0] = 0, 0, 0, -1, 1.0


@kernel(inner=True)
def land(flight: Flight, entry: int) -> None:
    """Take a bid out of the flight: it is answered, or too old."""
    row = flight.bids[entry]
    at = _bucket(flight.buckets, row[BID.id])
    if flight.buckets[at] == entry:
        flight.buckets[at] = row[BID.chain]
    else:
        before = flight.buckets[at]
        while flight.bids[before, BID.chain] != entry:
            before = flight.bids[before, BID.chain]
        flight.bids[before, BID.chain] = row[BID.chain]
    older, newer = row[BID.older], row[BID.newer]
    if older >= 0:
        flight.bids[older, BID.newer] = newer
    else:
        flight.used[OLDEST] = newer
    if newer >= 0:
        flight.bids[newer, BID.older] = older
    else:
        flight.used[NEWEST] = older
    row[BID.chain] = flight.used[FREE]
    flight.used[FREE] = entry
    flight.used[IN_FLIGHT] -= 1
