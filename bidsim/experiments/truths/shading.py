"""First-price shading against a known price, and the landscape learned from censored prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import best_on_grid, bids_at, distribution, figure, rows, simulate, worth
from bidsim.kernels.distributions import cdf, coded
from bidsim.kernels.grid import BINS, edges
from bidsim.kernels.shading import kaplan_meier
from bidsim.policies.best_response import BestResponseParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bidsim.core.result import Result

_FIRST = {"format": "first_price"}


def known_landscape(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The best bid for one value against a known price (check ``shade``)."""
    value, landscape = float(params["v"]), distribution(params["p"])
    policy = {"name": "best_response", "landscape": landscape}
    (best,) = bids_at(seed, policy, [value], _FIRST)

    def against(chosen: Mapping[str, Any]) -> Result:
        own = {"kind": "independent", "distribution": {"type": "point", "value": value}}
        return simulate(
            seed,
            units,
            {"c": {"policy": dict(chosen)}},
            values=own,
            auction=_FIRST,
            market={"kind": "distribution", "distribution": landscape},
        )

    result = against(policy)
    found = {"win_rate": figure(result, "wins") / units, "surplus": _surplus(result, units)}
    for label, factor in (("surplus_1_25b", 1.25), ("surplus_0_75b", 0.75)):
        found[label] = _surplus(against({"name": "shaded", "factor": min(factor * best / value, 10.0)}), units)
    return {name: Estimate(v, units) for name, v in found.items()} | {"bid": Estimate(best)}


def _surplus(result: Result, units: int) -> float:
    return (worth(result) - figure(result, "payment_nanos")) / units


def power_landscape(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Uniform values against the highest of k uniform prices (check ``power``)."""
    rivals = int(params["k"])
    market = {"kind": "distribution", "rivals": rivals}
    values = {"kind": "independent"}
    stream = simulate(
        seed, units, {"c": {"policy": "truthful"}}, values=values, auction=_FIRST, market=market, keep_bids=True
    )
    value, price = rows(stream, "bids", "value_nanos", "minimum_bid_nanos")
    grid = np.linspace(0.2, 1.2, 101)
    gain = np.array([((value - m * value) * (m * value >= price)).mean() for m in grid])
    best = simulate(
        seed,
        units,
        {"c": {"policy": {"name": "shaded", "factor": rivals / (rivals + 1)}}},
        values=values,
        auction=_FIRST,
        market=market,
    )
    found = {
        "win_rate": figure(best, "wins") / units,
        "surplus": _surplus(best, units),
        "spend": figure(best, "payment_nanos") / units,
    }
    return {name: Estimate(v, units) for name, v in found.items()} | {"multiplier": Estimate(best_on_grid(grid, gain))}


_SAMPLES = 2400
_ROWS_AT_ONCE = 400_000


def censored_prices(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The landscape from wins that show the price and losses that hide it (check ``km``).

    The estimator is that of `learned_shading`.
    """
    size, at = int(params["N"]), float(params["t"])
    known: list[float] = []
    naive: list[tuple[float, int]] = []
    while len(known) < _SAMPLES:
        count = max(1, min(_SAMPLES - len(known), _ROWS_AT_ONCE // size))
        own = {"kind": "independent", "distribution": distribution(params["b"])}
        market = {"kind": "distribution", "distribution": distribution(params["m"])}
        result = simulate(
            seed + len(known),
            count * size,
            {"c": {"policy": "truthful"}},
            values=own,
            auction={"format": "second_price"},
            market=market,
            keep_bids=True,
        )
        bid, paid, won = _by_request(result, count * size)
        for k in range(count):
            part = slice(k * size, (k + 1) * size)
            known.append(_share_below(bid[part], paid[part], won[part], at))
            prices = paid[part][won[part]]
            naive.append((float((prices <= at).sum()), len(prices)))
    shares, auctions = np.array(known), len(known) * size
    model = BestResponseParams.model_validate({"landscape": distribution(params["m"])})
    assert model.landscape is not None  # noqa: S101
    return {
        "cdf_true": Estimate(float(cdf(*coded(model.landscape), at)), auctions),
        "km_mean": Estimate(float(shares.mean()), auctions),
        "km_sd1": Estimate(float(shares.std(ddof=1) * np.sqrt(size)), auctions),
        "naive_wins_only": Estimate(sum(low for low, _ in naive) / sum(n for _, n in naive), auctions),
    }


def _by_request(result: Result, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Bid, payment and win of every request, in order; requests without a bid have a bid of zero."""
    bid, paid, request = rows(result, "bids", "bid_nanos", "payment_nanos", "request")
    at = request.astype(np.int64)
    full = np.zeros((2, count))
    full[0, at], full[1, at] = bid, paid
    won = np.zeros(count, bool)
    won[at] = np.array([reason == "won" for reason in result.tables["bids"]["reason"]])
    return full[0], full[1], won


def _share_below(bid: NDArray[np.float64], paid: NDArray[np.float64], won: NDArray[np.bool_], at: float) -> float:
    """Estimated probability that the price is below ``at``, linear within its bin."""
    grid = edges() * 1e-9
    seen = np.bincount(_bin(paid[won], grid), minlength=BINS).astype(np.float64)
    censored = np.bincount(_bin(bid[~won], grid), minlength=BINS).astype(np.float64)
    below = np.zeros(BINS + 1)
    kaplan_meier(seen, censored, below)
    return float(np.interp(at, np.append(grid, grid[-1] * 2), below))


def _bin(amounts: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(grid, amounts, side="right") - 1, 0, BINS - 1)
