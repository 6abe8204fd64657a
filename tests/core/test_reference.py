from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.reference import ref, shelf, words


class Inner(NamedTuple):
    values: NDArray[np.float64]
    scale: float


class Outer(NamedTuple):
    inner: Inner
    count: int
    grid: NDArray[np.int64]


@kernel()
def total(outer: Outer) -> float:
    found = 0.0
    inner = outer.inner
    for k in range(outer.count):
        found += inner.values[k] * inner.scale
        outer.grid[k, 0] += k
    return found


def test_ref__reads_scalars_and_arrays_and_writes_in_place() -> None:
    outer = Outer(Inner(np.arange(5.0), 2.0), 4, np.zeros((5, 1), np.int64))
    assert total(ref(outer)) == 12.0
    assert outer.grid[:, 0].tolist() == [0, 1, 2, 3, 0]


def test_ref__keeps_no_reference_to_arrays() -> None:
    import sys  # noqa: PLC0415

    values = np.arange(5.0)
    outer = Outer(Inner(values, 2.0), 4, np.zeros((5, 1), np.int64))
    before = sys.getrefcount(values)
    for _ in range(100):
        total(ref(outer))
    assert sys.getrefcount(values) == before


class Pair(NamedTuple):
    values: NDArray[np.float64]
    grid: NDArray[np.int64]


PAIR = numba.typeof(Pair(np.zeros(1), np.zeros((1, 1), np.int64)))
put, take = shelf(PAIR)


@kernel()
def lay_down(rows: NDArray[np.int64], values: NDArray[np.float64], grid: NDArray[np.int64]) -> None:
    for k in range(rows.shape[0]):
        put(rows[k], Pair(values[k:], grid))


@kernel()
def read_back(rows: NDArray[np.int64], k: int) -> float:
    pair = take(rows[k])
    pair.grid[k, 1] += pair.values.shape[0]
    return pair.values[0]


def test_shelf__gives_back_what_was_laid_down() -> None:
    rows, values, grid = np.zeros((3, words(PAIR)), np.int64), np.arange(3.0) + 5.0, np.zeros((3, 2), np.int64)
    lay_down(rows, values, grid)
    assert [read_back(rows, k) for k in range(3)] == [5.0, 6.0, 7.0]
    assert grid[:, 1].tolist() == [3, 2, 1]
    values[2] = -1.0
    assert read_back(rows, 2) == -1.0


def test_type__is_found_anew_for_another_layout_only() -> None:
    def kind(values: NDArray[Any], count: Any = 4) -> Any:
        return numba.typeof(ref(Outer(Inner(values, 2.0), count, np.zeros((5, 1), np.int64))))

    plain = kind(np.arange(5.0))
    assert kind(np.ones(9)) is plain
    assert plain.pointee == numba.typeof(Outer(Inner(np.arange(5.0), 2.0), 4, np.zeros((5, 1), np.int64)))
    still = np.arange(5.0)
    still.setflags(write=False)
    others = [
        kind(np.arange(5)),
        kind(np.ones((2, 2))),
        kind(np.arange(10.0)[::2]),
        kind(still),
        kind(np.arange(5.0), 2**63),
        kind(np.arange(5.0), 1.5),
    ]
    assert len({plain, *others}) == 7
