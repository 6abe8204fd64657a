"""Which campaigns may bid for a request: targeting and flight as bitsets, then budget and frequency cap."""

from __future__ import annotations

import numpy as np

from bidsim.bidder.ledger import affordable
from bidsim.bidder.memory import capped
from bidsim.bidder.tables import Bidder, Campaigns, Targeting
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.reasons import BUDGET, FREQUENCY_CAP
from bidsim.core.requests import Requests
from bidsim.core.units import DAY
from bidsim.kernels.bits import WORD, lowest_bit, without_lowest

_ONE = np.uint64(1)


@kernel(inner=True)
def refresh_flights(targeting: Targeting, campaigns: Campaigns, time: int) -> None:
    """Set the bits of campaigns whose flight covers ``time``, and when that changes next."""
    targeting.flight[:] = 0
    change = np.int64(2**62)
    for c in range(campaigns.start.shape[0]):
        if campaigns.start[c] <= time < campaigns.end[c]:
            targeting.flight[c // WORD] |= _ONE << np.uint64(c % WORD)
        for bound in (campaigns.start[c], campaigns.end[c]):
            if time < bound < change:
                change = bound
    targeting.change[0] = change


@kernel(inner=True)
def budget_day(bidder: Bidder, requests: Requests, i: int) -> int:
    """Day, or episode where there are any, that the daily budget of request ``i`` belongs to."""
    episode = bidder.rules.episode
    return requests.number[i] // episode if episode > 0 else requests.time[i] // DAY


@kernel(inner=True)
def find_participants(bidder: Bidder, requests: Requests, i: int, drawn: int, nothing: bool) -> tuple[int, int]:
    """Of the ``drawn`` campaigns whose values were drawn, keep those in flight; return as `find_eligible`.

    Those without money stand behind, unless ``nothing`` is a bid. ``desk.source`` says which drawn row each came from.
    """
    campaigns, desk, offers = bidder.campaigns, bidder.desk, bidder.desk.offers
    time, day = requests.time[i], budget_day(bidder, requests, i)
    count = broke = 0
    for k in range(drawn):
        c = offers.campaign[k]
        if not campaigns.start[c] <= time < campaigns.end[c]:
            continue
        money = affordable(bidder.ledger, c, day)
        if money <= 0 and not nothing:
            bidder.reasons[c, BUDGET] += 1
            # what is believed of it waits where no row can be written any more
            desk.broke[broke], desk.wanted[broke] = c, k
            desk.truth[broke], desk.price[broke] = offers.pcvr[k], offers.value[k]
            broke += 1
            continue
        offers.campaign[count], offers.pcvr[count], offers.value[count] = c, offers.pcvr[k], offers.value[k]
        offers.cap[count], desk.source[count] = max(money, 0), k
        count += 1
    for b in range(broke):
        k = count + b
        offers.campaign[k], offers.cap[k], desk.source[k] = desk.broke[b], 0, desk.wanted[b]
        offers.pcvr[k], offers.value[k] = desk.truth[b], desk.price[b]
    return count, count + broke


@kernel(inner=True)
def _targeted_word(bidder: Bidder, requests: Requests, i: int, word: int, share: float) -> np.uint64:
    targeting, seats = bidder.targeting, bidder.seats
    bits = targeting.flight[word]
    for field in range(targeting.first.shape[0]):
        bits &= targeting.allowed[targeting.first[field] + requests.categories[i, field], word]
    for seat in range(seats.user_from.shape[0]):
        if not seats.user_from[seat] <= share < seats.user_to[seat]:
            bits &= ~targeting.member[seat, word]
    return bits


@kernel(inner=True)
def find_eligible(bidder: Bidder, requests: Requests, i: int, watch: bool) -> tuple[int, int]:
    """Write the eligible campaigns of request ``i`` to ``offers.campaign`` and ``offers.cap``.

    Returns:
        How many there are, and how many rows with those that only lack money, which follow where they are watched:
        they cannot bid, but what they missed is logged.

    """
    time, day = requests.time[i], budget_day(bidder, requests, i)
    campaigns, desk, reasons = bidder.campaigns, bidder.desk, bidder.reasons
    if time >= bidder.targeting.change[0]:
        refresh_flights(bidder.targeting, campaigns, time)
    share = uniform(bidder.keys.split, requests.user[i], 0, 0)
    count = broke = 0
    for word in range(bidder.targeting.flight.shape[0]):
        bits = _targeted_word(bidder, requests, i, word, share)
        while bits:
            c = word * WORD + lowest_bit(bits)
            bits = without_lowest(bits)
            money = affordable(bidder.ledger, c, day)
            if money <= 0:
                reasons[c, BUDGET] += 1
                if watch:
                    desk.broke[broke] = c
                    broke += 1
            elif capped(bidder.memory, desk.exposure_of[c], campaigns.cap_count[c], campaigns.cap_window[c], time):
                reasons[c, FREQUENCY_CAP] += 1
            else:
                desk.offers.campaign[count] = c
                desk.offers.cap[count] = money
                count += 1
    for k in range(broke):
        desk.offers.campaign[count + k] = desk.broke[k]
        desk.offers.cap[count + k] = 0
    return count, count + broke
