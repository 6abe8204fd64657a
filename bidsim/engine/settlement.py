"""After the auction: payment and budgets, the impression and its events, conversions, and the rows that are kept."""

from __future__ import annotations

import math

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.units import nanos_of
from bidsim.engine.decision import ATTRIBUTED, BUY, CLICK, DIRECT, VIEW, write_rates
from bidsim.engine.exploration import NOT_EXPLORED, count_explored_win, draw_arms, explored_rates, moved_by
from bidsim.engine.impressions import Events, credit, happen
from bidsim.engine.incidents import LOST, Spared, is_struck, report_time, spared, undisturbed
from bidsim.engine.purchases import Conversion, due, next_conversion
from bidsim.engine.store import add_clock, expose
from bidsim.engine.tables import CONVERSION_TIME, CONVERTED, WIN_ARMS, WIN_SAMPLED, Chunk, Log, Simulated
from bidsim.observers import funnel, population, slices, timeline
from bidsim.response.purchases import EXPOSED, HELD_OUT, NOT_EXPOSED, SERVED
from bidsim.response.truth import Rates

OF_WINS, OF_DECISIONS, OF_OFFERS = range(3)
"""What is sampled by request, each by dice of its own."""
_EVENT, _CLICKED = 2, 1


@kernel(inner=True)
def sampled(sim: Simulated, request: int, which: int, share: float) -> bool:
    """Whether rows of this request are kept."""
    return share >= 1.0 or uniform(sim.keys.sample, request, which, 0) < share


@kernel(inner=True)
def pay(sim: Simulated, campaign: int, payment: int) -> None:
    """Move money from the campaign to the exchange's fee and the publishers, to the last nano."""
    fee = min(nanos_of(payment * sim.rules.fee), payment)
    sim.ledger.spent[campaign] += payment
    sim.ledger.today[campaign] += payment
    sim.ledger.exchange[0] += payment - fee
    sim.ledger.exchange[1] += fee


@kernel(inner=True)
def charge(sim: Simulated, s: int, effect: float, clicked: int) -> int:
    """Nanos due for position ``s``: its price on a click, or its price in proportion to the position's view rate."""
    price = sim.scratch.outcome.payment[s]
    if sim.rules.by_click:
        return price if clicked else 0
    return price if effect == 1.0 else nanos_of(price * effect)


@kernel(inner=True)
def take_row(log: Log) -> int:
    """Next free row of a log."""
    row = log.used[0]
    log.used[0] += 1
    return row


@kernel(inner=True)
def serve_winners(sim: Simulated, chunk: Chunk, i: int, slot: int, want_truth: bool, bucket: int) -> None:
    """Show the ads of all campaigns that won a position, in order of position.

    Args:
        sim: The world.
        chunk: Requests.
        i: The request in the chunk.
        slot: The user's place in the store, -1 where no user is simulated.
        want_truth: Whether true rates are written already.
        bucket: Bucket of the timeline.

    """
    outcome, offers = sim.scratch.outcome, sim.scratch.offers
    for s in range(sim.rules.positions):
        entry = outcome.winner[s]
        k = sim.scratch.entry_of[entry] if entry >= 0 else -1
        if k < 0:
            continue
        effect = sim.scratch.book.effect[s] / sim.scratch.book.effect[0]
        # a bid of nothing stood in the book as one nano
        offers.bid[k] = min(offers.bid[k], sim.scratch.wanted[k], offers.cap[k])
        outcome.payment[s] = min(outcome.payment[s], offers.bid[k])
        offers.price[k], offers.effect[k] = outcome.payment[s], effect
        if slot < 0:
            _serve_drawn(sim, chunk, i, k, s, effect, bucket)
        else:
            if not want_truth:
                write_rates(sim, chunk, i, k)
            _serve(sim, chunk, i, slot, k, s, effect, bucket)


@kernel(inner=True)
def _count_win(sim: Simulated, k: int, bucket: int, payment: int, effect: float, events: Events, rates: Rates) -> None:
    """Count a won position: what was paid, believed and true."""
    offers, counters = sim.scratch.offers, sim.counters
    campaign = offers.campaign[k]
    counters.counts[campaign, funnel.VIEWS] += events.viewed
    counters.counts[campaign, funnel.CLICKS] += events.clicked
    counters.amounts[campaign, funnel.PAYMENT] += payment
    counters.amounts[campaign, funnel.VALUE] += nanos_of(offers.value[k] * offers.quality[k] * effect)
    counters.sums[campaign, funnel.PCVR] += offers.pcvr[k] * effect
    counters.sums[campaign, funnel.TRUE_RATE] += rates.attributed
    counters.sums[campaign, funnel.DIRECT_RATE] += rates.direct
    timeline.count(counters.timeline, campaign, bucket, timeline.WINS, 1)
    timeline.count(counters.timeline, campaign, bucket, timeline.VIEWS, events.viewed)
    timeline.count(counters.timeline, campaign, bucket, timeline.CLICKS, events.clicked)
    timeline.count(counters.timeline, campaign, bucket, timeline.PAYMENT, payment)


