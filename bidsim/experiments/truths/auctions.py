"""Single-item auctions: revenue, surplus, reserves, floors, deviations and ties, all through the engine's clearing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import (
    CPM,
    best_on_grid,
    bids_at,
    distribution,
    figure,
    rows,
    rows_of,
    simulate,
    worth,
)
from bidsim.kernels.distributions import cdf as cdf_of
from bidsim.kernels.distributions import coded, quantile
from bidsim.policies.equilibrium import EquilibriumParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bidsim.core.result import Result

_MOST_BIDDERS = 64
_ALL, _CUBIC = 1.0, 3
_FORMATS = {
    "second": "second_price",
    "first": "first_price",
    "first_bne": "first_price",
    "first_truthful": "first_price",
}


def _bidders(count: int, policy: Mapping[str, Any] | str) -> dict[str, dict[str, Any]]:
    return {f"bidder-{k:02d}": {"policy": policy} for k in range(count)}


def _independent(dist: Mapping[str, Any], **other: Any) -> dict[str, Any]:
    return {"kind": "independent", "distribution": distribution(dist), **other}


def _totals(result: Result, units: int) -> dict[str, Estimate]:
    """Per-auction revenue, worth, surplus and failure to sell."""
    revenue, value = figure(result, "payment_nanos") / units, worth(result) / units
    sold = figure(result, "wins") / units
    per = {
        "revenue": revenue,
        "winner_value": value,
        "welfare": value,
        "bidder_surplus_total": value - revenue,
        "p_no_sale": 1.0 - sold,
    }
    return {name: Estimate(amount, units) for name, amount in per.items()}


def independent_values(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Alike bidders with private values (check ``ipv``)."""
    n, reserve = int(params["n"]), float(params.get("reserve", 0.0))
    auction = {"format": _FORMATS[params["format"]], "reserve_cpm": reserve * CPM}
    equilibrium = {
        "name": "equilibrium",
        "values": distribution(params["dist"]),
        "bidders": n,
        "reserve_cpm": reserve * CPM,
    }
    policy = equilibrium if params["format"] == "first_bne" else "truthful"
    result = simulate(
        seed, units, _bidders(n, policy), values=_independent(params["dist"]), auction=auction, keep_wins=True
    )
    found = _totals(result, units)
    found["per_bidder_surplus"] = Estimate(found["bidder_surplus_total"].value / n, units)
    found["win_rate_bidder0"] = Estimate(figure(result, "wins", "bidder-00") / units, units)
    (price,) = rows(result, "auctions", "payment_nanos")
    mean = price.sum() / units
    found["sd_price"] = Estimate(float(np.sqrt(max((price**2).sum() / units - mean**2, 0.0))), units)
    points = list(params.get("bid_points", []))
    if points:
        for point, made in zip(
            points,
            bids_at(seed, policy if isinstance(policy, dict) else {"name": policy}, points, auction),
            strict=True,
        ):
            found[f"bid@{point:g}"] = Estimate(made)
    return found


