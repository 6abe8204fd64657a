"""How far each campaign stayed from the best it could have done in hindsight, rivals' bids fixed.

*Pacing regret* is measured in the bidder's own value at decision time: what bidding and pacing lost, given what was
believed. *Model regret* is measured in true expected value: what believing the wrong rates lost. Neither looks at the
luck of realised conversions. The four parts of AuctionGym (Jeunen, Murphy and Allison, KDD 2023) are given beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.units import DAY, NANOS_PER_UNIT
from bidsim.metrics.hindsight import best_in_hindsight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.core.facts import RunFacts
    from bidsim.core.result import Result
    from bidsim.metrics.hindsight import Objective

UPPER_BOUND = (
    "an upper bound: what a campaign wins changes what later impressions are worth (frequency caps, "
    "fatigue, repurchase)"
)
MANY_POSITIONS = "not known: one minimum bid does not tell what each of several positions would have cost"


def has_all_bids(result: Result) -> bool:
    """Whether every bid was kept, which regret needs."""
    return result.facts.kept_decisions >= 1.0


def regrets(result: Result, objective: Objective = "utility") -> dict[str, dict[str, Any]]:
    """Regret of each campaign, currency units; nothing where a request has several positions.

    Where clicks are charged, value and price are those of an impression: of a click times the clicks expected.

    Args:
        result: A run with every bid kept (``log.decisions`` large enough).
        objective: What the campaign is after: ``utility`` (value minus payment) or ``value``.

    Returns:
        By campaign: ``objective``, ``best`` and ``reached`` and their difference ``pacing_regret``; ``model_regret``;
        ``share_of_best``; AuctionGym's ``estimation``, ``overbid`` and ``underbid`` regrets; ``note``, and nothing but
        this where there are several positions.

    Raises:
        UsageError: Bids were only sampled.

    """
    if not has_all_bids(result):
        share = result.facts.kept_decisions
        raise UsageError(
            f"regret needs every bid, and this run kept {share:.1%} of them; run again with --set "
            "log.decisions=1_000_000_000"
        )
    bids, campaigns = result.tables["bids"], result.tables["campaigns"]
    code = _codes(bids["campaign"], campaigns["campaign"])
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(campaigns["campaign"]) + 1))
    facts = result.facts
    if len(facts.positions) > 1:
        return {name: {"note": MANY_POSITIONS} for name in campaigns["campaign"]}
    note = "" if facts.values_are_drawn else UPPER_BOUND
    found = {}
    for k, name in enumerate(campaigns["campaign"]):
        rows = order[bounds[k] : bounds[k + 1]]
        faced = _faced(bids, rows, float(campaigns["conversion_value_nanos"][k]))
        found[name] = _regret(faced, _purse(facts, name, bids, rows), objective) | {"note": note}
    return found


@dataclass(frozen=True)
class _Faced:
    """The auctions that a campaign faced, in currency units for an impression.

    Attributes:
        value: float64[n], as the bidder believed it; and as it truly was.
        true: float64[n].
        price: float64[n], lowest bid that would have won.
        bid: float64[n].
        paid: float64[n], what a win was to cost, whether or not its click came.
        won: bool[n].

    """

    value: NDArray[np.float64]
    true: NDArray[np.float64]
    price: NDArray[np.float64]
    bid: NDArray[np.float64]
    paid: NDArray[np.float64]
    won: NDArray[np.bool_]


@dataclass(frozen=True)
class _Purse:
    """A campaign's budget, and the parts of the run that have budgets of their own.

    Where days or episodes have budgets: which of them each auction falls into, and how much each has.
    """

    budget: float
    part: NDArray[np.int64] | None = None
    part_budget: float = np.inf


def _purse(facts: RunFacts, name: str, bids: dict[str, Any], rows: NDArray[np.int64]) -> _Purse:
    campaign = facts.campaigns[name]
    if facts.episode_requests:
        return _Purse(np.inf, bids["request"][rows] // facts.episode_requests, campaign.budget)
    if campaign.daily_budget is not None:
        return _Purse(campaign.budget, bids["time_us"][rows] // DAY, campaign.daily_budget)
    return _Purse(campaign.budget)


def _faced(bids: dict[str, Any], rows: NDArray[np.int64], worth: float) -> _Faced:
    quality = bids["quality"][rows]
    value, price, bid, paid = (
        bids[name][rows] * quality / NANOS_PER_UNIT
        for name in ("value_nanos", "minimum_bid_nanos", "bid_nanos", "price_nanos")
    )
    won = np.array([bids["reason"][k] == "won" for k in rows], bool)
    return _Faced(value, bids["true_rate"][rows] * worth / NANOS_PER_UNIT, price, bid, paid, won)


def allocation_regret(result: Result) -> dict[str, float]:
    """True value that each seat lost by sending another campaign's ad than its best one, currency units.

    Only seats that send one bid choose between ads; for the others it is zero (AuctionGym's allocation regret).
    """
    bids, campaigns = result.tables["bids"], result.tables["campaigns"]
    found: dict[str, float] = dict.fromkeys(result.facts.internal_auctions, 0.0)
    code = _codes(bids["campaign"], campaigns["campaign"])
    worth = bids["true_rate"] * campaigns["conversion_value_nanos"][code] / NANOS_PER_UNIT
    for name, internal in result.facts.internal_auctions.items():
        if not internal:
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


def _regret(faced: _Faced, purse: _Purse, objective: Objective) -> dict[str, Any]:
    value, true, price, bid, paid, won = faced.value, faced.true, faced.price, faced.bid, faced.paid, faced.won
    cost = paid[won].sum() if objective == "utility" else 0.0
    reached, reached_true = float(value[won].sum() - cost), float(true[won].sum() - cost)
    best, best_true = (
        best_in_hindsight(v, price, purse.budget, objective, purse.part, purse.part_budget).worth for v in (value, true)
    )
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
