"""Where an advertiser's conversions come from, beside its peers; nobody is singled out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.requests import CATEGORIES
from bidsim.metrics.intervals import poisson_interval, told

if TYPE_CHECKING:
    from bidsim.metrics.advertiser import Account

FEWEST_USERS = 50
"""A segment with fewer users is not shown."""
FEWEST_PEERS = 10
"""A cohort with fewer other advertisers is not compared with."""
_FIELDS = ("segment", "age", "geo", "device", "placement")


def segments(account: Account) -> list[dict[str, Any]]:
    """Impressions, clicks, conversions and their rate by level of each field, from the kept impressions.

    Peers are the other advertisers with `FEWEST_USERS` users or more in the same segment; their rate is the mean of
    their own rates.
    """
    every, mine = account.result.tables["auctions"], account.rows_of("auctions")
    user, clicked, converted = (np.asarray(every[name]) for name in ("user", "clicked", "converted"))
    owners = _owners(account)
    found = []
    for field in (f for f in CATEGORIES if f in _FIELDS):
        names, codes = account.result.coded("auctions", field)
        for level in sorted(names):
            everyone = codes == names.index(level)
            rows = mine[everyone[mine]]
            users = len(np.unique(user[rows]))
            if users < FEWEST_USERS:
                continue
            impressions, conversions = len(rows), int(converted[rows].sum())
            found.append(
                {
                    "field": field,
                    "level": level,
                    "users": users,
                    "impressions": impressions,
                    "clicks": int(clicked[rows].sum()),
                    "conversions": conversions,
                    "rate": told(poisson_interval(conversions).times(1000 / impressions)),
                    "peers": _peers(
                        owners[everyone],
                        user[everyone],
                        converted[everyone],
                        account.result.coded("campaigns", "advertiser")[0].index(account.advertiser),
                    ),
                }
            )
    return found


def _owners(account: Account) -> NDArray[np.int64]:
    """Place of the advertiser of each kept impression among the run's advertisers."""
    names, codes = account.result.coded("auctions", "campaign")
    campaigns, (_, owner) = (
        account.result.tables["campaigns"]["campaign"],
        account.result.coded("campaigns", "advertiser"),
    )
    return np.asarray(np.array([owner[campaigns.index(name)] for name in names], np.int64)[codes]) if names else codes


def _peers(owner: NDArray[np.int64], user: NDArray[np.int64], converted: NDArray[np.int64], own: int) -> float | None:
    rates = []
    for other in np.unique(owner):
        theirs = owner == other
        if other != own and len(np.unique(user[theirs])) >= FEWEST_USERS:
            rates.append(1000 * float(converted[theirs].mean()))
    return float(np.mean(rates)) if len(rates) >= FEWEST_PEERS else None
