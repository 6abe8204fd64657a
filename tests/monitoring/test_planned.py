"""What follows from a flight that begins or ends is planned, and nothing else is; delays are expected by when impressions were."""

from __future__ import annotations

import numpy as np
import pytest

from bidsim.monitoring.baseline import Family, fit_baseline
from bidsim.monitoring.cells import Cells, TrafficSlice
from bidsim.monitoring.detector import Alarm, Detector
from bidsim.monitoring.planned import Planned, cause_of
from bidsim.monitoring.signals import CLICKS, CONVERSIONS, PRICE, TRAFFIC, WINS, Signal, _delays

SLICES = [
    TrafficSlice(),
    TrafficSlice("device", "mobile"),
    TrafficSlice(advertiser="own"),
    TrafficSlice(advertiser="other"),
]
ALL, MOBILE, OWN, OTHER = range(4)


def _signal(kind: str) -> Signal:
    nothing = np.zeros((1, len(SLICES)))
    return Signal(
        kind, SLICES, nothing, nothing, Family(np.arange(len(SLICES)), np.zeros(len(SLICES), np.int64)), 8.0, 3
    )


def _flight(window: int, *, owner: str = "own", begins: bool = True) -> Planned:
    return Planned(f"{owner}-{window}", begins, window, window, (owner, "thing"))


@pytest.mark.parametrize(
    ("kind", "about", "since", "window", "wanted"),
    [
        (WINS, OWN, 40, 40, True),
        (WINS, OWN, 39, 46, True),
        (WINS, MOBILE, 40, 52, True),  # noticed late, and began with it
        (WINS, OWN, 45, 50, True),  # its pacer finds the price
        (WINS, OWN, 47, 48, False),  # a fault after a flight began
        (WINS, MOBILE, 42, 44, False),
        (PRICE, ALL, 46, 46, False),
        (WINS, OWN, 30, 41, False),  # began before
        (PRICE, OTHER, 41, 42, True),  # rivals pay more
        (CLICKS, OTHER, 40, 41, False),  # others' clicks do not follow from it
        (CLICKS, MOBILE, 40, 41, True),
        (CONVERSIONS, OWN, 40, 41, False),
        (TRAFFIC, MOBILE, 40, 41, False),
    ],
)
def test_flight__explains_what_began_with_it(kind: str, about: int, since: int, window: int, wanted: bool) -> None:
    assert _flight(40).explains(_signal(kind), Alarm(about, window, since, 2.0, 1.0)) == wanted


def test_flight_before_the_watch__is_seen_as_it_begins() -> None:
    flight = Planned("own", True, 36, 40, ("own", "thing"))
    for since, about, wanted in ((40, OWN, True), (42, OWN, True), (43, OWN, False), (41, ALL, True), (42, ALL, False)):
        assert flight.explains(_signal(WINS), Alarm(about, since + 1, since, 2.0, 1.0)) == wanted


def test_cause__is_the_advertisers_own_flight_then_the_latest() -> None:
    planned = [_flight(40, owner="other"), _flight(40), _flight(41, owner="third")]
    assert cause_of(planned, _signal(WINS), Alarm(OWN, 41, 40, 2.0, 1.0)) is planned[1]
    assert cause_of(planned, _signal(WINS), Alarm(OTHER, 41, 40, 2.0, 1.0)) is planned[0]
    assert cause_of(planned, _signal(WINS), Alarm(ALL, 41, 41, 2.0, 1.0)) is planned[2]
    assert cause_of(planned, _signal(WINS), Alarm(OWN, 60, 60, 2.0, 1.0)) is None


def test_accepted_alarm__is_normal_from_then_on_and_a_fault_after_it_is_found() -> None:
    dice = np.random.default_rng(1)
    expected = np.full((400, 2), 1_000.0)
    rate = np.full((400, 2), 0.05)
    rate[100:, 0] = 0.10  # as planned
    rate[300:, 0] = 0.05  # a fault, though it is what once was normal
    came = dice.poisson(expected * rate).astype(float)
    family = Family(np.arange(2), np.zeros(2, np.int64))
    detector = Detector(fit_baseline(expected[:60], came[:60], family, half_life=8.0, gap=3), np.full(2, 0.5), 1e5)
    found = []
    for k in range(60, 400):
        for alarm in detector.watch(expected[k], came[k]):
            found.append((alarm.slice, alarm.window + 60))
            if len(found) == 1:
                since = slice(alarm.since + 60, k + 1)
                detector.accept(alarm, float(expected[since, alarm.slice].sum()), float(came[since, alarm.slice].sum()))
                assert detector.open == []
                assert detector.baseline.level()[0][alarm.slice] == pytest.approx(0.10, rel=0.3)
    assert found[0] == (0, 100)
    assert [s for s, _ in found] == [0, 0]
    assert 300 <= found[1][1] <= 302


def test_slice_that_is_never_seen__gives_no_alarm_in_a_thousand_windows() -> None:
    dice = np.random.default_rng(2)
    slices, windows = 16, 1_000
    expected = np.full((windows, slices), 50_000.0)
    came = np.zeros((windows, slices))
    came[:, 0] = dice.poisson(1_000, windows)
    family = Family(np.arange(slices), np.arange(slices) // 8)
    detector = Detector(
        fit_baseline(expected[:24], came[:24], family, half_life=8.0, gap=3, independent=6),
        np.full(slices, 1 / slices),
        12_500.0,
    )
    assert [a for k in range(24, windows) for a in detector.watch(expected[k], came[k])] == []


def test_delays__are_expected_by_when_impressions_were() -> None:
    """One who begins has no late reports yet, and one who ended has late ones only; both are as expected."""
    windows, curve = 30, np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    predicted = np.zeros((windows, 1, 2))
    predicted[:, 0, 0], predicted[10:20, 0, 1] = 100.0, 50.0
    reported = predicted[:, 0, :].T[:, :, None] * curve[:, None, :]
    for lag in range(4):
        reported[:, windows - lag :, lag] = 0.0  # after the end
    cells = Cells(1, [("device", "all")], [("a", "x"), ("b", "y")], {"pcvr_sum": predicted})
    (signal,) = _delays(cells, curve, reported)
    np.testing.assert_allclose(signal.came, signal.base, atol=1e-9)
    b = [k for k, s in enumerate(signal.slices) if s.advertiser == "b"]
    assert signal.came[10, b].tolist() == pytest.approx([5.0, 0.0, 0.0])
    assert signal.came[21, b].tolist() == pytest.approx([0.0, 15.0, 20.0])
    assert signal.came[23, b].tolist() == [0.0, 0.0, 0.0]
    whole = signal.whole
    assert whole is not None
    assert whole[15, b].tolist() == pytest.approx([50.0] * 3)
    assert signal.share(b[2], 13, 20) == pytest.approx(0.4)
