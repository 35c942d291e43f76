"""Sixteen cells at once: those that get pulses, or so many of them, written one behind the other in their order.

Processors with AVX-512 have an instruction for it, which compilers do not find in a loop; others take the cells one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ohmlet_kernels.pulsed_update.numba_loops import _ones

__all__ = ["COUNT_AT", "LANES", "joined", "kept", "one_by_one_joined", "one_by_one_kept", "one_by_one_picked", "picked"]

LANES = 16
COUNT_AT = 26
"""A key is int32: from this bit on how many pulses a cell gets, less one; below, its place and direction, which take 24 bits at most."""

INT, LONG = ir.IntType(32), ir.IntType(64)
VECTOR, FLAGS = ir.VectorType(INT, LANES), ir.VectorType(ir.IntType(1), LANES)
_function: Any = cgutils.get_or_insert_function
COUNT, ZERO, ONE = np.int32(COUNT_AT), np.int32(0), np.int32(1)
LOW, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)


class _Lanes:
    """Sixteen int32 in compiled code, for a call whose arguments are arrays and numbers."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments

    def address(self, array: int, at: Any) -> Any:
        """Return the address of sixteen numbers of an argument."""
        held = self.context.make_array(self.signature.args[array])(self.context, self.builder, self.arguments[array])
        return self.builder.bitcast(self.builder.gep(held.data, [at]), VECTOR.as_pointer())

    def load(self, array: int, at: Any) -> Any:
        """Return sixteen numbers of an argument."""
        loaded = self.builder.load(self.address(array, at))
        loaded.align = 4
        return loaded

    def every(self, number: Any) -> Any:
        """Return a number sixteen times."""
        if isinstance(number, int):
            return ir.Constant(VECTOR, [number] * LANES)
        none = ir.Constant(VECTOR, ir.Undefined)
        return self.builder.shuffle_vector(self.builder.insert_element(none, number, INT(0)), none, ir.Constant(VECTOR, [0] * LANES))

    def ones(self, numbers: Any) -> Any:
        """Return how many bits of each number are set."""
        kind = ir.FunctionType(VECTOR, [VECTOR])
        return self.builder.call(_function(self.builder.module, kind, f"llvm.ctpop.v{LANES}i32"), [numbers])

    def keep(self, numbers: Any, where: Any, array: int, at: Any) -> Any:
        """Write the numbers where a condition holds to an argument, whose next ones are lost; return how many there are."""
        kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, FLAGS])
        squeeze = _function(self.builder.module, kind, f"llvm.x86.avx512.mask.compress.v{LANES}i32")
        self.builder.store(self.builder.call(squeeze, [numbers, self.every(0), where]), self.address(array, at)).align = 4
        return self.builder.ctpop(self.builder.zext(self.builder.bitcast(where, ir.IntType(LANES)), LONG))


def one_by_one_joined(words, codes, first, bits, code, ends, once, often):  # type: ignore[no-untyped-def]
    """Do what `joined` does, cell by cell."""
    one, more = ends & LOW, ends >> S32
    for lane in range(LANES):
        at = first + np.uint64(lane)
        both = np.int32(bits & words[at])
        left = np.int32(both & np.int32(both - ONE))
        key = np.int32(codes[at] ^ code)
        once[one] = key
        often[more] = np.int32(key | np.int32(np.int32(_ones(both) - ONE) << COUNT))
        one += np.uint64((both != ZERO) & (left == ZERO))
        more += np.uint64(left != ZERO)
    return one | (more << S32)


def one_by_one_picked(keys, first, count, out, end):  # type: ignore[no-untyped-def]
    """Do what `picked` does, cell by cell."""
    for lane in range(LANES):
        key = keys[first + np.uint64(lane)]
        out[end] = key
        end += np.uint64(np.int32(key >> COUNT) == count)
    return end


def one_by_one_kept(numbers, where, first, out, end):  # type: ignore[no-untyped-def]
    """Do what `kept` does, line by line."""
    for lane in range(LANES):
        at = first + np.uint64(lane)
        wanted = where[at] != ZERO
        out[end] = numbers[at]
        end += np.uint64(wanted)
    return end


def _lowered(at_once: Callable[[_Lanes], Any], each: Callable[..., Any]) -> Callable[..., Any]:
    """Return what writes the code of a call: for sixteen cells at once where the processor can."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        if "+avx512f" in context.codegen().magic_tuple()[2]:
            return at_once(_Lanes(context, builder, signature, arguments))
        return context.compile_internal(builder, each, signature, arguments)

    return generate


def _joined_at_once(a: _Lanes) -> Any:
    _, _, first, bits, code, ends, _, _ = a.arguments
    b, none = a.builder, a.every(0)
    both = b.and_(a.load(0, first), a.every(bits))
    left = b.and_(both, b.sub(both, a.every(1)))
    key = b.xor(a.load(1, first), a.every(code))
    several = b.icmp_signed("!=", left, none)
    single = b.and_(b.icmp_signed("!=", both, none), b.icmp_signed("==", left, none))
    one, more = b.and_(ends, LONG(0xFFFFFFFF)), b.lshr(ends, LONG(32))
    counted = b.or_(key, b.shl(b.sub(a.ones(both), a.every(1)), a.every(COUNT_AT)))
    found = a.keep(key, single, 6, one), a.keep(counted, several, 7, more)
    return b.add(ends, b.or_(found[0], b.shl(found[1], LONG(32))))


def _picked_at_once(a: _Lanes) -> Any:
    _, first, count, _, end = a.arguments
    keys = a.load(0, first)
    fitting = a.builder.icmp_signed("==", a.builder.ashr(keys, a.every(COUNT_AT)), a.every(count))
    return a.builder.add(end, a.keep(keys, fitting, 3, end))


def _kept_at_once(a: _Lanes) -> Any:
    _, _, first, _, end = a.arguments
    wanted = a.builder.icmp_signed("!=", a.load(1, first), a.every(0))
    return a.builder.add(end, a.keep(a.load(0, first), wanted, 3, end))


def _joined(typing, words, codes, first, bits, code, ends, once, often):  # type: ignore[no-untyped-def]
    """Add the cells of a line with trains `bits` and sixteen others with trains words[first:]; return where the keys then end.

    A cell's key is code ^ codes[line], with its pulses from bit COUNT_AT on; cells with one pulse are written to `once`, others to
    `often`, int32. `ends` has the ends of both, that of `often` from bit 32 on. Sixteen numbers behind the ends are lost.
    """
    numbers = types.int32[::1]
    signature = types.uint64(numbers, numbers, types.uint64, types.int32, types.int32, types.uint64, numbers, numbers)
    return signature, _lowered(_joined_at_once, one_by_one_joined)


def _picked(typing, keys, first, count, out, end):  # type: ignore[no-untyped-def]
    """Write those of the sixteen keys from `first` on that have `count` from bit COUNT_AT on to `out`; return where it then ends."""
    numbers = types.int32[::1]
    return types.uint64(numbers, types.uint64, types.int32, numbers, types.uint64), _lowered(_picked_at_once, one_by_one_picked)


def _kept(typing, numbers, where, first, out, end):  # type: ignore[no-untyped-def]
    """Write those of the sixteen numbers from `first` on for which `where` is not zero to `out`; return where it then ends.

    `out` may be one of the others.
    """
    each = types.int32[::1]
    return types.uint64(each, each, types.uint64, each, types.uint64), _lowered(_kept_at_once, one_by_one_kept)


joined: Any = intrinsic(_joined)
kept: Any = intrinsic(_kept)
picked: Any = intrinsic(_picked)
