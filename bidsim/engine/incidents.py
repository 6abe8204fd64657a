"""What goes wrong at a known moment: requests and prices that change, features that fail, conversions that are lost.

Every incident has dice of its own, so whatever it does not touch stays as it was, to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OUT_OF_REACH
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.units import nanos_of, price_of
from bidsim.cvr.features import FIRST_PAIR
from bidsim.engine.tables import NO_LIMIT, Chunk, Incidents, Simulated
from bidsim.response.truth import Rates

MIX, PRICE, FEATURE, BUDGET, TRACKER, LATE, CONVERSIONS, MODEL, BOTS = range(9)
"""What an incident touches; what a scenario calls an incident may be several of these."""
KIND, START, END, COLUMN, LEVEL, DONE = range(6)
"""Columns of `Incidents.what`: ``COLUMN`` is a field or a feature, ``DONE`` whether a change that stays was made."""
SIZE, SECOND = range(2)
"""Columns of `Incidents.size`."""
LOST = -1
_STRUCK = 1


class Spared(NamedTuple):
    """What incidents leave of an impression: the part of its conversions, and whether a bot saw it, who clicks at rate ``clicks``."""

    left: float
    bot: bool
    clicks: float


@kernel(inner=True)
def is_on(incidents: Incidents, j: int, time: int) -> bool:
    """Whether an incident lasts at ``time``."""
    return incidents.what[j, START] <= time < incidents.what[j, END]


@kernel(inner=True)
def is_within(incidents: Incidents, j: int, categories: NDArray[np.int32]) -> bool:
    """Whether a request is where an incident is."""
    within = True
    for field in range(incidents.first.shape[0]):
        within &= incidents.where[j, incidents.first[field] + categories[field]] != 0
    return within


@kernel()
def disturb_traffic(chunk: Chunk, incidents: Incidents) -> None:
    """Change the levels of requests, and rivals' bids, of a chunk in place."""
    for j in range(incidents.what.shape[0]):
        what, size = incidents.what[j], incidents.size[j, SIZE]
        if what[KIND] != MIX and what[KIND] != PRICE:
            continue
        for i in range(chunk.requests.time.shape[0]):
            categories = chunk.requests.categories[i]
            if not is_on(incidents, j, chunk.requests.time[i]) or not is_within(incidents, j, categories):
                continue
            if what[KIND] == PRICE:
                for rival in range(chunk.rivals.shape[1]):
                    if chunk.rivals[i, rival] < OUT_OF_REACH:
                        chunk.rivals[i, rival] = price_of(chunk.rivals[i, rival] * size)
            elif uniform(incidents.key, chunk.requests.number[i], incidents.id[j], 0) < size:
                categories[what[COLUMN]] = what[LEVEL]


@kernel(inner=True)
def disturb_request(sim: Simulated, chunk: Chunk, i: int) -> None:
    """Change what models see of a request."""
    incidents = sim.incidents
    for j in range(incidents.what.shape[0]):
        column = incidents.what[j, COLUMN]
        if (
            incidents.what[j, KIND] == FEATURE
            and column < FIRST_PAIR
            and is_on(incidents, j, chunk.requests.time[i])
            and is_within(incidents, j, chunk.requests.categories[i])
        ):
            sim.scratch.head[column] = incidents.size[j, SIZE]


