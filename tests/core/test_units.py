import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsim.core.units import DAY, HOUR, LONGEST, MINUTE, cpm_to_nanos, format_duration, parse_duration, to_nanos


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
