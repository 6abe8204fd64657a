"""Calling a plug-in's kernel by its address, so that one compiled loop serves every plug-in without knowing any.

A kernel compiled for its family's explicit signature has an entry that C could call; its address is a number, and the
request loop takes numbers. numba's own way, function types in a tuple, does the same but unpacks every tuple at each
call of the loop, 65 microseconds an element; see docs/decisions/0005-calls-by-address.md. Under
``NUMBA_DISABLE_JIT`` the plain functions are called, and the same code runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types as numba_types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

types: Any = numba_types
_PLAIN: list[Any] = []


def addresses(kernels: Sequence[Any], signature: Any) -> NDArray[np.int64]:
    """Addresses of kernels compiled for ``signature``, int64[kernels]."""
    return np.array([_address(kernel, signature) for kernel in kernels], np.int64)


def _address(kernel: Any, signature: Any) -> int:
    if numba.config.DISABLE_JIT:
        if kernel not in _PLAIN:
            _PLAIN.append(kernel)
        return _PLAIN.index(kernel)
    compiled = kernel.overloads[tuple(signature.args)]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))


def caller(signature: Any) -> Callable[[int, tuple[Any, ...]], Any]:
    """Return ``call(address, arguments)`` for kernels of one signature, for use in compiled code.

    Arguments are a tuple.
    """
    if numba.config.DISABLE_JIT:
        return lambda address, arguments: _PLAIN[address](*arguments)

    @intrinsic  # type: ignore[untyped-decorator]
    def call(context: Any, address: Any, arguments: Any) -> Any:
        return signature.return_type(types.int64, arguments), generate

    def generate(context: Any, builder: Any, made: Any, values: Any) -> Any:
        target, packed = values
        nothing = signature.return_type == types.void
        kind = ir.FunctionType(
            ir.VoidType() if nothing else context.get_value_type(signature.return_type),
            [context.get_value_type(a) for a in signature.args],
        )
        given = made.args[1].types
        unpacked = [
            context.cast(builder, builder.extract_value(packed, k), given[k], wanted)
            for k, wanted in enumerate(signature.args)
        ]
        result = builder.call(builder.inttoptr(target, kind.as_pointer()), unpacked)
        return context.get_dummy_value() if nothing else result

    made: Callable[[int, tuple[Any, ...]], Any] = call
    return made
