import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsim.core.contracts import OUT_OF_REACH
from bidsim.core.kernel import PACKAGE
from bidsim.core.units import (
    DAY,
    HIGHEST_PRICE,
    HOUR,
    LONGEST,
    MINUTE,
    MOST_NANOS,
    cpm_to_nanos,
    format_duration,
    least_price_of,
    nanos_of,
    parse_duration,
    price_of,
    to_nanos,
)


def test_parse_duration__adds_up_parts() -> None:
    assert parse_duration("1d 2h 30m") == DAY + 2 * HOUR + 30 * MINUTE
    assert parse_duration("0.5d") == 12 * HOUR
    assert parse_duration("250ms") == 250_000


@pytest.mark.parametrize("text", ["", " ", "7", "7 days", "-1d", "1d,2h", "d", "1e3s"])
def test_parse_duration__refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0s", "no time at all"),
        ("0.1us", "no time at all"),
        ("3651d", "longer than 3650d"),
        ("9" * 90 + "d", "longer than 3650d"),
    ],
)
def test_parse_duration__is_neither_nothing_nor_for_ever(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=LONGEST))
def test_format_duration__is_read_back(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds)) == microseconds


def test_money__one_cpm_is_a_thousandth_for_an_impression() -> None:
    assert cpm_to_nanos(1.0) * 1000 == to_nanos(1.0)


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [
        (6_099_999.999999999, 6_100_000),
        (0.0060999999999999995 * 1e9, 6_100_000),
        (0.4, 0),
        (2.5, 2),
        (3.5, 4),
        (-7.0, 0),
        (math.nan, 0),
        (-math.inf, 0),
        (0.0, 0),
    ],
)
def test_nanos_of__is_the_nearest_and_never_negative(amount: float, nanos: int) -> None:
    for made in (nanos_of, price_of):
        assert made(amount) == made.py_func(amount) == nanos


@pytest.mark.parametrize("amount", [2.0**62, 2.0**63, 1e19, 1e300, math.inf])
def test_nanos_of__is_clipped_where_an_int64_ends(amount: float) -> None:
    assert nanos_of(amount) == nanos_of.py_func(amount) == MOST_NANOS
    assert price_of(amount) == price_of.py_func(amount) == HIGHEST_PRICE == OUT_OF_REACH
    assert least_price_of(amount) == least_price_of.py_func(amount) == HIGHEST_PRICE


@given(st.floats(min_value=0.0, max_value=1e15))
def test_least_price_of__is_the_lowest_that_reaches_it(amount: float) -> None:
    found = least_price_of(amount)
    assert found - 1 < amount <= found
    assert least_price_of(-amount) == 0


def test_money__becomes_nanos_in_one_place_only() -> None:
    """No kernel cuts a float of money by `int`, which would lose a nano, or beyond an int64 everything."""
    money = re.compile(
        r"(\.bid\[|payment\[|rivals\[|reserve\[|floor\[|\bprice\b|\bfee\b|AMOUNT|PAYMENT|VALUE|SALES)[^=]*\+?=[^=].*"
        r"\b(int|round|math\.ceil|math\.floor|np\.int64)\("
    )
    found = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for room in ("policies", "pacing", "market", "auctions", "engine", "values", "kernels")
        for file in sorted((PACKAGE / room).glob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if money.search(line) and "params[" not in line and "NANOS_PER_CPM" not in line
    ]
    assert found == []
