"""Which campaigns may bid for a request: targeting and flight as bitsets, then budget and frequency cap."""

from __future__ import annotations

import numpy as np

from bidsim.core.contracts import Drawn, Offers, call_draw
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.reasons import BUDGET, FREQUENCY_CAP
from bidsim.core.units import DAY
from bidsim.engine.store import capped
from bidsim.engine.tables import Campaigns, Chunk, Ledger, Simulated, Targeting
from bidsim.kernels.bits import WORD, lowest_bit, without_lowest
from bidsim.observers import timeline

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
def affordable(campaigns: Campaigns, ledger: Ledger, campaign: int, day: int) -> int:
    """Nanos that the total and the daily budget still allow; a new day, or episode, opens a new one."""
    if ledger.day[campaign] != day:
        ledger.day[campaign] = day
        ledger.today[campaign] = 0
    return min(campaigns.budget[campaign] - ledger.spent[campaign], campaigns.daily[campaign] - ledger.today[campaign])


@kernel(inner=True)
def ties_with_nothing(sim: Simulated, chunk: Chunk, i: int) -> bool:
    """Whether the price to reach is 0, and yields to equal bids: then a bid of nothing is a bid, without money, too."""
    return sim.rules.yields != 0 and chunk.rivals[i, 0] == 0


@kernel(inner=True)
def budget_day(sim: Simulated, chunk: Chunk, i: int) -> int:
    """Day, or episode where there are any, that the daily budget of request ``i`` belongs to."""
    return chunk.requests.number[i] // sim.rules.episode if sim.rules.episode > 0 else chunk.requests.time[i] // DAY


@kernel(inner=True)
def find_participants(sim: Simulated, chunk: Chunk, i: int, watch: bool) -> tuple[int, int]:
    """Let the value model draw who takes part, and drop whoever has no money or no flight; return as `find_eligible`."""
    time, request = chunk.requests.time[i], chunk.requests.number[i]
    day = budget_day(sim, chunk, i)
    offers, drawn = sim.scratch.offers, sim.scratch.drawn
    logged = chunk.logged[i] if chunk.logged.shape[0] > 1 else chunk.logged[0]
    drawn_count = call_draw(
        sim.calls.draw[0], (offers, drawn, request, sim.keys.values, logged, sim.value_floats, sim.value_ints)
    )
    nothing = ties_with_nothing(sim, chunk, i)
    count = watched = 0
    for k in range(drawn_count):
        c = offers.campaign[k]
        if not sim.campaigns.start[c] <= time < sim.campaigns.end[c]:
            continue
        money = affordable(sim.campaigns, sim.ledger, c, day)
        if money <= 0 and not nothing:
            sim.counters.reasons[c, BUDGET] += 1
            timeline.count(sim.counters.timeline, c, time // sim.rules.bucket, timeline.ELIGIBLE, 1)
            if watch:
                _move_row(offers, drawn, k, watched)
                offers.cap[watched] = 0
                watched += 1
            continue
        _move_row(offers, drawn, k, count)
        offers.cap[count] = max(money, 0)
        count += 1
        watched += 1
    return count, watched


@kernel(inner=True)
def _move_row(offers: Offers, drawn: Drawn, source: int, target: int) -> None:
    """Move a drawn row to the front, the rows between going back by one."""
    if source == target:
        return
    campaign, pcvr, value = offers.campaign[source], offers.pcvr[source], offers.value[source]
    worth, chance, quality, cap = drawn.worth[source], drawn.chance[source], drawn.quality[source], offers.cap[source]
    click, conversion = drawn.click[source], drawn.conversion[source]
    for k in range(source, target, -1):
        offers.campaign[k], offers.pcvr[k], offers.value[k], offers.cap[k] = (
            offers.campaign[k - 1],
            offers.pcvr[k - 1],
            offers.value[k - 1],
            offers.cap[k - 1],
        )
        drawn.worth[k], drawn.chance[k], drawn.quality[k] = (
            drawn.worth[k - 1],
            drawn.chance[k - 1],
            drawn.quality[k - 1],
        )
        drawn.click[k], drawn.conversion[k] = drawn.click[k - 1], drawn.conversion[k - 1]
    offers.campaign[target], offers.pcvr[target], offers.value[target], offers.cap[target] = campaign, pcvr, value, cap
    drawn.worth[target], drawn.chance[target], drawn.quality[target] = worth, chance, quality
    drawn.click[target], drawn.conversion[target] = click, conversion


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
def find_eligible(sim: Simulated, chunk: Chunk, i: int, watch: bool) -> tuple[int, int]:
    """Write the eligible campaigns of request ``i`` to ``offers.campaign`` and ``offers.cap``.

    Returns:
        How many there are, and how many rows with those that only lack money, which follow where they are watched:
        they cannot bid, but what they missed is logged.

    """
    time = chunk.requests.time[i]
    day = budget_day(sim, chunk, i)
    if time >= sim.targeting.change[0]:
        refresh_flights(sim.targeting, sim.campaigns, time)
    share = uniform(sim.keys.split, chunk.requests.user[i], 0, 0)
    reasons = sim.counters.reasons
    count = broke = 0
    for word in range(sim.targeting.flight.shape[0]):
        bits = _targeted_word(sim, chunk, i, word, share)
        while bits:
            c = word * WORD + lowest_bit(bits)
            bits = without_lowest(bits)
            money = affordable(sim.campaigns, sim.ledger, c, day)
            if money <= 0:
                reasons[c, BUDGET] += 1
                if watch:
                    sim.scratch.broke[broke] = c
                    broke += 1
            elif capped(
                sim.store, sim.scratch.exposure_of[c], sim.campaigns.cap_count[c], sim.campaigns.cap_window[c], time
            ):
                reasons[c, FREQUENCY_CAP] += 1
            else:
                sim.scratch.offers.campaign[count] = c
                sim.scratch.offers.cap[count] = money
                count += 1
    for k in range(broke):
        sim.scratch.offers.campaign[count + k] = sim.scratch.broke[k]
        sim.scratch.offers.cap[count + k] = 0
    return count, count + broke
