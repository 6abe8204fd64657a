"""What the request loop reads and writes, as named tuples of arrays: built once, filled by compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import Book, Drawn, Offers, Outcome, empty_book, empty_drawn, empty_offers, empty_outcome
from bidsim.core.requests import CATEGORIES, Latent, Requests
from bidsim.core.scoring import ScorerTables
from bidsim.cvr.features import WIDTH
from bidsim.observers.population import Seen
from bidsim.observers.slices import Slices
from bidsim.response.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
U64 = NDArray[np.uint64]

NO_LIMIT = 2**62
"""A budget that never binds, nanos."""


class Campaigns(NamedTuple):
    """Fixed facts of campaigns, sorted by seat, policy and pacer; arrays of length (campaigns).

    Fields: ``id`` hash of the name; ``by_name`` their rows in the order of names; ``holder`` hash of the advertiser;
    ``seat``; ``value`` nanos of one conversion; ``budget`` and ``daily`` nanos; ``start`` and ``end`` microseconds;
    ``cap_count`` (0 none) and ``cap_window``; ``passed_from`` and ``passed_share``, the flight on the curve of expected
    traffic; ``by_day`` 1 where the days' budgets bind before the whole one, so that pacers are told of the day;
    ``price`` currency units; ``static`` float32[campaigns, 6] model features; ``reserve`` nanos for one impression, of
    this bidder alone; ``quality`` expected clicks of one impression in the first position.
    """

    id: I64
    by_name: I64
    holder: I64
    seat: I64
    value: I64
    budget: I64
    daily: I64
    start: I64
    end: I64
    cap_count: I64
    cap_window: I64
    passed_from: F64
    passed_share: F64
    by_day: I64
    price: F64
    static: F32
    reserve: I64
    quality: F64


class Seats(NamedTuple):
    """Bidders as the exchange sees them.

    Fields: ``user_from`` and ``user_to``, its part of the user space [0, 1); ``internal`` 1 where only its
    best bid goes out; ``oracle`` 1 where it knows the truth; ``scorer`` index of its kernel; ``whole_rows`` 1 where it
    reads them; ``ints``, ``floats``, ``narrow`` and ``wide`` [seats + 1], its part of the tables; ``task`` [seats,
    words], room for what its scorer is handed.
    """

    user_from: F64
    user_to: F64
    internal: I64
    oracle: I64
    scorer: I64
    whole_rows: I64
    ints: I64
    floats: I64
    narrow: I64
    wide: I64
    task: I64


class Targeting(NamedTuple):
    """Bitsets of campaigns: ``allowed[first[field] + level]`` may bid there; ``flight`` and ``member`` [seats] by seat.

    ``change`` int64[1] is the next time at which a flight starts or ends.
    """

    first: I64
    allowed: U64
    flight: U64
    member: U64
    change: I64


class Store(NamedTuple):
    """State of users seen so far; grown between calls of the loop.

    Fields: ``table`` int64[capacity, 2], open addressing from user + 1 to slot; ``users`` int64[slots, 3]: user,
    first clock, first exposure; ``clocks`` int64[n, columns] and ``scale`` float64[n] (see response.purchases);
    ``exposures`` int64[n, 4]: campaign, link, last time, count; ``frequency`` float64[n], decayed count;
    ``ring`` int64[n, most], times of the latest impressions; ``used`` int64[5]: users, clocks, exposures,
    head of the free exposures, events; ``heap`` int64[n, 2], purchases to come that may be credited.
    """

    table: I64
    users: I64
    clocks: I64
    scale: F64
    exposures: I64
    frequency: F64
    ring: I64
    used: I64
    heap: I64


class Ledger(NamedTuple):
    """Money in nanos: ``spent``, ``today`` and ``day`` by campaign; ``exchange`` int64[2]: publishers' revenue, fee."""

    spent: I64
    today: I64
    day: I64
    exchange: I64


class Counters(NamedTuple):
    """What observers count; see the room ``observers`` for the columns.

    ``market`` int64[4]: requests, positions sold to campaigns, sold to rivals, unsold. ``breach`` int64[7]: the first
    sale that no format may make.
    """

    reasons: I64
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


