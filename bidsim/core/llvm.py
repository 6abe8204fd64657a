"""What kernels written out in LLVM have in common."""

from __future__ import annotations

from typing import Any


def array_data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Pointer to the first number of a numba array."""
    return context.make_array(kind)(context, builder, array).data
