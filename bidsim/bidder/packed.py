"""A bidder as plain arrays by name, without the addresses of its plug-ins.

To be kept, sent, and put together elsewhere.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.bidder.tables import Bidder, BidderCalls
from bidsim.core.calls import addresses
from bidsim.core.contracts import OFFERS_SIGNATURE
from bidsim.core.scoring import SCORE_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def pack(bidder: Bidder) -> dict[str, NDArray[Any]]:
    """Return all that a bidder knows as arrays, such as ``memory/table``; numbers become arrays of no dimension."""
    found: dict[str, NDArray[Any]] = {}
    for name in bidder._fields:
        if name != "calls":
            _pack(getattr(bidder, name), name, found)
    return found


def _pack(value: Any, place: str, found: dict[str, NDArray[Any]]) -> None:
    if hasattr(value, "_fields"):
        for name in value._fields:
            _pack(getattr(value, name), f"{place}/{name}", found)
    else:
        found[place] = np.array(value)


def unpack(arrays: Mapping[str, NDArray[Any]], calls: BidderCalls) -> Bidder:
    """Put a bidder together from what `pack` returned.

    Args:
        arrays: All of its arrays; one that is missing raises `KeyError` with its name.
        calls: Its plug-ins, see `calls_of`, in the order in which they were.

    """
    hints = typing.get_type_hints(Bidder)
    parts = {name: _unpack(hints[name], name, arrays) for name in Bidder._fields if name != "calls"}
    return Bidder(calls=calls, **parts)


def _unpack(kind: Any, place: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        return kind(*(_unpack(hints[name], f"{place}/{name}", arrays) for name in kind._fields))
    if kind in (int, float):
        return kind(arrays[place])
    if kind is np.uint64:
        return np.uint64(arrays[place])
    return np.ascontiguousarray(arrays[place]).copy()


def calls_of(models: Sequence[Any], policies: Sequence[Any], pacers: Sequence[Any]) -> BidderCalls:
    """Addresses of the kernels of plug-ins, in the order in which seats and groups count them."""
    return BidderCalls(
        score=addresses([m.score for m in models], SCORE_SIGNATURE),
        bid=addresses([p.bid for p in policies], OFFERS_SIGNATURE),
        notice=addresses([p.notice for p in policies], OFFERS_SIGNATURE),
        pace=addresses([p.pace for p in pacers], OFFERS_SIGNATURE),
        settle=addresses([p.settle for p in pacers], OFFERS_SIGNATURE),
    )
