"""Shading by a landscape learned online from wins and losses (Zhou et al., KDD 2021; Gligorijevic et al., CIKM 2020).

What a notice reveals decides the estimator. Where it tells the minimum bid to win, every auction shows its price.
Where only winners learn a price (second price), lost auctions are censored and Kaplan and Meier's estimator is used.
Where what they pay is not that price (first price, soft floors), wins and losses by bid give an isotonic win rate.
Every ``refresh`` notices the best bid for every value is computed anew; a small share of bids is random, so that the
estimate never starves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.random import unit
from bidsim.core.settings import Number, Settings
from bidsim.core.units import price_of
from bidsim.kernels.grid import BINS, bin_of
from bidsim.kernels.shading import best_bid, bids_on_grid, envelope, isotonic_win_rate, kaplan_meier

if TYPE_CHECKING:
    from collections.abc import Mapping

_CANDIDATES = 2 * BINS
_SEEN, _CENSORED = 0, BINS
_START = 2 * BINS
_CHOSEN = _START + _CANDIDATES
_BIDS = _CHOSEN + _CANDIDATES
_WINS = _BIDS + _CANDIDATES
_BELOW = _WINS + _CANDIDATES
_ROOM = _BELOW + BINS + 1
_FACTOR = _ROOM + BINS + 1
_EXPLORE, _DECAY = _FACTOR + 1, _FACTOR + 2
_KEPT, _NOTICES, _REFRESH, _PAYS_MINIMUM, _EXACT = range(5)
_WIDEST = 1.5


class LearnedShadingParams(Settings):
    """How fast it learns."""

    first_factor: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.6
    """Part of the value that is bid until the first landscape is known."""
    refresh: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Notices between two computations of the best bids."""
    explore: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.02
    """Share of bids that are a random part of the value."""
    memory: Annotated[int, Field(ge=100, le=1_000_000_000)] = 100_000
    """Notices over which old prices lose half of their weight."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the best response to what is known, or explore."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        value = offers.value[k] * offers.multiplier[k]
        dice = unit(offers.dice[k])
        explore = floats[c, _EXPLORE]
        if dice < explore:
            offers.bid[k] = price_of(value * min(dice / explore * _WIDEST, 1.0))
        elif ints[c, _KEPT] > 0:
            found = best_bid(value, floats[c, _START:_CHOSEN], floats[c, _CHOSEN:_BIDS], ints[c, _KEPT])
            offers.bid[k] = price_of(min(found, value))
        else:
            offers.bid[k] = price_of(floats[c, _FACTOR] * value)
        offers.propensity[k] = explore if dice < explore else 1.0 - explore


@kernel()
def observe(offers: Offers, k: int, state: NDArray[np.float64], kept: NDArray[np.int64]) -> None:
    """Count one auction: its price where that is known, else what the bid says of it."""
    if offers.minimum[k] >= 0:
        state[_SEEN + bin_of(offers.minimum[k])] += 1.0
        kept[_EXACT] = 1
    elif offers.won[k]:
        state[_SEEN + bin_of(offers.price[k] if kept[_PAYS_MINIMUM] else offers.bid[k])] += 1.0
    else:
        state[_CENSORED + bin_of(offers.bid[k])] += 1.0


@kernel()
def learn_landscape(state: NDArray[np.float64], kept: NDArray[np.int64]) -> None:
    """Estimate the win rate by bid, and from it the best bid for every value."""
    below = state[_BELOW:_ROOM]
    if not kept[_PAYS_MINIMUM] and not kept[_EXACT]:
        isotonic_win_rate(state[_SEEN:_CENSORED], state[_CENSORED:_START], below, state[_ROOM:_FACTOR])
    else:
        kaplan_meier(state[_SEEN:_CENSORED], state[_CENSORED:_START], below)
    count = bids_on_grid(below, state[_BIDS:_WINS], state[_WINS:_BELOW])
    kept[_KEPT] = envelope(state[_BIDS:_WINS], state[_WINS:_BELOW], count, state[_START:_CHOSEN], state[_CHOSEN:_BIDS])
    for b in range(_START):
        state[b] *= state[_DECAY]


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Count what the notice reveals of the price; from time to time compute the best bids anew."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        if offers.bid[k] <= 0:
            continue
        observe(offers, k, floats[c], ints[c])
        ints[c, _NOTICES] += 1
        if ints[c, _NOTICES] % ints[c, _REFRESH] == 0:
            learn_landscape(floats[c], ints[c])


class LearnedShading(Policy):
    """Assumes that the winner pays its bid, and that rivals' bids change slowly.

    They do not depend on the impression, nor answer to ours.
    """

    Params = LearnedShadingParams
    floats = (
        ("seen", BINS),
        ("censored", BINS),
        ("start", _CANDIDATES),
        ("chosen", _CANDIDATES),
        ("bids", _CANDIDATES),
        ("wins", _CANDIDATES),
        ("below", BINS + 1),
        ("room", BINS + 1),
        "factor",
        "explore",
        "decay",
    )
    ints = ("kept", "notices", "refresh", "pays_minimum", "exact")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: LearnedShadingParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Know nothing yet."""
        return {
            "factor": float(params.first_factor),
            "explore": float(params.explore),
            "decay": 0.5 ** (params.refresh / params.memory),
            "refresh": params.refresh,
            "pays_minimum": 1 if brief.pays == "minimum" else 0,
        }
