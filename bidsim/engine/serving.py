"""Ads of the winners are shown: dice, payment, counters, rows, credit."""

from __future__ import annotations

import math

from bidsim.bidder.memory import expose
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.units import nanos_of
from bidsim.engine.exploration import NOT_EXPLORED, count_explored_win, draw_arms, moved_by
from bidsim.engine.impressions import Events, Shown, credit, earns_credit, happen
from bidsim.engine.incidents import Spared, is_struck, spared, undisturbed
from bidsim.engine.keeping import OF_WINS, keep_win, note_exploration, sampled
from bidsim.engine.money import billed, charge, earn
from bidsim.engine.rates import ATTRIBUTED as CREDITED
from bidsim.engine.rates import BUY, CLICK, DIRECT, SEEN, USER, VIEW, explored_rates, write_rates
from bidsim.engine.rows import WIN
from bidsim.engine.tables import Chunk, State
from bidsim.engine.users import add_clock, from_the_start
from bidsim.observers import funnel, population, slices, timeline
from bidsim.response.purchases import EXPOSED, HELD_OUT, NOT_EXPOSED, SERVED
from bidsim.response.truth import Rates

_EVENT, _CLICKED = 2, 1


@kernel(inner=True)
def serve_winners(sim: State, chunk: Chunk, i: int, want_truth: bool, bucket: int) -> None:
    """Show the ads of all campaigns that won a position, in order of position.

    Args:
        sim: All that the loop works on.
        chunk: Requests.
        i: The request in the chunk.
        want_truth: Whether true rates are written already.
        bucket: Bucket of the timeline.

    """
    desk, offers, outcome = sim.bidder.desk, sim.bidder.desk.offers, sim.world.scratch.outcome
    effects = sim.world.scratch.book.effect
    for s in range(sim.world.rules.positions):
        entry = outcome.winner[s]
        k = sim.world.scratch.entry_of[entry] if entry >= 0 else -1
        if k < 0:
            continue
        effect = effects[s] / effects[0]
        if min(desk.wanted[k], offers.cap[k]) <= 0:  # a bid of nothing stood in the book as one nano
            offers.bid[k] = 0
            outcome.payment[s] = 0
        offers.price[k], offers.effect[k] = outcome.payment[s], effect
        if sim.world.rules.users:
            if not want_truth:
                write_rates(sim, chunk, i, k)
            _serve(sim, chunk, i, k, s, effect, bucket)
        else:
            _serve_drawn(sim, chunk, i, k, s, effect, bucket)


@kernel(inner=True)
def _count_win(sim: State, k: int, bucket: int, payment: int, effect: float, events: Events, rates: Rates) -> None:
    """Count a won position: what was paid, believed and true."""
    offers, counters = sim.bidder.desk.offers, sim.world.counters
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
def _bill(sim: State, request: int, k: int, s: int, effect: float, clicked: int) -> int:
    """Charge for position ``s``, and let the seller earn it; return the nanos."""
    offers = sim.bidder.desk.offers
    payment = billed(sim, request, offers.campaign[k], charge(sim, s, effect, clicked))
    offers.payment[k] = payment
    earn(sim, payment)
    return payment


