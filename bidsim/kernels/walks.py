"""Many walks through linked nodes at once, each node's word read and tested without a branch.

A node is one word of 64 bits, from the top: rank (20), child (28), slot (14), whether it splits categories (1), whether
it is a leaf (1). A walk stands at a node and steps to ``child``, or to its sibling ``child + 1`` where the test fails.
A number's test fails where the value of its slot, as ``(value + 1) << 44``, is above the whole word: that compares
value and rank, since what stands below the rank cannot reach the next one. A category's test fails where its bit is not
in the set that the rank names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types as numba_types
from numba.extending import intrinsic

from bidsim.core.llvm import array_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

types: Any = numba_types
WALKS = 16
RANK, CHILD, SLOT = 44, 16, 2
"""Lowest bit of each part of a word."""
SPLITS_CATEGORIES, IS_LEAF = 2, 1
_CHILDREN, _SLOTS = 2**28 - 1, (2**14 - 1) << SLOT
_LONG, _WORD = ir.IntType(64), ir.IntType(32)


def _follow(splits: bool) -> Any:
    """The walk as an intrinsic, for models that split categories or not."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        node_data, slot_data, set_data, root_data, out_data = (
            array_data(context, builder, signature.args[k], arguments[k]) for k in (0, 1, 2, 4, 5)
        )
        entry = builder.block
        begin = [builder.load(builder.gep(root_data, [_LONG(w)])) for w in range(WALKS)]
        body, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        places = [builder.phi(_LONG) for _ in range(WALKS)]
        count = builder.phi(_LONG)
        done, following = count, []
        for place in places:
            node = builder.load(builder.gep(node_data, [place]))
            builder.store(place, builder.gep(out_data, [done]))
            done = builder.add(done, builder.and_(node, _LONG(IS_LEAF)))
            slot = builder.lshr(builder.and_(node, _LONG(_SLOTS)), _LONG(SLOT))
            value = builder.load(builder.gep(slot_data, [slot]))
            aside = builder.zext(builder.icmp_unsigned(">", value, node), _LONG)
            if splits:
                flag = builder.and_(builder.lshr(node, _LONG(1)), _LONG(1))
                first = builder.mul(builder.lshr(node, _LONG(RANK)), arguments[3])
                # numbers look at the first word, which belongs to no set, and make nothing of it
                at = builder.and_(builder.add(first, builder.lshr(value, _LONG(5))), builder.neg(flag))
                bits = builder.load(builder.gep(set_data, [at]))
                inside = builder.lshr(bits, builder.and_(builder.trunc(value, _WORD), _WORD(31)))
                aside = builder.or_(aside, builder.and_(builder.xor(builder.zext(inside, _LONG), _LONG(1)), flag))
            following.append(builder.add(builder.and_(builder.lshr(node, _LONG(CHILD)), _LONG(_CHILDREN)), aside))
        more = builder.icmp_unsigned("<", done, arguments[6])
        for place, first, later in zip(places, begin, following, strict=True):
            place.add_incoming(first, entry)
            place.add_incoming(later, body)
        count.add_incoming(_LONG(0), entry)
        count.add_incoming(done, body)
        builder.cbranch(more, body, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def follow(
        typing_context: Any, nodes: Any, slots: Any, sets: Any, stride: Any, roots: Any, out: Any, trees: Any
    ) -> Any:
        return types.void(nodes, slots, sets, types.int64, roots, out, types.int64), generate

    return follow


def _follow_slowly(
    nodes: NDArray[np.uint64],
    slots: NDArray[np.uint64],
    sets: NDArray[np.uint32],
    stride: int,
    roots: NDArray[np.int64],
    out: NDArray[np.int64],
    trees: int,
) -> None:
    places, done = [int(r) for r in roots[:WALKS]], 0
    while done < trees:
        for w, place in enumerate(places):
            node = int(nodes[place])
            out[done] = place
            done += node & IS_LEAF
            value = int(slots[(node & _SLOTS) >> SLOT])
            outside = (
                node & SPLITS_CATEGORIES and int(sets[(node >> RANK) * stride + (value >> 5)]) >> (value & 31) & 1 ^ 1
            )
            aside = outside or int(value > node)
            places[w] = (node >> CHILD & _CHILDREN) + aside


follow_numbers = _follow_slowly if numba.config.DISABLE_JIT else _follow(splits=False)
"""As `follow_mixed`, where no node splits categories."""
follow_mixed = _follow_slowly if numba.config.DISABLE_JIT else _follow(splits=True)
"""``follow(nodes, slots, sets, stride, roots, out, trees)``: take all walks from their roots until ``trees`` leaves
were met, and write where those leaves stand to ``out``, which has room for `WALKS` more."""
