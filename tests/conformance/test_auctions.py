"""What every auction format must do, found by introspection: a new file in ``auctions/`` is tested before its author tests it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsim.core.contracts import OUT_OF_REACH, empty_book, empty_outcome
from bidsim.core.reference import ref
from bidsim.core.registry import find, names
from tests import naive

FORMATS = names("auction")
books = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=7)


def _clear_positions(
    name: str, entries: list[tuple[int, int]], ties: list[int], quality: list[float], effect: list[float]
) -> tuple[list[int], list[int], list[int]]:
    plugin: Any = find("auction", name)
    n = len(entries)
    book, outcome = empty_book(n, len(effect)), empty_outcome(n, len(effect))
    for k, (bid, reserve) in enumerate(entries):
        book.bid[k], book.reserve[k], book.tie[k], book.quality[k] = bid, reserve, ties[k], quality[k]
    book.effect[:] = effect
    numbers = np.array([*plugin.numbers(plugin.Params()), 0.0])
    plugin.clear(ref(book), n, len(effect), numbers, ref(outcome))
    plugin.minima(ref(book), n, len(effect), numbers, ref(outcome))
    return outcome.winner.tolist(), outcome.payment.tolist(), outcome.minimum[:n].tolist()


JOINT = [name for name in FORMATS if find("auction", name).joint]


TWINS: dict[str, Any] = {"gsp": naive.gsp, "vcg": naive.vcg, "laddered": naive.vcg}
"""A new format brings a twin in a test of its own."""


def test_joint_formats__sell_all_positions_at_once() -> None:
    assert set(TWINS) <= set(JOINT)


positioned = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 10), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=6
)


@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=150)
@given(positioned, st.sampled_from([[1.0], [1.0, 0.5], [1.0, 0.7, 0.2]]))
def test_joint_format__agrees_with_its_naive_twin(
    name: str, bidders: list[tuple[int, int, float]], effect: list[float]
) -> None:
    entries, quality = [(1000 * b, 1000 * r) for b, r, _ in bidders], [q for _, _, q in bidders]
    ties = [(k * 7919 + 13) % 1009 for k in range(len(bidders))]
    winners, payments, _ = _clear_positions(name, entries, ties, quality, effect)
    expected_winners, expected = TWINS[name]([b for b, _ in entries], [r for _, r in entries], ties, quality, effect)
    assert winners == expected_winners
    assert payments == pytest.approx(expected, abs=0.501)


@pytest.mark.parametrize("name", JOINT)
@settings(max_examples=100)
@given(positioned, st.sampled_from([[1.0], [1.0, 0.5], [1.0, 0.7, 0.2]]))
def test_joint_format__sells_each_position_to_another_between_reserve_and_bid(
    name: str, bidders: list[tuple[int, int, float]], effect: list[float]
) -> None:
    entries, quality = [(b, r) for b, r, _ in bidders], [q for _, _, q in bidders]
    winners, payments, _ = _clear_positions(name, entries, list(range(len(entries))), quality, effect)
    sold = [(k, payment) for k, payment in zip(winners, payments, strict=True) if k >= 0]
    assert len({k for k, _ in sold}) == len(sold)
    assert all(entries[k][0] > 0 and entries[k][1] <= payment <= entries[k][0] for k, payment in sold)


@pytest.mark.parametrize("name", JOINT)
@settings(max_examples=100)
@given(positioned, st.sampled_from([[1.0], [1.0, 0.5], [1.0, 0.7, 0.2]]))
def test_joint_format__minimum_is_the_lowest_bid_for_any_position(
    name: str, bidders: list[tuple[int, int, float]], effect: list[float]
) -> None:
    entries, quality = [(b, r) for b, r, _ in bidders], [q for _, _, q in bidders]
    ties = [(k * 7919 + 13) % 1009 for k in range(len(bidders))]
    _, _, minimum = _clear_positions(name, entries, ties, quality, effect)
    for k in range(len(entries)):
        for bid, wins in ((minimum[k], True), (minimum[k] - 1, False)):
            tried = [*entries[:k], (bid, entries[k][1]), *entries[k + 1 :]]
            assert (k in _clear_positions(name, tried, ties, quality, effect)[0]) == wins


def test_learned_reserve__finds_the_monopoly_price_of_uniform_bids() -> None:
    plugin: Any = find("auction", "learned_reserve")
    numbers = np.array([*plugin.numbers(plugin.Params(every=5000)), 0.0])
    book, outcome = empty_book(2), empty_outcome(2, 1)
    dice = np.random.default_rng(0)
    for _ in range(5000):
        book.bid[:] = dice.integers(1, 10**9, 2)
        book.reserve[:] = 0
        plugin.clear(ref(book), 2, 1, numbers, ref(outcome))
        plugin.learn(ref(book), 2, 1, numbers, ref(outcome))
    assert numbers[0] == pytest.approx(5e8, rel=0.06)


single = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=6)


def _cleared(name: str, params: dict[str, Any], entries: list[tuple[int, int]], ties: list[int]) -> tuple[int, int]:
    plugin: Any = find("auction", name)
    book, outcome = empty_book(len(entries)), empty_outcome(len(entries), 1)
    for k, (bid, reserve) in enumerate(entries):
        book.bid[k], book.reserve[k], book.tie[k] = bid, reserve, ties[k]
    plugin.clear(ref(book), len(entries), 1, np.array([*plugin.numbers(plugin.Params(**params)), 0.0]), ref(outcome))
    return int(outcome.winner[0]), int(outcome.payment[0])


@settings(max_examples=300)
@given(single, st.sampled_from([0, 1, 5]), st.randoms(use_true_random=False))
def test_single_item_formats__agree_with_their_naive_twins(
    entries: list[tuple[int, int]], increment: int, dice: Any
) -> None:
    bids, reserves = [b for b, _ in entries], [r for _, r in entries]
    ties = dice.sample(range(1, 100), len(entries))
    assert _cleared("first_price", {}, entries, ties) == naive.first_price(bids, reserves, ties)
    assert _cleared("learned_reserve", {}, entries, ties) == naive.second_price(bids, reserves, ties)
    assert _cleared("second_price", {"increment_cpm": increment / 1e6}, entries, ties) == naive.second_price(
        bids, reserves, ties, increment
    )
    assert _cleared("soft_floor", {"soft_floor_cpm": 20 / 1e6}, entries, ties) == naive.soft_floor(
        bids, reserves, ties, 20
    )


def test_learned_reserve__is_the_best_price_of_the_grid_for_all_bids_so_far() -> None:
    plugin: Any = find("auction", "learned_reserve")
    numbers = np.array([*plugin.numbers(plugin.Params(every=40)), 0.0])
    dice, bids, reserve = np.random.default_rng(5), [], 0
    book, outcome = empty_book(3), empty_outcome(3, 1)
    for t in range(1, 201):
        book.bid[:] = np.floor(np.exp(dice.normal(13, 1, 3))) * (dice.random(3) < 0.8)
        book.reserve[:], own = 1_000_000, book.bid.tolist()
        plugin.clear(ref(book), 3, 1, numbers, ref(outcome))
        assert (int(outcome.winner[0]), int(outcome.payment[0])) == naive.second_price(
            own, [max(1_000_000, reserve)] * 3, [0, 0, 0]
        )
        plugin.learn(ref(book), 3, 1, numbers, ref(outcome))
        bids += [b for b in own if b > 0]
        if t % 40 == 0:
            grid = [2 ** (10 + b / 16) for b in range(16 * 36)]
            stepped = [max(g for g in grid[:400] if g <= bid or g == grid[0]) for bid in bids]
            reserve = round(max(reversed(grid), key=lambda g: g * sum(s >= g for s in stepped)))
        assert int(numbers[0]) == reserve
    assert reserve > 1_000


def clear(name: str, entries: list[tuple[int, int]], ties: list[int] | None = None) -> tuple[int, int, list[int]]:
    plugin: Any = find("auction", name)
    n = len(entries)
    book, outcome = empty_book(n), empty_outcome(n, 1)
    for k, (bid, reserve) in enumerate(entries):
        book.bid[k], book.reserve[k] = bid, reserve
        book.tie[k] = ties[k] if ties else (k * 7919 + 13) % 1009
    numbers = np.array([*plugin.numbers(plugin.Params()), 0.0])
    plugin.clear(ref(book), n, 1, numbers, ref(outcome))
    plugin.minima(ref(book), n, 1, numbers, ref(outcome))
    return int(outcome.winner[0]), int(outcome.payment[0]), outcome.minimum[:n].tolist()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=200)
@given(books)
def test_format__winner_pays_between_reserve_and_bid(name: str, entries: list[tuple[int, int]]) -> None:
    winner, payment, _ = clear(name, entries)
    able = [k for k, (bid, reserve) in enumerate(entries) if bid > 0 and bid >= reserve]
    if not able:
        assert (winner, payment) == (-1, 0)
    else:
        assert winner in able
        assert entries[winner][1] <= payment <= entries[winner][0]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100)
@given(books)
def test_format__minimum_is_the_lowest_winning_bid(name: str, entries: list[tuple[int, int]]) -> None:
    _, _, minimum = clear(name, entries)
    for k in range(len(entries)):
        at = [*entries[:k], (minimum[k], entries[k][1]), *entries[k + 1 :]]
        below = [*entries[:k], (minimum[k] - 1, entries[k][1]), *entries[k + 1 :]]
        assert clear(name, at)[0] == k
        assert clear(name, below)[0] != k


@pytest.mark.parametrize("name", FORMATS)
def test_format__lone_bidder_is_handled(name: str) -> None:
    assert clear(name, [(5, 3)])[0] == 0
    assert clear(name, [(2, 3)])[0] == -1
    assert clear(name, [(0, 0)])[0] == -1


@pytest.mark.parametrize("name", FORMATS)
def test_format__ties_go_by_the_dice_and_not_by_position(name: str) -> None:
    entries = [(5, 0), (5, 0), (5, 0)]
    assert [clear(name, entries, ties)[0] for ties in ([9, 1, 2], [1, 9, 2], [1, 2, 9])] == [0, 1, 2]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100)
@given(books, st.randoms(use_true_random=False))
def test_format__order_of_bids_is_irrelevant(name: str, entries: list[tuple[int, int]], dice: Any) -> None:
    ties = list(range(1, len(entries) + 1))
    order = list(range(len(entries)))
    dice.shuffle(order)
    winner, payment, _ = clear(name, entries, ties)
    moved, paid, _ = clear(name, [entries[k] for k in order], [ties[k] for k in order])
    assert paid == payment
    assert (order[moved] if moved >= 0 else -1) == winner


TRUTHFUL = [name for name in FORMATS if find("auction", name).truthful]


@pytest.mark.parametrize("name", TRUTHFUL)
@settings(max_examples=60)
@given(positioned, st.sampled_from([[1.0], [1.0, 0.5], [1.0, 0.7, 0.2]]))
def test_truthful_format__no_deviation_profits(
    name: str, bidders: list[tuple[int, int, float]], effect: list[float]
) -> None:
    """Bids and reserves a thousandfold, so that what rounding may bring is not taken for a profit."""
    joint = find("auction", name).joint
    effect = effect if joint else [1.0]
    value, reserve, own_quality = 1000 * bidders[0][0], 1000 * bidders[0][1], bidders[0][2] if joint else 1.0
    quality = [own_quality, *(q if joint else 1.0 for _, _, q in bidders[1:])]
    others, ties = [(1000 * b, 1000 * r) for b, r, _ in bidders[1:]], list(range(len(bidders)))

    def gain(bid: int) -> float:
        winners, payments, _ = _clear_positions(name, [(bid, reserve), *others], ties, quality, effect)
        return effect[winners.index(0)] * (value - payments[winners.index(0)]) if 0 in winners else 0.0

    tried = [
        int(b * q / own_quality) + step for (b, _), q in zip(others, quality[1:], strict=True) for step in (-1, 0, 1)
    ]
    assert gain(value) >= max(gain(bid) for bid in [0, reserve, 2 * value, *tried]) - 2


def test_learned_reserve__takes_no_bid_out_of_reach_for_one() -> None:
    plugin: Any = find("auction", "learned_reserve")
    numbers = np.array([*plugin.numbers(plugin.Params(every=100)), 0.0])
    book, outcome, dice = empty_book(2), empty_outcome(2, 1), np.random.default_rng(3)
    for t in range(100):
        book.bid[:] = dice.integers(1, 10**9), OUT_OF_REACH if t % 2 else 0
        book.reserve[:] = 0
        plugin.learn(ref(book), 2, 1, numbers, ref(outcome))
    assert numbers[0] < 10**9


def test_second_price__no_deviation_profits() -> None:
    dice = np.random.default_rng(0)
    for _ in range(300):
        entries = [(int(b), 2) for b in dice.integers(1, 12, 4)]
        value = entries[0][0]

        def gain(bid: int, entries: list[tuple[int, int]] = entries, value: int = value) -> int:
            winner, payment, _ = clear("second_price", [(bid, 2), *entries[1:]])
            return value - payment if winner == 0 else 0

        assert gain(value) >= max(gain(bid) for bid in range(14))
