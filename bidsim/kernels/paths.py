"""Vector steps of Shapley values by quadrature: a path of a tree grows by an edge, and shrinks by it again.

All numbers lie in one work array, `ROWS` rows side by side at each place. See `bidsim.explain.attribution` for what
they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core import types as numba_types
from numba.extending import intrinsic

from bidsim.core.llvm import array_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

types: Any = numba_types
ROWS = 16
_LANES = 8
_LONG, _INT, _DOUBLE = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, _LANES)
PER_POINT = 3
"""Numbers of an edge for each quadrature point: how the product changes if the row left the path before, on it, and the
weight."""


class _Steps:
    """Loads, stores and arithmetic on vectors of rows."""

    def __init__(self, builder: Any, work: Any) -> None:
        self.builder, self.work = builder, work
        self.fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), "llvm.fma.v8f64"
        )

    def place(self, at: Any, lane: int) -> Any:
        return self.builder.bitcast(
            self.builder.gep(self.work, [self.builder.add(at, _LONG(lane * _LANES))]), _VECTOR.as_pointer()
        )

    def load(self, at: Any, lane: int) -> Any:
        loaded = self.builder.load(self.place(at, lane))
        loaded.align = 8
        return loaded

    def store(self, value: Any, at: Any, lane: int) -> None:
        self.builder.store(value, self.place(at, lane)).align = 8

    def same(self, value: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _INT(0))
        return self.builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INT, _LANES), [0] * _LANES))

    def times_plus(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self.fma, [a, b, c])


@intrinsic  # type: ignore[untyped-decorator]
def _grow(
    typing_context: Any,
    work: Any,
    product: Any,
    grown: Any,
    before: Any,
    on: Any,
    table: Any,
    at: Any,
    ratio: Any,
    points: Any,
) -> Any:
    whole = types.int64

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        steps = _Steps(builder, array_data(context, builder, signature.args[0], arguments[0]))
        numbers = array_data(context, builder, signature.args[5], arguments[5])
        product, grown, before, on = arguments[1:5]
        at, points = arguments[6], arguments[8]
        ratio = steps.same(arguments[7])
        lanes = range(ROWS // _LANES)
        was, now = ([steps.load(a, v) for v in lanes] for a in (before, on))
        with cgutils.for_range(builder, points, intp=_LONG) as loop:
            where = builder.add(at, builder.mul(loop.index, _LONG(PER_POINT)))
            left, stays = (
                steps.same(builder.load(builder.gep(numbers, [builder.add(where, _LONG(k))]))) for k in (0, 1)
            )
            offset = builder.mul(loop.index, _LONG(ROWS))
            for v in lanes:
                factor = steps.times_plus(now[v], stays, steps.times_plus(was[v], left, ratio))
                steps.store(
                    builder.fmul(steps.load(builder.add(product, offset), v), factor), builder.add(grown, offset), v
                )
        return context.get_dummy_value()

    return types.void(work, whole, whole, whole, whole, table, whole, types.float64, whole), generate


@intrinsic  # type: ignore[untyped-decorator]
def _shrink(
    typing_context: Any,
    work: Any,
    below: Any,
    above: Any,
    before: Any,
    on: Any,
    table: Any,
    at: Any,
    last: Any,
    phi: Any,
    points: Any,
) -> Any:
    whole = types.int64

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        steps = _Steps(builder, array_data(context, builder, signature.args[0], arguments[0]))
        numbers = array_data(context, builder, signature.args[5], arguments[5])
        below, above, before, on = arguments[1:5]
        at, last, phi, points = arguments[6:]
        lanes = range(ROWS // _LANES)
        was, now = ([steps.load(a, v) for v in lanes] for a in (before, on))
        found = [cgutils.alloca_once(builder, _VECTOR) for _ in lanes]
        for v in lanes:
            builder.store(steps.load(phi, v), found[v])
        with cgutils.for_range(builder, points, intp=_LONG) as loop:
            own, previous = (
                steps.same(
                    builder.load(
                        builder.gep(
                            numbers, [builder.add(builder.add(a, _LONG(2)), builder.mul(loop.index, _LONG(PER_POINT)))]
                        )
                    )
                )
                for a in (at, last)
            )
            offset = builder.mul(loop.index, _LONG(ROWS))
            for v in lanes:
                total = steps.load(builder.add(below, offset), v)
                weight = builder.fsub(builder.fmul(now[v], own), builder.fmul(was[v], previous))
                builder.store(steps.times_plus(total, weight, builder.load(found[v])), found[v])
                steps.store(
                    builder.fadd(steps.load(builder.add(above, offset), v), total), builder.add(above, offset), v
                )
        for v in lanes:
            steps.store(builder.load(found[v]), phi, v)
        return context.get_dummy_value()

    return types.void(work, whole, whole, whole, whole, table, whole, whole, whole, whole), generate


def _grow_slowly(
    work: NDArray[np.float64],
    product: int,
    grown: int,
    before: int,
    on: int,
    table: NDArray[np.float64],
    at: int,
    ratio: float,
    points: int,
) -> None:
    for q in range(points):
        left, stays = table[at + PER_POINT * q], table[at + PER_POINT * q + 1]
        for r in range(ROWS):
            work[grown + q * ROWS + r] = work[product + q * ROWS + r] * (
                ratio + work[before + r] * left + work[on + r] * stays
            )


def _shrink_slowly(
    work: NDArray[np.float64],
    below: int,
    above: int,
    before: int,
    on: int,
    table: NDArray[np.float64],
    at: int,
    last: int,
    phi: int,
    points: int,
) -> None:
    for q in range(points):
        own, previous = table[at + PER_POINT * q + 2], table[last + PER_POINT * q + 2]
        for r in range(ROWS):
            total = work[below + q * ROWS + r]
            work[phi + r] += total * (work[on + r] * own - work[before + r] * previous)
            work[above + q * ROWS + r] += total


grow = _grow_slowly if numba.config.DISABLE_JIT else _grow
"""``grow(work, product, grown, before, on, table, at, ratio, points)``: products at ``product`` times the edge's
factor, into ``grown``; ``before`` and ``on`` say (0 or 1, by row) whether the row agrees with the feature's earlier
edges, and with this one too."""
shrink = _shrink_slowly if numba.config.DISABLE_JIT else _shrink
"""``shrink(work, below, above, before, on, table, at, last, phi, points)``: add what the leaves ``below`` an edge say
of its feature to ``phi``, and pass them on to ``above``; ``last`` is the table of the feature's earlier edge."""
