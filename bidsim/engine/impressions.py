"""What follows when an ad is shown: the truth's probabilities, the dice, and credit for later purchases."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.core.requests import PLACEMENT
from bidsim.core.units import NEVER
from bidsim.engine.tables import Chunk, Keys
from bidsim.engine.users import EVENTS, Store
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
    LINE,
    PENDING,
    next_purchase,
)
from bidsim.response.truth import Moved, Need, Person, Rates, Truth, response_rates, shown_price

_VIEW, _CLICK, _BUY, _DELAY = range(4)


class Events(NamedTuple):
    """What happened to one impression, 0 or 1 each."""

    viewed: int
    clicked: int
    bought: int


class Shown(NamedTuple):
    """What is credited if a purchase follows an impression.

    ``campaign`` is its row and ``campaign_id`` the hash of its name, by which dice go; ``price`` nanos at which it
    sells; ``row`` of the log to write the conversion to, -1 for none; ``levels`` and ``rate`` what observers keep.
    """

    campaign: int
    campaign_id: int
    price: int
    row: int
    levels: int
    rate: int


@kernel(inner=True)
def read_need(store: Store, entry: int, time: int) -> Need:
    """Read a purchase clock; ``entry`` -1 stands for a user who never bought."""
    if entry < 0:
        return Need(False, -1.0, 1.0, -1.0)
    clock = store.clocks[entry]
    age = np.float64(time - clock[LAST]) if clock[LAST] > -NEVER else -1.0
    coming = np.float64(clock[PENDING] - time) if clock[PENDING] < NEVER else -1.0
    return Need(clock[BUYER] != 0, age, store.scale[entry], coming)


@kernel(inner=True)
def true_rates(
    truth: Truth,
    chunk: Chunk,
    i: int,
    campaign: int,
    need: Need,
    offer: float,
    frequency: float,
    moved: Moved,
) -> Rates:
    """True probabilities of showing a campaign in request ``i``, given the user's state and what exploration moves."""
    latent = chunk.latent
    person = Person(latent.intent[i], latent.sensitivity[i], latent.interest[i])
    placement = chunk.requests.categories[i, PLACEMENT]
    return response_rates(truth, campaign, placement, person, need, offer, frequency, moved)


@kernel(inner=True)
def offer_price(truth: Truth, keys: Keys, chunk: Chunk, i: int, campaign: int) -> float:
    """Log of shown price over the campaign's price in request ``i``."""
    requests = chunk.requests
    return shown_price(truth, keys.offers, campaign, requests.user[i], chunk.latent.intent[i], requests.time[i])


@kernel(inner=True)
def happen(keys: Keys, rates: Rates, request: int, campaign_id: int) -> Events:
    """Roll the dice of (request, campaign), which are fixed by the seed before anyone bids."""
    viewed = uniform(keys.response, request, campaign_id, _VIEW) < rates.viewed
    clicked = viewed and uniform(keys.response, request, campaign_id, _CLICK) < rates.clicked
    bought = clicked and uniform(keys.response, request, campaign_id, _BUY) < rates.bought
    return Events(1 if viewed else 0, 1 if clicked else 0, 1 if bought else 0)


@kernel(inner=True)
def earns_credit(truth: Truth, events: Events) -> bool:
    """Whether an impression is credited with a later purchase, or causes one."""
    earns = events.clicked if truth.by_click else events.viewed
    return earns != 0 or events.bought != 0


@kernel(inner=True)
def credit(
    truth: Truth, store: Store, keys: Keys, entry: int, request: int, time: int, shown: Shown, events: Events
) -> None:
    """Give the impression the credit that the rule grants, and let an ad-driven purchase come.

    Args:
        truth: Parameters of the truth.
        store: Users.
        keys: Random streams.
        entry: Clock of the user and the campaign's line.
        request: Number of the request,
        time: at this time.
        shown: What is credited.
        events: What happened to the impression, which `earns_credit`.

    """
    clock = store.clocks[entry]
    if events.bought:
        dice = uniform_open(keys.response, request, shown.campaign_id, _DELAY)
        delay = -math.log(dice) * truth.delay[clock[LINE]]
        clock[PENDING] = min(clock[PENDING], time + 1 + int(delay))
    clock[CREDIT_TIME] = time
    clock[CREDIT_CAMPAIGN] = shown.campaign
    clock[CREDIT_ROW] = shown.row
    clock[CREDIT_PRICE] = shown.price
    clock[CREDIT_LEVELS] = shown.levels
    clock[CREDIT_RATE] = shown.rate
    due = next_purchase(clock)
    if due <= time + truth.window:
        store.used[EVENTS] = heap_push(store.heap, store.used[EVENTS], due, entry)
