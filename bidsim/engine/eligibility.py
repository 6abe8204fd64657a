"""Which campaigns may bid for a request: targeting and flight as bitsets, then budget and frequency cap."""

from __future__ import annotations

import numpy as np

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.reasons import BUDGET, FREQUENCY_CAP
from bidsim.core.units import DAY
from bidsim.engine.store import capped
from bidsim.engine.tables import Campaigns, Chunk, Ledger, Simulated, Targeting
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
def affordable(campaigns: Campaigns, ledger: Ledger, campaign: int, time: int) -> int:
    """Nanos that the total and the daily budget still allow; a new day opens a new daily budget."""
    day = time // DAY
    if ledger.day[campaign] != day:
        ledger.day[campaign] = day
        ledger.today[campaign] = 0
    return min(campaigns.budget[campaign] - ledger.spent[campaign], campaigns.daily[campaign] - ledger.today[campaign])


@kernel(inner=True)
def _targeted_word(sim: Simulated, chunk: Chunk, i: int, word: int, share: float) -> np.uint64:
    targeting = sim.targeting
    bits = targeting.flight[word]
    for field in range(targeting.first.shape[0]):
        bits &= targeting.allowed[targeting.first[field] + chunk.requests.categories[i, field], word]
    for seat in range(sim.seats.user_from.shape[0]):
        if not sim.seats.user_from[seat] <= share < sim.seats.user_to[seat]:
            bits &= ~targeting.member[seat, word]
    return bits


@kernel(inner=True)
def find_eligible(sim: Simulated, chunk: Chunk, i: int) -> int:
    """Write the eligible campaigns of request ``i`` to ``offers.campaign`` and ``offers.cap``; return how many."""
    time = chunk.requests.time[i]
    if time >= sim.targeting.change[0]:
        refresh_flights(sim.targeting, sim.campaigns, time)
    share = uniform(sim.keys.split, chunk.requests.user[i], 0, 0)
    reasons = sim.counters.reasons
    count = 0
    for word in range(sim.targeting.flight.shape[0]):
        bits = _targeted_word(sim, chunk, i, word, share)
        while bits:
            c = word * WORD + lowest_bit(bits)
            bits = without_lowest(bits)
            money = affordable(sim.campaigns, sim.ledger, c, time)
            if money <= 0:
                reasons[c, BUDGET] += 1
            elif capped(sim.store, sim.scratch.exposure_of[c], sim.campaigns.cap_count[c], sim.campaigns.cap_window[c], time):
                reasons[c, FREQUENCY_CAP] += 1
            else:
                sim.scratch.offers.campaign[count] = c
                sim.scratch.offers.cap[count] = money
                count += 1
    return count
