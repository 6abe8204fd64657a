"""The processor's time-stamp counter in compiled code: a reading takes about ten nanoseconds.

On processors other than x86 the counter may not be read by programs; there the system's monotonic clock is asked
instead.
"""

from __future__ import annotations

import platform
import time
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core import types as numba_types
from numba.extending import intrinsic

from bidsim.core.kernel import kernel

types: Any = numba_types
_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
_MONOTONIC = 1
_SECOND = 1_000_000_000
_LONG = ir.IntType(64)


@intrinsic  # type: ignore[untyped-decorator]
def _counter(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _X86:
            return builder.call(
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(_LONG, []), "llvm.readcyclecounter"), []
            )
        now = cgutils.alloca_once(builder, ir.ArrayType(_LONG, 2))
        ask = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [ir.IntType(32), now.type]), "clock_gettime"
        )
        builder.call(ask, [ir.IntType(32)(_MONOTONIC), now])
        found = builder.load(now)
        return builder.add(
            builder.mul(builder.extract_value(found, 0), _LONG(_SECOND)), builder.extract_value(found, 1)
        )

    return types.int64(), generate


ticks = time.perf_counter_ns if numba.config.DISABLE_JIT else _counter
"""``ticks() -> int``: the counter's reading; it never goes back on one processor."""


@kernel()
def _read() -> int:
    return ticks()


@cache
def nanoseconds_per_tick() -> float:
    """Length of a tick, measured against the system's clock over 20 ms."""
    _read()
    begun, first = time.perf_counter_ns(), _read()
    while time.perf_counter_ns() - begun < 20_000_000:  # noqa: PLR2004
        pass
    ended, last = time.perf_counter_ns(), _read()
    return (ended - begun) / max(last - first, 1)
