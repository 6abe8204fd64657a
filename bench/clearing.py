"""Auctions cleared a second: the engine's kernel called by its address, beside loops that have the rule written in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.calls import addresses
from bidsim.core.contracts import CLEAR_SIGNATURE, Book, Outcome, call_clear, empty_book, empty_outcome
from bidsim.core.kernel import kernel
from bidsim.core.reference import ref
from bidsim.core.registry import find

if TYPE_CHECKING:
    from numpy.typing import NDArray

BIDDERS = 10
_AUCTIONS = 2_000_000


@kernel()
def _by_address(address: int, book: Book, outcome: Outcome, numbers: NDArray[np.float64], auctions: int) -> int:
    total = 0
    bids = book.bid
    bits = np.uint64(1)
    for _ in range(auctions):
        for k in range(BIDDERS):
            bits = bits * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            bids[k] = np.int64(bits >> np.uint64(33))
        call_clear(address, (book, BIDDERS, 1, numbers, outcome))
        total += outcome.payment[0] + outcome.winner[0]
    return total


@kernel()
def _branch_free(bids: NDArray[np.int64], auctions: int) -> int:
    total = 0
    bits = np.uint64(1)
    for _ in range(auctions):
        top, second = np.int64(0), np.int64(0)
        winner: Any = np.int64(-1)
        for k in range(BIDDERS):
            bits = bits * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            bid = np.int64(bits >> np.uint64(33))
            winner = np.int64(k) if bid > top else winner
            second = max(second, min(bid, top))
            top = max(top, bid)
        total += second + winner
    return total


@kernel()
def _branchy(bids: NDArray[np.int64], auctions: int) -> int:
    total = 0
    bits = np.uint64(1)
    for _ in range(auctions):
        for k in range(BIDDERS):
            bits = bits * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            bids[k] = np.int64(bits >> np.uint64(33))
        first, second = -1, -1
        for k in range(BIDDERS):
            if first < 0 or bids[k] > bids[first]:
                second = first
                first = k
            elif second < 0 or bids[k] > bids[second]:
                second = k
        total += bids[second] + first
    return total


def rates(repeats: int) -> dict[str, list[float]]:
    """Auctions per second of each way, measured in turn."""
    plugin: Any = find("auction", "second_price")
    address = int(addresses([plugin.clear], CLEAR_SIGNATURE)[0])
    book, outcome, numbers = (
        empty_book(BIDDERS),
        empty_outcome(BIDDERS, 1),
        np.array([*plugin.numbers(plugin.Params()), 0.0]),
    )
    bids = np.zeros(BIDDERS, np.int64)
    ways: dict[str, Any] = {
        "by_address": lambda n: _by_address(address, ref(book), ref(outcome), numbers, n),
        "inlined_branch_free": lambda n: _branch_free(bids, n),
        "inlined_branchy": lambda n: _branchy(bids, n),
    }
    results = {name: way(1000) for name, way in ways.items()}
    if len(set(results.values())) != 1:
        raise AssertionError(f"the ways disagree: {results}")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begun = time.perf_counter()
            way(_AUCTIONS)
            found[name].append(_AUCTIONS / (time.perf_counter() - begun))
    return found
