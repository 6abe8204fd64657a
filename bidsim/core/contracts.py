"""The plug-in families: what each kernel is handed, its one numba signature, and the class an author writes.

A plug-in is one file with one subclass of `AuctionFormat`, `Policy`, `Pacer`, `Market`, `ValueModel` or `CvrModel`.
Kernels of a family share one explicit signature; the request loop is compiled once and calls whatever
plug-ins a scenario names, by their addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bidsim.core.calls import caller
from bidsim.core.kernel import kernel
from bidsim.core.plugin import Plugin
from bidsim.core.random import campaign_id
from bidsim.core.reference import ref
from bidsim.core.scoring import SCORE_SIGNATURE, ScorerTables
from bidsim.core.settings import Settings  # noqa: F401  (authors of plug-ins find it here)
from bidsim.core.units import HIGHEST_PRICE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bidsim.core.requests import Latent, Requests

NOTHING = np.zeros(0)
OUT_OF_REACH = HIGHEST_PRICE
"""The bid of a rival whom nobody is to outbid, as a market may send it."""


class Offers(NamedTuple):
    """One request as seen by the campaigns that may bid for it; arrays of length (campaigns).

    A kernel works on rows ``lo`` to ``hi`` and must not read others. Money is int64 nanos.

    Fields:
        campaign: int64, row of the campaign in the state slabs.
        pcvr: float64, predicted conversion rate of one impression.
        value: float64, predicted value in nanos of what is charged for, before pacing: of one impression, or of one
            click.
        multiplier: float64, set by the pacer; policies bid on ``value * multiplier``.
        active: int64, 1; a pacer sets 0 to stay out of this auction.
        cap: int64, nanos that the budget allows; bids above it are cut.
        floor: int64, lowest price that the exchange accepts, in the unit of ``bid``.
        bid: int64, set by the policy; for one impression, or for one click where clicks are charged.
        won: int64, 1 after a win, and ``payment`` what it cost.
        payment: int64, nanos that were paid: nothing where a click is charged and none came.
        price: int64, after a win, nanos for what is charged for, in the unit of ``value`` and ``bid``.
        minimum: int64, lowest bid that would have won, or -1 where the exchange does not tell.
        budget: int64, budget to be paced, and ``spent`` of it so far: of the flight, or of the day or episode where
            that is what binds.
        spent: int64, nanos.
        passed: float64, share of the expected traffic of that flight, day or episode that has passed.
        dice: uint64, random bits of (seed, request, campaign) for policies that randomise.
        lift: float64, predicted rate of conversions that would not come without the impression; only a seat that knows
            the truth tells it from ``pcvr``.
        propensity: float64, 1; a policy that randomises sets the probability of the bid that it chose.
        quality: float64, expected clicks of one impression in the first position where clicks are charged, else 1.
        effect: float64, after a win, view rate of the position relative to the first.
    """

    campaign: NDArray[np.int64]
    pcvr: NDArray[np.float64]
    value: NDArray[np.float64]
    multiplier: NDArray[np.float64]
    active: NDArray[np.int64]
    cap: NDArray[np.int64]
    floor: NDArray[np.int64]
    bid: NDArray[np.int64]
    won: NDArray[np.int64]
    payment: NDArray[np.int64]
    price: NDArray[np.int64]
    minimum: NDArray[np.int64]
    budget: NDArray[np.int64]
    spent: NDArray[np.int64]
    passed: NDArray[np.float64]
    dice: NDArray[np.uint64]
    lift: NDArray[np.float64]
    propensity: NDArray[np.float64]
    quality: NDArray[np.float64]
    effect: NDArray[np.float64]


class Book(NamedTuple):
    """The bids of one auction, own campaigns first, then rivals; arrays of the book's capacity.

    Fields: ``bid`` int64 nanos for one impression, or for one click where clicks are charged; ``reserve`` int64
    nanos in the same unit, lowest price for this bidder; ``quality`` float64, expected clicks of one impression in
    the first position where clicks are charged, else 1; ``tie`` uint64, seeded dice: the higher wins among equal
    bids; ``effect`` float64[positions], view rate of each position relative to the first, never rising.
    """

    bid: NDArray[np.int64]
    reserve: NDArray[np.int64]
    quality: NDArray[np.float64]
    tie: NDArray[np.uint64]
    effect: NDArray[np.float64]


class Outcome(NamedTuple):
    """What an auction decided.

    Fields: ``winner`` int64[slots], entry of the book or -1 where unsold; ``payment`` int64[slots] nanos for one
    impression, or for one click where clicks are charged; ``minimum`` int64[capacity], the lowest bid with which each
    entry would have won a slot.
    """

    winner: NDArray[np.int64]
    payment: NDArray[np.int64]
    minimum: NDArray[np.int64]


class Drawn(NamedTuple):
    """What a value model says of one request beyond `Offers`, by row k of the offers; arrays of length (campaigns).

    Fields: ``worth`` float64, true expected value of one impression in nanos, where ``Offers.value`` is what the
    bidder believes; ``chance`` float64, true probability of the event (click or conversion) that brings it;
    ``quality`` float64, expected clicks of one impression in the first position; ``click`` and ``conversion`` float64,
    true probability of each where a model knows both, else below 0: then the one event counts as either.
    """

    worth: NDArray[np.float64]
    chance: NDArray[np.float64]
    quality: NDArray[np.float64]
    click: NDArray[np.float64]
    conversion: NDArray[np.float64]


def empty_offers(n: int) -> Offers:
    """Allocate offers for up to ``n`` campaigns, where impressions are charged and there is one position."""
    kinds: dict[str, Any] = dict.fromkeys(
        ("pcvr", "value", "multiplier", "passed", "lift", "propensity", "quality", "effect"), np.float64
    )
    kinds["dice"] = np.uint64
    offers = Offers(*(np.zeros(n, kinds.get(name, np.int64)) for name in Offers._fields))
    offers.quality[:], offers.effect[:] = 1.0, 1.0
    return offers


def empty_book(n: int, positions: int = 1) -> Book:
    """Allocate a book for up to ``n`` bids and ``positions`` positions of equal effect."""
    return Book(np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n), np.zeros(n, np.uint64), np.ones(positions))


def empty_drawn(n: int) -> Drawn:
    """Allocate what a value model says of up to ``n`` campaigns."""
    return Drawn(np.zeros(n), np.zeros(n), np.ones(n), np.full(n, -1.0), np.full(n, -1.0))


def empty_outcome(n: int, slots: int) -> Outcome:
    """Allocate the outcome of an auction of ``slots`` slots over a book of ``n``."""
    return Outcome(np.zeros(slots, np.int64), np.zeros(slots, np.int64), np.zeros(n, np.int64))


_F64 = numba.float64[:, ::1]
_I64 = numba.int64[:, ::1]

OFFERS_SIGNATURE = numba.void(numba.typeof(ref(empty_offers(1))), numba.int64, numba.int64, _F64, _I64)
"""``kernel(offers, lo, hi, floats, ints)``: of policies (`bid`, `notice`) and pacers (`pace`, `settle`)."""

CLEAR_SIGNATURE = numba.void(
    numba.typeof(ref(empty_book(1))),
    numba.int64,
    numba.int64,
    numba.float64[::1],
    numba.typeof(ref(empty_outcome(1, 1))),
)
"""``clear(book, n, slots, params, outcome)``: of auction formats."""

DRAW_SIGNATURE = numba.int64(
    numba.typeof(ref(empty_offers(1))),
    numba.typeof(ref(empty_drawn(1))),
    numba.int64,
    numba.uint64,
    numba.float64[::1],
    numba.float64[::1],
    numba.int64[::1],
)
"""``draw(offers, drawn, request, key, logged, floats, ints) -> count``: of value models."""


call_offers = caller(OFFERS_SIGNATURE)
call_clear = caller(CLEAR_SIGNATURE)
call_draw = caller(DRAW_SIGNATURE)
"""``call(address, arguments)``: what the request loop calls plug-ins with."""


@kernel(OFFERS_SIGNATURE)
def do_nothing(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Serve as the kernel of a plug-in that has nothing to do at this point."""