def asymmetric_first_price(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Two uniform bidders of different strength in first and second price (check ``asym_fp``)."""
    high = {"bidder-1": float(params["w1"]), "bidder-2": float(params["w2"])}
    values = {
        "kind": "independent",
        "own": {name: {"type": "uniform", "low": 0.0, "high": w} for name, w in high.items()},
    }

    def policy(own: float, rival: float) -> dict[str, Any]:
        return {"name": "equilibrium", "values": {"type": "uniform", "low": 0.0, "high": own}, "rival_high": rival}

    policies = {
        "bidder-1": policy(high["bidder-1"], high["bidder-2"]),
        "bidder-2": policy(high["bidder-2"], high["bidder-1"]),
    }
    first = simulate(
        seed,
        units,
        {name: {"policy": p} for name, p in policies.items()},
        values=values,
        auction={"format": "first_price"},
        keep_bids=True,
    )
    second = simulate(
        seed, units, {name: {"policy": "truthful"} for name in high}, values=values, auction={"format": "second_price"}
    )
    one, two = (rows_of(first, "bids", name, "value_nanos", "bid_nanos") for name in high)
    weak = min(high, key=lambda name: high[name])
    wasted = (one[0] > two[0]) != (one[1] > two[1])
    efficient = float(np.maximum(one[0], two[0]).mean())
    reached = worth(first) / units
    found = {
        "fp_revenue": figure(first, "payment_nanos") / units,
        "sp_revenue": figure(second, "payment_nanos") / units,
        "fp_weak_win_rate": figure(first, "wins", weak) / units,
        "fp_p_inefficient": float(wasted.mean()),
        "fp_welfare": reached,
        "efficient_welfare": efficient,
        "fp_welfare_loss": efficient - reached,
    }
    estimates = {name: Estimate(value, units) for name, value in found.items()}
    auction = {"format": "first_price"}
    estimates["max_bid"] = Estimate(bids_at(seed, policies["bidder-1"], [high["bidder-1"]], auction)[0])
    for name, label in (("bidder-1", "bid1"), ("bidder-2", "bid2")):
        for point in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 0.5 * high[name], high[name]):
            if point <= high[name]:
                estimates[f"{label}@{point:g}"] = Estimate(bids_at(seed, policies[name], [point], auction)[0])
    return estimates


def poisson_bidders(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """A Poisson number of bidders (check ``poisson_n``)."""
    mean = float(params["lam"])
    count = min(int(mean + 10.0 * np.sqrt(mean) + 6), _MOST_BIDDERS)
    values = _independent(
        params.get("dist", {"type": "uniform", "a": 0.0, "b": 1.0}), participants="poisson", count=mean
    )
    result = simulate(
        seed, units, _bidders(count, "truthful"), values=values, auction={"format": "second_price"}, keep_wins=True
    )
    (price,) = rows(result, "auctions", "payment_nanos")
    found = _totals(result, units)
    found["p_no_bid"] = found["p_no_sale"]
    found["p_single"] = Estimate(float((price == 0.0).sum() / units), units)
    return found


def deviation(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """One bidder leaves the equilibrium among uniform ones (check ``deviation``)."""
    n, first = int(params["n"]), params["format"] == "first"
    auction = {"format": "first_price" if first else "second_price"}
    best = (n - 1) / n if first else 1.0
    others = {"name": "equilibrium", "bidders": n} if first else {"name": "truthful"}
    found = {}
    for name, factor in (("utility_dev", float(params["k"])), ("utility_eq", best)):
        campaigns = _bidders(n, others) | {"bidder-00": {"policy": {"name": "shaded", "factor": factor}}}
        result = simulate(
            seed,
            units,
            campaigns,
            values=_independent({"type": "uniform", "a": 0.0, "b": 1.0}),
            auction=auction,
            keep_bids=True,
        )
        found[name] = Estimate(
            (worth(result, "bidder-00") - figure(result, "payment_nanos", "bidder-00")) / units, units
        )
    value, minimum = rows_of(result, "bids", "bidder-00", "value_nanos", "minimum_bid_nanos")
    grid = np.linspace(0.3, 1.5, 121)
    gain = np.array([((value - (k * value if first else minimum)) * (k * value >= minimum)).mean() for k in grid])
    found["best_multiplier"] = Estimate(best_on_grid(grid, gain))
    return found


def monopoly_price(dist: Mapping[str, Any]) -> float:
    """Reserve that maximises r (1 - F(r)) (Myerson 1981), by golden section between the quantiles."""
    params = EquilibriumParams.model_validate({"values": distribution(dist)})
    code, a, b = coded(params.values)
    low, high = quantile(code, a, b, 1e-6), quantile(code, a, b, 1.0 - 1e-6)
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(200):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if left * (1.0 - cdf_of(code, a, b, left)) > right * (1.0 - cdf_of(code, a, b, right)):
            high = right
        else:
            low = left
    return float(0.5 * (low + high))


def optimal_reserve(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The revenue-maximising reserve and what others earn (check ``optres``)."""
    n, best = int(params["n"]), monopoly_price(params["dist"])

    def revenue(reserve: float, bidders: int = n, auctions: int = units) -> tuple[float, float]:
        auction = {"format": "second_price", "reserve_cpm": reserve * CPM}
        result = simulate(
            seed, auctions, _bidders(bidders, "truthful"), values=_independent(params["dist"]), auction=auction
        )
        return figure(result, "payment_nanos") / auctions, 1.0 - figure(result, "wins") / auctions

    # one seed: all reserves are judged on the same bids. Of many bidders few leave a reserve anything to do, so that
    # revenue is flat and lopsided around its best, which takes more auctions, and a cubic
    grid, auctions = best * np.arange(0.7, 1.3001, 0.05), units * max(4, n) // 4
    earned = np.array([revenue(float(r), auctions=auctions)[0] for r in grid])
    at_best, unsold = revenue(best)
    found = {
        "revenue_opt": at_best,
        "p_no_sale_opt": unsold,
        "revenue_r0": revenue(0.0)[0],
        "revenue_0_8r": revenue(0.8 * best)[0],
        "revenue_1_3r": revenue(1.3 * best)[0],
        "revenue_nplus1_r0": revenue(0.0, n + 1)[0],
    }
    return {name: Estimate(value, units) for name, value in found.items()} | {
        "optimal_reserve": Estimate(best_on_grid(grid, earned, _ALL, _CUBIC))
    }


def _soft_floor(params: Mapping[str, Any], units: int, seed: int, policy: Mapping[str, Any] | str) -> Result:
    auction = {
        "format": "soft_floor",
        "soft_floor_cpm": float(params["soft"]) * CPM,
        "reserve_cpm": float(params.get("hard", 0.0)) * CPM,
    }
    values = _independent({"type": "uniform", "a": 0.0, "b": 1.0})
    return simulate(seed, units, _bidders(int(params["n"]), policy), values=values, auction=auction, keep_wins=True)


def soft_floor_truthful(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Truthful bidders under a soft floor (check ``softfloor_truth``)."""
    result = _soft_floor(params, units, seed, "truthful")
    bid, payment = rows(result, "auctions", "bid_nanos", "payment_nanos")
    own = (bid == payment) & (bid < float(params["soft"]))
    return _totals(result, units) | {"p_firstprice_regime": Estimate(float(own.sum() / units), units)}


def soft_floor_equilibrium(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Equilibrium bidders under a soft floor (check ``softfloor_eq``)."""
    result = _soft_floor(
        params,
        units,
        seed,
        {"name": "equilibrium", "bidders": int(params["n"]), "soft_floor_cpm": float(params["soft"]) * CPM},
    )
    (bid,) = rows(result, "auctions", "bid_nanos")
    return _totals(result, units) | {
        "p_below_soft": Estimate(float((bid < float(params["soft"])).sum() / units), units)
    }


def eager_second_price(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Bidders with reserves of their own (check ``eager``); values uniform on [0, 1] and [0, 2]."""
    high = {"bidder-1": float(params.get("w1", 1.0)), "bidder-2": float(params.get("w2", 2.0))}
    values = {
        "kind": "independent",
        "own": {name: {"type": "uniform", "low": 0.0, "high": w} for name, w in high.items()},
    }
    auction = {
        "format": "second_price",
        "reserves": {"bidder-1": float(params["r1"]) * CPM, "bidder-2": float(params["r2"]) * CPM},
    }
    return _totals(
        simulate(seed, units, {name: {"policy": "truthful"} for name in high}, values=values, auction=auction), units
    )


def openrtb(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """One auction by the letter of OpenRTB (check ``openrtb``): bids and prices in CPM."""
    names = [f"bidder-{k:02d}" for k in range(len(params["bids"]))]
    kind = (
        {"format": "first_price"}
        if int(params["at"]) == 1
        else {"format": "second_price", "increment_cpm": float(params["inc"])}
    )
    values = {"kind": "types", "worth": {name: [float(b) / CPM] for name, b in zip(names, params["bids"], strict=True)}}
    result = simulate(
        seed,
        1,
        {name: {"policy": "truthful"} for name in names},
        values=values,
        auction={**kind, "reserve_cpm": float(params["floor"])},
        keep_wins=True,
    )
    winners = list(result.tables["auctions"]["campaign"])
    (price,) = rows(result, "auctions", "payment_nanos")
    return {
        "sold": Estimate(float(len(winners))),
        "price": Estimate(float(price.sum()) * CPM),
        "winner": Estimate(float(names.index(winners[0])) if winners else -1.0),
    }


def ties(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Equal bids (check ``tie``)."""
    names = [f"bidder-{k:02d}" for k in range(int(params["n"]))]
    auction = {"format": _FORMATS[params["format"]], "reserve_cpm": float(params["reserve"]) * CPM}
    values = {"kind": "types", "worth": {name: [float(params["bid"])] for name in names}}
    result = simulate(seed, units, {name: {"policy": "truthful"} for name in names}, values=values, auction=auction)
    sold, paid = figure(result, "wins"), figure(result, "payment_nanos")
    return {
        "price": Estimate(paid / max(sold, 1.0)),
        "surplus": Estimate((worth(result) - paid) / units),
        "p_sold": Estimate(sold / units),
        "win_rate_bidder0": Estimate(figure(result, "wins", names[0]) / units, units),
    }