class Log(NamedTuple):
    """Rows kept of one kind: ``ints`` and ``floats`` by row, ``features`` float32 where it has any; ``used`` int64[1]."""

    ints: I64
    floats: F64
    features: F32
    used: I64


class Logs(NamedTuple):
    """The rows that a run keeps: won impressions, decisions, conversions."""

    wins: Log
    decisions: Log
    conversions: Log


WIN_INTS = (
    "request", "time_us", "user", "campaign", "bid_nanos", "payment_nanos", "minimum_bid_nanos", "bidfloor_nanos",
    "rival_nanos", "position", "price_nanos", "viewed", "clicked", "converted", "conversion_time_us", *CATEGORIES, "arms", "sampled",
)  # fmt: skip
WIN_FLOATS = (
    "pcvr",
    "value_nanos",
    "multiplier",
    "true_rate",
    "direct_rate",
    "true_view",
    "true_click",
    "true_conversion",
    "natural_rate",
    "natural_direct_rate",
    "offer",
)
DECISION_INTS = (
    "request",
    "time_us",
    "user",
    "campaign",
    "bid_nanos",
    "minimum_bid_nanos",
    "payment_nanos",
    "reason",
    "price_nanos",
)
DECISION_FLOATS = ("pcvr", "value_nanos", "multiplier", "propensity", "true_rate", "direct_rate", "quality")
CONVERSION_INTS = (
    "time_us",
    "user",
    "campaign",
    "credit_time_us",
    "value_nanos",
    "ad_driven",
    "observed",
    "plain_would_have",
    "reported_us",
)
CONVERTED, CONVERSION_TIME = WIN_INTS.index("converted"), WIN_INTS.index("conversion_time_us")
WIN_ARMS, WIN_SAMPLED = WIN_INTS.index("arms"), WIN_INTS.index("sampled")


def roomier(log: Log, rows: int) -> Log:
    """Return a log with room for ``rows`` more, its contents kept; the same log where there is room."""
    used = int(log.used[0])
    if used + rows <= len(log.ints):
        return log
    larger = empty_log(2 * len(log.ints) + rows, log.ints.shape[1], log.floats.shape[1], log.features.shape[1])
    larger.ints[:used], larger.floats[:used], larger.features[:used] = (
        log.ints[:used],
        log.floats[:used],
        log.features[:used],
    )
    larger.used[0] = used
    return larger


class Scratch(NamedTuple):
    """Room for one request: by eligible campaign k, or by campaign or line where named so."""

    offers: Offers
    drawn: Drawn
    book: Book
    outcome: Outcome
    sale: Outcome
    features: F32
    head: F32
    truth: F64
    rates: F64
    price: F64
    shown: F64
    wanted: I64
    reason: I64
    seat_best: I64
    exposure_of: I64
    clock_of: I64
    entry_of: I64
    ghost: I64
    broke: I64


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
    float64[campaigns, levers, arms, columns]; ``tried`` int64[campaigns, arms, columns], see observers.exploration.
    """

    below: F64
    moves: F64
    tried: I64


class Incidents(NamedTuple):
    """What goes wrong and when; see engine.incidents for kinds and columns.

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
    """Keys of the named random streams that the loop draws from."""

    response: np.uint64
    organic: np.uint64
    offers: np.uint64
    split: np.uint64
    holdout: np.uint64
    tie: np.uint64
    policy: np.uint64
    sample: np.uint64
    basket: np.uint64
    values: np.uint64
    deadline: np.uint64
    exploration: np.uint64