@kernel(inner=True)
def _serve(sim: Simulated, chunk: Chunk, i: int, slot: int, k: int, s: int, effect: float, bucket: int) -> None:
    """Show the ad of the winning offer to its user: roll its dice, charge, count, credit it, keep its row."""
    scratch, offers = sim.scratch, sim.scratch.offers
    campaign = offers.campaign[k]
    time, request = chunk.requests.time[i], chunk.requests.number[i]
    found = scratch.rates[k]
    natural = _at_position(Rates(found[VIEW], found[CLICK], found[BUY], found[ATTRIBUTED], found[DIRECT]), effect)
    rates, price = natural, sim.truth.price_nanos[campaign]
    arms = draw_arms(sim, chunk.requests.user[i], request, campaign)
    if arms != NOT_EXPLORED:
        rates = _at_position(explored_rates(sim, chunk, i, k, arms), effect)
        price = nanos_of(price * math.exp(moved_by(sim, campaign, arms).price))
    found = spared(sim, chunk, i, campaign) if sim.rules.incidents else Spared(1.0, False, 0.0)
    struck = sim.rules.incidents != 0 and is_struck(sim, request, sim.campaigns.id[campaign], found)
    events = happen(
        sim.keys, undisturbed(rates, found) if sim.rules.incidents else rates, request, sim.campaigns.id[campaign]
    )
    payment = charge(sim, s, effect, events.clicked)
    offers.payment[k] = payment
    pay(sim, campaign, payment)
    _count_win(sim, k, bucket, payment, effect, events, rates)
    if arms != NOT_EXPLORED:
        count_explored_win(sim, campaign, arms, payment)
    levels = _watch_win(sim, chunk, i, k, events, payment, effect, rates) if sim.rules.watch_wins else 0
    row, kept = -1, sampled(sim, request, OF_WINS, sim.rules.keep_wins)
    if kept or arms != NOT_EXPLORED:
        row = _keep_win(sim, chunk, i, k, s, events, rates)
        _note_exploration(sim, row, k, arms, kept, natural)
    mark_exposed(sim, chunk, i, slot, campaign, SERVED)
    if not struck:
        credit(
            sim.truth, sim.store, scratch, sim.keys, chunk, i, slot, campaign, sim.campaigns.id[campaign],
            price, row, levels, slices.kept_rate(offers.pcvr[k] * effect), events, sim.rules.holdout > 0.0, 0,
        )  # fmt: skip
    scratch.exposure_of[campaign] = expose(sim.store, slot, scratch.exposure_of[campaign], campaign, time)


@kernel(inner=True)
def _watch_win(
    sim: Simulated, chunk: Chunk, i: int, k: int, events: Events, payment: int, effect: float, rates: Rates
) -> int:
    """Count a won impression in its slices; return its levels as a conversion will need them."""
    counted, categories = sim.counters.slices, chunk.requests.categories[i]
    window, offers = sim.counters.seen.now[0], sim.scratch.offers
    slices.count_win(
        counted,
        categories,
        offers.campaign[k],
        window,
        events.viewed,
        events.clicked,
        payment,
        offers.pcvr[k] * effect,
        rates.attributed,
    )
    population.count_impression(sim.counters.seen, sim.scratch.features[k], window, chunk.requests.number[i])
    return slices.packed(counted, categories) if events.clicked or not sim.truth.by_click else 0


@kernel(inner=True)
def _drawn_events(sim: Simulated, k: int, request: int, effect: float) -> tuple[int, Events]:
    """Roll whether the event came that brings the worth, and what is told of it as click and as conversion."""
    drawn, me = sim.scratch.drawn, sim.campaigns.id[sim.scratch.offers.campaign[k]]
    dice = uniform(sim.keys.response, request, me, _EVENT)
    happened = 1 if dice < drawn.chance[k] * effect else 0
    clicked = bought = happened
    if drawn.click[k] >= 0.0:
        clicked, bought = 1 if dice < drawn.click[k] * effect else 0, 1 if dice < drawn.conversion[k] * effect else 0
    elif sim.rules.by_click:
        clicked = 1 if uniform(sim.keys.response, request, me, _CLICKED) < drawn.quality[k] * effect else 0
    return happened, Events(1, clicked, bought)