@kernel(inner=True)
def disturb_pairs(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Change what models see of user and campaign."""
    incidents = sim.incidents
    for j in range(incidents.what.shape[0]):
        column = incidents.what[j, COLUMN]
        if (
            incidents.what[j, KIND] == FEATURE
            and column >= FIRST_PAIR
            and is_on(incidents, j, chunk.requests.time[i])
            and is_within(incidents, j, chunk.requests.categories[i])
        ):
            for k in range(count):
                sim.scratch.features[k, column] = incidents.size[j, SIZE]


@kernel(inner=True)
def disturb_predictions(sim: Simulated, time: int, lo: int, hi: int) -> None:
    """Multiply the odds that a faulty model gives."""
    incidents, offers = sim.incidents, sim.scratch.offers
    for j in range(incidents.what.shape[0]):
        if incidents.what[j, KIND] == MODEL and is_on(incidents, j, time):
            for k in range(lo, hi):
                if incidents.who[j, offers.campaign[k]]:
                    odds = incidents.size[j, SIZE] * offers.pcvr[k]
                    offers.pcvr[k] = odds / (1.0 - offers.pcvr[k] + odds)


@kernel(inner=True)
def change_budgets(sim: Simulated, time: int) -> None:
    """Make changes of budgets that are due; they stay."""
    incidents, campaigns = sim.incidents, sim.campaigns
    for j in range(incidents.what.shape[0]):
        what = incidents.what[j]
        if what[KIND] == BUDGET and what[DONE] == 0 and time >= what[START]:
            what[DONE] = 1
            for c in range(campaigns.id.shape[0]):
                if incidents.who[j, c]:
                    campaigns.budget[c] = _scaled(campaigns.budget[c], incidents.size[j, SIZE])
                    campaigns.daily[c] = _scaled(campaigns.daily[c], incidents.size[j, SIZE])


@kernel(inner=True)
def _scaled(budget: int, factor: float) -> int:
    if budget == NO_LIMIT or budget * factor >= NO_LIMIT:
        return NO_LIMIT
    return nanos_of(budget * factor)


@kernel(inner=True)
def spared(sim: Simulated, chunk: Chunk, i: int, campaign: int) -> Spared:
    """What is left of conversions when ``campaign`` is shown in request ``i``."""
    incidents = sim.incidents
    left, bot, clicks = 1.0, False, 0.0
    for j in range(incidents.what.shape[0]):
        kind = incidents.what[j, KIND]
        if kind not in (CONVERSIONS, BOTS):
            continue
        if (
            incidents.who[j, campaign] == 0
            or not is_on(incidents, j, chunk.requests.time[i])
            or not is_within(incidents, j, chunk.requests.categories[i])
        ):
            continue
        if kind == CONVERSIONS:
            left *= incidents.size[j, SIZE]
        elif uniform(incidents.key, chunk.requests.number[i], incidents.id[j], 0) < incidents.size[j, SIZE]:
            bot, clicks = True, incidents.size[j, SECOND]
    return Spared(left, bot, clicks)


@kernel(inner=True)
def disturbed_rates(rates: Rates, found: Spared) -> Rates:
    """Return the true rates that incidents leave."""
    if found.bot:
        return Rates(rates.viewed, found.clicks, 0.0, 0.0, 0.0)
    return Rates(
        rates.viewed, rates.clicked, rates.bought * found.left, rates.attributed * found.left, rates.direct * found.left
    )


@kernel(inner=True)
def is_struck(sim: Simulated, request: int, campaign_id: int, found: Spared) -> bool:
    """Whether this impression brings neither a purchase nor credit."""
    return found.bot or (found.left < 1.0 and uniform(sim.incidents.key, request, campaign_id, -_STRUCK) >= found.left)


@kernel(inner=True)
def undisturbed(rates: Rates, found: Spared) -> Rates:
    """Rates of an impression that was not struck."""
    return Rates(
        rates.viewed,
        rates.clicked,
        rates.bought / found.left if found.left > 0.0 else 0.0,
        rates.attributed,
        rates.direct,
    )


@kernel(inner=True)
def report_time(sim: Simulated, campaign: int, user: int, time: int) -> int:
    """When a conversion is reported; `LOST` where it never is."""
    incidents, reported = sim.incidents, time
    for j in range(incidents.what.shape[0]):
        kind = incidents.what[j, KIND]
        if (kind not in (TRACKER, LATE)) or incidents.who[j, campaign] == 0 or not is_on(incidents, j, time):
            continue
        if kind == LATE:
            reported += int(incidents.size[j, SIZE])
        elif uniform(incidents.key, user, time, incidents.id[j]) < incidents.size[j, SIZE]:
            return LOST
    return reported
