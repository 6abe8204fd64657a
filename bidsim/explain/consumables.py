"""The operator's question: does the model lean on products that are bought again and again, and what does that do?

Each product line is looked at with what the model makes of it: the part of the prediction that comes from *which*
product (and campaign and advertiser) it is, at whatever time since the last purchase, and the part that comes from that
time. Both are Shapley values in conversions per 1,000 impressions, so with the rest they add up. Beside them stands the
truth, which a simulation knows: how many conversions are credited, and how many purchases the impressions add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.units import DAY, NANOS_PER_UNIT
from bidsim.cvr.features import FEATURES
from bidsim.explain.model_use import explained_model, feature_rows
from bidsim.metrics.incrementality import ghost_ad_estimate
from bidsim.metrics.summary import ratio

if TYPE_CHECKING:
    from bidsim.core.result import Result

CONSUMABLE_DAYS = 90.0
"""A product bought again sooner than this is called a consumable."""
_IDENTITY = ("product", "campaign", "advertiser")
_TIMING = ("days_since_purchase",)


def describe_consumables(result: Result) -> dict[str, Any]:
    """How predictions, reach and incrementality differ between consumables and durables.

    Returns:
        JSON-ready: ``lines`` (one for each advertiser's product) and ``groups`` (``consumable``, ``durable``), rates in
        conversions per 1,000 impressions, money in currency units, None where something cannot be told; ``answers``,
        sentences.

    """
    lines = [_line(result, k) for k in range(len(result.tables["incrementality"]["advertiser"]))]
    groups = {
        name: _together([line for line in lines if line["consumable"] == flag])
        for name, flag in (("consumable", True), ("durable", False))
    }
    return {
        "scenario": result.facts.scenario,
        "seed": result.facts.seed,
        "lines": lines,
        "groups": groups,
        "answers": _answers(groups),
    }


def _line(result: Result, k: int) -> dict[str, Any]:
    table, arms = result.tables["campaigns"], result.tables["incrementality"]
    advertiser, product = arms["advertiser"][k], arms["product"][k]
    rows = [
        j
        for j in range(len(table["campaign"]))
        if table["advertiser"][j] == advertiser and table["product"][j] == product
    ]
    campaigns = tuple(table["campaign"][j] for j in rows)
    cycle = result.facts.products[product].repurchase_us / DAY
    wins = int(table["wins"][rows].sum())
    names, codes = result.coded("auctions", "campaign")
    kept = np.array([name in campaigns for name in names], np.bool_)[codes] if names else np.zeros(0, np.bool_)
    held = [
        int(arms[f"{arm}_{what}"][k])
        for arm in ("served", "held_out")
        for what in ("users", "purchases", "purchases_squared")
    ]
    estimate = ghost_ad_estimate(*held)
    return {
        "advertiser": advertiser,
        "product": product,
        "cycle_days": cycle,
        "consumable": cycle < CONSUMABLE_DAYS,
        "impressions": wins,
        "spend": int(table["payment_nanos"][rows].sum()) / NANOS_PER_UNIT,
        "users_kept": len(np.unique(result.tables["auctions"]["user"][kept])),
        "predicted": _per_thousand(float(table["pcvr_sum"][rows].sum()), wins),
        "credited": _per_thousand(float(table["true_rate_sum"][rows].sum()), wins),
        "caused": _per_thousand(float(table["direct_rate_sum"][rows].sum()), wins),
        "conversions": int(table["conversions"][rows].sum()),
        "model": _parts(result, campaigns),
        "ghost_ads": None
        if estimate is None
        else {"value": estimate.value, "low": estimate.low, "high": estimate.high},
        "held_out_users": held[3] if result.facts.holdout_share else None,
        "caused_realised": held[1] - int(arms["served_purchases_without_ads"][k]) if held[0] else None,
    }


def _per_thousand(total: float, impressions: int) -> float | None:
    share = ratio(total, impressions)
    return None if share is None else 1000 * share


def _parts(result: Result, campaigns: tuple[str, ...]) -> dict[str, float] | None:
    """Mean prediction on sampled rows, and its parts.

    Where all predictions start, which product it is, its timing, the rest.
    """
    table = result.tables["campaigns"]
    seats = {table["seat"][j] for j in range(len(table["campaign"])) if table["campaign"][j] in campaigns}
    found: list[NDArray[np.float64]] = []
    for seat in sorted(seats):
        model, rows = explained_model(result, seat), feature_rows(result, campaigns, seat)
        if model is None or not len(rows):
            continue
        values = model.counted(model.attributor(rows))
        identity, timing = (
            values[:, [FEATURES.index(f) for f in chosen]].sum(axis=1) for chosen in (_IDENTITY, _TIMING)
        )
        start = np.full(len(rows), float(model.per_thousand(model.expected)))
        found.append(np.column_stack([start, identity, timing, values.sum(axis=1) - identity - timing]))
    if not found:
        return None
    means = np.concatenate(found).mean(axis=0)
    return {
        "start": float(means[0]),
        "identity": float(means[1]),
        "timing": float(means[2]),
        "rest": float(means[3]),
        "predicted": float(means.sum()),
    }


def _together(lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Figures of a group of lines, weighted by impressions."""
    shown = [line for line in lines if line["impressions"]]
    if not shown:
        return None
    wins = sum(line["impressions"] for line in shown)
    rates = {
        name: sum(line[name] * line["impressions"] for line in shown) / wins
        for name in ("predicted", "credited", "caused")
    }
    parts = [line for line in shown if line["model"] is not None]
    behind = sum(line["impressions"] for line in parts)
    spend = sum(line["spend"] for line in shown)
    return {
        "lines": len(shown),
        "impressions": wins,
        "spend": spend,
        **rates,
        "caused_of_credited": ratio(rates["caused"], rates["credited"]),
        "spend_per_caused": ratio(spend, rates["caused"] * wins / 1000),
        "model": {name: sum(p["model"][name] * p["impressions"] for p in parts) / behind for name in parts[0]["model"]}
        if parts
        else None,
    }


def _answers(groups: dict[str, dict[str, Any] | None]) -> list[str]:
    one, other = groups["consumable"], groups["durable"]
    if one is None or other is None:
        known = "consumables" if one is not None else "durables" if other is not None else ""
        return [
            f"The run has impressions of {known} only, so there is nothing to compare them with."
            if known
            else "The run has no impressions, so nothing can be compared."
        ]
    told = [
        f"The model predicts {one['predicted']:.2f} conversions per 1,000 impressions of consumables and "
        f"{other['predicted']:.2f} of durables."
    ]
    if one["model"] and other["model"]:
        identity, timing, whole = (
            one["model"][name] - other["model"][name] for name in ("identity", "timing", "predicted")
        )
        told.append(
            f"On sampled decisions, won or not, its predictions are {whole:+.2f} apart: {identity:+.2f} by which "
            "product it is, at any time since the last purchase, "
            f"{timing:+.2f} by that time, {whole - identity - timing:+.2f} by all else."
        )
    caused_more, credited_more = (one[name] - other[name] for name in ("caused", "credited"))
    told.append(
        f"In truth {abs(credited_more):.2f} {_more(credited_more)} are credited to consumables: "
        f"{abs(caused_more):.2f} {_more(caused_more)} that their ads cause, "
        f"{abs(credited_more - caused_more):.2f} {_more(credited_more - caused_more)} that come round anyway and fall "
        "into the window."
    )
    share = one["impressions"] / (one["impressions"] + other["impressions"])
    told.append(
        f"Consumables have {100 * share:.0f}% of the impressions and "
        f"{100 * one['spend'] / max(one['spend'] + other['spend'], 1e-12):.0f}% of the spend."
    )
    caused, elsewhere = one["caused_of_credited"], other["caused_of_credited"]
    if caused is not None and elsewhere is not None:
        told.append(
            f"In truth ads for consumables cause {caused:.2f} purchases for each that is credited to them, those for "
            f"durables {elsewhere:.2f}."
        )
        if caused < elsewhere:
            told.append(
                "Who bids by credited conversions is drawn to purchases of consumables that would have come anyway."
            )
    return told


def _more(difference: float) -> str:
    return "more" if difference >= 0 else "fewer"