@kernel(inner=True)
def _serve_drawn(sim: Simulated, chunk: Chunk, i: int, k: int, s: int, effect: float, bucket: int) -> None:
    """Show the winning ad where values are drawn: the event comes at once, and brings its worth."""
    offers, drawn, counters = sim.scratch.offers, sim.scratch.drawn, sim.counters
    campaign = offers.campaign[k]
    time, request = chunk.requests.time[i], chunk.requests.number[i]
    happened, events = _drawn_events(sim, k, request, effect)
    payment = charge(sim, s, effect, events.clicked)
    offers.payment[k] = payment
    pay(sim, campaign, payment)
    rate = drawn.worth[k] / sim.campaigns.value[campaign] * effect
    rates = Rates(effect, drawn.chance[k], 1.0, rate, rate)
    _count_win(sim, k, bucket, payment, effect, events, rates)
    counts, amounts = counters.counts[campaign], counters.amounts[campaign]
    counts[funnel.EVENTUAL] += events.bought
    counts[funnel.CONVERSIONS] += events.bought
    counts[funnel.AD_DRIVEN] += events.bought
    timeline.count(counters.timeline, campaign, bucket, timeline.CONVERSIONS, events.bought)
    if happened:
        sale = nanos_of(drawn.worth[k] / drawn.chance[k])
        amounts[funnel.SALES] += sale
        amounts[funnel.SALES_EVENTUAL] += sale
        timeline.count(counters.timeline, campaign, bucket, timeline.SALES, sale)
    if sampled(sim, request, OF_WINS, sim.rules.keep_wins):
        kept = _keep_win(sim, chunk, i, k, s, events, rates)
        _note_exploration(sim, kept, k, NOT_EXPLORED, True, rates)
        sim.logs.wins.ints[kept, CONVERTED] = events.bought
        sim.logs.wins.ints[kept, CONVERSION_TIME] = time if events.bought else -1


@kernel(inner=True)
def mark_exposed(sim: Simulated, chunk: Chunk, i: int, slot: int, campaign: int, how: int) -> None:
    """Note the first win, served or ghost, of (user, line): from there purchases count for the hold-out's comparison."""
    if sim.rules.holdout <= 0.0:
        return
    line = sim.truth.line[campaign]
    entry = sim.scratch.clock_of[line]
    if entry < 0:
        entry = add_clock(sim.store, sim.truth, sim.keys, slot, line, False, chunk.latent.intent[i], True, 0)
        sim.scratch.clock_of[line] = entry
    if sim.store.clocks[entry, EXPOSED] == NOT_EXPOSED:
        sim.store.clocks[entry, EXPOSED] = how


@kernel(inner=True)
def mark_ghosts(sim: Simulated, chunk: Chunk, i: int, slot: int, n: int) -> None:
    """Note ghost wins of held-out users."""
    for e in range(n):
        if sim.scratch.ghost[e]:
            mark_exposed(sim, chunk, i, slot, sim.scratch.offers.campaign[sim.scratch.entry_of[e]], HELD_OUT)


@kernel(inner=True)
def _at_position(rates: Rates, effect: float) -> Rates:
    """Rates in a position that is seen ``effect`` times as often as the first."""
    return Rates(rates.viewed * effect, rates.clicked, rates.bought, rates.attributed * effect, rates.direct * effect)


@kernel(inner=True)
def _note_exploration(sim: Simulated, row: int, k: int, arms: int, kept: bool, natural: Rates) -> None:
    """Complete a row with what dice set, and what would have been without them."""
    ints, floats = sim.logs.wins.ints[row], sim.logs.wins.floats[row]
    ints[WIN_ARMS] = arms
    ints[WIN_SAMPLED] = 1 if kept else 0
    floats[8] = natural.attributed
    floats[9] = natural.direct
    floats[10] = sim.scratch.price[k]


