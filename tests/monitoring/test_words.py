"""What an operator is told says no more than the intervals do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bidsim.monitoring.baseline import Family
from bidsim.monitoring.cells import TrafficSlice
from bidsim.monitoring.detector import Alarm
from bidsim.monitoring.pages import FEWER, MORE, NoticedIncident, Sounded
from bidsim.monitoring.signals import CONVERSIONS, PRICE, Signal
from bidsim.monitoring.words import advice

NONE = np.zeros((1, 3))


def _page(what: str, about: int, multiplier: float, low: float, *alarms: Sounded) -> NoticedIncident:
    high = 2 * multiplier - low
    return NoticedIncident(list(alarms), 0, CONVERSION, what, about, 0, None, multiplier, low, high, 9.0)


CONVERSION, PRICES = (
    Signal(
        kind,
        [TrafficSlice(), TrafficSlice(advertiser="a"), TrafficSlice("geo", "GB")],
        NONE,
        NONE,
        Family(np.arange(3), np.arange(3)),
        9.0,
        3,
    )
    for kind in (CONVERSIONS, PRICE)
)


def _alarm(signal: Signal, number: int) -> Sounded:
    return Sounded(signal, Alarm(number, 0, 0, 0.5, 1.0), None)


@pytest.mark.parametrize(
    ("multiplier", "low", "level", "words"),
    [
        (1.5, 1.2, 1.0, "predicts too little"),
        (1.1, 0.9, 1.0, "cannot be told from chance yet"),
        (1.5, 1.2, 0.9, "predicts too little"),
        (1.5, 1.2, 0.8, "cannot be told from chance yet"),
        (1.5, 1.2, 0.6, "no more than the model predicts"),
    ],
)
def test_advice__of_more_conversions_goes_by_the_interval(
    multiplier: float, low: float, level: float, words: str
) -> None:
    assert words in advice(replace(_page(MORE, 0, multiplier, low), level=level))


def test_advice__does_not_say_that_nothing_else_differs_where_other_alarms_sounded() -> None:
    alone = advice(_page(FEWER, 1, 0.5, 0.4, _alarm(CONVERSION, 1)))
    assert alone.startswith("No other alarm sounded")
    for other in (_alarm(PRICES, 0), _alarm(CONVERSION, 2)):
        assert advice(_page(FEWER, 1, 0.5, 0.4, _alarm(CONVERSION, 1), other)).startswith("Other alarms sounded, too")
