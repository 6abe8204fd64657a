"""What goes wrong on the bidder's side at a known moment: features that fail, faulty models, budgets that change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.ledger import ACCOUNT, NO_LIMIT
from bidsim.bidder.tables import Bidder, Faults
from bidsim.core.columns import columns
from bidsim.core.incidents import BUDGET, FEATURE, MODEL
from bidsim.core.kernel import kernel
from bidsim.core.requests import Requests
from bidsim.core.units import nanos_of
from bidsim.cvr.features import FIRST_PAIR

FAULT = columns(("kind", "start", "end", "column", "done"))
"""Columns of `Faults.what`: ``column`` is a feature, ``done`` whether a change that stays was made."""


@kernel(inner=True)
def is_on(what: NDArray[np.int64], time: int) -> bool:
    """Whether a fault lasts at ``time``."""
    return what[FAULT.start] <= time < what[FAULT.end]


@kernel(inner=True)
def is_within(faults: Faults, j: int, categories: NDArray[np.int32]) -> bool:
    """Whether a request is where a fault is."""
    within = True
    for field in range(faults.first.shape[0]):
        within &= faults.where[j, faults.first[field] + categories[field]] != 0
    return within


@kernel(inner=True)
def _fails(faults: Faults, j: int, requests: Requests, i: int) -> bool:
    """Whether a feature fails in request ``i``."""
    what = faults.what[j]
    return (
        what[FAULT.kind] == FEATURE and is_on(what, requests.time[i]) and is_within(faults, j, requests.categories[i])
    )


@kernel(inner=True)
def disturb_request(bidder: Bidder, requests: Requests, i: int) -> None:
    """Change what models see of a request."""
    faults = bidder.faults
    for j in range(faults.what.shape[0]):
        what = faults.what[j]
        if what[FAULT.column] < FIRST_PAIR and _fails(faults, j, requests, i):
            bidder.desk.head[what[FAULT.column]] = faults.size[j]


@kernel(inner=True)
def disturb_pairs(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    """Change what models see of user and campaign."""
    faults = bidder.faults
    for j in range(faults.what.shape[0]):
        what = faults.what[j]
        if what[FAULT.column] >= FIRST_PAIR and _fails(faults, j, requests, i):
            for k in range(count):
                bidder.desk.features[k, what[FAULT.column]] = faults.size[j]


@kernel(inner=True)
def disturb_predictions(bidder: Bidder, time: int, lo: int, hi: int) -> None:
    """Multiply the odds that a faulty model gives."""
    faults, offers = bidder.faults, bidder.desk.offers
    for j in range(faults.what.shape[0]):
        if faults.what[j, FAULT.kind] == MODEL and is_on(faults.what[j], time):
            for k in range(lo, hi):
                if faults.who[j, offers.campaign[k]]:
                    odds = faults.size[j] * offers.pcvr[k]
                    offers.pcvr[k] = odds / (1.0 - offers.pcvr[k] + odds)


@kernel(inner=True)
def change_budgets(bidder: Bidder, time: int) -> None:
    """Make changes of budgets that are due; they stay."""
    faults, accounts = bidder.faults, bidder.ledger.accounts
    for j in range(faults.what.shape[0]):
        what = faults.what[j]
        if what[FAULT.kind] == BUDGET and what[FAULT.done] == 0 and time >= what[FAULT.start]:
            what[FAULT.done] = 1
            for c in range(faults.who.shape[1]):
                if faults.who[j, c]:
                    accounts[c, ACCOUNT.budget] = _scaled(accounts[c, ACCOUNT.budget], faults.size[j])
                    accounts[c, ACCOUNT.daily] = _scaled(accounts[c, ACCOUNT.daily], faults.size[j])


@kernel(inner=True)
def _scaled(budget: int, factor: float) -> int:
    if budget == NO_LIMIT or budget * factor >= NO_LIMIT:
        return NO_LIMIT
    return nanos_of(budget * factor)
