"""`ref`: hand a named tuple of arrays to compiled code as one pointer instead of hundreds of words.

numba passes a named tuple by value: every array is seven or more words, and a function that takes the whole
world by value takes a thousand arguments. A reference passes the address; reading a field loads that field
only, and a nested tuple is again a reference. See docs/decisions/0002-references.md for what it saved.
Under ``NUMBA_DISABLE_JIT`` the tuple itself is passed, and the same code runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, imputils
from numba.core import types as numba_types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from bidsim.core.kernel import kernel
from bidsim.core.llvm import array_data

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

T = TypeVar("T")
types: Any = numba_types
_PUT: dict[int, Any] = {}


class _Reference:
    """Python's side of a reference: keeps the tuple alive while compiled code reads it."""

    address = 0

    def __init__(self, value: Any) -> None:
        self.value = value


class _Held:
    """A tuple that lies in memory as compiled code reads it, so that a call hands over one address."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.row = np.zeros(_most_words(value), np.int64)
        self._numba_type_ = _type_of(value)
        self.address = 0
        _lay(_Reference(value), self.row)
        self.address = self.row.ctypes.data


class ReferenceType(numba_types.Type):
    """numba type of a pointer to a named tuple."""

    def __init__(self, pointee: Any) -> None:
        self.pointee = pointee
        super().__init__(name=f"ref({pointee})")

    def field(self, name: str) -> tuple[int, Any] | None:
        """Position and type of a field, None where there is none."""
        fields = self.pointee.fields
        if name not in fields:
            return None
        position = fields.index(name)
        return position, self.pointee.types[position]


def ref(value: T) -> T:
    """Wrap a named tuple for a call of a kernel; to type checkers it is still the tuple."""
    return value if numba.config.DISABLE_JIT else _Reference(value)  # type: ignore[return-value]


def hold(value: T) -> T:
    """Wrap a named tuple for many calls: it is laid down once, and must be wrapped anew where an array is replaced."""
    return value if numba.config.DISABLE_JIT else _Held(value)  # type: ignore[return-value]


def _most_words(value: Any) -> int:
    """int64 words that a value takes in memory, at most."""
    if isinstance(value, tuple):
        return sum(map(_most_words, value))
    return 5 + 2 * value.ndim if isinstance(value, np.ndarray) else 1


def _seen_as(field: Any) -> Any:
    return ReferenceType(field) if isinstance(field, types.BaseNamedTuple) else field


_LARGEST = 2**63 - 1
_KNOWN: dict[Hashable, ReferenceType] = {}
"""Types by layout: numba takes milliseconds to find the type of a world anew at every call."""


def _layout(value: Any) -> Hashable:
    """All that the numba type of a value hangs on.

    Classes of tuples, kinds of arrays and how they lie, classes of numbers.
    """
    if isinstance(value, tuple):
        return (type(value), *map(_layout, value))
    if isinstance(value, np.ndarray):
        flags = value.flags
        return value.dtype, value.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.aligned
    return type(value), isinstance(value, int) and value > _LARGEST


def _type_of(value: Any) -> ReferenceType:
    layout = _layout(value)
    found = _KNOWN.get(layout)
    if found is None:
        found = _KNOWN[layout] = ReferenceType(numba.typeof(value))
    return found


@typeof_impl.register(_Reference)
def _typeof_reference(value: _Reference, context: Any) -> ReferenceType:
    return _type_of(value.value)


@register_model(ReferenceType)
class _ReferenceModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: ReferenceType) -> None:
        super().__init__(manager, fe_type, cgutils.voidptr_t)


@infer_getattr
class _ReferenceAttribute(AttributeTemplate):  # type: ignore[misc]
    key = ReferenceType

    def generic_resolve(self, reference: ReferenceType, attribute: str) -> Any:
        found = reference.field(attribute)
        return None if found is None else _seen_as(found[1])


@lower_getattr_generic(ReferenceType)
def _get_field(context: Any, builder: Any, reference: ReferenceType, value: Any, attribute: str) -> Any:
    found = reference.field(attribute)
    if found is None:
        raise AttributeError(f"{reference} has no field {attribute!r}")
    position, field = found
    whole = context.get_value_type(reference.pointee)
    place = builder.gep(
        builder.bitcast(value, whole.as_pointer()),
        [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), position)],
        inbounds=True,
    )
    if isinstance(field, types.BaseNamedTuple):
        return builder.bitcast(place, cgutils.voidptr_t)
    return imputils.impl_ret_borrowed(context, builder, field, builder.load(place))


@unbox(ReferenceType)
def _unbox_reference(reference: ReferenceType, obj: Any, c: Any) -> NativeValue:
    """Take the address of what is held, or lay the tuple down for this call."""
    builder, kind = c.builder, c.context.get_value_type(reference.pointee)
    told = c.pyapi.object_getattr_string(obj, "address")
    address = c.pyapi.long_as_longlong(told)
    c.pyapi.decref(told)
    is_held = builder.icmp_signed("!=", address, ir.Constant(address.type, 0))
    room = cgutils.alloca_once(builder, kind, zfill=True)
    place = cgutils.alloca_once_value(builder, builder.inttoptr(address, cgutils.voidptr_t))
    failed = cgutils.alloca_once_value(builder, cgutils.false_bit)
    with builder.if_then(builder.not_(is_held)):
        inside = c.pyapi.object_getattr_string(obj, "value")
        native = c.unbox(reference.pointee, inside)
        c.pyapi.decref(inside)
        builder.store(native.value, room)
        builder.store(builder.bitcast(room, cgutils.voidptr_t), place)
        builder.store(native.is_error, failed)

    def cleanup() -> None:
        if c.context.enable_nrt:
            with builder.if_then(builder.not_(is_held)):
                c.context.nrt.decref(builder, reference.pointee, builder.load(room))

    return NativeValue(builder.load(place), is_error=builder.load(failed), cleanup=cleanup)


@intrinsic  # type: ignore[untyped-decorator]
def _copy(context: Any, row: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, made: Any, values: Any) -> Any:
        kind = context.get_value_type(made.args[1].pointee)
        target = builder.bitcast(array_data(context, builder, made.args[0], values[0]), kind.as_pointer())
        builder.store(builder.load(builder.bitcast(values[1], kind.as_pointer())), target, align=8)
        return context.get_dummy_value()

    return types.void(row, value), generate


@kernel()
def _lay(value: Any, row: NDArray[np.int64]) -> None:
    _copy(row, value)


def words(kind: Any) -> int:
    """int64 words that a named tuple of arrays takes in memory."""
    return sum(5 + 2 * array.ndim for array in kind.types)


def shelf(kind: Any) -> tuple[Callable[[NDArray[np.int64], Any], None], Callable[[NDArray[np.int64]], Any]]:
    """Return ``put(row, value)`` and ``take(row)`` for named tuples of a numba type ``kind``.

    They are for use in compiled code, and for tuples of arrays.

    ``put`` lays a tuple down in ``row``, int64 with `words` of room at least; ``take`` gives a reference to it. Nothing
    is counted: the arrays must outlive the last use.
    """
    if numba.config.DISABLE_JIT:
        return lambda row, value: _PUT.__setitem__(row.ctypes.data, value), lambda row: _PUT[row.ctypes.data]

    @intrinsic  # type: ignore[untyped-decorator]
    def put(context: Any, row: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, made: Any, values: Any) -> Any:
            whole = context.cast(builder, values[1], made.args[1], kind)
            place = array_data(context, builder, made.args[0], values[0])
            builder.store(whole, builder.bitcast(place, context.get_value_type(kind).as_pointer()), align=8)
            return context.get_dummy_value()

        return types.void(row, value), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def take(context: Any, row: Any) -> Any:
        def generate(context: Any, builder: Any, made: Any, values: Any) -> Any:
            return builder.bitcast(array_data(context, builder, made.args[0], values[0]), cgutils.voidptr_t)

        return ReferenceType(kind)(row), generate

    return put, take