class Rules(NamedTuple):
    """Numbers that hold for the whole run; money in nanos, time in microseconds, the rest flags and counts.

    ``users`` 0 where values are drawn and no user is simulated; ``episode`` requests after which budgets begin anew
    (0 never); ``joint`` whether the format sells all ``positions`` at once; ``by_click`` whether clicks are charged;
    ``yields`` whether rivals lose to equal bids; ``tells`` whether notices tell the minimum bid to win; ``internal``
    whether any seat sends its best bid only; ``learns`` whether the format changes its rules; ``hears`` whether any
    policy or pacer listens to notices; ``tmax`` microseconds that bidders have, 0 where they have for ever; ``network``
    median microseconds of the network, and its ``network_spread``; ``volume`` real requests that one stands for;
    ``measured`` whether the loop's own time counts, at ``tick`` microseconds a tick; ``clock_every`` requests between
    two that are stamped, 0 for none; ``exploration`` share of (user, advertiser) pairs whose levers are set by dice;
    ``watch_wins`` whether won impressions are counted in slices, and ``watch_offers`` the share of requests whose
    eligible campaigns are; ``incidents`` how many there are.
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
    episode: int
    positions: int
    joint: int
    by_click: int
    yields: int
    tells: int
    internal: int
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


class Calls(NamedTuple):
    """Addresses of the plug-ins' kernels, int64[kernels] each.

    Fields: ``clear``, ``minima`` and ``learn`` of the one format; ``score`` of CVR models; ``draw`` of the one value
    model; ``bid`` and ``notice`` of policies; ``pace`` and ``settle`` of pacers.
    """

    clear: I64
    minima: I64
    learn: I64
    score: I64
    draw: I64
    bid: I64
    notice: I64
    pace: I64
    settle: I64


class Simulated(NamedTuple):
    """Everything that the loop works on."""

    calls: Calls

    campaigns: Campaigns
    seats: Seats
    groups: I64
    targeting: Targeting
    truth: Truth
    store: Store
    ledger: Ledger
    counters: Counters
    logs: Logs
    scratch: Scratch
    keys: Keys
    rules: Rules
    tables: ScorerTables
    curve: F64
    format_numbers: F64
    value_floats: F64
    value_ints: I64
    policy_floats: F64
    policy_ints: I64
    pacer_floats: F64
    pacer_ints: I64
    deadline: Deadline
    clock: Clock
    exploration: Exploration
    incidents: Incidents


class Chunk(NamedTuple):
    """Requests with the rivals' bids, int64[n, depth] nanos, and what a log says of them, float64[n, columns]."""

    requests: Requests
    latent: Latent
    rivals: I64
    logged: F64


def empty_ledger(campaigns: int) -> Ledger:
    """Allocate a ledger."""
    return Ledger(
        np.zeros(campaigns, np.int64),
        np.zeros(campaigns, np.int64),
        np.zeros(campaigns, np.int64),
        np.zeros(2, np.int64),
    )


def empty_log(rows: int, ints: int, floats: int, features: int) -> Log:
    """Allocate a log."""
    return Log(
        np.zeros((rows, ints), np.int64),
        np.zeros((rows, floats)),
        np.zeros((rows, features), np.float32),
        np.zeros(1, np.int64),
    )


def empty_scratch(campaigns: int, lines: int, seats: int, rivals: int, effect: Sequence[float] = (1.0,)) -> Scratch:
    """Allocate room for one request; ``effect`` holds the relative view rate of each position."""
    entries = campaigns + rivals
    return Scratch(
        offers=empty_offers(campaigns),
        drawn=empty_drawn(campaigns),
        book=empty_book(entries)._replace(effect=np.array(effect, np.float64)),
        outcome=empty_outcome(entries, len(effect)),
        sale=empty_outcome(entries, 1),
        features=np.zeros((campaigns, WIDTH), np.float32),
        head=np.zeros(WIDTH, np.float32),
        truth=np.zeros(campaigns),
        rates=np.zeros((campaigns, 5)),
        price=np.zeros(campaigns),
        shown=np.zeros(campaigns),
        wanted=np.zeros(campaigns, np.int64),
        reason=np.zeros(campaigns, np.int64),
        seat_best=np.zeros(seats, np.int64),
        exposure_of=np.full(campaigns, -1, np.int64),
        clock_of=np.full(lines, -1, np.int64),
        entry_of=np.zeros(entries, np.int64),
        ghost=np.zeros(entries, np.int64),
        broke=np.zeros(campaigns, np.int64),
    )
