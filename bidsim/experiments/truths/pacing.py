"""Budgets and constraints: pacing, throttling, return on spend, pacing equilibria, and regret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import distribution, figure, rows, rows_of, simulate, worth
from bidsim.metrics.hindsight import best_in_hindsight, best_whole, multiplier_for_cost, uniform_multiplier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bidsim.core.result import Result

_SECOND = {"format": "second_price"}
_LONG = 5
"""Multiplies the auctions of a stream from which a multiplier is read."""
_MOST_ROWS = 2_000_000
_LONGER = 40
"""Multiplies them where only what was spent is read, which is how a multiplier is made sharp."""
_STEP = 0.02
_GONE = 0.999
_HIGHEST = 10.0


def _alone(params: Mapping[str, Any]) -> dict[str, Any]:
    """One bidder against a drawn price."""
    return {
        "values": {"kind": "independent", "distribution": distribution(params["v"])},
        "market": {"kind": "distribution", "distribution": distribution(params["p"])},
    }


def _shaded(factor: float) -> dict[str, Any]:
    return {"policy": {"name": "shaded", "factor": factor}}


def _stream(params: Mapping[str, Any], units: int, seed: int) -> Sequence[NDArray[np.float64]]:
    """Values and prices of the stream that a bidder faces."""
    result = simulate(seed, units, {"c": {"policy": "truthful"}}, auction=_SECOND, keep_bids=True, **_alone(params))
    return rows(result, "bids", "value_nanos", "minimum_bid_nanos")


def budget_pacing(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """One bidder with a budget: pacing, throttling, and none (check ``pace``)."""
    rho = float(params["rho"])
    alpha = _multiplier_that_spends(params, units, seed)
    paced = simulate(seed, units, {"c": _shaded(alpha)}, auction=_SECOND, **_alone(params))
    spend, got, wins = figure(paced, "payment_nanos"), worth(paced), figure(paced, "wins")
    free = simulate(seed, units, {"c": {"policy": "truthful"}}, auction=_SECOND, **_alone(params))
    chance = min(1.0, rho * units / figure(free, "payment_nanos"))
    throttled = simulate(
        seed,
        units,
        {"c": {"policy": "truthful", "pacing": {"name": "throttle", "probability": chance}}},
        auction=_SECOND,
        **_alone(params),
    )
    broke = simulate(
        seed,
        units,
        {"c": {"policy": "truthful", "budget": rho * units}},
        auction=_SECOND,
        keep_wins=True,
        **_alone(params),
    )
    found = {
        "win_rate": wins / units,
        "spend": spend / units,
        "value": got / units,
        "utility": (got - spend) / units,
        "cpm": spend / max(wins, 1.0),
        "throttle_prob": chance,
        "throttle_value": worth(throttled) / units,
        "throttle_utility": (worth(throttled) - figure(throttled, "payment_nanos")) / units,
        "exhaust_fraction_unpaced": _exhausted(broke, rho * units, units),
    }
    return {name: Estimate(v, units) for name, v in found.items()} | {
        "alpha": Estimate(alpha, _LONGER * units),
        "mu": Estimate(1.0 / alpha - 1.0, _LONGER * units),
    }


def _multiplier_that_spends(params: Mapping[str, Any], units: int, seed: int) -> float:
    """Multiplier at which bids spend ``rho`` an auction, at most 1 for utility: found on a stream, then sharpened.

    Where nearly everything is won, spend hardly depends on the multiplier, so that a stream whose rows fit in memory
    finds it to a quarter of a per cent only. One step by its slope, from what a longer run spent, is three times as
    sharp.
    """
    rho, most = float(params["rho"]), 1.0 if params["objective"] == "utility" else _HIGHEST
    long = min(_LONG * units, _MOST_ROWS)
    value, price = _stream(params, long, seed)
    found = min(uniform_multiplier(value, price, rho * long), most)
    if found == most:
        return found
    low, high = (float(price[price <= found * part * value].sum()) / long for part in (1.0 - _STEP, 1.0 + _STEP))
    if high <= low:
        return found
    longer = simulate(seed, _LONGER * units, {"c": _shaded(found)}, auction=_SECOND, **_alone(params))
    short = rho - figure(longer, "payment_nanos") / (_LONGER * units)
    return min(found * (1.0 + 2.0 * _STEP * short / (high - low)), most)


def _exhausted(result: Result, budget: float, units: int) -> float:
    """Part of the auctions after which the budget is gone, but for the thousandth that cut bids stretch out."""
    request, paid = rows(result, "auctions", "request", "payment_nanos")
    order = np.argsort(request)
    gone = np.cumsum(paid[order]) >= _GONE * budget
    return float(request[order][int(np.argmax(gone))] / units / _GONE) if gone.any() else 1.0


def return_on_spend(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The most value at a cost per value (check ``roi``)."""
    cost = float(params["c"])
    long = min(_LONG * units, _MOST_ROWS)
    value, price = _stream(params, long, seed)
    alpha = multiplier_for_cost(value, price, cost)
    best = simulate(seed, units, {"c": _shaded(min(alpha, 10.0))}, auction=_SECOND, **_alone(params))
    naive = simulate(seed, units, {"c": _shaded(cost)}, auction=_SECOND, **_alone(params))
    found = {
        "win_rate": figure(best, "wins") / units,
        "spend": figure(best, "payment_nanos") / units,
        "value": worth(best) / units,
        "cost_ratio": figure(best, "payment_nanos") / worth(best),
        "naive_cost_ratio": figure(naive, "payment_nanos") / worth(naive),
        "naive_value": worth(naive) / units,
    }
    return {name: Estimate(v, units) for name, v in found.items()} | {"alpha": Estimate(alpha, long)}


