"""One auction: the book, the format's decision position by position, ghost bids of held-out users, and why others lost."""

from __future__ import annotations

import numpy as np

from bidsim.core.contracts import call_clear
from bidsim.core.kernel import kernel
from bidsim.core.random import draw, mix, uniform
from bidsim.core.reasons import BELOW_FLOOR, BUDGET, INTERNAL, TIMEOUT, WON
from bidsim.core.units import least_price_of, nanos_of, price_of
from bidsim.engine.sale import check_sale
from bidsim.engine.tables import Chunk, Simulated
from bidsim.observers.funnel import GHOST_WINS
from bidsim.observers.landscape import BIDS, CONVERSIONS, FACTORS, PAYMENT, VALUE, WINS

_FACTORS = FACTORS
_N_FACTORS = len(FACTORS)


@kernel(inner=True)
def fill_book(sim: Simulated, chunk: Chunk, i: int, count: int, silent: bool) -> int:
    """Write own bids, then rivals' bids; ``entry_of[e]`` is the offer of an entry, -1 for rivals. Return the size.

    With ``silent`` those who do not bid have an entry too, of zero: it wins nothing, but the bid it lacked is found.
    """
    scratch, book = sim.scratch, sim.scratch.book
    request = chunk.requests.number[i]
    floor = max(chunk.requests.floor[i], sim.rules.reserve)
    dice = draw(sim.keys.tie, request, 0, 0)
    n = 0
    for k in range(count):
        bids = scratch.offers.bid[k] > 0 and scratch.reason[k] != INTERNAL and scratch.reason[k] != TIMEOUT
        if bids or silent:
            campaign = scratch.offers.campaign[k]
            quality = scratch.offers.quality[k]
            reserve = max(floor, sim.campaigns.reserve[campaign])
            book.bid[n] = scratch.offers.bid[k] if bids else 0
            book.quality[n] = quality
            book.reserve[n] = least_price_of(reserve / quality) if sim.rules.by_click else reserve
            book.tie[n] = mix(dice ^ np.uint64(sim.campaigns.id[campaign]))
            scratch.entry_of[n] = k
            scratch.ghost[n] = 0
            n += 1
    for rival in range(chunk.rivals.shape[1]):
        book.bid[n] = chunk.rivals[i, rival]
        book.quality[n] = 1.0
        book.reserve[n] = floor
        book.tie[n] = 0 if sim.rules.yields else mix(dice ^ np.uint64(rival))
        scratch.entry_of[n] = -1
        scratch.ghost[n] = 0
        n += 1
    return n


@kernel(inner=True)
def held_out(sim: Simulated, user: int, campaign: int) -> bool:
    """Whether (user, advertiser) belongs to the hold-out, which is never shown this advertiser's ads."""
    return (
        sim.rules.holdout > 0.0
        and uniform(sim.keys.holdout, user, sim.campaigns.holder[campaign], 0) < sim.rules.holdout
    )


@kernel(inner=True)
def sell(sim: Simulated, n: int) -> None:
    """Sell all positions: jointly where the format does so, else one after the other to those who hold none yet."""
    book, outcome = sim.scratch.book, sim.scratch.outcome
    if sim.rules.joint or sim.rules.positions == 1:
        call_clear(sim.calls.clear[0], (book, n, sim.rules.positions, sim.format_numbers, outcome))
    else:
        _sell_in_turn(sim, n)


@kernel(inner=True)
def _sell_in_turn(sim: Simulated, n: int) -> None:
    book, outcome, sale = sim.scratch.book, sim.scratch.outcome, sim.scratch.sale
    positions = sim.rules.positions
    # a winner's bid is hidden as its complement, which is below every reserve, while the next position is sold
    for s in range(positions):
        call_clear(sim.calls.clear[0], (book, n, 1, sim.format_numbers, sale))
        outcome.winner[s] = sale.winner[0]
        outcome.payment[s] = sale.payment[0]
        if 0 <= sale.winner[0] < n:
            book.bid[sale.winner[0]] = ~book.bid[sale.winner[0]]
    for s in range(positions):
        e = outcome.winner[s]
        if 0 <= e < n:
            book.bid[e] = ~book.bid[e]


@kernel(inner=True)
def _leave(sim: Simulated, n: int) -> None:
    """Take the advertisers of ghosts out of the auction, with all that they bid: what did not win beside the ghost would not have been shown."""
    scratch, book = sim.scratch, sim.scratch.book
    for s in range(sim.rules.positions):
        ghost = scratch.outcome.winner[s]
        if ghost < 0 or not scratch.ghost[ghost]:
            continue
        holder = sim.campaigns.holder[scratch.offers.campaign[scratch.entry_of[ghost]]]
        for e in range(n):
            k = scratch.entry_of[e]
            if k >= 0 and sim.campaigns.holder[scratch.offers.campaign[k]] == holder and book.bid[e] >= book.reserve[e]:
                book.bid[e] = 0


