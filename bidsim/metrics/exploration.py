"""What exploring cost: conversions and money of the slice, beside what natural values would have brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.units import NANOS_PER_UNIT

if TYPE_CHECKING:
    from bidsim.core.result import Result


def cost_of_exploring(result: Result) -> dict[str, Any] | None:
    """Size and cost of the exploration slice; None where nothing was explored.

    Conversions are expected ones (sums of true rates) with levers as dice set them, less those of natural values on the
    same impressions. Money is what the slice paid less what it would have paid had every bid been its natural one,
    which the arm of natural bids tells.
    """
    table = result.tables.get("explorations", {})
    arms = result.tables.get("bid_arms", {})
    if not len(arms.get("campaign", ())):
        return None
    offered, paid = arms["offered"].astype(float), arms["payment_nanos"].astype(float)
    natural = np.array(arms["bid_factor"]) == 1.0
    each = np.array(arms["campaign"])
    spend = 0.0
    for campaign in dict.fromkeys(arms["campaign"]):
        mine = each == campaign
        stayed = mine & natural
        if offered[stayed].sum():
            spend += paid[mine].sum() - offered[mine].sum() * paid[stayed].sum() / offered[stayed].sum()
    came, would = float(table["true_rate"].sum()), float(table["natural_rate"].sum())
    return {
        "levers": list(result.facts.exploration.levers),
        "impressions": len(table["user"]),
        "conversions": int(table["converted"].sum()),
        "spend": float(paid.sum()) / NANOS_PER_UNIT,
        "conversions_change_expected": came - would,
        "conversions_change_share": came / would - 1 if would else 0.0,
        "spend_change": spend / NANOS_PER_UNIT,
    }
