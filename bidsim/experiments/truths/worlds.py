"""Worlds for checks: small scenarios of drawn values, built from Python and run by the engine like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.contracts import NOTHING
from bidsim.core.units import NANOS_PER_UNIT
from bidsim.experiments.run import run
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bidsim.core.result import Result

RICH = 1e8
"""A budget that never binds, currency units."""
CPM = 1000.0
"""CPM of one currency unit for an impression."""
_TYPES = {
    "uniform": "uniform",
    "exp": "exponential",
    "lognormal": "lognormal",
    "normal": "normal",
    "beta": "beta",
    "point": "point",
}
_KEYS = {"a": "low", "b": "high"}


def distribution(params: Mapping[str, Any]) -> dict[str, Any]:
    """From a case's distribution to a scenario's; ``a`` and ``b`` of a uniform are its ends."""
    kind = _TYPES.get(params["type"], params["type"])
    rest = {(_KEYS.get(k, k) if kind == "uniform" else k): v for k, v in params.items() if k != "type"}
    return {"type": kind, **rest}


def simulate(
    seed: int,
    auctions: int,
    campaigns: Mapping[str, Mapping[str, Any]],
    *,
    values: Mapping[str, Any],
    auction: Mapping[str, Any],
    market: Mapping[str, Any] | None = None,
    duration: str = "7d",
    keep_wins: bool = False,
    keep_bids: bool = False,
    **other: Any,
) -> Result:
    """Run a world of exactly ``auctions`` requests with drawn values.

    Args:
        seed: Seed of everything that is drawn.
        auctions: Number of requests.
        campaigns: Keys of each campaign; budgets never bind unless given.
        values: The ``[values]`` block.
        auction: The ``[auction]`` block.
        market: The ``[market]`` block.
        duration: How long the world runs.
        keep_wins: Whether every won impression is kept in ``auctions``.
        keep_bids: Whether every bid is kept in ``bids``.
        other: Further blocks of the scenario.

    """
    log = {
        "wins": 1_000_000_000 if keep_wins else 0,
        "decisions": 1_000_000_000 if keep_bids else 0,
        "bucket": duration,
        "landscape_every": 1_000_000_000,
    }
    world = {
        "name": "truth",
        "seed": seed,
        "requests": auctions,
        "count": "exact",
        "duration": duration,
        "traffic": {"hours": "flat"},
        "values": dict(values),
        "market": dict(market or {"kind": "none"}),
        "auction": dict(auction),
        "campaigns": {name: {"budget": RICH, **c} for name, c in campaigns.items()},
        **other,
        "log": log | other.get("log", {}),
    }
    return run(scenario_of(world), progress=lambda stage, done, total: None)


def figure(result: Result, name: str, campaign: str | None = None) -> float:
    """Sum of a column of the campaigns' table, over all campaigns or of one, in currency units where it is money."""
    table = result.tables["campaigns"]
    column = np.asarray(table[name], np.float64)
    total = column.sum() if campaign is None else column[list(table["campaign"]).index(campaign)]
    return float(total) / (NANOS_PER_UNIT if name.endswith("_nanos") else 1.0)


def worth(result: Result, campaign: str | None = None) -> float:
    """True value won, in currency units (a unit of value is a unit of money in these worlds)."""
    return figure(result, "true_rate_sum", campaign)


def rows(result: Result, table: str, *names: str) -> Sequence[NDArray[np.float64]]:
    """Columns of a row table as float64, money in currency units."""
    found = result.tables[table]
    return [
        np.asarray(found[name], np.float64) / (NANOS_PER_UNIT if name.endswith("_nanos") else 1.0) for name in names
    ]


def rows_of(result: Result, table: str, campaign: str, *names: str) -> Sequence[NDArray[np.float64]]:
    """Columns of a row table for one campaign."""
    mine = (
        np.array([c == campaign for c in result.tables[table]["campaign"]], bool)
        if len(result.tables[table]["campaign"])
        else np.zeros(0, bool)
    )
    return [column[mine] if len(column) else NOTHING for column in rows(result, table, *names)]


def bids_at(seed: int, policy: Mapping[str, Any], values: Sequence[float], auction: Mapping[str, Any]) -> list[float]:
    """What a policy bids at given values, in currency units: a world in which these values come in turn."""
    result = simulate(
        seed,
        len(values),
        {"c": {"policy": dict(policy)}},
        values={"kind": "types", "worth": {"c": [float(v) for v in values]}, "in_turn": True},
        auction=auction,
        keep_bids=True,
    )
    bid, _ = rows(result, "bids", "bid_nanos", "request")
    return [float(b) for b in bid]


def best_on_grid(grid: NDArray[np.float64], gain: NDArray[np.float64], around: float = 0.15, degree: int = 4) -> float:
    """Where a noisy gain is highest: the top of a polynomial through the points around the highest one.

    Args:
        grid: float64[n], rising.
        gain: float64[n].
        around: Points within this part of the highest one are used; a gain with a kink at its top wants few.
        degree: Degree of the polynomial; a noisy gain wants a low one.

    """
    top = grid[int(np.argmax(gain))]
    near = np.abs(grid - top) <= around * abs(top) + 1e-12
    if near.sum() <= degree + 1:
        return float(top)
    curve = np.polyfit((grid[near] - top) / abs(top), gain[near], degree)
    fine = np.linspace(grid[near][0], grid[near][-1], 2001)
    return float(fine[int(np.argmax(np.polyval(curve, (fine - top) / abs(top))))])
