"""A binary min-heap of (time, payload) in two int64 arrays; equal times leave in order of payload."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel


@kernel()
def _before(heap: NDArray[np.int64], a: int, b: int) -> bool:
    if heap[a, 0] != heap[b, 0]:
        return heap[a, 0] < heap[b, 0]
    return heap[a, 1] < heap[b, 1]


@kernel()
def _swap(heap: NDArray[np.int64], a: int, b: int) -> None:
    for j in range(2):
        heap[a, j], heap[b, j] = heap[b, j], heap[a, j]


@kernel()
def heap_push(heap: NDArray[np.int64], size: int, time: int, payload: int) -> int:
    """Add an entry to ``heap`` (capacity, 2), of which ``size`` rows are in use; return the new size."""
    heap[size, 0] = time
    heap[size, 1] = payload
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if not _before(heap, child, parent):
            break
        _swap(heap, child, parent)
        child = parent
    return size + 1


@kernel()
def heap_pop(heap: NDArray[np.int64], size: int) -> int:
    """Remove the earliest entry (row 0, read before); return the new size."""
    size -= 1
    heap[0, 0] = heap[size, 0]
    heap[0, 1] = heap[size, 1]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and _before(heap, child + 1, child):
            child += 1
        if not _before(heap, child, parent):
            break
        _swap(heap, child, parent)
        parent = child
    return size