def _late_multiplier(result: Result, campaign: str, units: int) -> float:
    """Mean multiplier over the second half of a run."""
    multiplier, request = rows_of(result, "bids", campaign, "multiplier", "request")
    return float(multiplier[request >= units // 2].mean())


def symmetric_pacing(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Alike bidders who all pace (check ``sympace``)."""
    n, rho = int(params["n"]), float(params["rho"])
    names = [f"bidder-{k:02d}" for k in range(n)]
    campaigns = {name: {"policy": "truthful", "pacing": "adaptive", "budget": rho * units} for name in names}
    auction = {"format": "first_price" if params["format"] == "first" else "second_price"}
    result = simulate(seed, units, campaigns, values={"kind": "independent"}, auction=auction, keep_bids=True)
    revenue = figure(result, "payment_nanos") / units
    return {
        "alpha": Estimate(float(np.mean([_late_multiplier(result, name, units) for name in names]))),
        "spend_per_bidder": Estimate(revenue / n, units),
        "revenue": Estimate(revenue, units),
        "welfare": Estimate(worth(result) / units, units),
    }


def first_price_pacing(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The first-price pacing equilibrium, found by adaptive pacing (check ``fppe``; Conitzer et al. 2022)."""
    values, budgets = params["v"], params["B"]
    types = len(values[0])
    names = [f"bidder-{i:02d}" for i in range(len(values))]
    campaigns = {
        name: {"policy": "truthful", "pacing": "adaptive", "budget": float(b) * units / types}
        for name, b in zip(names, budgets, strict=True)
    }
    worths = {name: [float(v) for v in row] for name, row in zip(names, values, strict=True)}
    goods = {"kind": "types", "worth": worths, "in_turn": True}
    result = simulate(
        seed, units, campaigns, values=goods, auction={"format": "first_price"}, keep_bids=True, keep_wins=True
    )
    found = {}
    for i, name in enumerate(names):
        found[f"alpha_{i}"] = _late_multiplier(result, name, units)
        found[f"spend_{i}"] = figure(result, "payment_nanos", name) / units * types
        found[f"value_{i}"] = worth(result, name) / units * types
    price, request = rows(result, "auctions", "payment_nanos", "request")
    late = request >= units // 2
    for j in range(types):
        found[f"price_{j}"] = float(price[late & (request % types == j)].mean())
    found["revenue"] = figure(result, "payment_nanos") / units * types
    return {name: Estimate(v) for name, v in found.items()}


def second_price_pacing(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Certificates of second-price pacing equilibria.

    Each good at the engine's price, to its highest bidders only (check ``sppe``).
    """
    values, budgets = params["v"], params["B"]
    names = [f"bidder-{i:02d}" for i in range(len(values))]
    types = len(values[0])
    found: dict[str, float] = {}
    violation = 0.0
    for e, equilibrium in enumerate(params["equilibria"]):
        campaigns = {name: _shaded(float(a)) for name, a in zip(names, equilibrium["alpha"], strict=True)}
        goods = {
            "kind": "types",
            "worth": {name: [float(v) for v in row] for name, row in zip(names, values, strict=True)},
            "in_turn": True,
        }
        result = simulate(seed, types, campaigns, values=goods, auction=_SECOND, keep_bids=True, keep_wins=True)
        price, good = rows(result, "auctions", "payment_nanos", "request")
        prices = dict(zip(good.astype(int).tolist(), price.tolist(), strict=True))
        bids = {
            name: dict(
                zip(*(column.tolist() for column in rows_of(result, "bids", name, "request", "bid_nanos")), strict=True)
            )
            for name in names
        }
        welfare = 0.0
        for i, name in enumerate(names):
            spend = value = 0.0
            for j in range(types):
                part = float(equilibrium["alloc"][i][j])
                highest = max(b[float(j)] for b in bids.values())
                # only a highest bidder may hold a good; bids that tie in theory are rounded to the nano
                if part > 0 and bids[name][float(j)] < highest - 4e-9:
                    violation = max(violation, highest - bids[name][float(j)])
                spend += part * prices[j]
                value += part * float(values[i][j])
            violation = max(violation, spend - float(budgets[i]) - 1e-8)
            welfare += value
            found |= {f"eq{e}_spend_{i}": spend, f"eq{e}_value_{i}": value}
        found[f"eq{e}_welfare"] = welfare
    return {name: Estimate(v) for name, v in found.items()} | {"max_budget_violation": Estimate(violation)}


def hindsight_knapsack(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The hindsight benchmark itself (check ``knap``)."""
    value, price, budget = np.array(params["v"], float), np.array(params["p"], float), float(params["B"])
    by_value, by_utility = (
        best_in_hindsight(value, price, budget, "value"),
        best_in_hindsight(value, price, budget, "utility"),
    )
    return {
        "lp_value": Estimate(by_value.worth),
        "lp_dual": Estimate(by_value.price_of_money),
        "lp_utility": Estimate(by_utility.worth),
        "lp_mu": Estimate(by_utility.price_of_money),
        "int_value": Estimate(best_whole(value, price, budget, "value")),
        "int_utility": Estimate(best_whole(value, price, budget, "utility")),
    }


_REPLICATIONS = 320
_ROWS_AT_ONCE = 1_600_000


def pacing_regret(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """How regret of adaptive pacing grows with the number of auctions (check ``regret``; Balseiro and Gur 2019).

    Replications are campaigns that take turns: each faces a stream of its own and has a budget of its own.
    """
    horizons = [int(t) for t in params["Ts"]]
    regret, fluid = {}, 0.0
    for horizon in horizons:
        gaps, utilities = [], []
        at_once = max(1, min(_REPLICATIONS, _ROWS_AT_ONCE // horizon))
        for part in range(-(-_REPLICATIONS // at_once)):
            for gap, utility in _regrets(params, horizon, at_once, seed + 1000 * part):
                gaps.append(gap)
                utilities.append(utility)
        regret[horizon] = float(np.mean(gaps))
        fluid = float(np.mean(utilities)) / horizon
        count = len(gaps)
    slope = np.polyfit(np.log(horizons), np.log([regret[t] for t in horizons]), 1)[0]
    found = {f"regret@{t}": Estimate(r, count) for t, r in regret.items()}
    return found | {"slope": Estimate(float(slope)), "utility_per_auction_fluid": Estimate(fluid)}


def _regrets(params: Mapping[str, Any], horizon: int, replications: int, seed: int) -> list[tuple[float, float]]:
    rho = float(params["rho"])
    pacer = {
        "name": "adaptive",
        "start": float(params["mu0"]),
        "step": float(params["c"]) * rho,
        "target": "fixed",
        "highest": float(params["mubar"]),
    }
    names = [f"bidder-{k:04d}" for k in range(replications)]
    campaigns = {name: {"policy": "truthful", "pacing": pacer, "budget": rho * horizon} for name in names}
    world = _alone(params)
    world["values"] |= {"participants": "rotate"}
    result = simulate(seed, horizon * replications, campaigns, auction=_SECOND, keep_bids=True, **world)
    value, price, request = rows(result, "bids", "value_nanos", "minimum_bid_nanos", "request")
    turn = request.astype(np.int64) % replications
    order = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[order], np.arange(replications + 1))
    found = []
    for k, name in enumerate(names):
        mine = order[bounds[k] : bounds[k + 1]]
        got = worth(result, name) - figure(result, "payment_nanos", name)
        found.append((best_in_hindsight(value[mine], price[mine], rho * horizon).worth - got, got))
    return found
