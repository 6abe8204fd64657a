"""Reinforcement learning to bid: a Markov decision process over (time left, budget left) (Cai et al., WSDM 2017).

The value function V(t, b) obeys V(t, b) = max over a of E[v 1(price <= a) + V(t - 1, b - price 1(price <= a))]
(equation 5). It is computed once, on a grid of time and budget, against the forecast distribution of prices, with
steps of many auctions each. The optimal bid in state (t, b) is the value over the marginal value of money dV/db.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.core.units import NANOS_PER_UNIT, cpm_to_nanos, price_of
from bidsim.kernels.distributions import Distribution, quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES, _MONEYS = 64, 128
_CELLS = _TIMES * _MONEYS
_HIGHEST = _CELLS
_PRICES = 256
_TYPICAL_CPM = 2.0


class RlbParams(Settings):
    """What is known of prices."""

    landscape: Distribution | None = None
    """Distribution of the highest rival bid, currency units; by default the forecast of the market outside,
    or the spread of prices of the log that is replayed."""
    steps: Annotated[int, Field(ge=2, le=_TIMES)] = _TIMES
    """Steps of time in the table."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid value x multiplier over the marginal value of money, read from the table."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state, steps = floats[c], ints[c, 0]
        left = max(offers.budget[k] - offers.spent[k], 0) / max(offers.budget[k], 1)
        t = min(int(offers.passed[k] * steps), steps - 1)
        at = min(max(left * _MONEYS - 0.5, 0.0), _MONEYS - 1.0)
        m = min(int(at), _MONEYS - 2)
        part = at - m
        money = state[t * _MONEYS + m] * (1.0 - part) + state[t * _MONEYS + m + 1] * part
        value = offers.value[k] * offers.multiplier[k]
        highest = state[_HIGHEST]
        offers.bid[k] = price_of(value / money if money * highest > value else highest)
        if value <= 0.0:
            offers.bid[k] = 0


class Rlb(Policy):
    """Assumes second price, stationary prices that do not depend on the impression, and a known mean value."""

    Params = RlbParams
    floats = (("money", _CELLS), "highest")
    ints = ("steps",)
    bid = bid

    @staticmethod
    def start(params: RlbParams, brief: CampaignBrief) -> Mapping[str, object]:
        """Compute the marginal value of money for every step and level of the budget."""
        told = brief.within_reach if params.landscape is None else quantiles(params.landscape, _PRICES) * NANOS_PER_UNIT
        prices = np.sort(np.maximum(told, 1.0)) if len(told) else np.full(1, cpm_to_nanos(_TYPICAL_CPM) / brief.quality)
        # auctions that nobody can win are none, and where clicks are charged only clicks cost and bring anything
        winnable = len(brief.within_reach) / len(brief.prices) if params.landscape is None and len(told) else 1.0
        auctions = max(brief.opportunities * winnable * brief.quality, 1.0) / params.steps
        mean = max(brief.mean_value, 1e-9)
        values = brief.values[brief.values > 0] if len(brief.values) else np.full(1, mean)
        table = marginal_values(prices, values, auctions, params.steps, float(brief.budget_nanos))
        return {
            "money": np.pad(table, ((0, _TIMES - params.steps), (0, 0))).ravel(),
            "highest": float(prices[-1]) * 1.0001 + 1.0,
            "steps": params.steps,
        }


def marginal_values(
    prices: NDArray[np.float64], values: NDArray[np.float64], auctions: float, steps: int, budget: float
) -> NDArray[np.float64]:
    """Value of one more nano, float64[steps, levels], by backward induction.

    Args:
        prices: Equally likely prices to beat, rising, nanos.
        values: Equally likely values, nanos.
        auctions: Auctions in a step.
        steps: Steps of time.
        budget: Whole budget, nanos; level j stands for (j + 1/2) / levels of it.

    """
    sample = np.quantile(values, (np.arange(32) + 0.5) / 32)
    # what a step buys at each price of money: expected spend and value of bidding v / price
    price_of_money = np.concatenate(
        [[0.0], np.geomspace(1e-3, 1e3, 200) * float(sample.mean()) / float(np.median(prices))]
    )
    spend, gain = np.zeros(len(price_of_money)), np.zeros(len(price_of_money))
    below = np.concatenate([[0.0], np.cumsum(prices)]) / len(prices)
    for j, money in enumerate(price_of_money):
        bids = sample / money if money > 0 else np.full(len(sample), np.inf)
        won = np.searchsorted(prices, bids, side="right")
        spend[j] = auctions * below[won].mean()
        gain[j] = auctions * (sample * won / len(prices)).mean()
    level = (np.arange(_MONEYS + 1)) / _MONEYS * budget
    ahead = np.zeros(_MONEYS + 1)
    table = np.zeros((steps, _MONEYS))
    for t in range(steps - 1, -1, -1):
        # a step cannot spend more than there is: the last step buys what it can
        affordable = spend[None, :] <= level[:, None]
        worth = np.where(
            affordable,
            gain[None, :] + np.interp(np.maximum(level[:, None] - spend[None, :], 0.0), level, ahead),
            -np.inf,
        )
        now = worth.max(axis=1)
        partial = np.interp(level, spend[::-1], gain[::-1])
        now = np.maximum.accumulate(np.maximum(now, np.where(level < spend[0], partial, -np.inf)))
        table[t] = np.diff(now) / np.diff(level)
        table[t] = np.minimum.accumulate(table[t])
        ahead = now
    return table
