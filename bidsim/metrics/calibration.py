"""How far predictions can be trusted for one advertiser.

Predicted beside observed conversions, on impressions whose time has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.metrics.intervals import poisson_interval, told

if TYPE_CHECKING:
    from bidsim.metrics.advertiser import Account

_GROUPS = 5
FEWEST = 20
"""Conversions below which nothing is said about the model."""


def calibration(account: Account) -> dict[str, Any]:
    """Predicted and observed conversions of kept impressions, in groups by prediction.

    Only impressions that are older than the attribution window count.
    """
    rows, facts = account.part("auctions", "time_us", "pcvr", "position", "converted"), account.result.facts
    matured = rows["time_us"] <= facts.duration_us - facts.attribution_window_us
    # what is predicted is an impression in the first position
    seen = np.array(facts.positions, np.float64)
    predicted, came = (rows["pcvr"] * seen[rows["position"]] / seen[0])[matured], rows["converted"][matured]
    conversions, expected = int(came.sum()), float(predicted.sum())
    counted = poisson_interval(conversions)
    enough = conversions >= FEWEST
    ratio = counted.under(expected) if enough else None
    order = np.argsort(predicted, kind="stable")
    groups = [
        {
            "impressions": len(part),
            "predicted": float(predicted[part].sum()),
            "observed": told(poisson_interval(int(came[part].sum()))),
        }
        for part in (np.array_split(order, _GROUPS) if enough else [])
    ]
    return {
        "impressions": len(predicted),
        "predicted": expected,
        "conversions": conversions,
        "over_observed": told(ratio),
        "groups": groups,
    }
