"""The best a campaign could have done in hindsight, rivals' bids fixed: knapsacks over the very auctions it faced.

An auction can be won by paying its price p, the lowest bid that would have won, and brings v. With a budget the best
choice is a knapsack: *value* maximises the sum of v, *utility* the sum of v - p. The fractional optimum is found by
taking auctions in order of gain over price (Dantzig 1957), and bounds the integer one from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Objective = Literal["utility", "value"]


@dataclass(frozen=True)
class Hindsight:
    """A fractional optimum.

    Attributes:
        worth: The objective reached.
        value: Sum of values won.
        spend: Sum of prices paid.
        price_of_money: The dual: what one more unit of budget would add.

    """

    worth: float
    value: float
    spend: float
    price_of_money: float


def best_in_hindsight(
    value: F64,
    price: F64,
    budget: float,
    objective: Objective = "utility",
    part: NDArray[np.int64] | None = None,
    part_budget: float = np.inf,
) -> Hindsight:
    """Fractional optimum over auctions with known values and prices.

    Budgets of parts within one of the whole are laminar, so that taking auctions in order of gain over price, as long
    as both budgets last, stays optimal (Edmonds 1970).

    Args:
        value: float64[n], what winning each auction brings.
        price: float64[n], what it costs, in the same unit.
        budget: Most that may be spent.
        objective: ``utility`` for value minus price, ``value`` for value alone.
        part: int64[n], the day or episode of each auction, where these have budgets.
        part_budget: Most that may be spent in each of them.

    """
    gain = value - price if objective == "utility" else value
    wanted = gain > 0
    value, price, gain = value[wanted], price[wanted], gain[wanted]
    with np.errstate(divide="ignore"):
        efficiency = np.where(price > 0, gain / np.maximum(price, 1e-300), np.inf)
    order = np.argsort(-efficiency, kind="stable")
    value, price, gain, efficiency = value[order], price[order], gain[order], efficiency[order]
    if part is not None:
        taken = _affordable(price, part[wanted][order], part_budget)
        value, price, gain = value * taken, price * taken, gain * taken
    cost = np.cumsum(price)
    whole = int(np.searchsorted(cost, budget, side="right"))
    left = budget - (float(cost[whole - 1]) if whole else 0.0)
    worth, total = float(gain[:whole].sum()), float(value[:whole].sum())
    if whole == len(price):
        return Hindsight(worth, total, budget - left, 0.0)
    share = left / float(price[whole])
    return Hindsight(
        worth + share * float(gain[whole]), total + share * float(value[whole]), budget, float(efficiency[whole])
    )


def _affordable(price: F64, part: NDArray[np.int64], budget: float) -> F64:
    """How much of each auction the budget of its part pays for, those that come first being taken first."""
    together = np.argsort(part, kind="stable")
    cost = price[together]
    first = np.searchsorted(part[together], part[together], side="left")
    spent = np.cumsum(cost) - cost
    left = budget - (spent - spent[first])
    taken = np.ones(len(price))
    taken[together] = np.where(cost > 0, np.clip(left / np.maximum(cost, 1e-300), 0.0, 1.0), 1.0)
    return taken


def best_whole(value: F64, price: F64, budget: float, objective: Objective = "utility") -> float:
    """Best objective when auctions are won whole or not at all, by branch and bound; for a few dozen auctions.

    Args:
        value: As `best_in_hindsight`; likewise ``price``, ``budget`` and ``objective``.
        price: float64[n].
        budget: Most that may be spent.
        objective: What is maximised.

    """
    gain = value - price if objective == "utility" else value
    order = sorted(
        (k for k in range(len(gain)) if gain[k] > 0), key=lambda k: -float(gain[k]) / max(float(price[k]), 1e-300)
    )
    best = 0.0
    # a hair of slack, so that sums of decimals that should equal the budget count as within it
    limit = budget * (1 + 1e-12)

    def bound(at: int, left: float) -> float:
        total = 0.0
        for k in order[at:]:
            if price[k] > left:
                return float(total + gain[k] * left / price[k])
            total += gain[k]
            left -= price[k]
        return float(total)

    def visit(at: int, left: float, got: float) -> None:
        nonlocal best
        best = max(best, got)
        if at == len(order) or got + bound(at, left) <= best:
            return
        k = order[at]
        if price[k] <= left:
            visit(at + 1, left - price[k], got + float(gain[k]))
        visit(at + 1, left, got)

    visit(0, limit, 0.0)
    return best


def uniform_multiplier(value: F64, price: F64, spend: float) -> float:
    """Multiplier a of the value at which bids a v win what costs ``spend`` in all: the root of the empirical spend.

    Args:
        value: float64[n].
        price: float64[n], the lowest winning bid of each auction, which is also what it costs.
        spend: Total to be spent; where winning everything costs less, infinity is returned.

    """
    ratio = price / np.maximum(value, 1e-300)
    order = np.argsort(ratio, kind="stable")
    cost = np.cumsum(price[order])
    at = int(np.searchsorted(cost, spend, side="left"))
    return float(ratio[order[at]]) if at < len(cost) else float("inf")


def multiplier_for_cost(value: F64, price: F64, cost: float) -> float:
    """Highest multiplier a of the value at which bids a v win auctions that cost at most ``cost`` per unit of value."""
    ratio = price / np.maximum(value, 1e-300)
    order = np.argsort(ratio, kind="stable")
    fine = np.cumsum(price[order]) <= cost * np.cumsum(value[order])
    return float(ratio[order[int(np.flatnonzero(fine)[-1])]]) if fine.any() else 0.0
