"""What goes wrong in the world at a known moment: requests and prices that change, conversions that are lost.

What goes wrong on the bidder's side is in `bidsim.bidder.faults`.

Every incident has dice of its own, so whatever it does not touch stays as it was, to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.contracts import OUT_OF_REACH
from bidsim.core.incidents import BOTS, CONVERSIONS, LATE, MIX, PRICE, TRACKER
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.units import price_of
from bidsim.engine.tables import Chunk, Incidents, State
from bidsim.response.truth import Rates

WHAT = columns(("kind", "start", "end", "field", "level"))
"""Columns of `Incidents.what`: requests of ``field`` get ``level``."""
SIZE, SECOND = range(2)
"""Columns of `Incidents.size`."""
LOST = -1
_STRUCK = 1


class Spared(NamedTuple):
    """What incidents leave of an impression.

    The part of its conversions, and whether a bot saw it, who clicks at rate ``clicks``.
    """

    left: float
    bot: bool
    clicks: float


@kernel(inner=True)
def is_on(incidents: Incidents, j: int, time: int) -> bool:
    """Whether an incident lasts at ``time``."""
    return incidents.what[j, WHAT.start] <= time < incidents.what[j, WHAT.end]


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
        if what[WHAT.kind] != MIX and what[WHAT.kind] != PRICE:
            continue
        for i in range(chunk.requests.time.shape[0]):
            categories = chunk.requests.categories[i]
            if not is_on(incidents, j, chunk.requests.time[i]) or not is_within(incidents, j, categories):
                continue
            if what[WHAT.kind] == PRICE:
                for rival in range(chunk.rivals.shape[1]):
                    if chunk.rivals[i, rival] < OUT_OF_REACH:
                        chunk.rivals[i, rival] = price_of(chunk.rivals[i, rival] * size)
            elif uniform(incidents.key, chunk.requests.number[i], incidents.id[j], 0) < size:
                categories[what[WHAT.field]] = what[WHAT.level]


@kernel(inner=True)
def spared(sim: State, chunk: Chunk, i: int, campaign: int) -> Spared:
    """What is left of conversions when ``campaign`` is shown in request ``i``."""
    incidents = sim.world.incidents
    left, bot, clicks = 1.0, False, 0.0
    for j in range(incidents.what.shape[0]):
        kind = incidents.what[j, WHAT.kind]
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
def is_struck(sim: State, request: int, campaign_id: int, found: Spared) -> bool:
    """Whether this impression brings neither a purchase nor credit."""
    return found.bot or (
        found.left < 1.0 and uniform(sim.world.incidents.key, request, campaign_id, -_STRUCK) >= found.left
    )


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
def report_time(sim: State, campaign: int, user: int, time: int) -> int:
    """When a conversion is reported; `LOST` where it never is."""
    incidents, reported = sim.world.incidents, time
    for j in range(incidents.what.shape[0]):
        kind = incidents.what[j, WHAT.kind]
        if (kind not in (TRACKER, LATE)) or incidents.who[j, campaign] == 0 or not is_on(incidents, j, time):
            continue
        if kind == LATE:
            reported += int(incidents.size[j, SIZE])
        elif uniform(incidents.key, user, time, incidents.id[j]) < incidents.size[j, SIZE]:
            return LOST
    return reported
