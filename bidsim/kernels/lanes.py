"""Vector instructions for masks of trees.

AND whole rows of masks, sum the leaves that are left, search 16 numbers at once.

LLVM's own vectors of 512 bits are written out here; on machines with narrower registers LLVM splits them, so one text
serves all. Arrays hold a multiple of `LANES` masks.
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
    from collections.abc import Callable

    from numpy.typing import NDArray

types: Any = numba_types
_BITS = 512
_TOGETHER = (8, 4, 2, 1)
_BIT, _LONG, _DOUBLE = ir.IntType(1), ir.IntType(64), ir.DoubleType()


def lanes(mask_bits: int) -> int:
    """Masks in one vector."""
    return _BITS // mask_bits


def _and_places(builder: Any, masks: Any, places: Any, count: Any, first: Any, vectors: int, width: int) -> list[Any]:
    """AND ``vectors`` neighbouring vectors, the first at ``first``, of the masks at each of ``count`` places.

    A list of places is unrolled.
    """
    n = lanes(width)
    kind = ir.VectorType(ir.IntType(width), n)
    ones = ir.Constant(kind, [-1] * n)

    def at(place: Any, j: int) -> Any:
        index = builder.add(builder.add(place, first), _LONG(j * n))
        loaded = builder.load(builder.bitcast(builder.gep(masks, [index]), kind.as_pointer()))
        loaded.align = width // 8
        return loaded

    if isinstance(places, list):
        found = [at(places[0], j) for j in range(vectors)]
        for place in places[1:]:
            found = [builder.and_(one, at(place, j)) for j, one in enumerate(found)]
        return found
    kept = [cgutils.alloca_once(builder, kind) for _ in range(vectors)]
    for one in kept:
        builder.store(ones, one)
    with cgutils.for_range(builder, count, intp=_LONG) as loop:
        place = builder.load(builder.gep(places, [loop.index]))
        for j, one in enumerate(kept):
            builder.store(builder.and_(builder.load(one), at(place, j)), one)
    return [builder.load(one) for one in kept]


def _for_vectors(builder: Any, count: Any, body: Callable[[Any, int], None]) -> None:
    """Call ``body(first vector, how many)`` for all vectors, many at a time while there are many left."""
    first = _LONG(0)
    for together in _TOGETHER:
        rounds = builder.udiv(builder.sub(count, first), _LONG(together))
        with cgutils.for_range(builder, rounds, intp=_LONG) as loop:
            body(builder.add(first, builder.mul(loop.index, _LONG(together))), together)
        first = builder.add(first, builder.mul(rounds, _LONG(together)))


def _store(builder: Any, array: Any, at: Any, vector: Any, width: int) -> None:
    builder.store(vector, builder.bitcast(builder.gep(array, [at]), vector.type.as_pointer())).align = width // 8


@intrinsic  # type: ignore[untyped-decorator]
def _and_rows(typing_context: Any, masks: Any, places: Any, count: Any, room: Any, vectors: Any) -> Any:
    width = masks.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        mask_data, place_data = (array_data(context, builder, signature.args[k], arguments[k]) for k in (0, 1))

        def some(first: Any, together: int) -> None:
            at = builder.mul(first, _LONG(lanes(width)))
            for j, vector in enumerate(_and_places(builder, mask_data, place_data, arguments[2], at, together, width)):
                _store(
                    builder,
                    mask_data,
                    builder.add(arguments[3], builder.add(at, _LONG(j * lanes(width)))),
                    vector,
                    width,
                )

        _for_vectors(builder, arguments[4], some)
        return context.get_dummy_value()

    return types.void(masks, places, types.int64, types.int64, types.int64), generate


def _leaf_sum(fixed: int) -> Any:
    """The sum as an intrinsic, for any number of places or a ``fixed`` one."""

    @intrinsic  # type: ignore[untyped-decorator]
    def leaf_sum(
        typing_context: Any, masks: Any, places: Any, count: Any, leaves: Any, room: Any, vectors: Any, eights: Any
    ) -> Any:
        width = masks.dtype.bitwidth
        n = lanes(width)
        kind = ir.VectorType(ir.IntType(width), n)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            mask_data, place_data, leaf_data = (
                array_data(context, builder, signature.args[k], arguments[k]) for k in (0, 1, 3)
            )
            room, vectors = arguments[4], arguments[5]
            if fixed:
                place_data = [builder.load(builder.gep(place_data, [_LONG(k)])) for k in range(fixed)]
            zeros = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind, _BIT]), f"llvm.cttz.v{n}i{width}"
            )
            offsets = ir.Constant(kind, [k * width for k in range(n)])

            def some(first: Any, together: int) -> None:
                at = builder.mul(first, _LONG(n))
                for j, vector in enumerate(
                    _and_places(builder, mask_data, place_data, arguments[2], at, together, width)
                ):
                    leaf = builder.add(builder.call(zeros, [vector, _BIT(1)]), offsets)
                    _store(builder, mask_data, builder.add(room, builder.add(at, _LONG(j * n))), leaf, width)

            _for_vectors(builder, vectors, some)
            return _sum_of_leaves(builder, mask_data, leaf_data, room, arguments[6], width)

        return types.float64(masks, places, types.int64, leaves, types.int64, types.int64, types.int64), generate

    return leaf_sum


def _sum_of_leaves(builder: Any, numbers: Any, leaves: Any, room: Any, eights: Any, width: int) -> Any:
    """Sum the leaves whose numbers stand at ``room``.

    Loads one by one, since gathers of doubles took half as long again.
    """
    n = lanes(width)
    sums = [cgutils.alloca_once(builder, _DOUBLE) for _ in range(8)]
    for one in sums:
        builder.store(_DOUBLE(0.0), one)
    with cgutils.for_range(builder, eights, intp=_LONG) as loop:
        tree = builder.mul(loop.index, _LONG(8))
        base = builder.gep(leaves, [builder.mul(builder.udiv(tree, _LONG(n)), _LONG(n * width))])
        for k, one in enumerate(sums):
            leaf = builder.load(builder.gep(numbers, [builder.add(room, builder.add(tree, _LONG(k)))]))
            value = builder.load(builder.gep(base, [builder.zext(leaf, _LONG) if width < 64 else leaf]))  # noqa: PLR2004
            builder.store(builder.fadd(builder.load(one), value), one)
    total = [builder.load(one) for one in sums]
    while len(total) > 1:
        total = [builder.fadd(total[k], total[k + 1]) for k in range(0, len(total), 2)]
    return total[0]


@intrinsic  # type: ignore[untyped-decorator]
def _count_below(typing_context: Any, ints: Any, place: Any, value: Any) -> Any:
    n = lanes(32)
    kind, bits = ir.VectorType(ir.FloatType(), n), ir.IntType(n)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = builder.gep(array_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        numbers = builder.load(builder.bitcast(data, kind.as_pointer()))
        numbers.align = 8
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), arguments[2], ir.IntType(32)(0))
        same = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n))
        below = builder.bitcast(builder.fcmp_ordered("<", numbers, same), bits)
        count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(bits, [bits]), f"llvm.ctpop.i{n}")
        return builder.zext(builder.call(count, [below]), _LONG)

    return types.int64(ints, types.int64, types.float32), generate


def _count_below_slowly(ints: NDArray[np.int64], place: int, value: np.float32) -> int:
    return int((ints[place : place + lanes(32) // 2].view(np.float32) < value).sum())


def _and_rows_slowly(masks: NDArray[Any], places: NDArray[np.int64], count: int, room: int, vectors: int) -> None:
    n = vectors * lanes(8 * masks.dtype.itemsize)
    found = np.full(n, ~masks.dtype.type(0), masks.dtype)
    for place in places[:count]:
        found &= masks[place : place + n]
    masks[room : room + n] = found


def _leaf_sum_slowly(
    masks: NDArray[Any],
    places: NDArray[np.int64],
    count: int,
    leaves: NDArray[np.float64],
    room: int,
    vectors: int,
    eights: int,
) -> float:
    width = 8 * masks.dtype.itemsize
    _and_rows_slowly(masks, places, count, room, vectors)
    found = [int(m) for m in masks[room : room + 8 * eights]]
    return float(sum(leaves[t * width + (m & -m).bit_length() - 1] for t, m in enumerate(found)))


and_rows = _and_rows_slowly if numba.config.DISABLE_JIT else _and_rows
"""``and_rows(masks, places, count, room, vectors)``: AND the rows of masks at ``places[:count]`` into
``masks[room:]``."""
leaf_sum_of_three = _leaf_sum_slowly if numba.config.DISABLE_JIT else _leaf_sum(3)
leaf_sum_of_six = _leaf_sum_slowly if numba.config.DISABLE_JIT else _leaf_sum(6)
"""As `leaf_sum` of three or six places, without a loop over them."""
leaf_sum = _leaf_sum_slowly if numba.config.DISABLE_JIT else _leaf_sum(0)
"""``leaf_sum(masks, places, count, leaves, room, vectors, eights) -> float``: AND the rows of masks at
``places[:count]`` and sum over the first ``8 * eights`` trees the leaf of the lowest bit left, ``leaves[tree * bits +
bit]``; ``masks[room:]`` is overwritten."""
count_below = _count_below_slowly if numba.config.DISABLE_JIT else _count_below
"""``count_below(ints, place, value) -> int``: how many of the 16 float32 numbers that lie at ``ints[place:]`` are below
a value."""
