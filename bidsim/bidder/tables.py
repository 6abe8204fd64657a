"""What a bidder knows, as named tuples of arrays: built once, filled by compiled code.

The hidden side of the world (intent, purchase clocks, true rates, dice of events) has no place here, and this room
cannot
import it. What the world does tell a bidder comes by `Port`, by notices, and by the shop's feed of purchases.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.flight import Flight
from bidsim.bidder.ledger import Ledger
from bidsim.bidder.memory import Memory
from bidsim.core.contracts import Offers, empty_offers
from bidsim.core.scoring import ScorerTables
from bidsim.core.units import NEVER
from bidsim.cvr.features import WIDTH

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
U64 = NDArray[np.uint64]

POLICY, PACER, FIRST, END, SEAT, PACES, NOTICES, SETTLES = range(8)
"""Columns of `Bidder.groups`: kernels of a run of campaigns, the seat they sit in, and which kernels do anything."""


class Campaigns(NamedTuple):
    """Fixed facts of campaigns, sorted by seat, policy and pacer; arrays of length (campaigns).

    Fields: ``id`` hash of the name; ``by_name`` their rows in the order of names; ``holder`` hash of the advertiser;
    ``seat``; ``line`` product line; ``group`` run of campaigns in `Bidder.groups`; ``value`` nanos of one conversion;
    ``start`` and ``end`` microseconds; ``cap_count`` (0 none) and ``cap_window``; ``passed_from`` and
    ``passed_share``, the flight on the curve of expected traffic; ``account`` the account whose budget is paced;
    ``by_day`` 1 where the days' budgets bind before the whole one, so that pacers are told of the day; ``price``
    currency units; ``static`` float32[campaigns, 6] model features; ``quality`` expected clicks of one impression in
    the first position, as the exchange estimates it.
    """

    id: I64
    by_name: I64
    holder: I64
    seat: I64
    line: I64
    group: I64
    value: I64
    start: I64
    end: I64
    cap_count: I64
    cap_window: I64
    passed_from: F64
    passed_share: F64
    account: I64
    by_day: I64
    price: F64
    static: F32
    quality: F64


class Seats(NamedTuple):
    """Bidders as the exchange sees them.

    Fields: ``user_from`` and ``user_to``, its part of the user space [0, 1); ``internal`` 1 where only its best bid
    goes out; ``oracle`` 1 where it is told the truth by the port; ``scorer`` index of its kernel; ``whole_rows`` 1
    where it reads them; ``ints``, ``floats``, ``narrow`` and ``wide`` [seats + 1], its part of the tables; ``task``
    [seats, words], room for what its scorer is handed.
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


class Port(NamedTuple):
    """What the world declares to bidders with a request, before they bid.

    Fields: ``offer`` float64[lines], log of the price that the shop shows this user today over the campaign's price;
    ``bought`` int64[lines], when the user bought of each line, as far as the shop tells, minus `NEVER` where it tells
    nothing; ``rate`` and ``lift`` float64[campaigns], true rates for oracle seats: of conversions credited, and of
    purchases
    that would not come without the impression. They are written for eligible campaigns only.
    """

    offer: F64
    bought: I64
    rate: F64
    lift: F64


class Desk(NamedTuple):
    """Room for one request.

    Fields by eligible campaign k: ``offers``; ``features`` float32[campaigns, features]; ``truth`` what an oracle
    reads; ``price`` log of the shown price over the campaign's; ``wanted`` bid before it was cut; ``reason`` why a bid
    did not win, see `core.reasons`; ``held`` nanos reserved for the bid, where that is done; ``broke`` campaigns
    without
    money; ``source`` row that a value model drew.
    ``head`` float32[features] is the request's part of every row; ``exposure_of`` int64[campaigns] what is remembered
    of this user; ``seat_best`` int64[seats]; ``user`` int64[1], the user's place in the memory.
    """

    offers: Offers
    features: F32
    head: F32
    truth: F64
    price: F64
    wanted: I64
    reason: I64
    held: I64
    broke: I64
    source: I64
    exposure_of: I64
    seat_best: I64
    user: I64