@kernel(inner=True)
def _keep_win(sim: Simulated, chunk: Chunk, i: int, k: int, s: int, events: Events, rates: Rates) -> int:
    row = take_row(sim.logs.wins)
    offers, requests = sim.scratch.offers, chunk.requests
    ints, floats = sim.logs.wins.ints[row], sim.logs.wins.floats[row]
    ints[0] = requests.number[i]
    ints[1] = requests.time[i]
    ints[2] = requests.user[i]
    ints[3] = offers.campaign[k]
    ints[4] = offers.bid[k]
    ints[5] = offers.payment[k]
    ints[6] = offers.minimum[k]
    ints[7] = requests.floor[i]
    ints[8] = chunk.rivals[i, 0] if chunk.rivals.shape[1] > 0 else 0
    ints[9] = s
    ints[10] = sim.scratch.outcome.payment[s]
    ints[11] = events.viewed
    ints[12] = events.clicked
    ints[CONVERTED] = 0
    ints[CONVERSION_TIME] = -1
    for field in range(requests.categories.shape[1]):
        ints[CONVERSION_TIME + 1 + field] = requests.categories[i, field]
    floats[0] = offers.pcvr[k]
    floats[1] = offers.value[k]
    floats[2] = offers.multiplier[k]
    floats[3] = rates.attributed
    floats[4] = rates.direct
    floats[5] = rates.viewed
    floats[6] = rates.clicked
    floats[7] = rates.bought
    return row


@kernel(inner=True)
def keep_decisions(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Keep a row for each eligible campaign of a request: what the model saw, what was decided, the truth apart."""
    offers = sim.scratch.offers
    for k in range(count):
        row = take_row(sim.logs.decisions)
        ints, floats = sim.logs.decisions.ints[row], sim.logs.decisions.floats[row]
        ints[0] = chunk.requests.number[i]
        ints[1] = chunk.requests.time[i]
        ints[2] = chunk.requests.user[i]
        ints[3] = offers.campaign[k]
        ints[4] = offers.bid[k]
        ints[5] = offers.minimum[k]
        ints[6] = offers.payment[k]
        ints[7] = sim.scratch.reason[k]
        ints[8] = offers.price[k]
        floats[0] = offers.pcvr[k]
        floats[1] = offers.value[k]
        floats[2] = offers.multiplier[k]
        floats[3] = offers.propensity[k]
        floats[4] = (
            sim.scratch.rates[k, ATTRIBUTED]
            if sim.rules.users
            else sim.scratch.drawn.worth[k] / sim.campaigns.value[offers.campaign[k]]
        )
        floats[5] = sim.scratch.rates[k, DIRECT] if sim.rules.users else floats[4]
        floats[6] = offers.quality[k]
        for j in range(sim.logs.decisions.features.shape[1]):
            sim.logs.decisions.features[row, j] = sim.scratch.features[k, j]


@kernel(inner=True)
def take_conversions(sim: Simulated, time: int) -> bool:
    """Carry out the purchases due by ``time``; False where the conversions' log is full and must grow first."""
    while due(sim.store, time):
        if sim.logs.conversions.used[0] >= sim.logs.conversions.ints.shape[0]:
            return False
        found = next_conversion(sim.store, sim.truth, sim.keys)
        if found.campaign >= 0:
            _count_conversion(sim, found)
    return True


@kernel(inner=True)
def _count_conversion(sim: Simulated, found: Conversion) -> None:
    counts, amounts = sim.counters.counts[found.campaign], sim.counters.amounts[found.campaign]
    reported = report_time(sim, found.campaign, found.user, found.time) if sim.rules.incidents else found.time
    observed = reported != LOST and reported < sim.rules.duration
    counts[funnel.EVENTUAL] += 1
    amounts[funnel.SALES_EVENTUAL] += found.value
    if observed:
        counts[funnel.CONVERSIONS] += 1
        counts[funnel.AD_DRIVEN] += found.ad_driven
        amounts[funnel.SALES] += found.value
        bucket = reported // sim.rules.bucket
        credited, arrived = found.credit_time // sim.rules.slice_window, reported // sim.rules.slice_window
        slices.count_conversion(sim.counters.slices, found.levels, found.rate, found.campaign, credited, arrived)
        timeline.count(sim.counters.timeline, found.campaign, bucket, timeline.CONVERSIONS, 1)
        timeline.count(sim.counters.timeline, found.campaign, bucket, timeline.SALES, found.value)
        if found.row >= 0:
            sim.logs.wins.ints[found.row, CONVERTED] = 1
            sim.logs.wins.ints[found.row, CONVERSION_TIME] = found.time
    ints = sim.logs.conversions.ints[take_row(sim.logs.conversions)]
    ints[0] = found.time
    ints[1] = found.user
    ints[2] = found.campaign
    ints[3] = found.credit_time
    ints[4] = found.value
    ints[5] = found.ad_driven
    ints[6] = 1 if observed else 0
    ints[7] = found.plain_would_have
    ints[8] = reported
