"""Money is int64 nanos and time is int64 microseconds; floats live only at the edges.

One nano is 1e-9 currency units for one impression, which is one micro-currency of CPM. Floats become nanos here and
nowhere else: to the nearest one, ties to even, and clipped, for a float beyond an int64 would come back as any number.
"""

from __future__ import annotations

import math
import re

import numpy as np

from bidsim.core.kernel import kernel

NANOS_PER_UNIT = 1_000_000_000
NANOS_PER_CPM = 1_000_000

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
NEVER = 2**62
"""A time later than every event: 146,000 years."""

_SUFFIX = {"us": 1, "ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_DURATION = re.compile(r" *([0-9]+(?:\.[0-9]+)?) *(us|ms|s|m|h|d|w) *")
_LONGEST_TEXT = 100
LONGEST = 3650 * DAY
"""The longest duration that may be typed: sums of a few stay far below what an int64 holds."""
MOST_NANOS = 2**62
"""The largest amount that `nanos_of` returns."""
HIGHEST_PRICE = 1_000_000_000 * NANOS_PER_CPM
"""The largest price that `price_of` returns: a thousand million CPM."""


@kernel()
def nanos_of(amount: float) -> int:
    """Whole nanos of an amount of money: the nearest, ties to even, within 0 and `MOST_NANOS`; 0 where it is NaN."""
    if amount >= MOST_NANOS:
        return MOST_NANOS
    return int(np.rint(amount)) if amount > 0.0 else 0


@kernel()
def price_of(amount: float) -> int:
    """Whole nanos of a bid or a price, as `nanos_of`, and `HIGHEST_PRICE` at most: then sums and products are safe."""
    return min(nanos_of(amount), HIGHEST_PRICE)


@kernel()
def least_price_of(amount: float) -> int:
    """Lowest price in whole nanos that is not below ``amount``, within 0 and `HIGHEST_PRICE`.

    For reserves and minima.
    """
    if amount >= HIGHEST_PRICE:
        return HIGHEST_PRICE
    return math.ceil(amount) if amount > 0.0 else 0


def to_nanos(units: float) -> int:
    """Currency units to nanos, rounded half to even."""
    return round(units * NANOS_PER_UNIT)


def cpm_to_nanos(cpm: float) -> int:
    """Price for a thousand impressions, in currency units, to nanos for one impression."""
    return round(cpm * NANOS_PER_CPM)


def parse_duration(text: str) -> int:
    """Microseconds of a text such as ``30d``, ``1h 30m`` or ``250ms``.

    Raises:
        ValueError: The text is not a positive duration with units, or longer than ten years.

    """
    position, total = 0, 0.0
    while position < min(len(text), _LONGEST_TEXT):
        match = _DURATION.match(text, position)
        if match is None:
            break
        total += float(match[1]) * _SUFFIX[match[2]]
        position = match.end()
    if position != len(text) or not text.strip():
        raise ValueError(
            f"{text[:_LONGEST_TEXT]!r} is not a duration; write a number and a unit (us, ms, s, m, h, d, w), such as "
            "'36h'"
        )
    if not 1 <= total <= LONGEST:
        wrong = "longer than 3650d" if total > LONGEST else "no time at all; leave the key out, or write a longer one"
        raise ValueError(f"{text!r} is {wrong}")
    return round(total)


def format_duration(microseconds: int) -> str:
    """Write a duration so that `parse_duration` reads the same number back."""
    parts = []
    left = microseconds
    for name in ("d", "h", "m", "s", "ms", "us"):
        count, left = divmod(left, _SUFFIX[name])
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts) or "0s"