class Experiment(NamedTuple):
    """Bids that dice move in the exploration slice; ``below`` float64[2], dice below which a bid goes down, or stays.

    ``factor`` float64[campaigns, arms], what a bid is multiplied by; ``tried`` int64[campaigns, arms, columns],
    see `observers.exploration`.
    """

    below: F64
    factor: F64
    tried: I64


class Faults(NamedTuple):
    """What goes wrong on the bidder's side and when; see `bidder.faults` for kinds and columns.

    Fields: ``what`` int64[faults, columns] and ``size`` float64[faults]; ``where`` int64[faults, levels], 1 at levels
    that are touched; ``who`` int64[faults, campaigns], 1 for those that are; ``first`` int64[fields], first level of
    each.
    """

    what: I64
    size: F64
    where: I64
    who: I64
    first: I64


class BidderKeys(NamedTuple):
    """Keys of the bidders' random streams."""

    split: np.uint64
    policy: np.uint64
    exploration: np.uint64


class BidderRules(NamedTuple):
    """Numbers that hold for the whole run; money in nanos, time in microseconds, the rest flags.

    ``duration`` of the run; ``reserve`` of the exchange; ``users`` 0 where values are drawn; ``episode`` requests after
    which budgets begin anew (0 never); ``by_click`` whether clicks are charged; ``joint`` whether the format sells all
    positions at once; ``tells`` whether notices tell the minimum bid to win; ``hears`` whether any policy or pacer
    listens to notices; ``internal`` whether any seat sends its best bid only; ``oracles`` whether the port tells rates;
    ``exploration`` share of (user, advertiser) pairs whose levers are set by dice; ``faults`` how many there are;
    ``shared`` whether any budget is shared; ``late`` whether notices come late, so that bids have to be reserved, and
    ``expire`` how long at most; ``remembers`` whether purchases are told apart from requests, so that they are
    remembered, or stand in the port with each request.
    """

    duration: int
    reserve: int
    users: int
    episode: int
    by_click: int
    joint: int
    tells: int
    hears: int
    internal: int
    oracles: int
    exploration: float
    faults: int
    shared: int
    late: int
    expire: int
    remembers: int


class BidderCalls(NamedTuple):
    """Addresses of plug-ins' kernels, int64[kernels]: of CVR models, policies and pacers."""

    score: I64
    bid: I64
    notice: I64
    pace: I64
    settle: I64


class Bidder(NamedTuple):
    """Everything that the scenario's own bidders know and decide with.

    ``reasons`` int64[campaigns, reasons + 1] counts what became of requests; ``curve`` the expected traffic, cumulated
    by minute; the rest are the parts described above.
    """

    calls: BidderCalls
    campaigns: Campaigns
    seats: Seats
    groups: I64
    targeting: Targeting
    memory: Memory
    ledger: Ledger
    flight: Flight
    port: Port
    desk: Desk
    experiment: Experiment
    faults: Faults
    keys: BidderKeys
    rules: BidderRules
    tables: ScorerTables
    reasons: I64
    curve: F64
    policy_floats: F64
    policy_ints: I64
    pacer_floats: F64
    pacer_ints: I64


def empty_port(campaigns: int, lines: int) -> Port:
    """Allocate a port."""
    return Port(np.zeros(lines), np.full(lines, -NEVER, np.int64), np.zeros(campaigns), np.zeros(campaigns))


def empty_desk(campaigns: int, seats: int) -> Desk:
    """Allocate room for one request."""
    return Desk(
        offers=empty_offers(campaigns),
        features=np.zeros((campaigns, WIDTH), np.float32),
        head=np.zeros(WIDTH, np.float32),
        truth=np.zeros(campaigns),
        price=np.zeros(campaigns),
        wanted=np.zeros(campaigns, np.int64),
        reason=np.zeros(campaigns, np.int64),
        held=np.zeros(campaigns, np.int64),
        broke=np.zeros(campaigns, np.int64),
        source=np.zeros(campaigns, np.int64),
        exposure_of=np.full(campaigns, -1, np.int64),
        seat_best=np.zeros(seats, np.int64),
        user=np.zeros(1, np.int64),
    )