@kernel(inner=True)
def _serve(sim: State, chunk: Chunk, i: int, k: int, s: int, effect: float, bucket: int) -> None:
    """Show the ad of the winning offer to its user: roll its dice, charge, count, credit it, keep its row."""
    world, offers, requests = sim.world, sim.bidder.desk.offers, chunk.requests
    campaign, request = offers.campaign[k], requests.number[i]
    campaign_id = sim.bidder.campaigns.id[campaign]
    found = world.scratch.rates[k]
    natural = _at_position(Rates(found[VIEW], found[CLICK], found[BUY], found[CREDITED], found[DIRECT]), effect)
    rates, price = natural, world.truth.price_nanos[campaign]
    arms = draw_arms(sim, requests.user[i], request, campaign)
    if arms != NOT_EXPLORED:
        rates = _at_position(explored_rates(sim, chunk, i, campaign, arms), effect)
        price = nanos_of(price * math.exp(moved_by(sim, campaign, arms).price))
    incidents = world.rules.incidents != 0
    left = spared(sim, chunk, i, campaign) if incidents else Spared(1.0, False, 0.0)
    struck = incidents and is_struck(sim, request, campaign_id, left)
    events = happen(world.keys, undisturbed(rates, left) if incidents else rates, request, campaign_id)
    payment = _bill(sim, request, k, s, effect, events.clicked)
    _count_win(sim, k, bucket, payment, effect, events, rates)
    if arms != NOT_EXPLORED:
        count_explored_win(sim, campaign, arms, payment)
    levels = _watch_win(sim, chunk, i, k, events, payment, effect, rates) if world.rules.watch_wins else 0
    row, kept = -1, sampled(sim, request, OF_WINS, world.rules.keep_wins)
    if kept or arms != NOT_EXPLORED:
        row = keep_win(sim, chunk, i, k, s, events, rates)
        note_exploration(sim, row, k, arms, kept, natural)
    mark_exposed(sim, chunk, i, campaign, SERVED)
    if not struck and earns_credit(world.truth, events):
        rate = slices.kept_rate(offers.pcvr[k] * effect)
        _credit(sim, chunk, i, Shown(campaign, campaign_id, price, row, levels, rate), events)
    if world.rules.late:
        _be_seen(sim, campaign, requests.time[i])


@kernel(inner=True)
def _credit(sim: State, chunk: Chunk, i: int, shown: Shown, events: Events) -> None:
    world, requests = sim.world, chunk.requests
    entry = _clock(sim, chunk.latent.intent[i], world.truth.line[shown.campaign])
    credit(world.truth, world.store, world.keys, entry, requests.number[i], requests.time[i], shown, events)


@kernel(inner=True)
def _clock(sim: State, intent: float, line: int) -> int:
    """Clock of this request's user and a line, started where there is none."""
    world = sim.world
    entry = world.scratch.clock_of[line]
    if entry < 0:
        exposed, slot = from_the_start(world.rules.holdout > 0.0), world.scratch.slot[USER]
        entry = add_clock(world.store, world.truth, world.keys.organic, slot, line, False, intent, exposed, 0)
        world.scratch.clock_of[line] = entry
    return entry


@kernel(inner=True)
def _be_seen(sim: State, campaign: int, time: int) -> None:
    """Note that the user saw the ad, which bidders hear of later."""
    world = sim.world
    entry = expose(world.seen, world.scratch.slot[SEEN], world.scratch.exposure_of[campaign], campaign, time)
    world.scratch.exposure_of[campaign] = entry


@kernel(inner=True)
def _watch_win(
    sim: State, chunk: Chunk, i: int, k: int, events: Events, payment: int, effect: float, rates: Rates
) -> int:
    """Count a won impression in its slices; return its levels as a conversion will need them."""
    counted, seen, categories = sim.world.counters.slices, sim.world.counters.seen, chunk.requests.categories[i]
    offers, window = sim.bidder.desk.offers, sim.world.counters.seen.now[0]
    predicted = offers.pcvr[k] * effect
    slices.count_win(
        counted,
        categories,
        offers.campaign[k],
        window,
        events.viewed,
        events.clicked,
        payment,
        predicted,
        rates.attributed,
    )
    population.count_impression(seen, sim.bidder.desk.features[k], window, chunk.requests.number[i])
    return slices.packed(counted, categories) if events.clicked or not sim.world.truth.by_click else 0


