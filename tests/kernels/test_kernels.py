import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bidsim.core.contracts import empty_book
from bidsim.core.reference import ref
from bidsim.kernels.bits import bitset, lowest_bit, without_lowest
from bidsim.kernels.choose import choose, cumulative, poisson_quantile
from bidsim.kernels.heap import heap_pop, heap_push
from bidsim.kernels.normal import logit, normal_cdf, normal_quantile, sigmoid
from bidsim.kernels.ranking import best_and_next
from tests import naive


def test_normal__agrees_with_scipy() -> None:
    p = np.concatenate([np.linspace(1e-12, 1 - 1e-12, 2001), [1e-300, 1e-17, 0.5]])
    found = np.array([normal_quantile(x) for x in p])
    np.testing.assert_allclose(found, special.ndtri(p), rtol=2e-13, atol=1e-15)
    z = np.linspace(-30, 8, 500)
    np.testing.assert_allclose([normal_cdf(x) for x in z], special.ndtr(z), rtol=2e-13)


@given(st.floats(-800, 800))
def test_sigmoid__agrees_with_scipy(x: float) -> None:
    assert sigmoid(x) == pytest.approx(special.expit(x), rel=1e-14, abs=1e-300)


def test_logit__undoes_sigmoid() -> None:
    assert sigmoid(logit(0.013)) == pytest.approx(0.013, rel=1e-14)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=20), st.floats(0, 0.999999))
def test_choose__is_the_first_share_above(weights: list[float], u: float) -> None:
    shares = cumulative(np.array(weights))
    assert choose(shares, u) == next(k for k, s in enumerate(shares) if s > u)


@given(st.floats(0.001, 16.0), st.floats(0, 1 - 1e-9))
def test_poisson_quantile__agrees_with_its_twin(mean: float, u: float) -> None:
    found = poisson_quantile(mean, u)
    assert abs(found - naive.poisson_quantile(mean, u)) <= (1 if abs(stats.poisson.cdf(found, mean) - u) < 1e-9 else 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10**6)), max_size=60))
def test_heap__gives_entries_back_in_order(entries: list[tuple[int, int]]) -> None:
    heap = np.zeros((len(entries) + 1, 2), np.int64)
    size = 0
    for time, payload in entries:
        size = heap_push(heap, size, time, payload)
    found = []
    while size:
        found.append((int(heap[0, 0]), int(heap[0, 1])))
        size = heap_pop(heap, size)
    assert found == naive.heap_order(entries)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_bits__walk_over_a_set_gives_its_members(members: list[bool]) -> None:
    found = []
    for w, word in enumerate(bitset(np.array(members))):
        while word:
            found.append(64 * w + lowest_bit(word))
            word = without_lowest(word)  # noqa: PLW2901
    assert found == [k for k, m in enumerate(members) if m]


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 2**60)),
        min_size=1,
        max_size=9,
        unique_by=lambda e: e[2],
    )
)
def test_best_and_next__agrees_with_its_twin(entries: list[tuple[int, int, int]]) -> None:
    book, n = empty_book(len(entries)), len(entries)
    for k, (bid, reserve, tie) in enumerate(entries):
        book.bid[k], book.reserve[k], book.tie[k] = bid, reserve, tie
    order = naive.rank([e[0] for e in entries], [e[1] for e in entries], [e[2] for e in entries])
    first, below = best_and_next(ref(book), n)
    assert first == (order[0] if order else -1)
    assert below == (entries[order[1]][0] if len(order) > 1 else 0)
