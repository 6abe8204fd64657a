"""Sets of campaigns as words of 64 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel

WORD = 64
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_ONE, _SHIFT = np.uint64(1), np.uint64(58)
_POSITION = np.zeros(64, np.int64)
for _i in range(64):
    _POSITION[((int(_DE_BRUIJN) << _i) & (2**64 - 1)) >> 58] = _i


@kernel()
def lowest_bit(word: np.uint64) -> int:
    """Position of the lowest set bit of a word that is not zero (Leiserson, Prokop and Randall 1998)."""
    return _POSITION[np.int64(((word & (~word + _ONE)) * _DE_BRUIJN) >> _SHIFT)]


@kernel()
def without_lowest(word: np.uint64) -> np.uint64:
    """Clear the lowest set bit."""
    return word & (word - _ONE)


def bitset(members: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Words of a boolean array, bit k of word w being element 64 w + k."""
    padded = np.zeros(-(-len(members) // WORD) * WORD, np.bool_)
    padded[: len(members)] = members
    powers = _ONE << np.arange(WORD, dtype=np.uint64)
    words: NDArray[np.uint64] = (padded.reshape(-1, WORD).astype(np.uint64) * powers).sum(axis=1, dtype=np.uint64)
    return words
