"""Arrays that begin where a line of the cache does, and large ones where a huge page does.

A vector of 64 bytes that lies across two lines is loaded twice; numpy's arrays begin 16 bytes behind a page. Tables of
several megabytes that are read all over cost a miss of the TLB at every row, unless the kernel can map them in pages of
two megabytes.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
LINE = 64
_HUGE = 1 << 21


def aligned(array: NDArray[T]) -> NDArray[T]:
    """Return a copy of a plain array, C-contiguous, at an address that suits its size; empty arrays as they are."""
    flat = np.ascontiguousarray(array)
    size = flat.nbytes
    if size == 0:
        return flat
    step = _HUGE if size >= _HUGE else LINE
    if step == _HUGE:
        pages = mmap.mmap(-1, size + step)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                pages.madvise(mmap.MADV_HUGEPAGE)
        room = np.frombuffer(pages, np.uint8)
    else:
        room = np.empty(size + step, np.uint8)
    first = -room.ctypes.data % step
    found = room[first : first + size].view(flat.dtype).reshape(flat.shape)
    found[...] = flat
    return found


def padded(array: NDArray[T]) -> NDArray[T]:
    """Return a flat array with zeros behind it up to the end of a line of the cache."""
    missing = -array.nbytes % LINE // array.itemsize
    return np.concatenate([array, np.zeros(missing, array.dtype)]) if missing else array
