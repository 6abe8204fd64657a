"""After the auction: payment and budgets, the impression and its events, conversions, and the rows that are kept."""

from __future__ import annotations

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.engine.clearing import held_out
from bidsim.engine.decision import ATTRIBUTED, BUY, CLICK, DIRECT, VIEW
from bidsim.engine.impressions import Events, credit, happen
from bidsim.engine.purchases import Conversion, due, next_conversion
from bidsim.engine.store import add_clock, expose
from bidsim.engine.tables import CONVERSION_TIME, CONVERTED, Chunk, Log, Simulated
from bidsim.observers import funnel, slices, timeline
from bidsim.response.purchases import EXPOSED, HELD_OUT, NOT_EXPOSED, SERVED
from bidsim.response.truth import Rates

_WIN, _DECISION = 0, 1


@kernel(inner=True)
def sampled(sim: Simulated, request: int, which: int, share: float) -> bool:
    """Whether rows of this request are kept."""
    return share >= 1.0 or uniform(sim.keys.sample, request, which, 0) < share


@kernel(inner=True)
def pay(sim: Simulated, campaign: int, payment: int) -> None:
    """Move money from the campaign to the exchange's fee and the publishers, to the last nano."""
    fee = min(int(payment * sim.rules.fee), payment)
    sim.ledger.spent[campaign] += payment
    sim.ledger.today[campaign] += payment
    sim.ledger.exchange[0] += payment - fee
    sim.ledger.exchange[1] += fee


@kernel(inner=True)
def take_row(log: Log) -> int:
    """Next free row of a log."""
    row = log.used[0]
    log.used[0] += 1
    return row


@kernel(inner=True)
def serve(sim: Simulated, chunk: Chunk, i: int, slot: int, k: int, depth_rival: int) -> None:
    """Show the ad of the winning offer: count it, roll its dice, credit it, keep its row."""
    scratch, offers, counters = sim.scratch, sim.scratch.offers, sim.counters
    campaign = offers.campaign[k]
    time, request = chunk.requests.time[i], chunk.requests.number[i]
    payment = scratch.outcome.payment[0]
    offers.won[k] = 1
    offers.payment[k] = payment
    pay(sim, campaign, payment)
    rates = Rates(scratch.rates[k, VIEW], scratch.rates[k, CLICK], scratch.rates[k, BUY], scratch.rates[k, ATTRIBUTED], scratch.rates[k, DIRECT])
    events = happen(sim.keys, rates, request, sim.campaigns.id[campaign])
    counters.counts[campaign, funnel.VIEWS] += events.viewed
    counters.counts[campaign, funnel.CLICKS] += events.clicked
    counters.amounts[campaign, funnel.PAYMENT] += payment
    counters.amounts[campaign, funnel.VALUE] += int(offers.value[k])
    counters.sums[campaign, funnel.PCVR] += offers.pcvr[k]
    counters.sums[campaign, funnel.TRUE_RATE] += rates.attributed
    counters.sums[campaign, funnel.DIRECT_RATE] += rates.direct
    slices.count_win(counters.slices, chunk.requests.categories[i], time // sim.rules.slice_window, events.viewed, events.clicked, payment, offers.pcvr[k], rates.attributed)
    bucket = time // sim.rules.bucket
    timeline.count(counters.timeline, campaign, bucket, timeline.WINS, 1)
    timeline.count(counters.timeline, campaign, bucket, timeline.VIEWS, events.viewed)
    timeline.count(counters.timeline, campaign, bucket, timeline.CLICKS, events.clicked)
    timeline.count(counters.timeline, campaign, bucket, timeline.PAYMENT, payment)
    row = _keep_win(sim, chunk, i, k, depth_rival, events) if sampled(sim, request, _WIN, sim.rules.keep_wins) else -1
    mark_exposed(sim, chunk, i, slot, campaign, SERVED)
    credit(
        sim.truth, sim.store, scratch, sim.keys, chunk, i, slot, campaign, sim.campaigns.id[campaign],
        sim.truth.price_nanos[campaign], row, events, sim.rules.holdout > 0.0, 0,
    )  # fmt: skip
    scratch.exposure_of[campaign] = expose(sim.store, slot, scratch.exposure_of[campaign], campaign, time)


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
            campaign = sim.scratch.offers.campaign[sim.scratch.entry_of[e]]
            if held_out(sim, chunk.requests.user[i], campaign):
                mark_exposed(sim, chunk, i, slot, campaign, HELD_OUT)


@kernel(inner=True)
def _keep_win(sim: Simulated, chunk: Chunk, i: int, k: int, rival: int, events: Events) -> int:
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
    ints[8] = rival
    ints[9] = events.viewed
    ints[10] = events.clicked
    ints[CONVERTED] = 0
    ints[CONVERSION_TIME] = -1
    for field in range(requests.categories.shape[1]):
        ints[CONVERSION_TIME + 1 + field] = requests.categories[i, field]
    floats[0] = offers.pcvr[k]
    floats[1] = offers.value[k]
    floats[2] = offers.multiplier[k]
    floats[3] = sim.scratch.rates[k, ATTRIBUTED]
    floats[4] = sim.scratch.rates[k, DIRECT]
    floats[5] = sim.scratch.rates[k, VIEW]
    floats[6] = sim.scratch.rates[k, CLICK]
    floats[7] = sim.scratch.rates[k, BUY]
    return row


@kernel(inner=True)
def keep_decisions(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Keep a row for each eligible campaign of a sampled request: what the model saw, what was decided, the truth apart."""
    if not sampled(sim, chunk.requests.number[i], _DECISION, sim.rules.keep_decisions):
        return
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
        floats[0] = offers.pcvr[k]
        floats[1] = offers.value[k]
        floats[2] = offers.multiplier[k]
        floats[3] = 1.0
        floats[4] = sim.scratch.rates[k, ATTRIBUTED]
        floats[5] = sim.scratch.rates[k, DIRECT]
        for j in range(sim.scratch.features.shape[1]):
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
    observed = found.time < sim.rules.duration
    counts[funnel.EVENTUAL] += 1
    amounts[funnel.SALES_EVENTUAL] += found.value
    if observed:
        counts[funnel.CONVERSIONS] += 1
        counts[funnel.AD_DRIVEN] += found.ad_driven
        amounts[funnel.SALES] += found.value
        bucket = found.time // sim.rules.bucket
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
