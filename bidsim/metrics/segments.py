"""Where an advertiser's conversions come from, beside its peers; nobody is singled out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.requests import CATEGORIES
from bidsim.metrics.intervals import poisson_interval

if TYPE_CHECKING:
    from bidsim.metrics.advertiser import Account

FEWEST_USERS = 50
"""A segment with fewer users is not shown."""
FEWEST_PEERS = 10
"""A cohort with fewer other advertisers is not compared with."""
_FIELDS = ("segment", "age", "geo", "device", "placement")


def segments(account: Account) -> list[dict[str, Any]]:
    """Impressions, clicks, conversions and their rate by level of each field, from the kept impressions.

    Peers are the other advertisers with `FEWEST_USERS` users or more in the same segment; their rate is the mean of their own rates.
    """
    mine, every = account.part("auctions"), account.result.tables["auctions"]
    owner = dict(zip(account.result.tables["campaigns"]["campaign"], account.result.tables["campaigns"]["advertiser"], strict=True))
    owners = np.array([owner[c] for c in every["campaign"]], object)
    found = []
    for field in (f for f in CATEGORIES if f in _FIELDS):
        levels, all_levels = np.array(mine[field], object), np.array(every[field], object)
        for level in sorted(set(mine[field])):
            rows = levels == level
            users = len(np.unique(mine["user"][rows]))
            if users < FEWEST_USERS:
                continue
            impressions, conversions = int(rows.sum()), int(mine["converted"][rows].sum())
            counted = poisson_interval(conversions)
            found.append(
                {
                    "field": field,
                    "level": level,
                    "users": users,
                    "impressions": impressions,
                    "clicks": int(mine["clicked"][rows].sum()),
                    "conversions": conversions,
                    "rate": {"value": 1000 * counted.value / impressions, "low": 1000 * counted.low / impressions, "high": 1000 * counted.high / impressions},
                    "peers": _peers(account, every, owners, all_levels == level),
                }
            )
    return found


def _peers(account: Account, every: dict[str, Any], owners: Any, rows: Any) -> float | None:
    rates = []
    for other in sorted(set(owners[rows]) - {account.advertiser}):
        theirs = rows & (owners == other)
        if len(np.unique(every["user"][theirs])) >= FEWEST_USERS:
            rates.append(1000 * float(every["converted"][theirs].mean()))
    return float(np.mean(rates)) if len(rates) >= FEWEST_PEERS else None
