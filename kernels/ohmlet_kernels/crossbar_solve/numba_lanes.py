"""Short vectors in compiled loops: one cell's numbers of LANES inputs, which stay in a register from cell to cell.

Loops over arrays leave it to the compiler whether a recurrence along a line runs in registers; these do. `a + b`, `a - b` and `a * b`
work lane by lane, and may be fused to a rounding less.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

__all__ = ["LANES", "aligned", "load", "narrow", "spread", "store", "wide"]

LANES = 8
"""Inputs that are solved side by side: float64 fills the longest registers there are, and five vectors of 256 x 256 the caches."""
_LINE = 64


class _Lanes(types.Type):
    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"Lanes({dtype})")
        self.dtype = dtype


@register_model(_Lanes)
class _Register(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Lanes) -> None:
        super().__init__(manager, kind, _vector(kind.dtype))  # type: ignore[no-untyped-call]


def aligned(shape: tuple[int, ...], dtype: type[np.floating]) -> np.ndarray:
    """Return an array without values that begins with a cache line, so that no vector straddles two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def _vector(dtype: Any) -> Any:
    return ir.VectorType(ir.FloatType() if dtype == types.float32 else ir.DoubleType(), LANES)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _vector(kind.dtype).as_pointer())


def _load(typing, array, index):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.load(_place(context, builder, array, *values), align=array.dtype.bitwidth // 8)

    return _Lanes(array.dtype)(array, types.intp), code


def _store(typing, array, index, lanes):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        builder.store(values[2], _place(context, builder, array, *values[:2]), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


def _spread(typing, number):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        empty, place = ir.Constant(_vector(number), ir.Undefined), ir.IntType(32)
        first = builder.insert_element(empty, values[0], ir.Constant(place, 0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(place, LANES), [0] * LANES))

    return _Lanes(number)(number), code


def _wide(typing, lanes):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.fpext(values[0], _vector(types.float64))

    return _Lanes(types.float64)(lanes), code


def _narrow(typing, lanes):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.fptrunc(values[0], _vector(types.float32))

    return _Lanes(types.float32)(lanes), code


load: Any = intrinsic(_load)
"""Return numbers `index` to `index + LANES` of a contiguous array."""
store: Any = intrinsic(_store)
"""Write lanes to numbers `index` to `index + LANES` of a contiguous array."""
spread: Any = intrinsic(_spread)
"""Return a number for all lanes."""
wide: Any = intrinsic(_wide)
"""Return float32 lanes as float64."""
narrow: Any = intrinsic(_narrow)
"""Return float64 lanes as float32."""


def _lanewise(function: Callable[[Any, Any], Any], instruction: str) -> None:
    def applied(typing, a, b):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
            return getattr(builder, instruction)(*values, flags=("contract", "nsz"))

        return a(a, b), code

    apply: Any = intrinsic(applied)

    @overload(function)
    def choose(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: apply(a, b)) if isinstance(a, _Lanes) and a == b else None


_lanewise(operator.add, "fadd")
_lanewise(operator.sub, "fsub")
_lanewise(operator.mul, "fmul")
