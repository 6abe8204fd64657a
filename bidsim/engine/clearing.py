"""One auction: the book, the format's decision by position, ghost bids of held-out users, and why others lost."""

from __future__ import annotations

import numpy as np

from bidsim.core.contracts import call_clear
from bidsim.core.kernel import kernel
from bidsim.core.random import draw, mix, uniform
from bidsim.core.reasons import BELOW_FLOOR, BUDGET, INTERNAL, TIMEOUT, WON
from bidsim.core.units import least_price_of, nanos_of, price_of
from bidsim.engine.sale import check_sale
from bidsim.engine.tables import Chunk, State
from bidsim.observers.funnel import GHOST_WINS
from bidsim.observers.landscape import BIDS, CONVERSIONS, FACTORS, PAYMENT, VALUE, WINS

_FACTORS = FACTORS
_N_FACTORS = len(FACTORS)


@kernel(inner=True)
def fill_book(sim: State, chunk: Chunk, i: int, count: int, silent: bool) -> int:
    """Write own bids, then rivals' bids; ``entry_of[e]`` is the offer of an entry, -1 for rivals. Return the size.

    With ``silent`` those who do not bid have an entry too, of zero: it wins nothing, but the bid it lacked is found.
    """
    desk, scratch, book = sim.bidder.desk, sim.world.scratch, sim.world.scratch.book
    request = chunk.requests.number[i]
    floor = max(chunk.requests.floor[i], sim.world.rules.reserve)
    dice = draw(sim.world.keys.tie, request, 0, 0)
    n = 0
    for k in range(count):
        bids = desk.offers.bid[k] > 0 and desk.reason[k] != INTERNAL and desk.reason[k] != TIMEOUT
        if bids or silent:
            campaign = desk.offers.campaign[k]
            quality = desk.offers.quality[k]
            reserve = max(floor, sim.world.reserve[campaign])
            book.bid[n] = desk.offers.bid[k] if bids else 0
            book.quality[n] = quality
            book.reserve[n] = least_price_of(reserve / quality) if sim.world.rules.by_click else reserve
            book.tie[n] = mix(dice ^ np.uint64(sim.bidder.campaigns.id[campaign]))
            scratch.entry_of[n] = k
            scratch.ghost[n] = 0
            n += 1
    for rival in range(chunk.rivals.shape[1]):
        book.bid[n] = chunk.rivals[i, rival]
        book.quality[n] = 1.0
        book.reserve[n] = floor
        book.tie[n] = 0 if sim.world.rules.yields else mix(dice ^ np.uint64(rival))
        scratch.entry_of[n] = -1
        scratch.ghost[n] = 0
        n += 1
    return n


@kernel(inner=True)
def held_out(sim: State, user: int, campaign: int) -> bool:
    """Whether (user, advertiser) belongs to the hold-out, which is never shown this advertiser's ads."""
    return (
        sim.world.rules.holdout > 0.0
        and uniform(sim.world.keys.holdout, user, sim.bidder.campaigns.holder[campaign], 0) < sim.world.rules.holdout
    )


@kernel(inner=True)
def sell(sim: State, n: int) -> None:
    """Sell all positions: jointly where the format does so, else one after the other to those who hold none yet."""
    book, outcome = sim.world.scratch.book, sim.world.scratch.outcome
    if sim.world.rules.joint or sim.world.rules.positions == 1:
        call_clear(sim.world.calls.clear[0], (book, n, sim.world.rules.positions, sim.world.format_numbers, outcome))
    else:
        _sell_in_turn(sim, n)


@kernel(inner=True)
def _sell_in_turn(sim: State, n: int) -> None:
    book, outcome, sale = sim.world.scratch.book, sim.world.scratch.outcome, sim.world.scratch.sale
    positions = sim.world.rules.positions
    # a winner's bid is hidden as its complement, which is below every reserve, while the next position is sold
    for s in range(positions):
        call_clear(sim.world.calls.clear[0], (book, n, 1, sim.world.format_numbers, sale))
        outcome.winner[s] = sale.winner[0]
        outcome.payment[s] = sale.payment[0]
        if 0 <= sale.winner[0] < n:
            book.bid[sale.winner[0]] = ~book.bid[sale.winner[0]]
    for s in range(positions):
        e = outcome.winner[s]
        if 0 <= e < n:
            book.bid[e] = ~book.bid[e]


@kernel(inner=True)
def _leave(sim: State, n: int) -> None:
    """Take the advertisers of ghosts out of the auction, with all that they bid.

    What did not win beside the ghost would not have been shown.
    """
    desk, scratch, book = sim.bidder.desk, sim.world.scratch, sim.world.scratch.book
    for s in range(sim.world.rules.positions):
        ghost = scratch.outcome.winner[s]
        if ghost < 0 or not scratch.ghost[ghost]:
            continue
        holder = sim.bidder.campaigns.holder[desk.offers.campaign[scratch.entry_of[ghost]]]
        for e in range(n):
            k = scratch.entry_of[e]
            if (
                k >= 0
                and sim.bidder.campaigns.holder[desk.offers.campaign[k]] == holder
                and book.bid[e] >= book.reserve[e]
            ):
                book.bid[e] = 0


