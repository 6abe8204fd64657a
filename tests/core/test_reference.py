from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.reference import ref


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
