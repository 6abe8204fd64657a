"""How far each campaign stayed from the best it could have done in hindsight, rivals' bids fixed.

*Pacing regret* is measured in the bidder's own value at decision time: what bidding and pacing lost, given what was
believed. *Model regret* is measured in true expected value: what believing the wrong rates lost. Neither looks at the
luck of realised conversions. The four parts of AuctionGym (Jeunen, Murphy and Allison, KDD 2023) are given beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.units import NANOS_PER_UNIT
from bidsim.metrics.hindsight import best_in_hindsight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.core.result import Result
    from bidsim.metrics.hindsight import Objective

UPPER_BOUND = "an upper bound: what a campaign wins changes what later impressions are worth (frequency caps, fatigue, repurchase)"


def has_all_bids(result: Result) -> bool:
    """Whether every bid was kept, which regret needs."""
    return bool(result.manifest["sampling"]["requests"] >= 1.0)


def regrets(result: Result, objective: Objective = "utility") -> dict[str, dict[str, Any]]:
    """Regret of each campaign, currency units.

    Args:
        result: A run with every bid kept (``log.decisions`` large enough).
        objective: What the campaign is after: ``utility`` (value minus payment) or ``value``.

    Returns:
        By campaign: ``objective``, ``best`` and ``reached`` and their difference ``pacing_regret``; ``model_regret``;
        ``share_of_best``; AuctionGym's ``estimation``, ``overbid`` and ``underbid`` regrets; ``note``.

    Raises:
        UsageError: Bids were only sampled.

    """
    if not has_all_bids(result):
        share = result.manifest["sampling"]["requests"]
        raise UsageError(f"regret needs every bid, and this run kept {share:.1%} of them; run again with --set log.decisions=1_000_000_000")
    bids, campaigns = result.tables["bids"], result.tables["campaigns"]
    code = _codes(bids["campaign"], campaigns["campaign"])
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(campaigns["campaign"]) + 1))
    note = "" if result.manifest["scenario"].get("values") else UPPER_BOUND
    found = {}
    for k, name in enumerate(campaigns["campaign"]):
        rows = order[bounds[k] : bounds[k + 1]]
        budget = result.manifest["scenario"]["campaigns"][name]["budget"]
        found[name] = _regret(bids, rows, budget, float(campaigns["conversion_value_nanos"][k]), objective) | {"note": note}
    return found


def allocation_regret(result: Result) -> dict[str, float]:
    """True value that each seat lost by sending another campaign's ad than its best one, currency units.

    Only seats that send one bid choose between ads; for the others it is zero (AuctionGym's allocation regret).
    """
    bids, campaigns = result.tables["bids"], result.tables["campaigns"]
    seats = result.manifest["scenario"]["seats"]
    found: dict[str, float] = dict.fromkeys(seats, 0.0)
    code = _codes(bids["campaign"], campaigns["campaign"])
    worth = bids["true_rate"] * campaigns["conversion_value_nanos"][code] / NANOS_PER_UNIT
    for name, settings in seats.items():
        if not settings["internal_auction"]:
            continue
        mine = np.flatnonzero((np.array(campaigns["seat"]) == name)[code] & (bids["bid_nanos"] > 0))
        # the ad sent is the one that did not lose inside
        sent = np.array([bids["reason"][k] != "internal" for k in mine], bool)
        requests, group = np.unique(bids["request"][mine], return_inverse=True)
        best, chosen = np.zeros(len(requests)), np.zeros(len(requests))
        np.maximum.at(best, group, worth[mine])
        np.maximum.at(chosen, group[sent], worth[mine][sent])
        found[name] = float((best - chosen).sum())
    return found


def _codes(names: list[str], known: list[str]) -> NDArray[np.int64]:
    number = {name: k for k, name in enumerate(known)}
    return np.array([number[name] for name in names], np.int64)


def _regret(bids: dict[str, Any], rows: NDArray[np.int64], budget: float, worth: float, objective: Objective) -> dict[str, Any]:
    value = bids["value_nanos"][rows] / NANOS_PER_UNIT
    true = bids["true_rate"][rows] * worth / NANOS_PER_UNIT
    price, bid, paid = (bids[name][rows] / NANOS_PER_UNIT for name in ("minimum_bid_nanos", "bid_nanos", "payment_nanos"))
    won = np.array([bids["reason"][k] == "won" for k in rows], bool)
    cost = paid.sum() if objective == "utility" else 0.0
    reached, reached_true = float(value[won].sum() - cost), float(true[won].sum() - cost)
    best, best_true = best_in_hindsight(value, price, budget, objective).worth, best_in_hindsight(true, price, budget, objective).worth
    missed = ~won & (price < true) & (bid > 0)
    return {
        "objective": objective,
        "best": best,
        "reached": reached,
        "share_of_best": reached / best if best > 0 else None,
        "pacing_regret": best - reached,
        "model_regret": best_true - reached_true,
        "estimation": float((value - true)[bid > 0].sum()),
        "overbid": float((paid - price)[won].clip(min=0.0).sum()),
        "underbid": float((price - bid)[missed].sum()),
    }
