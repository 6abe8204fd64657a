"""Parameters of the truth, and the probabilities that follow from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform_open
from bidsim.core.units import DAY
from bidsim.kernels.normal import normal_quantile, sigmoid

_PANELS = 24
READINESS_FLOOR = 0.05
"""Even right after a purchase a few users buy again."""


class Truth(NamedTuple):
    """Parameters as the kernels take them; campaigns c, lines (advertiser x product) l, placements p.

    Fields by campaign: ``line``, ``click_logit`` and ``buy_logit`` (levers included), ``log_price`` relative
    to the list price, ``price_nanos``. By line: ``line_id`` (hash of its name), ``interest``, ``buyers``
    (log-odds), ``shape``, ``scale`` (microseconds), ``delay`` (microseconds), ``basket``, and ``start``
    float64[lines, q], quantiles of the length-biased first interval in units of the cumulative hazard.
    """

    view_rate: NDArray[np.float64]
    line: NDArray[np.int64]
    click_logit: NDArray[np.float64]
    buy_logit: NDArray[np.float64]
    log_price: NDArray[np.float64]
    price_nanos: NDArray[np.int64]
    line_id: NDArray[np.int64]
    interest: NDArray[np.int64]
    buyers: NDArray[np.float64]
    shape: NDArray[np.float64]
    scale: NDArray[np.float64]
    delay: NDArray[np.float64]
    basket: NDArray[np.float64]
    start: NDArray[np.float64]
    click_intent: float
    click_match: float
    fatigue: float
    buy_intent: float
    buy_match: float
    elasticity: float
    sensitivity: float
    price_spread: float
    price_targeting: float
    cycle: float
    newcomer: float
    organic_intent: float
    by_click: int
    window: int


class Rates(NamedTuple):
    """True probabilities of one possible impression.

    ``viewed``; ``clicked`` given a view; ``bought``, an ad-driven purchase given a click; ``attributed``: that this
    impression is credited with a purchase within the window, ad-driven or organic (credit lost to a later
    click is not counted); ``direct`` = viewed x clicked x bought, the purchases that the impression adds.
    """

    viewed: float
    clicked: float
    bought: float
    attributed: float
    direct: float


class Person(NamedTuple):
    """What is true of a user: hidden intent and price sensitivity, standard normal over users, and hidden interest."""

    intent: float
    sensitivity: float
    interest: int


class Need(NamedTuple):
    """Where a user stands with a product line.

    ``buyer`` says whether the user buys it without ads; ``age`` is the time since the last purchase and ``coming`` that
    until an ad-driven one that is on its way and blocks another, microseconds, negative where there is none; ``scale``
    is the user's own Weibull scale, microseconds.
    """

    buyer: bool
    age: float
    scale: float
    coming: float


class Moved(NamedTuple):
    """What levers set by dice add to the log-odds of a click, to those of a purchase, and to the log of the price."""

    click: float
    buy: float
    price: float


UNMOVED = Moved(0.0, 0.0, 0.0)


@kernel()
def shown_price(truth: Truth, key: np.uint64, campaign: int, user: int, intent: float, time: int) -> float:
    """Log of the price shown relative to the campaign's price: an offer of the day for (user, product line).

    Keen users see higher prices (``price_targeting``), which hides the effect of price from whoever only looks.
    """
    noise = normal_quantile(uniform_open(key, user, truth.line_id[truth.line[campaign]], time // DAY))
    rho = truth.price_targeting
    return truth.price_spread * (rho * intent + math.sqrt(1.0 - rho * rho) * noise)


@kernel()
def cumulative_hazard(age: float, scale: float, shape: float) -> float:
    """Weibull cumulative hazard (age / scale) ** shape."""
    return (age / scale) ** shape if age > 0.0 else 0.0


@kernel()
def readiness(age: float, scale: float, shape: float) -> float:
    """Chance that a buyer would have bought again by this age, never quite zero."""
    return READINESS_FLOOR + (1.0 - READINESS_FLOOR) * (1.0 - math.exp(-cumulative_hazard(age, scale, shape)))


@kernel()
def response_rates(
    truth: Truth,
    campaign: int,
    placement: int,
    person: Person,
    need: Need,
    offer: float,
    frequency: float,
    moved: Moved,
) -> Rates:
    """True probabilities of showing ``campaign`` in this request.

    Args:
        truth: Parameters.
        campaign: Row of the campaign.
        placement: Code of the placement.
        person: The user,
        need: and where the user stands with the campaign's line.
        offer: Log of shown price over the campaign's price.
        frequency: Recent impressions of the campaign that the user has seen.
        moved: What the exploration slice changes; `UNMOVED` elsewhere.

    """
    line = truth.line[campaign]
    match = 1.0 if truth.interest[line] == person.interest else 0.0
    view = truth.view_rate[placement]
    click_logit = truth.click_logit[campaign] + moved.click + truth.click_intent * person.intent
    click = sigmoid(click_logit + truth.click_match * match - truth.fatigue * math.log1p(frequency))
    price = truth.log_price[campaign] + offer + moved.price
    buy_logit = truth.buy_logit[campaign] + moved.buy + truth.buy_intent * person.intent + truth.buy_match * match
    buy_logit -= truth.elasticity * (1.0 + truth.sensitivity * person.sensitivity) * price
    if need.age >= 0.0:
        buy_logit += truth.cycle * math.log(readiness(need.age, need.scale, truth.shape[line]))
    if not need.buyer:
        buy_logit += truth.newcomer
    buy = 0.0 if need.coming >= 0.0 else sigmoid(buy_logit)
    organic = 0.0
    if need.coming >= 0.0:
        organic = 1.0 if need.coming <= truth.window else 0.0
    elif need.buyer:
        shape = truth.shape[line]
        before = cumulative_hazard(need.age, need.scale, shape)
        organic = 1.0 - math.exp(before - cumulative_hazard(need.age + truth.window, need.scale, shape))
    timely = 1.0 - math.exp(-truth.window / truth.delay[line])
    earned, bought = (view * click, buy) if truth.by_click else (view, click * buy)
    attributed = earned * (1.0 - (1.0 - bought * timely) * (1.0 - organic))
    return Rates(view, click, buy, attributed, view * click * buy)


@kernel()
def credited_rate(truth: Truth, campaign: int, rates: Rates, need: Need, displaced: float) -> float:
    """Return the chance that an impression is credited where later clicks (or views) of the line take the credit away.

    The purchase comes at the earlier of an ad-driven time, exponential, and an organic one, Weibull; until then
    events that take the credit arrive at rate ``displaced``. The survival function is exact at the ends of panels
    that grow with the cube of their number, so that delays of an hour and windows of weeks are both resolved.

    Args:
        truth: Parameters.
        campaign: Row of the campaign.
        rates: Its true probabilities.
        need: Where the user stands with the campaign's line.
        displaced: Expected events per microsecond that take the credit.

    """
    line = truth.line[campaign]
    earned = rates.viewed * rates.clicked if truth.by_click else rates.viewed
    if need.coming >= 0.0:
        return earned * math.exp(-displaced * need.coming) if need.coming <= truth.window else 0.0
    bought = rates.bought if truth.by_click else rates.clicked * rates.bought
    before = cumulative_hazard(need.age, need.scale, truth.shape[line]) if need.buyer else 0.0
    credited, left, survival = 0.0, 0.0, 1.0
    for panel in range(1, _PANELS + 1):
        right = truth.window * (panel / _PANELS) ** 3
        organic = (
            math.exp(before - cumulative_hazard(need.age + right, need.scale, truth.shape[line])) if need.buyer else 1.0
        )
        after = (1.0 - bought * (1.0 - math.exp(-right / truth.delay[line]))) * organic
        credited += math.exp(-displaced * 0.5 * (left + right)) * (survival - after)
        left, survival = right, after
    return earned * credited
