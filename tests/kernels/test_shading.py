from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsim.kernels.grid import BINS, bin_of, edges, lower_edge
from bidsim.kernels.shading import best_bid, bids_on_grid, envelope, isotonic_win_rate, kaplan_meier


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=30), st.floats(0, 20))
def test_envelope__finds_what_trying_every_bid_finds(points: list[tuple[float, float]], value: float) -> None:
    bids = np.unique([b for b, _ in points])
    wins = np.sort([w for _, w in points])[: len(bids)]
    start, chosen = np.zeros(len(bids)), np.zeros(len(bids))
    kept = envelope(bids, wins, len(bids), start, chosen)
    found = best_bid(value, start, chosen, kept)
    gain = float((value - found) * wins[np.searchsorted(bids, found)]) if found > 0 else 0.0
    assert gain == pytest.approx(max(0.0, float(((value - bids) * wins).max())), abs=1e-9)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12),
    st.sampled_from([0.25, 0.01, 3.0]),
)
def test_isotonic__is_the_same_of_counts_that_have_decayed(counts: list[tuple[int, int]], weight: float) -> None:
    found = []
    for scale in (1.0, weight):
        won, lost = (scale * np.array([c[k] for c in counts], float) for k in (0, 1))
        below, room = np.zeros(len(counts) + 1), np.zeros(len(counts) + 1)
        isotonic_win_rate(won, lost, below, room)
        found.append(below)
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)


def naive_kaplan_meier(seen: list[float], censored: list[float]) -> list[float]:
    """Product over bins of the share that passes, half of a bin's censored at risk in it."""
    survival, below = 1.0, [0.0]
    for b in range(len(seen)):
        at_risk = sum(seen[b:]) + sum(censored[b:]) - 0.5 * censored[b]
        survival *= 1 - seen[b] / at_risk if at_risk > 0 else 1
        below.append(1 - max(survival, 0.0))
    return below


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_kaplan_meier__agrees_with_its_twin(bins: list[tuple[int, int]]) -> None:
    seen, censored = np.array([s for s, _ in bins], float), np.array([c for _, c in bins], float)
    below = np.zeros(len(bins) + 1)
    kaplan_meier(seen, censored, below)
    np.testing.assert_allclose(below, naive_kaplan_meier(seen.tolist(), censored.tolist()), atol=1e-12)


def naive_isotonic(won: list[float], lost: list[float]) -> list[float]:
    """Rising win rates: each the highest over starts of the lowest mean over ends (max-min formula)."""
    bins = [b for b in range(len(won)) if won[b] + lost[b] > 0]
    rates = {}
    for b in bins:
        means = [
            min(sum(won[i : k + 1]) / (sum(won[i : k + 1]) + sum(lost[i : k + 1])) for k in bins if k >= b)
            for i in bins
            if i <= b
        ]
        rates[b] = max(means)
    found, last = [0.0], 0.0
    for b in range(len(won)):
        last = rates.get(b, last)
        found.append(last)
    return found


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=14))
def test_isotonic__agrees_with_its_twin(bins: list[tuple[int, int]]) -> None:
    won, lost = np.array([w for w, _ in bins], float), np.array([n for _, n in bins], float)
    below, room = np.zeros(len(bins) + 1), np.zeros(len(bins) + 1)
    isotonic_win_rate(won, lost, below, room)
    np.testing.assert_allclose(below, naive_isotonic(won.tolist(), lost.tolist()), atol=1e-12)


def test_grid__edges_and_bins_agree() -> None:
    grid = edges()
    assert len(grid) == BINS
    for b in range(0, BINS, 7):
        assert lower_edge(b) == pytest.approx(grid[b])
        assert bin_of(grid[b] * 1.001) == b
    assert bin_of(0.0) == 0
    assert bin_of(1e30) == BINS - 1


def test_bids_on_grid__rise_with_their_win_rates() -> None:
    below = np.clip(np.linspace(-1, 2, BINS + 1), 0, 1)
    bids, wins = np.zeros(2 * BINS), np.zeros(2 * BINS)
    count = bids_on_grid(below, bids, wins)
    assert count > 10
    assert (np.diff(bids[:count]) > 0).all()
    assert (np.diff(wins[:count]) > 0).all()
    assert wins[count - 1] == 1.0
