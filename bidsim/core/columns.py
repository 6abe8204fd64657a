"""Columns by name: rows of a table are arrays, and code reads ``row[WIN.payment_nanos]``, never ``row[5]``."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def columns(names: Iterable[str]) -> Any:
    """Return a named tuple that holds the position of each name; compiled code reads its fields as constants.

    Example:
        >>> PRICE = columns(("paid", "floor"))
        >>> PRICE.floor, PRICE._fields
        (1, ('paid', 'floor'))

    """
    listed = tuple(names)
    return namedtuple("Columns", listed)(*range(len(listed)))  # noqa: PYI024  (names are data here)


def span(names: Iterable[str | tuple[str, int]]) -> Any:
    """Return the first position of each name, where ``("curve", 64)`` takes 64 positions.

    Example:
        >>> span(("count", ("curve", 64), "last")).last
        65

    """
    firsts, at = {}, 0
    for column in names:
        name, width = (column, 1) if isinstance(column, str) else column
        firsts[name] = at
        at += width
    return namedtuple("Span", firsts)(**firsts)  # noqa: PYI024  (names are data here)
