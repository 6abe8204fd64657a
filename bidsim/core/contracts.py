"""The plug-in families: what each kernel is handed, its one numba signature, and the class an author writes.

A plug-in is one file with one subclass of `AuctionFormat`, `Policy`, `Pacer`, `Market` or `CvrModel`.
Kernels of a family share one explicit signature; inside a tuple they become numba function types, so
the request loop is compiled once and calls whatever plug-ins a scenario names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.reference import ref
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bidsim.core.requests import Latent, Requests

CAPACITY = 16
"""Kernels of one family that a run can hold: tuples are padded to it, so that the loop has one type."""


class Offers(NamedTuple):
    """One request as seen by the campaigns that may bid for it; arrays of length (campaigns).

    A kernel works on rows ``lo`` to ``hi`` and must not read others. Money is int64 nanos.

    Fields:
        campaign: int64, row of the campaign in the state slabs.
        pcvr: float64, predicted conversion rate of one impression.
        value: float64, predicted value of one impression in nanos, before pacing.
        multiplier: float64, set by the pacer; policies bid on ``value * multiplier``.
        active: int64, 1; a pacer sets 0 to stay out of this auction.
        cap: int64, nanos that the budget allows; bids above it are cut.
        floor: int64, lowest price that the exchange accepts.
        bid: int64, set by the policy.
        won: int64, 1 after a win, and ``payment`` what it cost.
        payment: int64, nanos.
        minimum: int64, lowest bid that would have won, or -1 where the exchange does not tell.
        budget: int64, total budget, and ``spent`` so far.
        spent: int64, nanos.
        passed: float64, share of the flight's expected traffic that has passed.
        dice: uint64, random bits of (seed, request, campaign) for policies that randomise.
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
    minimum: NDArray[np.int64]
    budget: NDArray[np.int64]
    spent: NDArray[np.int64]
    passed: NDArray[np.float64]
    dice: NDArray[np.uint64]


class Book(NamedTuple):
    """The bids of one auction, own campaigns first, then rivals; arrays of the book's capacity.

    Fields: ``bid`` int64 nanos; ``reserve`` int64 nanos, lowest price for this bidder; ``quality``
    float64; ``tie`` uint64, seeded dice: the higher wins among equal bids.
    """

    bid: NDArray[np.int64]
    reserve: NDArray[np.int64]
    quality: NDArray[np.float64]
    tie: NDArray[np.uint64]


class Outcome(NamedTuple):
    """What an auction decided.

    Fields: ``winner`` int64[slots], entry of the book or -1 where unsold; ``payment`` int64[slots] nanos;
    ``minimum`` int64[capacity], the lowest bid with which each entry would have won a slot.
    """

    winner: NDArray[np.int64]
    payment: NDArray[np.int64]
    minimum: NDArray[np.int64]


class ScorerTables(NamedTuple):
    """A compiled model as two flat tables: int64 structure and float64 numbers."""

    ints: NDArray[np.int64]
    floats: NDArray[np.float64]


def empty_offers(n: int) -> Offers:
    """Allocate offers for up to ``n`` campaigns."""
    kinds: dict[str, Any] = {"pcvr": np.float64, "value": np.float64, "multiplier": np.float64, "passed": np.float64, "dice": np.uint64}
    return Offers(*(np.zeros(n, kinds.get(name, np.int64)) for name in Offers._fields))


def empty_book(n: int) -> Book:
    """Allocate a book for up to ``n`` bids."""
    return Book(np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n), np.zeros(n, np.uint64))


def empty_outcome(n: int, slots: int) -> Outcome:
    """Allocate the outcome of an auction of ``slots`` slots over a book of ``n``."""
    return Outcome(np.zeros(slots, np.int64), np.zeros(slots, np.int64), np.zeros(n, np.int64))


_F64 = numba.float64[:, ::1]
_I64 = numba.int64[:, ::1]

OFFERS_SIGNATURE = numba.void(numba.typeof(ref(empty_offers(1))), numba.int64, numba.int64, _F64, _I64)
"""``kernel(offers, lo, hi, floats, ints)``: of policies (`bid`, `notice`) and pacers (`pace`, `settle`)."""

