"""Bids in flight against a plain dictionary, and accounts against plain sums: random sends, answers and expiries."""

from __future__ import annotations

import numpy as np

from bidsim.bidder.flight import (
    BID,
    IN_FLIGHT,
    OLDEST,
    TWICE,
    Flight,
    empty_flight,
    find_bid,
    flight_has_room,
    grown_flight,
    land,
    send_bid,
)
from bidsim.bidder.ledger import ACCOUNT, NO_LIMIT, Ledger, affordable, hold, open_ledger, spend
from bidsim.core.contracts import Offers, empty_offers
from bidsim.core.kernel import kernel
from bidsim.core.reference import ref


@kernel()
def _send(flight: Flight, bid: int, offers: Offers, user: int, time: int) -> int:
    return send_bid(flight, bid, offers, 0, user, 0, time)


@kernel()
def _find(flight: Flight, bid: int) -> int:
    return find_bid(flight, bid)


@kernel()
def _land(flight: Flight, entry: int) -> None:
    land(flight, entry)


@kernel()
def _move(ledger: Ledger, campaign: int, held: int, spent: int, day: int) -> int:
    hold(ledger, campaign, held, day)
    spend(ledger, campaign, spent, day)
    return affordable(ledger, campaign, day)


def test_flight__finds_what_is_in_flight_and_nothing_else() -> None:
    dice, flight, offers = np.random.default_rng(2), empty_flight(2), empty_offers(1)
    sent: dict[int, int] = {}
    twice = 0
    for time in range(6_000):
        bid = int(dice.integers(400)) * 2**40
        if dice.random() < 0.55:
            while not flight_has_room(ref(flight), 1):
                flight = grown_flight(flight, 1)
            offers.bid[0] = time
            entry = _send(ref(flight), bid, ref(offers), bid + 1, time)
            assert (entry < 0) == (bid in sent)
            twice += bid in sent
            sent.setdefault(bid, time)
        else:
            entry = _find(ref(flight), bid)
            assert (entry >= 0) == (bid in sent)
            if entry >= 0:
                assert flight.bids[entry, [BID.id, BID.user, BID.bid, BID.sent]].tolist() == [
                    bid,
                    bid + 1,
                    sent[bid],
                    sent[bid],
                ]
                _land(ref(flight), entry)
                del sent[bid]
        assert flight.used[IN_FLIGHT] == len(sent)
        assert flight.counts[TWICE] == twice
        if sent:
            assert flight.bids[flight.used[OLDEST], BID.id] == next(iter(sent))
        else:
            assert flight.used[OLDEST] == -1


def test_ledger__leaves_what_every_budget_allows() -> None:
    """Three campaigns, of which two draw on a shared budget; days come and go."""
    dice = np.random.default_rng(5)
    budget, daily = [10**6, NO_LIMIT, 10**6, 1_500_000], [50_000, NO_LIMIT, 10**5, 80_000]
    shared = [[3], [3], []]
    ledger = open_ledger(budget, daily, shared)
    spent, held = np.zeros(4, np.int64), np.zeros(4, np.int64)
    today, held_today, day = np.zeros(4, np.int64), np.zeros(4, np.int64), 0
    for _ in range(4_000):
        if dice.random() < 0.02:
            day += 1
            today[:] = held_today[:] = 0
        c, more, paid = int(dice.integers(3)), int(dice.integers(-200, 200)), int(dice.integers(0, 50))
        accounts = [c, *shared[c]]
        for a in accounts:  # accounts that are looked at for the first time today begin anew
            if ledger.accounts[a, ACCOUNT.day] != day:
                ledger.accounts[a, [ACCOUNT.day, ACCOUNT.today, ACCOUNT.held_today]] = day, 0, 0
        spent[accounts] += paid
        held[accounts] += more
        today[accounts] += paid
        held_today[accounts] += more
        left = min(min(budget[a] - spent[a] - held[a], daily[a] - today[a] - held_today[a]) for a in accounts)
        assert _move(ref(ledger), c, more, paid, day) == left
