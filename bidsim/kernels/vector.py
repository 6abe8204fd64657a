"""Elementary functions without branches or calls, which LLVM turns into vector instructions where they stand in a loop.

Errors stay below 1e-13 relative on the ranges named. numba calls the C library for each element instead, which no loop
survives as vector code.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types as numba_types
from numba.extending import intrinsic

from bidsim.core.kernel import kernel

types: Any = numba_types
_SHIFT = 6755399441055744.0
"""1.5 x 2^52: adding it leaves a number's nearest integer in the low bits."""
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_BIAS = np.int64(1023)
_ROOT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LARGEST = 700.0


@intrinsic  # type: ignore[untyped-decorator]
def _float_bits(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _bits_float(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


def _float_bits_slowly(value: Any) -> Any:
    return np.float64(value).view(np.int64)


def _bits_float_slowly(bits: Any) -> Any:
    return np.int64(bits).view(np.float64)


float_bits = _float_bits_slowly if numba.config.DISABLE_JIT else _float_bits
"""``float_bits(value) -> int``: bits of a float64 as int64."""
bits_float = _bits_float_slowly if numba.config.DISABLE_JIT else _bits_float
"""``bits_float(bits) -> float``: float64 of the bits of an int64."""


@kernel(fastmath={"contract"})
def vector_exp(x: float) -> float:
    """e^x for |x| <= 700; beyond that the value at the bound."""
    x = min(max(x, -_LARGEST), _LARGEST)
    shifted = x * _LOG2E + _SHIFT
    whole = shifted - _SHIFT
    r = x - whole * _LN2_HIGH - whole * _LN2_LOW
    # Estrin's order: few operations wait for one another
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6.0))
    middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0))
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + r2 * (1.0 / 3628800.0 + r * (1.0 / 39916800.0))
    p = low + r4 * (middle + r4 * (high + r4 * (1.0 / 479001600.0)))
    return p * bits_float((float_bits(shifted) + _BIAS) << np.int64(52))


@kernel(fastmath={"contract"})
def vector_log(x: float) -> float:
    """Natural logarithm of a positive, normal x."""
    bits = float_bits(x)
    exponent = (bits - _ROOT_HALF_BITS) >> np.int64(52)
    m = bits_float(bits - (exponent << np.int64(52)))
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    q2 = q * q
    q4 = q2 * q2
    low = (1.0 + q * (1.0 / 3.0)) + q2 * (1.0 / 5.0 + q * (1.0 / 7.0))
    high = (1.0 / 9.0 + q * (1.0 / 11.0)) + q2 * (1.0 / 13.0 + q * (1.0 / 15.0))
    p = low + q4 * (high + q4 * (1.0 / 17.0))
    return 2.0 * s * p + np.float64(exponent) * 0.6931471805599453


@kernel(fastmath={"contract"})
def vector_sin_half_turn(v: float) -> float:
    """sin(pi v) for |v| <= 1/2."""
    x = np.pi * v
    q = x * x
    q2 = q * q
    q4 = q2 * q2
    low = (1.0 - q * (1.0 / 6.0)) + q2 * (1.0 / 120.0 - q * (1.0 / 5040.0))
    high = (1.0 / 362880.0 - q * (1.0 / 39916800.0)) + q2 * (1.0 / 6227020800.0 - q * (1.0 / 1307674368000.0))
    p = low + q4 * (high + q4 * (1.0 / 355687428096000.0 - q * (1.0 / 121645100408832000.0)))
    return p * x


@kernel(fastmath={"contract"})
def vector_cos_half_turn(v: float) -> float:
    """cos(pi v) for |v| <= 1/2."""
    x = np.pi * v
    q = x * x
    q2 = q * q
    q4 = q2 * q2
    low = (1.0 - q * 0.5) + q2 * (1.0 / 24.0 - q * (1.0 / 720.0))
    high = (1.0 / 40320.0 - q * (1.0 / 3628800.0)) + q2 * (1.0 / 479001600.0 - q * (1.0 / 87178291200.0))
    return low + q4 * (high + q4 * (1.0 / 20922789888000.0 - q * (1.0 / 6402373705728000.0)))


@kernel(fastmath={"contract"})
def vector_sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + vector_exp(-x))


@kernel(fastmath={"contract"})
def normal_pair(bits: np.uint64) -> tuple[float, float]:
    """Two independent standard normals from 64 random bits (Box and Muller 1958), up to 6.7 from zero."""
    first = (np.float64(np.int64(bits >> np.uint64(32))) + 0.5) * 2.0**-32
    v = (np.float64(np.int64(bits & np.uint64(0xFFFFFFFF))) + 0.5) * 2.0**-32 - 0.5
    radius = np.sqrt(-2.0 * vector_log(first))
    sine, cosine = vector_sin_half_turn(v), vector_cos_half_turn(v)
    return radius * (1.0 - 2.0 * sine * sine), radius * 2.0 * sine * cosine
