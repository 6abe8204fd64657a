"""What a CVR model sees of an impression, as one float32 row: the request, the campaign, and the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core import requests as columns
from bidsim.core.errors import did_you_mean
from bidsim.core.kernel import kernel
from bidsim.core.requests import Requests
from bidsim.core.units import DAY, HOUR, NANOS_PER_CPM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REQUEST_FEATURES = (
    "hour",
    "weekday",
    "exchange",
    "site",
    "placement",
    "device",
    "geo",
    "slot",
    "segment",
    "age",
    "floor_cpm",
    "visits",
    "engagement",
)
CAMPAIGN_FEATURES = ("campaign", "advertiser", "product", "creative", "landing", "shipping_days")
CAMPAIGN_CATEGORIES = CAMPAIGN_FEATURES[:3]
PAIR_FEATURES = ("price", "frequency", "hours_since_seen", "days_since_purchase")
FEATURES = (*REQUEST_FEATURES, *CAMPAIGN_FEATURES, *PAIR_FEATURES)
"""Names of the columns of a feature row."""
CATEGORICAL = ("exchange", "site", "placement", "device", "geo", "slot", "segment", "campaign", "advertiser", "product")
"""Features whose numbers are codes; age stays ordered."""

FIRST_CAMPAIGN = len(REQUEST_FEATURES)
FIRST_PAIR = FIRST_CAMPAIGN + len(CAMPAIGN_FEATURES)
WIDTH = len(FEATURES)
_FIRST_CATEGORY = 2
_N_CATEGORIES = len(columns.CATEGORIES)


@kernel()
def fill_request(row: NDArray[np.float32], requests: Requests, i: int) -> None:
    """Write the features of request ``i``, the same for every campaign."""
    time = requests.time[i]
    row[0] = (time // HOUR) % 24
    row[1] = (time // DAY) % 7
    for j in range(_N_CATEGORIES):
        row[_FIRST_CATEGORY + j] = requests.categories[i, j]
    row[10] = requests.floor[i] / NANOS_PER_CPM
    row[11] = requests.numbers[i, columns.VISITS]
    row[12] = requests.numbers[i, columns.ENGAGEMENT]


@kernel()
def fill_pair(row: NDArray[np.float32], price: float, frequency: float, since_seen: int, since_purchase: int) -> None:
    """Write the features of (user, campaign).

    Args:
        row: The feature row.
        price: Price shown, currency units.
        frequency: Recent impressions, decayed.
        since_seen: Microseconds since the last impression, negative where there was none.
        since_purchase: Microseconds since the user's last purchase, negative where none is known.

    """
    row[FIRST_PAIR] = price
    row[FIRST_PAIR + 1] = frequency
    row[FIRST_PAIR + 2] = since_seen / HOUR if since_seen >= 0 else np.nan
    row[FIRST_PAIR + 3] = since_purchase / DAY if since_purchase >= 0 else np.nan


def recoded(
    features: NDArray[np.float32], have: Mapping[str, Sequence[str]], want: Mapping[str, Sequence[str]]
) -> NDArray[np.float32]:
    """Rows with campaigns, advertisers and products in another vocabulary's codes, -1 where that lacks a name.

    Args:
        features: float32[n, features], as one model's history has them.
        have: Names by code of these rows.
        want: Names by code of the rows returned.

    """
    found = features
    for name in CAMPAIGN_CATEGORIES:
        ours, theirs = list(have.get(name, ())), list(want.get(name, ()))
        if ours != theirs and len(features):
            found = features.copy() if found is features else found
            codes = np.array([theirs.index(level) if level in theirs else -1 for level in ours] or [-1], np.float32)
            column = FEATURES.index(name)
            found[:, column] = codes[features[:, column].astype(np.int64)]
    return found


def unreadable(feature: str) -> Iterator[tuple[str, str]]:
    """Say, as ("feature", why), where a feature is not read anew with each request."""
    visible = (*REQUEST_FEATURES, *PAIR_FEATURES)
    if feature not in visible:
        why = "belongs to the campaign, which a model knows before the run" if feature in FEATURES else "is no feature"
        hint = did_you_mean(feature, visible)
        yield "feature", f"{feature!r} {why}{hint}; choose one of {', '.join(visible)}"


def categorical_indices() -> list[int]:
    """Columns of `FEATURES` that are categorical."""
    return [FEATURES.index(name) for name in CATEGORICAL]
