"""What follows when an ad is shown: the truth's probabilities, the dice, and credit for later purchases."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.core.requests import PLACEMENT
from bidsim.core.units import NEVER
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR, fill_pair
from bidsim.engine import store as stores
from bidsim.engine.tables import Campaigns, Chunk, Keys, Scratch, Store
from bidsim.kernels.heap import heap_push
from bidsim.response.purchases import (
    BUYER,
    CREDIT_CAMPAIGN,
    CREDIT_LEVELS,
    CREDIT_PRICE,
    CREDIT_RATE,
    CREDIT_ROW,
    CREDIT_TIME,
    LAST,
    PENDING,
    next_purchase,
)
from bidsim.response.truth import Moved, Rates, Truth, response_rates, shown_price

_VIEW, _CLICK, _BUY, _DELAY = range(4)


class Clock(NamedTuple):
    """What is true of a user and a line.

    ``age`` is the time since the last purchase and ``coming`` that until an ad-driven one, in microseconds; negative
    where there is none. ``scale`` is the user's own Weibull scale.
    """

    buyer: bool
    age: float
    scale: float
    coming: float


class Events(NamedTuple):
    """What happened to one impression, 0 or 1 each."""

    viewed: int
    clicked: int
    bought: int


@kernel(inner=True)
def read_clock(store: Store, entry: int, time: int) -> Clock:
    """Read a purchase clock; ``entry`` -1 stands for a user who never bought."""
    if entry < 0:
        return Clock(False, -1.0, 1.0, -1.0)
    clock = store.clocks[entry]
    age = np.float64(time - clock[LAST]) if clock[LAST] > -NEVER else -1.0
    coming = np.float64(clock[PENDING] - time) if clock[PENDING] < NEVER else -1.0
    return Clock(clock[BUYER] != 0, age, store.scale[entry], coming)


@kernel(inner=True)
def true_rates(
    truth: Truth, store: Store, scratch: Scratch, chunk: Chunk, i: int, campaign: int, offer: float, moved: Moved
) -> Rates:
    """True probabilities of showing a campaign in request ``i``, given the user's state and what exploration moves."""
    time = chunk.requests.time[i]
    clock = read_clock(store, scratch.clock_of[truth.line[campaign]], time)
    frequency = stores.recent_frequency(store, scratch.exposure_of[campaign], time)
    return response_rates(
        truth,
        campaign,
        chunk.requests.categories[i, PLACEMENT],
        chunk.latent.intent[i],
        chunk.latent.sensitivity[i],
        chunk.latent.interest[i],
        offer,
        frequency,
        clock.buyer,
        clock.age,
        clock.scale,
        clock.coming,
        moved,
    )


@kernel(inner=True)
def offer_price(truth: Truth, keys: Keys, chunk: Chunk, i: int, campaign: int) -> float:
    """Log of shown price over the campaign's price in request ``i``."""
    return shown_price(
        truth, keys.offers, campaign, chunk.requests.user[i], chunk.latent.intent[i], chunk.requests.time[i]
    )


@kernel(inner=True)
def fill_shared(row: NDArray[np.float32], request: NDArray[np.float32], campaigns: Campaigns, campaign: int) -> None:
    """Write the features of the request, which ``request`` holds, and of the campaign."""
    for j in range(FIRST_CAMPAIGN):
        row[j] = request[j]
    for j in range(FIRST_CAMPAIGN, FIRST_PAIR):
        row[j] = campaigns.static[campaign, j - FIRST_CAMPAIGN]


@kernel(inner=True)
def fill_own(
    row: NDArray[np.float32], truth: Truth, store: Store, scratch: Scratch, campaign: int, price: float, time: int
) -> None:
    """Write the features of (user, campaign) at the price shown."""
    exposure = scratch.exposure_of[campaign]
    since_seen = time - store.exposures[exposure, stores.SEEN] if exposure >= 0 else -1
    clock = scratch.clock_of[truth.line[campaign]]
    since_purchase = -1
    if clock >= 0 and store.clocks[clock, LAST] > -NEVER:
        since_purchase = time - store.clocks[clock, LAST]
    fill_pair(row, price, stores.recent_frequency(store, exposure, time), since_seen, since_purchase)


@kernel(inner=True)
def happen(keys: Keys, rates: Rates, request: int, campaign_id: int) -> Events:
    """Roll the dice of (request, campaign), which are fixed by the seed before anyone bids."""
    viewed = uniform(keys.response, request, campaign_id, _VIEW) < rates.viewed
    clicked = viewed and uniform(keys.response, request, campaign_id, _CLICK) < rates.clicked
    bought = clicked and uniform(keys.response, request, campaign_id, _BUY) < rates.bought
    return Events(1 if viewed else 0, 1 if clicked else 0, 1 if bought else 0)


@kernel(inner=True)
def credit(
    truth: Truth,
    store: Store,
    scratch: Scratch,
    keys: Keys,
    chunk: Chunk,
    i: int,
    slot: int,
    campaign: int,
    campaign_id: int,
    price: int,
    row: int,
    levels: int,
    rate: int,
    events: Events,
    holdout: bool,
    start: int,
) -> None:
    """Give the impression the credit that the rule grants, and let an ad-driven purchase come.

    Args:
        truth: Parameters of the truth.
        store: Users' state; ``scratch`` says where this user's is.
        scratch: Room for one request.
        keys: Random streams.
        chunk: Requests.
        i: The request in the chunk.
        slot: The user's place in the store.
        campaign: Row of the campaign, whose dice go by ``campaign_id``.
        campaign_id: Hash of the campaign's name.
        price: Nanos at which it sells.
        row: What to write the conversion to, -1 for nothing.
        levels: What observers keep of the impression's levels,
        rate: and of its predicted rate.
        events: What happened to the impression.
        holdout: Whether exposure is counted from the first impression.
        start: Time at which clocks begin.

    """
    earns = events.clicked if truth.by_click else events.viewed
    if not earns and not events.bought:
        return
    time = chunk.requests.time[i]
    line = truth.line[campaign]
    entry = scratch.clock_of[line]
    if entry < 0:
        entry = stores.add_clock(store, truth, keys, slot, line, False, chunk.latent.intent[i], holdout, start)
        scratch.clock_of[line] = entry
    clock = store.clocks[entry]
    if events.bought:
        delay = (
            -math.log(uniform_open(keys.response, chunk.requests.number[i], campaign_id, _DELAY)) * truth.delay[line]
        )
        clock[PENDING] = min(clock[PENDING], time + 1 + int(delay))
    clock[CREDIT_TIME] = time
    clock[CREDIT_CAMPAIGN] = campaign
    clock[CREDIT_ROW] = row
    clock[CREDIT_PRICE] = price
    clock[CREDIT_LEVELS] = levels
    clock[CREDIT_RATE] = rate
    due = next_purchase(clock)
    if due <= time + truth.window:
        store.used[stores.EVENTS] = heap_push(store.heap, store.used[stores.EVENTS], due, entry)
