"""Money of a bidder: what is spent, what bids in flight may still cost, and what is left.

Every campaign has an account of its own, in the order of campaigns; shared budgets follow. A bid is *reserved* in all
accounts that it draws on when it is sent, *committed* by the notice that bills it, and *released* by a notice of loss
or
by age, so that ``spent + held <= budget`` holds at every moment, for the flight and for each day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.kernel import kernel

I64 = NDArray[np.int64]

NO_LIMIT = 2**62
"""A budget that never binds, nanos."""
ACCOUNT = columns(("budget", "daily", "spent", "today", "day", "held", "held_today", "spare"))
"""Columns of `Ledger.accounts`; a row is one line of the cache."""


class Ledger(NamedTuple):
    """Accounts in nanos.

    Fields: ``accounts`` int64[accounts, 8]; ``shared`` int64[entries] accounts of shared budgets, campaign by campaign,
    and ``first`` int64[campaigns + 1] where those of each begin.
    """

    accounts: I64
    first: I64
    shared: I64


def open_ledger(budget: list[int], daily: list[int], shared: list[list[int]]) -> Ledger:
    """Open accounts.

    Args:
        budget: Nanos of each account, campaigns first; `NO_LIMIT` where nothing binds.
        daily: Nanos a day.
        shared: For each campaign the accounts of the shared budgets that it draws on.

    """
    accounts = np.zeros((len(budget), len(ACCOUNT)), np.int64)
    accounts[:, ACCOUNT.budget], accounts[:, ACCOUNT.daily] = budget, daily
    first = np.cumsum([0, *(len(own) for own in shared)]).astype(np.int64)
    return Ledger(accounts, first, np.array([a for own in shared for a in own], np.int64))


@kernel(inner=True)
def _left(row: I64, day: int) -> int:
    if row[ACCOUNT.day] != day:
        row[ACCOUNT.day] = day
        row[ACCOUNT.today] = 0
        row[ACCOUNT.held_today] = 0
    whole = row[ACCOUNT.budget] - row[ACCOUNT.spent] - row[ACCOUNT.held]
    return min(whole, row[ACCOUNT.daily] - row[ACCOUNT.today] - row[ACCOUNT.held_today])


@kernel(inner=True)
def affordable(ledger: Ledger, campaign: int, day: int) -> int:
    """Nanos that all budgets of a campaign still allow; a new day, or episode, opens a new daily one."""
    money = _left(ledger.accounts[campaign], day)
    for entry in range(ledger.first[campaign], ledger.first[campaign + 1]):
        money = min(money, _left(ledger.accounts[ledger.shared[entry]], day))
    return money


@kernel(inner=True)
def _hold(row: I64, nanos: int, day: int) -> None:
    row[ACCOUNT.held] += nanos
    if row[ACCOUNT.day] == day:
        row[ACCOUNT.held_today] += nanos


@kernel(inner=True)
def hold(ledger: Ledger, campaign: int, nanos: int, day: int) -> None:
    """Reserve ``nanos`` of a bid sent on ``day``; a negative amount is given back."""
    _hold(ledger.accounts[campaign], nanos, day)
    for entry in range(ledger.first[campaign], ledger.first[campaign + 1]):
        _hold(ledger.accounts[ledger.shared[entry]], nanos, day)


@kernel(inner=True)
def _spend(row: I64, nanos: int, day: int) -> None:
    row[ACCOUNT.spent] += nanos
    if row[ACCOUNT.day] == day:
        row[ACCOUNT.today] += nanos


@kernel(inner=True)
def spend(ledger: Ledger, campaign: int, nanos: int, day: int) -> None:
    """Commit ``nanos`` for a bid sent on ``day``."""
    _spend(ledger.accounts[campaign], nanos, day)
    for entry in range(ledger.first[campaign], ledger.first[campaign + 1]):
        _spend(ledger.accounts[ledger.shared[entry]], nanos, day)