CLEAR_SIGNATURE = numba.void(numba.typeof(ref(empty_book(1))), numba.int64, numba.int64, numba.float64[::1], numba.typeof(ref(empty_outcome(1, 1))))
"""``clear(book, n, slots, params, outcome)``: of auction formats."""

SCORE_SIGNATURE = numba.void(
    numba.typeof(ScorerTables(np.zeros(1, np.int64), np.zeros(1))), numba.float32[:, ::1], numba.float64[::1], numba.int64, numba.int64, numba.float64[::1]
)
"""``score(tables, features, truth, lo, hi, pcvr)``: of CVR models; only the oracle reads ``truth``."""


@kernel(OFFERS_SIGNATURE)
def do_nothing(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Serve as the kernel of a plug-in that has nothing to do at this point."""


@dataclass(frozen=True)
class CampaignBrief:
    """What a policy or pacer may know of its campaign before the first request.

    Attributes:
        name: The campaign's id in the scenario.
        budget_nanos: Total budget.
        value_nanos: What one conversion is worth to the bidder.
        opportunities: Expected number of requests that match the targeting within the flight.
        mean_pcvr: The model's mean prediction for this campaign on logged traffic.

    """

    name: str
    budget_nanos: int
    value_nanos: int
    opportunities: float
    mean_pcvr: float


class Plugin:
    """Base of every plug-in: its parameters, and who published the idea.

    Attributes:
        Params: Settings that a scenario may give; defaults make a usable plug-in.

    """

    Params: ClassVar[type[Settings]] = Settings


class Stateful(Plugin):
    """A plug-in with a row of state for each campaign.

    Attributes:
        floats: Names of the float64 columns.
        ints: Names of the int64 columns.

    """

    floats: ClassVar[Sequence[str]] = ()
    ints: ClassVar[Sequence[str]] = ()

    @staticmethod
    def start(params: Any, brief: CampaignBrief) -> Mapping[str, float]:
        """First state of a campaign, by column name; columns left out start at zero."""
        return {}


class Policy(Stateful):
    """A bidder policy: value times multiplier -> bid."""

    bid: ClassVar[Callable[..., None]]
    notice: ClassVar[Callable[..., None]] = do_nothing


class Pacer(Stateful):
    """A pacer: budget and time -> multiplier, or staying out."""

    pace: ClassVar[Callable[..., None]] = do_nothing
    settle: ClassVar[Callable[..., None]] = do_nothing


class AuctionFormat(Plugin):
    """An auction format: allocation and payment."""

    clear: ClassVar[Callable[..., None]]

    @staticmethod
    def numbers(params: Any) -> Sequence[float]:
        """Give the parameters as the float64 vector that `clear` receives."""
        return ()


class Market(Plugin):
    """Rivals outside the scenario: the top bids they send for each request."""

    depth: ClassVar[int] = 2
    """How many rival bids there are for a request, highest first."""

    @classmethod
    def prepare(cls, params: Any, seed: int, vocabulary: Mapping[str, Sequence[str]]) -> Callable[[Requests, Latent, NDArray[np.int64]], None]:
        """Return a function that fills int64[n, depth] nanos for a batch; 0 means no bid."""
        raise TypeError(f"{cls.__name__} does not define prepare()")


class CvrModel(Plugin):
    """A conversion-rate model: trained on logged rows, scored by a compiled kernel."""

    score: ClassVar[Callable[..., None]]
    trains: ClassVar[bool] = True
    """Whether the model needs the logged history at all."""


KERNELS_OF: dict[str, dict[str, Any]] = {
    "policy": {"bid": OFFERS_SIGNATURE, "notice": OFFERS_SIGNATURE},
    "pacing": {"pace": OFFERS_SIGNATURE, "settle": OFFERS_SIGNATURE},
    "auction": {"clear": CLEAR_SIGNATURE},
    "market": {},
    "model": {"score": SCORE_SIGNATURE},
}
"""Kernels that a plug-in of each family must have, with their signature."""
METHODS_OF: dict[str, tuple[str, ...]] = {"policy": (), "pacing": (), "auction": (), "market": ("prepare",), "model": ("fit", "restore")}
"""Methods that a plug-in of each family must define."""
