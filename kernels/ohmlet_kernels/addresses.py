"""Arrays and functions that compiled code finds by their addresses, so that one block of integers tells it everything.

Handing an array to compiled code costs a quarter of a microsecond, and the update of a small crossbar takes dozens of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["called", "counts", "doubles", "flags", "reals"]


def _pointer_of(typing, address):  # type: ignore[no-untyped-def]
    """Return an address as a pointer."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def _called_at(typing, function, block):  # type: ignore[no-untyped-def]
    """Call the function int64(int64) at an address with the address of its block."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])

    return types.int64(types.int64, types.int64), generate


_pointer: Any = intrinsic(_pointer_of)
called: Any = intrinsic(_called_at)


@njit(nogil=True, cache=True, inline="always")
def reals(address, shape):  # type: ignore[no-untyped-def]
    """Return the float32 array of a shape at an address."""
    return carray(_pointer(address), shape, np.float32)


@njit(nogil=True, cache=True, inline="always")
def doubles(address, shape):  # type: ignore[no-untyped-def]
    """Return the float64 array of a shape at an address."""
    return carray(_pointer(address), shape, np.float64)


@njit(nogil=True, cache=True, inline="always")
def counts(address, shape):  # type: ignore[no-untyped-def]
    """Return the int64 array of a shape at an address."""
    return carray(_pointer(address), shape, np.int64)


@njit(nogil=True, cache=True, inline="always")
def flags(address, shape):  # type: ignore[no-untyped-def]
    """Return the bool array of a shape at an address."""
    return carray(_pointer(address), shape, np.bool_)
