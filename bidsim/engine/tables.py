"""The world's side of the loop, as named tuples of arrays: built once, filled by compiled code.

`State` is all that the loop works on: what bidders know (`bidsim.bidder`), and what only the world knows, below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.memory import Memory
from bidsim.bidder.tables import Bidder
from bidsim.core.contracts import Book, Drawn, Outcome, empty_book, empty_drawn, empty_outcome
from bidsim.core.requests import Latent, Requests
from bidsim.engine.feed import Feed
from bidsim.engine.mail import Mail
from bidsim.engine.rows import Log
from bidsim.engine.users import Store
from bidsim.observers.population import Seen
from bidsim.observers.slices import Slices
from bidsim.response.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]


class Counters(NamedTuple):
    """What observers count; see the room ``observers`` for the columns.

    ``market`` int64[4]: requests, positions sold to campaigns, sold to rivals, unsold. ``breach`` int64[7]: the first
    sale that no format may make. ``notices`` int64[n], see `engine.mail`.
    """

    counts: I64
    amounts: I64
    sums: F64
    timeline: I64
    slices: Slices
    seen: Seen
    landscape: I64
    landscape_sums: F64
    market: I64
    breach: I64


class Logs(NamedTuple):
    """The rows that a run keeps: won impressions, decisions, conversions."""

    wins: Log
    decisions: Log
    conversions: Log


class Scratch(NamedTuple):
    """Room for one request.

    Fields: ``drawn`` what a value model says; ``book``, ``outcome`` and ``sale`` of the auction; ``rates``
    float64[campaigns, 5] true rates by eligible campaign; ``priced`` int64[lines], the request for which a price
    stands in the port; ``clock_of`` int64[lines] and ``exposure_of`` int64[campaigns], this user's; ``entry_of`` and
    ``ghost`` int64[entries] of the book; ``slot`` int64[2], the user's place in the store and in what users have seen.
    """

    drawn: Drawn
    book: Book
    outcome: Outcome
    sale: Outcome
    rates: F64
    priced: I64
    clock_of: I64
    exposure_of: I64
    entry_of: I64
    ghost: I64
    slot: I64


class Deadline(NamedTuple):
    """How long seats take to answer.

    Fields by seat: ``id``, on which its dice hang; ``fixed``, ``per_candidate`` (microseconds) and ``spread``;
    ``workers``, 0 where no request waits; ``shed``, 1 where requests that are late already are dropped; ``free``
    [seats, workers], when each worker is next free; ``counts`` and ``histogram`` of responses, see observers.latency.
    """

    id: I64
    fixed: F64
    per_candidate: F64
    spread: F64
    workers: I64
    shed: I64
    free: F64
    counts: I64
    histogram: I64


class Exploration(NamedTuple):
    """What dice may set in the exploration slice; see engine.exploration for levers, arms and columns.

    Fields: ``below`` float64[levers, 2], dice below which a lever goes down, and below which it stays; ``moves``
    float64[campaigns, levers, arms, columns].
    """

    below: F64
    moves: F64


class Incidents(NamedTuple):
    """What goes wrong in the world and when; see engine.incidents for kinds and columns.

    Fields: ``what`` int64[incidents, columns] and ``size`` float64[incidents, columns]; ``where`` int64[incidents,
    levels], 1 at levels that are touched; ``who`` int64[incidents, campaigns], 1 for those that are; ``id``
    int64[incidents], by which their dice go; ``first`` int64[fields], first level of each; ``key``, of all their dice.
    """

    what: I64
    size: F64
    where: I64
    who: I64
    id: I64
    first: I64
    key: np.uint64


class Clock(NamedTuple):
    """Time stamps of sampled requests, int64[rows, 1 + stages] ticks, and how many rows are used, int64[1]."""

    stamps: I64
    used: I64


class Keys(NamedTuple):
    """Keys of the named random streams that the world draws from."""

    response: np.uint64
    organic: np.uint64
    offers: np.uint64
    holdout: np.uint64
    tie: np.uint64
    sample: np.uint64
    basket: np.uint64
    values: np.uint64
    deadline: np.uint64
    exploration: np.uint64
    notices: np.uint64


class Rules(NamedTuple):
    """Numbers that hold for the whole run; money in nanos, time in microseconds, the rest flags and counts.

    ``users`` 0 where values are drawn and no user is simulated; ``joint`` whether the format sells all ``positions`` at
    once; ``by_click`` whether clicks are charged; ``yields`` whether rivals lose to equal bids; ``learns`` whether the
    format changes its rules; ``tmax`` microseconds that bidders have, 0 where they have for ever; ``network`` median
    microseconds of the network, and its ``network_spread``; ``volume`` real requests that one stands for; ``measured``
    whether the loop's own time counts, at ``tick`` microseconds a tick; ``clock_every`` requests between two that are
    stamped, 0 for none; ``exploration`` share of (user, advertiser) pairs whose levers are set by dice; ``watch_wins``
    whether won impressions are counted in slices, and ``watch_offers`` the share of requests whose eligible campaigns
    are; ``incidents`` how many there are; ``needs_truth`` whether a seat is told true rates; ``hears`` whether
    anyone listens to notices; ``late`` whether they come late, and ``feed`` how purchases are told, see engine.feed.
    """

    duration: int
    bucket: int
    slice_window: int
    reserve: int
    fee: float
    holdout: float
    needs_truth: int
    keep_wins: float
    keep_decisions: float
    landscape_every: int
    users: int
    positions: int
    joint: int
    by_click: int
    yields: int
    learns: int
    hears: int
    tmax: int
    network: float
    network_spread: float
    volume: float
    measured: int
    tick: float
    clock_every: int
    exploration: float
    watch_wins: int
    watch_offers: float
    incidents: int
    late: int


class WorldCalls(NamedTuple):
    """Addresses of plug-ins' kernels, int64[1] each.

    ``clear``, ``minima`` and ``learn`` of the format, ``draw`` of values.
    """

    clear: I64
    minima: I64
    learn: I64
    draw: I64


class World(NamedTuple):
    """Everything that no bidder knows.

    ``seen`` is what users really saw, the bidders' own memory where notices come at once; ``reserve`` nanos int64
    [campaigns] for one impression, of single bidders; ``revenue`` int64[2]: what publishers and the exchange earned.
    """

    calls: WorldCalls
    truth: Truth
    store: Store
    seen: Memory
    feed: Feed
    mail: Mail
    reserve: I64
    revenue: I64
    counters: Counters
    logs: Logs
    scratch: Scratch
    keys: Keys
    rules: Rules
    format_numbers: F64
    value_floats: F64
    value_ints: I64
    deadline: Deadline
    clock: Clock
    exploration: Exploration
    incidents: Incidents


class State(NamedTuple):
    """All that the loop works on: what bidders know, and what is true."""

    bidder: Bidder
    world: World


class Chunk(NamedTuple):
    """Requests with the rivals' bids, int64[n, depth] nanos, and what a log says of them, float64[n, columns]."""

    requests: Requests
    latent: Latent
    rivals: I64
    logged: F64


def empty_scratch(
    campaigns: int, lines: int, rivals: int, exposure_of: I64, effect: Sequence[float] = (1.0,)
) -> Scratch:
    """Allocate room for one request; ``effect`` holds the relative view rate of each position."""
    entries = campaigns + rivals
    return Scratch(
        drawn=empty_drawn(campaigns),
        book=empty_book(entries)._replace(effect=np.array(effect, np.float64)),
        outcome=empty_outcome(entries, len(effect)),
        sale=empty_outcome(entries, 1),
        rates=np.zeros((campaigns, 5)),
        priced=np.full(lines, -1, np.int64),
        clock_of=np.full(lines, -1, np.int64),
        exposure_of=exposure_of,
        entry_of=np.zeros(entries, np.int64),
        ghost=np.zeros(entries, np.int64),
        slot=np.zeros(2, np.int64),
    )
