"""The Bayes-Nash equilibrium of a first-price auction, for bidders who know each other's distributions.

With n alike bidders whose values have the distribution F, and a reserve r, the equilibrium bid is
v - integral from r to v of (F(x) / F(v))^(n-1) dx (Krishna, Auction Theory, 2009, proposition 2.2). For two bidders
with values uniform on [0, w1] and [0, w2] it is (1 - sqrt(1 - k v^2)) / (k v) with k = 1/w1^2 - 1/w2^2 for the first
(Griesmer, Levitan and Shubik 1967; Krishna, section 4.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import NonNegative, Number, Settings
from bidsim.core.units import NANOS_PER_CPM, NANOS_PER_UNIT, price_of
from bidsim.kernels.distributions import Distribution, Uniform, cdf, coded, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

_POINTS = 1024
_STEPS = 40
"""Steps of the integral between two points of the table."""
_TAIL = 1e-9


class EquilibriumParams(Settings):
    """Who competes."""

    values: Distribution = Uniform(type="uniform")
    """Distribution of each bidder's value of an impression, currency units."""
    bidders: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of bidders, oneself included."""
    reserve_cpm: NonNegative = 0.0
    """The auction's reserve, per thousand impressions."""
    rival_high: Annotated[Number, Field(gt=0.0, le=1e9)] | None = None
    """Highest value of the one rival of a uniform pair; own values are then uniform from 0."""
    soft_floor_cpm: NonNegative = 0.0
    """A soft floor of the auction, for alike bidders with uniform values from 0 and no reserve: whoever's equilibrium
    bid would lie above it bids the value, and others as in first price (Zeithammer 2019)."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Look the bid up, linearly between points that lie closer where values are low."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        low, high = state[0], state[1]
        value = offers.value[k]
        offers.bid[k] = 0
        if value >= low:
            at = ((min(value, high) - low) / (high - low)) ** (1.0 / 3.0) * (_POINTS - 1)
            left = min(int(at), _POINTS - 2)
            v0 = low + (high - low) * (left / (_POINTS - 1)) ** 3
            v1 = low + (high - low) * ((left + 1) / (_POINTS - 1)) ** 3
            part = (min(value, high) - v0) / (v1 - v0)
            made = state[3 + left] * (1.0 - part) + state[4 + left] * part
            offers.bid[k] = price_of((made if state[2] == 0.0 or made < state[2] else value) * offers.multiplier[k])


class Equilibrium(Policy):
    """Assumes private, independent values of known distribution, and rivals who play the equilibrium too."""

    Params = EquilibriumParams
    floats = ("low", "high", "soft_floor", ("table", _POINTS))
    bid = bid

    @staticmethod
    def start(params: EquilibriumParams, brief: CampaignBrief) -> Mapping[str, object]:
        """Compute the table of bids, nanos by value."""
        code, a, b = coded(params.values)
        reserve = params.reserve_cpm * NANOS_PER_CPM / NANOS_PER_UNIT
        low, high = (
            max(reserve, max(quantile(code, a, b, _TAIL), 0.0) if code else 0.0),
            quantile(code, a, b, 1.0 - _TAIL),
        )
        if params.rival_high is not None:
            high = b if code else high
            values = high * np.linspace(0.0, 1.0, _POINTS) ** 3
            bids = asymmetric_uniform_bid(values, high, float(params.rival_high))
            low = 0.0
        else:
            values, bids = symmetric_bids(code, a, b, params.bidders, low, max(high, low + _TAIL))
        soft = params.soft_floor_cpm * NANOS_PER_CPM
        return {
            "low": low * NANOS_PER_UNIT,
            "high": float(values[-1]) * NANOS_PER_UNIT,
            "soft_floor": soft,
            "table": bids * NANOS_PER_UNIT,
        }


def symmetric_bids(
    code: int, a: float, b: float, bidders: int, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values on a cubic grid and the equilibrium bids of n alike bidders, by Simpson's rule on each interval."""
    edges = low + (high - low) * np.linspace(0.0, 1.0, _POINTS) ** 3
    share = np.linspace(0.0, 1.0, _STEPS + 1)
    weights = np.array([1.0, *([4.0, 2.0] * (_STEPS // 2))[:-1], 1.0]) / (3.0 * _STEPS)
    fine = edges[:-1, None] + np.diff(edges)[:, None] * share[None, :]
    below = np.array([[cdf(code, a, b, x) for x in row] for row in fine]) ** (bidders - 1)
    area = np.concatenate([[0.0], np.cumsum((below * weights).sum(axis=1) * np.diff(edges))])
    at = np.array([cdf(code, a, b, x) for x in edges]) ** (bidders - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bids = np.where(at > 0.0, edges - area / at, edges)
    return edges, bids


def asymmetric_uniform_bid(values: NDArray[np.float64], own_high: float, rival_high: float) -> NDArray[np.float64]:
    """Equilibrium bids of a bidder uniform on [0, own_high] against one uniform on [0, rival_high]."""
    k = 1.0 / own_high**2 - 1.0 / rival_high**2
    if abs(k) < 1e-12:  # noqa: PLR2004
        return values / 2.0
    # k changes sign between the two bidders, which turns one published formula into the other
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0.0, (1.0 - np.sqrt(np.maximum(1.0 - k * values**2, 0.0))) / (k * values), 0.0)
