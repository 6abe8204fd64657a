"""One auction: the book, ghost bids of held-out users, the format's decision, and why the others lost."""

from __future__ import annotations

from typing import Any

from bidsim.core.kernel import kernel
from bidsim.core.random import draw, uniform
from bidsim.core.reasons import BELOW_FLOOR, BUDGET, INTERNAL, WON
from bidsim.engine.tables import Chunk, Simulated
from bidsim.observers.funnel import GHOST_WINS
from bidsim.observers.landscape import BIDS, CONVERSIONS, FACTORS, PAYMENT, VALUE, WINS

RIVAL = -1
UNSOLD = -2
"""What `clear_auction` returns where no campaign wins."""

_FACTORS = FACTORS
_N_FACTORS = len(FACTORS)


@kernel(inner=True)
def fill_book(sim: Simulated, chunk: Chunk, i: int, count: int) -> int:
    """Write own bids, then rivals' bids; ``entry_of[e]`` is the offer of an entry, -1 for rivals. Return the size."""
    scratch, book = sim.scratch, sim.scratch.book
    request = chunk.requests.number[i]
    reserve = max(chunk.requests.floor[i], sim.rules.reserve)
    n = 0
    for k in range(count):
        if scratch.offers.bid[k] > 0 and scratch.reason[k] != INTERNAL:
            book.bid[n] = scratch.offers.bid[k]
            book.tie[n] = draw(sim.keys.tie, request, sim.campaigns.id[scratch.offers.campaign[k]], 0)
            scratch.entry_of[n] = k
            n += 1
    for rival in range(chunk.rivals.shape[1]):
        book.bid[n] = chunk.rivals[i, rival]
        book.tie[n] = draw(sim.keys.tie, request, -1 - rival, 0)
        scratch.entry_of[n] = -1
        n += 1
    for e in range(n):
        book.reserve[e] = reserve
        book.quality[e] = 1.0
        scratch.ghost[e] = 0
    return n


@kernel(inner=True)
def held_out(sim: Simulated, user: int, campaign: int) -> bool:
    """Whether (user, advertiser) belongs to the hold-out, which is never shown this advertiser's ads."""
    return sim.rules.holdout > 0.0 and uniform(sim.keys.holdout, user, sim.campaigns.holder[campaign], 0) < sim.rules.holdout


@kernel(inner=True)
def clear_auction(sim: Simulated, formats: Any, user: int, n: int) -> int:
    """Clear the book; a held-out winner is noted as a ghost, leaves, and the auction is cleared without it.

    Returns:
        The winning offer, `RIVAL` or `UNSOLD`.

    """
    scratch, book = sim.scratch, sim.scratch.book
    while True:
        formats[0](book, n, 1, sim.format_numbers, scratch.outcome)
        entry = scratch.outcome.winner[0]
        if entry < 0:
            return UNSOLD
        k = scratch.entry_of[entry]
        if k < 0:
            return RIVAL
        campaign = scratch.offers.campaign[k]
        if not held_out(sim, user, campaign):
            return k
        sim.counters.counts[campaign, GHOST_WINS] += 1
        scratch.ghost[entry] = 1
        book.bid[entry] = 0


@kernel(inner=True)
def explain_losses(sim: Simulated, count: int, n: int, winner: int) -> None:
    """Set minimum bids and the reasons of those who bid and did not win; count all reasons."""
    scratch, offers, book = sim.scratch, sim.scratch.offers, sim.scratch.book
    for e in range(n):
        k = scratch.entry_of[e]
        if k >= 0:
            offers.minimum[k] = scratch.outcome.minimum[e]
            if k != winner and offers.bid[k] < book.reserve[e]:
                cut = offers.bid[k] < scratch.wanted[k] and scratch.wanted[k] >= book.reserve[e]
                scratch.reason[k] = BUDGET if cut else BELOW_FLOOR
            elif k != winner and offers.bid[k] < scratch.wanted[k] and scratch.wanted[k] >= scratch.outcome.minimum[e]:
                scratch.reason[k] = BUDGET
    for k in range(count):
        if k == winner:
            scratch.reason[k] = WON
        sim.counters.reasons[offers.campaign[k], scratch.reason[k]] += 1


@kernel(inner=True)
def survey(sim: Simulated, formats: Any, n: int) -> None:
    """Clear the auction again at multiples of each campaign's bid and count what that would have bought."""
    scratch, book, outcome = sim.scratch, sim.scratch.book, sim.scratch.outcome
    for e in range(n):
        k = scratch.entry_of[e]
        if k < 0 or scratch.ghost[e]:
            continue
        campaign = scratch.offers.campaign[k]
        own = book.bid[e]
        for f in range(_N_FACTORS):
            book.bid[e] = int(own * _FACTORS[f])
            formats[0](book, n, 1, sim.format_numbers, outcome)
            cell = sim.counters.landscape[campaign, f]
            cell[BIDS] += 1
            if outcome.winner[0] == e:
                cell[WINS] += 1
                cell[PAYMENT] += outcome.payment[0]
                sums = sim.counters.landscape_sums[campaign, f]
                sums[CONVERSIONS] += scratch.offers.pcvr[k]
                sums[VALUE] += scratch.offers.value[k]
        book.bid[e] = own


@kernel(inner=True)
def lost_to(winner: int) -> int:
    """Column of `Counters.market` for an auction's end: 1 sold to a campaign, 2 to a rival, 3 unsold."""
    if winner >= 0:
        return 1
    return 2 if winner == RIVAL else 3