@kernel(CLEAR_SIGNATURE)
def learn_nothing(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Serve as the `learn` kernel of a format whose rules are fixed."""


@kernel(DRAW_SIGNATURE)
def draw_nothing(
    offers: Offers,
    drawn: Drawn,
    request: int,
    key: np.uint64,
    logged: NDArray[np.float64],
    floats: NDArray[np.float64],
    ints: NDArray[np.int64],
) -> int:
    """Serve as the value model of a world with users, where it is never asked."""
    return 0


@dataclass(frozen=True)
class CampaignBrief:
    """What a policy or pacer may know of its campaign before the first request.

    Attributes:
        name: The campaign's id in the scenario.
        budget_nanos: Budget to be paced: of the flight, or of a day or episode where that is what binds.
        value_nanos: What one conversion is worth to the bidder.
        opportunities: Expected number of requests that match the targeting while that budget is to last.
        mean_pcvr: The model's mean prediction for this campaign on logged traffic.
        values: Sample of values in nanos, float64, as the bidder would see them; may be empty.
        prices: Quantiles, from the lowest to the highest, of the bid that beats the highest rival in nanos over the
            campaign's opportunities, infinite where no bid does: for policies that are *told* the landscape; may be
            empty.
        pays: What the winner pays: its own ``bid``; the ``minimum`` bid that would have won; or ``neither``, where that
            takes more than the one number to know.
        quality: Expected clicks of one impression where clicks are charged, else 1.

    """

    name: str
    budget_nanos: int
    value_nanos: int
    opportunities: float
    mean_pcvr: float
    values: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    prices: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    pays: Literal["bid", "minimum", "neither"] = "bid"
    quality: float = 1.0

    @property
    def mean_value(self) -> float:
        """Mean predicted value of what is charged for, an impression or a click, in nanos."""
        return self.mean_pcvr * self.value_nanos / self.quality

    @property
    def within_reach(self) -> NDArray[np.float64]:
        """Those of ``prices`` that some bid beats."""
        return self.prices[np.isfinite(self.prices)]


class Stateful(Plugin):
    """A plug-in with a row of state for each campaign.

    Attributes:
        floats: Names of the float64 columns; ``("curve", 64)`` is a run of 64 columns under one name.
        ints: Names of the int64 columns, in the same way.

    """

    floats: ClassVar[Sequence[str | tuple[str, int]]] = ()
    ints: ClassVar[Sequence[str | tuple[str, int]]] = ()

    @staticmethod
    def start(params: Any, brief: CampaignBrief) -> Mapping[str, Any]:
        """First state of a campaign, by column name; columns left out start at zero, runs take arrays."""
        return {}


def state_row(columns: Sequence[str | tuple[str, int]], first: Mapping[str, Any], dtype: Any) -> NDArray[Any]:
    """One campaign's row of a state slab, from what `Stateful.start` returned."""
    parts = []
    for column in columns:
        name, width = (column, 1) if isinstance(column, str) else column
        parts.append(np.broadcast_to(np.asarray(first.get(name, 0), dtype), (width,)))
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def column_names(columns: Sequence[str | tuple[str, int]]) -> list[str]:
    """Names of state columns, a run counted once."""
    return [column if isinstance(column, str) else column[0] for column in columns]


class Policy(Stateful):
    """A bidder policy: value times multiplier -> bid."""

    bid: ClassVar[Callable[..., None]]
    """Called for every request in which a campaign may bid, after its pacer: sets ``bid``."""
    notice: ClassVar[Callable[..., None]] = do_nothing
    """Called after the auction for the same rows, with ``won``, ``payment`` and ``minimum``."""


class Pacer(Stateful):
    """A pacer: budget and time -> multiplier, or staying out."""

    pace: ClassVar[Callable[..., None]] = do_nothing
    """Called for every request in which a campaign may bid, before its policy: sets ``multiplier``, or ``active`` to
    0."""
    settle: ClassVar[Callable[..., None]] = do_nothing
    """Called after the auction for the same rows, won or not; ``payment`` is 0 unless won, ``spent`` knows of it."""


class AuctionFormat(Plugin):
    """An auction format: allocation and payment.

    Attributes:
        joint: Whether `clear` sells all positions at once; if not, they are sold one after the other.
        charges: What the winner may be charged for, the default first.
        first_price: Whether the winner pays its own bid.
        truthful: Whether the winner pays the least that would have won, so that bidding one's value is best whatever
            others do.

    """

    joint: ClassVar[bool] = False
    charges: ClassVar[Sequence[str]] = ("impression", "click")
    first_price: ClassVar[bool] = False
    truthful: ClassVar[bool] = False
    clear: ClassVar[Callable[..., None]]
    """``clear(book, n, slots, params, outcome)``: sets winners and payments."""
    minima: ClassVar[Callable[..., None]]
    """Called after all positions are sold, where anyone asks: sets ``outcome.minimum`` from the winners."""
    learn: ClassVar[Callable[..., None]] = learn_nothing
    """Called once after each auction with the same arguments; may change ``params``."""

    @staticmethod
    def numbers(params: Any) -> Sequence[float]:
        """Give the parameters, and room for what is learned, as the float64 vector that the kernels receive."""
        return ()


@dataclass(frozen=True)
class MarketBrief:
    """What a market may know of the scenario.

    Attributes:
        seed: Seed of the world.
        vocabulary: Levels of each categorical field.
        positions: Positions that are sold in a request.
        folder: Where the scenario file lies; paths are looked for there.

    """

    seed: int
    vocabulary: Mapping[str, Sequence[str]]
    positions: int = 1
    folder: Path | None = None


@dataclass(frozen=True)
class Rivals:
    """Rivals outside the scenario, ready to bid.

    Attributes:
        fill: Fills int64[n, depth] nanos for a batch of requests, highest first; 0 means no bid, `OUT_OF_REACH` that
            nobody else can win.
        depth: How many rival bids there are for a request.
        logged: What a log says of each request, float64[requests, columns], for value models; None elsewhere.
        yields: Whether a rival loses to an equal bid.
        notes: What a person is told of them after a run, a sentence each.

    """

    fill: Callable[[Requests, Latent, NDArray[np.int64]], None]
    depth: int
    logged: NDArray[np.float64] | None = None
    yields: bool = False
    notes: tuple[str, ...] = ()


class Market(Plugin):
    """Rivals outside the scenario: the top bids they send for each request."""

    @classmethod
    def prepare(cls, params: Any, brief: MarketBrief) -> Rivals:
        """Return the rivals of a scenario.

        Raises:
            ValueError: The market does not fit the scenario; the message says what to change.

        """
        raise TypeError(f"{cls.__name__} does not define prepare()")


@dataclass(frozen=True)
class ValueBrief:
    """What a value model may know of the scenario: campaigns in the engine's order, and what conversions are worth.

    That order depends on policies; what is drawn must not, so dice go by `ids`, and whoever is picked is picked by the
    order of names.
    """

    campaigns: Sequence[str]
    value_nanos: Sequence[int]

    @property
    def ids(self) -> list[int]:
        """By what the dice of each campaign go."""
        return [campaign_id(name) for name in self.campaigns]

    @property
    def by_name(self) -> list[int]:
        """Rows of the campaigns in the order of their names."""
        return sorted(range(len(self.campaigns)), key=self.campaigns.__getitem__)


class ValueModel(Plugin):
    """What impressions are worth to bidders, drawn directly: no users, no conversion model.

    Attributes:
        told: Whether `draw` reads the log of the market.

    """

    told: ClassVar[bool] = False
    draw: ClassVar[Callable[..., int]]
    """``draw(offers, drawn, request, key, logged, floats, ints) -> count``: writes ``campaign`` (rows in rising
    order), ``pcvr`` and ``value`` of those who take part in a request, and all of ``drawn``."""

    @classmethod
    def prepare(cls, params: Any, brief: ValueBrief) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the vectors ``floats`` and ``ints`` that `draw` receives.

        Raises:
            ValueError: The parameters do not fit the campaigns.

        """
        return np.zeros(1), np.zeros(1, np.int64)


class CvrModel(Plugin):
    """A conversion-rate model: trained on logged rows, scored by a compiled kernel."""

    score: ClassVar[Callable[..., None]]
    trains: ClassVar[bool] = True
    """Whether the model needs the logged history at all."""

    @staticmethod
    def prepared(tables: ScorerTables, static: NDArray[np.float32]) -> ScorerTables:
        """Fold in what is known of campaigns for a whole run; ``static`` is float32[campaigns, campaign features]."""
        return tables

    @staticmethod
    def reads_whole_rows(tables: ScorerTables) -> bool:
        """Whether every candidate's row must be whole.

        Else only the first one's, and of the others the pair's features.
        """
        return True

    @staticmethod
    def describe(tables: ScorerTables) -> str:
        """Say how candidates are scored."""
        return "compiled formula"

    @staticmethod
    def trees(tables: ScorerTables) -> int:
        """Number of trees that a candidate's score takes; a seat's decision time may depend on it."""
        return 0


KERNELS_OF: dict[str, dict[str, Any]] = {
    "policy": {"bid": OFFERS_SIGNATURE, "notice": OFFERS_SIGNATURE},
    "pacing": {"pace": OFFERS_SIGNATURE, "settle": OFFERS_SIGNATURE},
    "auction": {"clear": CLEAR_SIGNATURE, "minima": CLEAR_SIGNATURE, "learn": CLEAR_SIGNATURE},
    "market": {},
    "values": {"draw": DRAW_SIGNATURE},
    "model": {"score": SCORE_SIGNATURE},
    "incident": {},
}
"""Kernels that a plug-in of each family must have, with their signature."""
METHODS_OF: dict[str, tuple[str, ...]] = {
    "policy": (),
    "pacing": (),
    "auction": (),
    "market": ("prepare",),
    "values": (),
    "model": ("fit", "restore"),
    "incident": ("touches",),
}
"""Methods that a plug-in of each family must define."""