@kernel(inner=True)
def clear_auction(sim: State, user: int, request: int, n: int) -> None:
    """Sell the positions; a held-out winner is noted as a ghost, and they are sold again without its advertiser."""
    desk, scratch, outcome = sim.bidder.desk, sim.world.scratch, sim.world.scratch.outcome
    while True:
        sell(sim, n)
        check_sale(sim, request, n)
        ghosts = 0
        if sim.world.rules.holdout > 0.0:
            for s in range(sim.world.rules.positions):
                entry = outcome.winner[s]
                if (
                    entry >= 0
                    and scratch.entry_of[entry] >= 0
                    and held_out(sim, user, desk.offers.campaign[scratch.entry_of[entry]])
                ):
                    sim.world.counters.counts[desk.offers.campaign[scratch.entry_of[entry]], GHOST_WINS] += 1
                    scratch.ghost[entry] = 1
                    ghosts += 1
        if ghosts == 0:
            break
        _leave(sim, n)
    for s in range(sim.world.rules.positions):
        entry = outcome.winner[s]
        if entry >= 0 and scratch.entry_of[entry] >= 0:
            desk.offers.won[scratch.entry_of[entry]] = 1


@kernel(inner=True)
def find_minima(sim: State, n: int) -> None:
    """Find the bid that each entry would have needed."""
    desk, scratch = sim.bidder.desk, sim.world.scratch
    call_clear(
        sim.world.calls.minima[0],
        (scratch.book, n, sim.world.rules.positions, sim.world.format_numbers, scratch.outcome),
    )
    for e in range(n):
        k = scratch.entry_of[e]
        if k >= 0:
            desk.offers.minimum[k] = scratch.outcome.minimum[e]


@kernel(inner=True)
def explain_losses(sim: State, count: int, n: int, asked: bool) -> None:
    """Set the reasons of those who bid and did not win, and minimum bids where ``asked`` for; count all reasons."""
    desk, scratch = sim.bidder.desk, sim.world.scratch
    offers, book = desk.offers, scratch.book
    if asked:
        find_minima(sim, n)
    for e in range(n):
        k = scratch.entry_of[e]
        if k >= 0:
            if offers.won[k] or book.bid[e] == 0:
                continue
            if not asked and offers.bid[k] < desk.wanted[k]:
                find_minima(sim, n)
                asked = True
            if offers.bid[k] < book.reserve[e]:
                cut = offers.bid[k] < desk.wanted[k] and desk.wanted[k] >= book.reserve[e]
                desk.reason[k] = BUDGET if cut else BELOW_FLOOR
            elif offers.bid[k] < desk.wanted[k] and desk.wanted[k] >= scratch.outcome.minimum[e]:
                desk.reason[k] = BUDGET
    for k in range(count):
        if offers.won[k]:
            desk.reason[k] = WON
        sim.bidder.reasons[offers.campaign[k], desk.reason[k]] += 1


@kernel(inner=True)
def survey(sim: State, n: int) -> None:
    """Sell again at multiples of each campaign's bid and count what that would have bought."""
    desk, scratch = sim.bidder.desk, sim.world.scratch
    book, outcome = scratch.book, scratch.outcome
    for e in range(n):
        k = scratch.entry_of[e]
        if k < 0 or scratch.ghost[e] or book.bid[e] == 0:
            continue
        campaign = desk.offers.campaign[k]
        own = book.bid[e]
        for f in range(_N_FACTORS):
            book.bid[e] = price_of(own * _FACTORS[f])
            sell(sim, n)
            cell = sim.world.counters.landscape[campaign, f]
            cell[BIDS] += 1
            for s in range(sim.world.rules.positions):
                if outcome.winner[s] == e:
                    effect = book.effect[s] / book.effect[0]
                    cell[WINS] += 1
                    cell[PAYMENT] += nanos_of(outcome.payment[s] * book.quality[e] * effect)
                    sums = sim.world.counters.landscape_sums[campaign, f]
                    sums[CONVERSIONS] += desk.offers.pcvr[k] * effect
                    sums[VALUE] += desk.offers.value[k] * book.quality[e] * effect
        book.bid[e] = own


@kernel(inner=True)
def count_sales(sim: State) -> None:
    """Count positions sold to campaigns, sold to rivals, and unsold, in columns 1 to 3 of `Counters.market`."""
    for s in range(sim.world.rules.positions):
        entry = sim.world.scratch.outcome.winner[s]
        column = 3
        if entry >= 0:
            column = 1 if sim.world.scratch.entry_of[entry] >= 0 else 2
        sim.world.counters.market[column] += 1
