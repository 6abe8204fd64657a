"""A bidder in a process of its own: ``python -m tests.bidder.alone FILE`` decides what is in FILE and compares the bids.

It sees the requests' visible fields, what the world declares (prices shown, the shop's purchases), and the notices of
earlier requests. It prints how many bids it made; it ends with 1 where one differs, or a module of the world was loaded.
"""

from __future__ import annotations

import sys

import numpy as np

from bidsim.bidder.bidding import prepare_tasks
from bidsim.bidder.decide import decide, finish
from bidsim.bidder.memory import grown_memory, memory_has_room
from bidsim.bidder.notices import hear
from bidsim.bidder.packed import calls_of, unpack
from bidsim.bidder.tables import Bidder
from bidsim.core.kernel import kernel
from bidsim.core.reference import hold
from bidsim.core.registry import find
from bidsim.core.requests import Requests

NOTICE = ("won", "payment", "price", "minimum", "effect")
WORLD = ("response", "traffic", "engine", "scenario", "market", "auctions")


@kernel()
def _ready(bidder: Bidder) -> None:
    prepare_tasks(bidder)


@kernel()
def _hear(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    hear(bidder, requests, i, count)
    finish(bidder)


def main(path: str) -> int:
    """Decide every request of a recording."""
    kept = np.load(path)
    plugins = {
        family: [find(family, name) for name in kept[f"plugins/{family}"]] for family in ("model", "policy", "pacing")
    }
    bidder = unpack(
        {name.removeprefix("bidder/"): kept[name] for name in kept.files if name.startswith("bidder/")},
        calls_of(plugins["model"], plugins["policy"], plugins["pacing"]),
    )
    requests = Requests(*(kept[f"requests/{name}"] for name in Requests._fields))
    shown = {
        name: kept[f"shown/{name}"]
        for name in ("offer", "bought", "rate", "lift", "campaign", "bid", "reason", "count", *NOTICE)
    }
    lines, made, held, asked = bidder.port.offer.shape[0], 0, hold(bidder), hold(requests)
    _ready(held)
    for i in range(len(requests.time)):
        if not memory_has_room(hold(bidder.memory), lines, lines + 4):
            bidder = bidder._replace(memory=grown_memory(bidder.memory, lines, lines + 4))
            held = hold(bidder)
            _ready(held)
        for name in ("offer", "bought", "rate", "lift"):
            getattr(bidder.port, name)[:] = shown[name][i]
        count, offers, desk = decide(held, asked, i), bidder.desk.offers, bidder.desk
        expected = int(shown["count"][i])
        if count != expected or not np.array_equal(offers.campaign[:count], shown["campaign"][i, :count]):
            print(f"request {i}: campaigns {offers.campaign[:count]}, not {shown['campaign'][i, :expected]}")
            return 1
        if not np.array_equal(offers.bid[:count], shown["bid"][i, :count]):
            print(f"request {i}: bids {offers.bid[:count]}, not {shown['bid'][i, :count]}")
            return 1
        made += int((offers.bid[:count] > 0).sum())
        for name in NOTICE:
            getattr(offers, name)[:count] = shown[name][i, :count]
        desk.reason[:count] = shown["reason"][i, :count]
        _hear(held, asked, i, count)
    loaded = [
        room for room in WORLD if any(m == f"bidsim.{room}" or m.startswith(f"bidsim.{room}.") for m in sys.modules)
    ]
    if loaded:
        print(f"modules of the world were loaded: {loaded}")
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
