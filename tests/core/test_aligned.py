from __future__ import annotations

import numpy as np
import pytest

from bidsim.core.aligned import LINE, aligned, padded


@pytest.mark.parametrize("count", [1, 7, 1_000, 700_001])
@pytest.mark.parametrize("dtype", [np.uint32, np.float64])
def test_aligned__same_numbers_at_a_round_address(count: int, dtype: type) -> None:
    numbers = np.arange(count).astype(dtype)
    found = aligned(numbers)
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.ctypes.data % (LINE if found.nbytes < 1 << 21 else 1 << 21) == 0
    found[0] = 5
    assert numbers[0] == 0


def test_aligned__keeps_the_shape_and_accepts_nothing() -> None:
    assert aligned(np.zeros((3, 4))).shape == (3, 4)
    assert len(aligned(np.zeros(0))) == 0


def test_padded__ends_with_a_line() -> None:
    assert padded(np.ones(3, np.uint32)).tolist() == [1, 1, 1] + [0] * 13
    assert len(padded(np.ones(16, np.uint32))) == 16