@kernel(inner=True)
def _drawn_events(sim: State, k: int, request: int, effect: float) -> tuple[int, Events]:
    """Roll whether the event came that brings the worth, and what is told of it as click and as conversion."""
    drawn, source, keys = sim.world.scratch.drawn, sim.bidder.desk.source[k], sim.world.keys
    me = sim.bidder.campaigns.id[sim.bidder.desk.offers.campaign[k]]
    dice = uniform(keys.response, request, me, _EVENT)
    happened = 1 if dice < drawn.chance[source] * effect else 0
    clicked = bought = happened
    if drawn.click[source] >= 0.0:
        clicked = 1 if dice < drawn.click[source] * effect else 0
        bought = 1 if dice < drawn.conversion[source] * effect else 0
    elif sim.world.rules.by_click:
        clicked = 1 if uniform(keys.response, request, me, _CLICKED) < drawn.quality[source] * effect else 0
    return happened, Events(1, clicked, bought)


@kernel(inner=True)
def _serve_drawn(sim: State, chunk: Chunk, i: int, k: int, s: int, effect: float, bucket: int) -> None:
    """Show the winning ad where values are drawn: the event comes at once, and brings its worth."""
    offers, drawn, source = sim.bidder.desk.offers, sim.world.scratch.drawn, sim.bidder.desk.source[k]
    campaign, time, request = offers.campaign[k], chunk.requests.time[i], chunk.requests.number[i]
    happened, events = _drawn_events(sim, k, request, effect)
    payment = _bill(sim, request, k, s, effect, events.clicked)
    rate = drawn.worth[source] / sim.bidder.campaigns.value[campaign] * effect
    rates = Rates(effect, drawn.chance[source], 1.0, rate, rate)
    _count_win(sim, k, bucket, payment, effect, events, rates)
    sale = nanos_of(drawn.worth[source] / drawn.chance[source]) if happened else 0
    _count_sale(sim, campaign, bucket, events.bought, sale)
    if sampled(sim, request, OF_WINS, sim.world.rules.keep_wins):
        kept = keep_win(sim, chunk, i, k, s, events, rates)
        note_exploration(sim, kept, k, NOT_EXPLORED, True, rates)
        sim.world.logs.wins.ints[kept, WIN.converted] = events.bought
        sim.world.logs.wins.ints[kept, WIN.conversion_time_us] = time if events.bought else -1


@kernel(inner=True)
def _count_sale(sim: State, campaign: int, bucket: int, bought: int, sale: int) -> None:
    """Count the conversion of a drawn value, and what its event brings."""
    counters = sim.world.counters
    counts, amounts = counters.counts[campaign], counters.amounts[campaign]
    counts[funnel.EVENTUAL] += bought
    counts[funnel.CONVERSIONS] += bought
    counts[funnel.AD_DRIVEN] += bought
    amounts[funnel.SALES] += sale
    amounts[funnel.SALES_EVENTUAL] += sale
    timeline.count(counters.timeline, campaign, bucket, timeline.CONVERSIONS, bought)
    timeline.count(counters.timeline, campaign, bucket, timeline.SALES, sale)


@kernel(inner=True)
def mark_exposed(sim: State, chunk: Chunk, i: int, campaign: int, how: int) -> None:
    """Note the first win, served or ghost, of (user, line).

    From there purchases count for the hold-out's comparison.
    """
    if sim.world.rules.holdout <= 0.0:
        return
    entry = _clock(sim, chunk.latent.intent[i], sim.world.truth.line[campaign])
    if sim.world.store.clocks[entry, EXPOSED] == NOT_EXPOSED:
        sim.world.store.clocks[entry, EXPOSED] = how


@kernel(inner=True)
def mark_ghosts(sim: State, chunk: Chunk, i: int, n: int) -> None:
    """Note ghost wins of held-out users."""
    scratch = sim.world.scratch
    for e in range(n):
        if scratch.ghost[e]:
            mark_exposed(sim, chunk, i, sim.bidder.desk.offers.campaign[scratch.entry_of[e]], HELD_OUT)


@kernel(inner=True)
def _at_position(rates: Rates, effect: float) -> Rates:
    """Rates in a position that is seen ``effect`` times as often as the first."""
    return Rates(rates.viewed * effect, rates.clicked, rates.bought, rates.attributed * effect, rates.direct * effect)
