"""Recommendations: what an action is expected to bring, with the evidence.

Where nothing is advised, why not, and what would settle it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bidsim.core.units import DAY
from bidsim.explain.levers import KAPPA, OF_THE_AD, Explored, LeverEffect, needed
from bidsim.metrics.exploration import cost_of_exploring
from bidsim.metrics.intervals import told

if TYPE_CHECKING:
    from bidsim.metrics.advertiser import Account


@dataclass(frozen=True)
class Advice:
    """One action.

    Attributes:
        lever: Name of the lever.
        change: What to do: a part of the price, or units of the lever.
        uplift: Change of conversions as a part of them.
        conversions: Change of conversions over a period as long as the run.
        spend: Change of spend over it; None where it cannot be told.
        cpa: Spend for one conversion afterwards; None where spend is not known.
        earnings: Change of what the conversions earn before media cost, as a part of it: fewer conversions of higher
            margin may earn more.
        impressions: Randomised impressions of the advertiser behind it.
        conversions_seen: Randomised conversions of the advertiser.
        everyone: Randomised conversions of all advertisers, to whose effect this one is drawn.
        silence: Why it is not advised; None where it is.
        needed: Randomised conversions that find an effect of 5% four times in five.
        false_sign: Probability that conversions change the other way; None where nothing is known.

    """

    lever: str
    change: float
    uplift: dict[str, float] | None
    conversions: dict[str, float] | None
    spend: float | None
    cpa: dict[str, float] | None
    earnings: dict[str, float] | None
    impressions: int
    conversions_seen: int
    everyone: int
    silence: str | None
    needed: int
    false_sign: float | None = None


def advise(effect: LeverEffect, facts: dict[str, Any], margin: float, *, by_click: bool) -> Advice:
    """Turn what is known of a lever into advice.

    A price is moved to where sales earn more, not to where there are more of them.

    Args:
        effect: The direction of the lever that brings more conversions, and its opposite.
        facts: The advertiser's headline.
        margin: Part of the price that a sale earns, the smallest among its products.
        by_click: Whether clicks are charged: what the action does to clicks, and so to spend, is then not told.

    """
    here = _reckon(effect, facts, margin, by_click=by_click)
    if effect.lever == "price" and effect.opposite is not None:
        other = _reckon(effect.opposite, facts, margin, by_click=by_click)
        if (
            other.earnings is not None
            and here.earnings is not None
            and other.earnings["value"] > here.earnings["value"]
        ):
            return other
    return here


def never_varied(explored: Explored) -> list[Advice]:
    """Levers of the ad that dice did not set, of which nothing is known."""
    varied, total = {lever.name for lever in explored.levers}, explored.rows.conversions
    why = "it was never varied, so nothing is known of it"
    return [
        Advice(name, 0.0, None, None, None, None, None, 0, 0, total, why, needed(KAPPA[name]))
        for name in OF_THE_AD
        if name not in varied
    ]


def _reckon(effect: LeverEffect, facts: dict[str, Any], margin: float, *, by_click: bool) -> Advice:
    evidence = {
        "impressions": effect.impressions,
        "conversions_seen": effect.conversions,
        "everyone": effect.everyone,
        "needed": effect.needed,
    }
    if effect.belief is None:
        return Advice(effect.lever, effect.change, None, None, None, None, None, **evidence, silence=effect.silence)
    uplift = effect.belief.uplift
    value, low, high = uplift
    before, spend = facts["conversions"]["value"], facts["spend"]
    priced = effect.lever == "price"
    each = (margin + effect.change) / margin if priced else 1.0
    earnings = {"value": (1 + value) * each - 1, "low": (1 + low) * each - 1, "high": (1 + high) * each - 1}
    silence = effect.silence if not priced or not effect.belief.speaks else None
    if silence is None and before == 0:
        silence = "no conversion came in this run, so there is nothing that a change could be reckoned from"
    elif silence is None and earnings["low"] <= 0:
        silence = (
            "it sells more, but each sale earns less, and together they may earn less than now"
            if value > 0
            else "it may sell so much less that sales earn less than now"
        )
    return Advice(
        lever=effect.lever,
        change=effect.change,
        uplift=told(uplift),
        conversions={"value": before * value, "low": before * low, "high": before * high},
        spend=None if by_click else 0.0,
        cpa={
            "value": spend / before / (1 + value),
            "low": spend / before / (1 + high),
            "high": spend / before / (1 + low),
        }
        if before and not by_click
        else None,
        earnings=earnings,
        **evidence,
        silence=silence,
        false_sign=effect.belief.false_sign,
    )


def experiment(account: Account, explored: Explored | None) -> list[dict[str, Any]]:
    """For each lever of the ad, what finds an effect of 5% four times in five.

    Conversions, days at the share explored (a tenth where none was), and cost.

    What it costs is known of levers that were varied, from what varying them all did cost in this run, by how much
    longer or shorter it takes: in conversions, and in money where bids were varied, too.
    """
    result = account.result
    conversions = int(result.tables["campaigns"]["conversions"].sum())
    days = result.facts.duration_us / DAY
    share = result.facts.exploration.share or 0.1
    randomised = explored.rows.conversions if explored is not None else 0
    daily = (randomised or conversions * share) / days
    cost = cost_of_exploring(result)
    varied = cost["levers"] if cost else []
    known = {e.lever: e.needed for e in explored.own[account.advertiser]} if explored is not None else {}
    found = []
    for lever in OF_THE_AD:
        wanted = known.get(lever, needed(KAPPA[lever]))
        runs = wanted / (daily * days) if daily and cost and lever in varied else None
        found.append(
            {
                "lever": lever,
                "needed": wanted,
                "share": share,
                "days": wanted / daily if daily else None,
                "conversions_change": None
                if cost is None or runs is None
                else runs * cost["conversions_change_expected"],
                "spend_change": None
                if cost is None or runs is None or "bid" not in varied
                else runs * cost["spend_change"],
            }
        )
    return found
