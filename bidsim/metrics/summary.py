"""The summary of a run: what ``summary.json`` holds and the command line prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.reasons import REASONS
from bidsim.core.units import NANOS_PER_UNIT
from bidsim.metrics.exploration import cost_of_exploring
from bidsim.metrics.incrementality import ghost_ad_estimate
from bidsim.metrics.latency import answer_times
from bidsim.metrics.regret import allocation_regret, has_all_bids, regrets

if TYPE_CHECKING:
    from bidsim.core.result import Columns, Result


def ratio(numerator: float, denominator: float) -> float | None:
    """Quotient, or None where nothing can be divided by."""
    return float(numerator / denominator) if denominator else None


def summarize(result: Result) -> dict[str, Any]:
    """Headline figures: the market, each campaign, each product line, and the models.

    Money is in currency units; ``*_nanos`` is exact. *Realised* figures are this seed's events, *expected* ones sums of
    true probabilities.
    """
    campaigns = result.tables["campaigns"]
    market = dict(
        zip(result.tables["market"]["figure"], (int(a) for a in result.tables["market"]["amount"]), strict=True)
    )
    episode = result.facts.episode_requests
    rows = [campaign_row(campaigns, k, episode) for k in range(len(campaigns["campaign"]))]
    if has_all_bids(result):
        regret = regrets(result)
        rows = [{**row, "regret": regret[row["campaign"]]} for row in rows]
    parts: dict[str, Any] = {"allocation_regret": allocation_regret(result)} if has_all_bids(result) else {}
    if answers := answer_times(result):
        parts["answers"] = answers
    if (explored := cost_of_exploring(result)) is not None:
        parts["exploration"] = explored
    if told := result.facts.warnings:
        parts["warnings"] = [f"seat {seat}: {text}" for seat, text in told.items()]
    return {
        **parts,
        "scenario": result.facts.scenario,
        "seed": result.facts.seed,
        "market": _market(market, campaigns),
        "campaigns": {row.pop("campaign"): row for row in rows},
        "lines": _lines(result.tables["incrementality"]),
        "models": result.facts.evaluation,
        "winners_curse": _winners_curse(campaigns, drawn=result.facts.values_are_drawn),
    }


def campaign_row(table: Columns, k: int, episode: int = 0) -> dict[str, Any]:
    """Figures of one campaign; ``episode`` is how many requests one has, 0 where there are none.

    The budget is an episode's, and all ``episodes`` had it; spend is of all of them.
    """
    spend = int(table["payment_nanos"][k]) / NANOS_PER_UNIT
    sales = int(table["sales_nanos"][k]) / NANOS_PER_UNIT
    conversions, wins, bids = int(table["conversions"][k]), int(table["wins"][k]), int(table["bids"][k])
    return {
        "campaign": table["campaign"][k],
        "advertiser": table["advertiser"][k],
        "product": table["product"][k],
        "seat": table["seat"][k],
        "policy": table["policy"][k],
        "pacing": table["pacing"][k],
        "budget": int(table["budget_nanos"][k]) / NANOS_PER_UNIT,
        "episodes": -(-int(table["requests"][k]) // episode) if episode else 1,
        "eligible": int(table["eligible"][k]),
        "bids": bids,
        "wins": wins,
        "spend": spend,
        "spend_nanos": int(table["payment_nanos"][k]),
        "views": int(table["views"][k]),
        "clicks": int(table["clicks"][k]),
        "conversions": conversions,
        "conversions_eventual": int(table["conversions_eventual"][k]),
        "conversions_expected": float(table["true_rate_sum"][k]),
        "conversions_caused_expected": float(table["direct_rate_sum"][k]),
        "sales": sales,
        "win_rate": ratio(wins, bids),
        "cpm": ratio(1000 * spend, wins),
        "cpa": ratio(spend, conversions),
        "roas": ratio(sales, spend),
        "value_expected": _true_value(table, k) / NANOS_PER_UNIT,
        "surplus_expected": _true_value(table, k) / NANOS_PER_UNIT - spend,
        "lost": {reason: int(table[f"lost_{reason}"][k]) for reason in REASONS},
    }


def _true_value(table: Columns, k: int) -> float:
    return float(table["true_rate_sum"][k] * table["conversion_value_nanos"][k])


def _market(market: dict[str, int], campaigns: Columns) -> dict[str, Any]:
    value = float((campaigns["true_rate_sum"] * campaigns["conversion_value_nanos"]).sum())
    realised = float((campaigns["conversions_eventual"] * campaigns["conversion_value_nanos"]).sum())
    revenue = int(campaigns["payment_nanos"].sum())
    return {
        **market,
        "revenue": revenue / NANOS_PER_UNIT,
        "revenue_nanos": revenue,
        "publisher_revenue": market["publisher_revenue_nanos"] / NANOS_PER_UNIT,
        "exchange_fee": market["exchange_fee_nanos"] / NANOS_PER_UNIT,
        "welfare_expected": value / NANOS_PER_UNIT,
        "welfare_realised": realised / NANOS_PER_UNIT,
        "surplus_expected": (value - revenue) / NANOS_PER_UNIT,
        "surplus_realised": (realised - revenue) / NANOS_PER_UNIT,
        "conversions": int(campaigns["conversions"].sum()),
    }


def _lines(table: Columns) -> list[dict[str, Any]]:
    """Realised truth and ghost-ad estimate of what advertising caused, by product line."""
    found = []
    for k in range(len(table["advertiser"])):
        arm = {name: int(table[name][k]) for name in table if name not in ("advertiser", "product")}
        estimate = ghost_ad_estimate(
            arm["served_users"], arm["served_purchases"], arm["served_purchases_squared"],
            arm["held_out_users"], arm["held_out_purchases"], arm["held_out_purchases_squared"],
        )  # fmt: skip
        found.append(
            {
                "advertiser": table["advertiser"][k],
                "product": table["product"][k],
                "purchases_caused_realised": arm["served_purchases"] - arm["served_purchases_without_ads"],
                "ghost_ad_estimate": None
                if estimate is None
                else {"value": estimate.value, "low": estimate.low, "high": estimate.high},
                "held_out_users": arm["held_out_users"],
            }
        )
    return found


def _winners_curse(campaigns: Columns, *, drawn: bool) -> dict[str, Any]:
    """Predicted over true rate, or value where values are drawn, on won impressions.

    Above 1 the winner overestimates (Capen et al. 1971).
    """
    worth = campaigns["conversion_value_nanos"].astype(float)
    predicted, true = (
        (campaigns["value_nanos"].astype(float), campaigns["true_rate_sum"] * worth)
        if drawn
        else (campaigns["pcvr_sum"], campaigns["true_rate_sum"])
    )
    found = {}
    seats = np.array(campaigns["seat"])
    for seat in sorted(set(campaigns["seat"])):
        mine = seats == seat
        found[seat] = ratio(float(predicted[mine].sum()), float(true[mine].sum()))
    return found