@kernel(inner=True)
def clear_auction(sim: Simulated, user: int, request: int, n: int) -> None:
    """Sell the positions; a held-out winner is noted as a ghost, its advertiser leaves, and they are sold again without it."""
    scratch, outcome = sim.scratch, sim.scratch.outcome
    while True:
        sell(sim, n)
        check_sale(sim, request, n)
        ghosts = 0
        if sim.rules.holdout > 0.0:
            for s in range(sim.rules.positions):
                entry = outcome.winner[s]
                if (
                    entry >= 0
                    and scratch.entry_of[entry] >= 0
                    and held_out(sim, user, scratch.offers.campaign[scratch.entry_of[entry]])
                ):
                    sim.counters.counts[scratch.offers.campaign[scratch.entry_of[entry]], GHOST_WINS] += 1
                    scratch.ghost[entry] = 1
                    ghosts += 1
        if ghosts == 0:
            break
        _leave(sim, n)
    for s in range(sim.rules.positions):
        entry = outcome.winner[s]
        if entry >= 0 and scratch.entry_of[entry] >= 0:
            scratch.offers.won[scratch.entry_of[entry]] = 1


@kernel(inner=True)
def find_minima(sim: Simulated, n: int) -> None:
    """Find the bid that each entry would have needed."""
    scratch = sim.scratch
    call_clear(sim.calls.minima[0], (scratch.book, n, sim.rules.positions, sim.format_numbers, scratch.outcome))
    for e in range(n):
        k = scratch.entry_of[e]
        if k >= 0:
            scratch.offers.minimum[k] = scratch.outcome.minimum[e]


@kernel(inner=True)
def explain_losses(sim: Simulated, count: int, n: int, asked: bool) -> None:
    """Set the reasons of those who bid and did not win, and minimum bids where they are asked for; count all reasons."""
    scratch, offers, book = sim.scratch, sim.scratch.offers, sim.scratch.book
    if asked:
        find_minima(sim, n)
    for e in range(n):
        k = scratch.entry_of[e]
        if k >= 0:
            if offers.won[k] or book.bid[e] == 0:
                continue
            if not asked and offers.bid[k] < scratch.wanted[k]:
                find_minima(sim, n)
                asked = True
            if offers.bid[k] < book.reserve[e]:
                cut = offers.bid[k] < scratch.wanted[k] and scratch.wanted[k] >= book.reserve[e]
                scratch.reason[k] = BUDGET if cut else BELOW_FLOOR
            elif offers.bid[k] < scratch.wanted[k] and scratch.wanted[k] >= scratch.outcome.minimum[e]:
                scratch.reason[k] = BUDGET
    for k in range(count):
        if offers.won[k]:
            scratch.reason[k] = WON
        sim.counters.reasons[offers.campaign[k], scratch.reason[k]] += 1


@kernel(inner=True)
def survey(sim: Simulated, n: int) -> None:
    """Sell again at multiples of each campaign's bid and count what that would have bought."""
    scratch, book, outcome = sim.scratch, sim.scratch.book, sim.scratch.outcome
    for e in range(n):
        k = scratch.entry_of[e]
        if k < 0 or scratch.ghost[e] or book.bid[e] == 0:
            continue
        campaign = scratch.offers.campaign[k]
        own = book.bid[e]
        for f in range(_N_FACTORS):
            book.bid[e] = price_of(own * _FACTORS[f])
            sell(sim, n)
            cell = sim.counters.landscape[campaign, f]
            cell[BIDS] += 1
            for s in range(sim.rules.positions):
                if outcome.winner[s] == e:
                    effect = book.effect[s] / book.effect[0]
                    cell[WINS] += 1
                    cell[PAYMENT] += nanos_of(outcome.payment[s] * book.quality[e] * effect)
                    sums = sim.counters.landscape_sums[campaign, f]
                    sums[CONVERSIONS] += scratch.offers.pcvr[k] * effect
                    sums[VALUE] += scratch.offers.value[k] * book.quality[e] * effect
        book.bid[e] = own


@kernel(inner=True)
def count_sales(sim: Simulated) -> None:
    """Count positions sold to campaigns, sold to rivals, and unsold, in columns 1 to 3 of `Counters.market`."""
    for s in range(sim.rules.positions):
        entry = sim.scratch.outcome.winner[s]
        column = 3
        if entry >= 0:
            column = 1 if sim.scratch.entry_of[entry] >= 0 else 2
        sim.counters.market[column] += 1
