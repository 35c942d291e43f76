"""Activations between crossbars compiled, with the very numbers that torch has for them on the CPU."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["CODES", "activate", "derive", "known_activation"]

CODES = {"": 0, "ReLU": 1, "Sigmoid": 2}
"""Activations by the names of torch's modules, and none."""
NONE, RELU, SIGMOID = CODES.values()

MOST = 1 << 14
"""Numbers up to which torch surely works on one thread."""

# SLEEF's expf with an error of one unit in the last place, which torch takes for whole vectors; https://sleef.org.
PER_LOG_2, LOG_2_HIGH, LOG_2_LOW = np.float32(1.442695040888963407), np.float32(0.693145751953125), np.float32(1.428606765330187045e-06)
E_0, E_1, E_2 = (
    np.float32(0.000198527617612853646278381),
    np.float32(0.00139304355252534151077271),
    np.float32(0.00833336077630519866943359),
)
E_3, E_4, E_5 = np.float32(0.0416664853692054748535156), np.float32(0.166666671633720397949219), np.float32(0.5)
ZERO, ONE, FAR, ENDLESS = np.float32(0), np.float32(1), np.float32(104), np.float32(np.inf)


def _fused(typing, a, b, c):  # type: ignore[no-untyped-def]
    """Return a b + c with one rounding."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def _with_bits(typing, bits):  # type: ignore[no-untyped-def]
    """Return the float32 that has the bits of an int32."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


_fma: Any = intrinsic(_fused)
_real: Any = intrinsic(_with_bits)


@njit(nogil=True, cache=True, error_model="numpy")
def _sigmoid(y, block):  # type: ignore[no-untyped-def]
    """Make y [n] 1 / (1 + exp(-y)), in place: in vectors for whole blocks, one by one for what is left, as torch does."""
    whole = len(y) // block * block
    for i in range(whole):
        x = -y[i]
        q = np.rint(x * PER_LOG_2)
        s = _fma(q, -LOG_2_LOW, _fma(q, -LOG_2_HIGH, x))
        u = _fma(_fma(_fma(_fma(_fma(E_0, s, E_1), s, E_2), s, E_3), s, E_4), s, E_5)
        u = ONE + _fma(s * s, u, s)
        k = np.int32(q)
        half = np.int32(k >> 1)
        u = u * _real(np.int32((half + np.int32(127)) << 23)) * _real(np.int32((np.int32(k - half) + np.int32(127)) << 23))
        u = ZERO if x < -FAR else u
        u = ENDLESS if x > FAR else u
        y[i] = ONE / (ONE + u)
    for i in range(whole, len(y)):
        y[i] = ONE / (ONE + np.exp(-y[i]))


@njit(nogil=True, cache=True, error_model="numpy")
def activate(code, y, block):  # type: ignore[no-untyped-def]
    """Make y [n] what an activation makes of it, in place."""
    if code == SIGMOID:
        _sigmoid(y, block)
    elif code == RELU:
        for i in range(len(y)):
            y[i] = ZERO if y[i] <= ZERO else y[i]


@njit(nogil=True, cache=True, error_model="numpy")
def derive(code, g, y):  # type: ignore[no-untyped-def]
    """Make the gradient g [n] of an activation's outputs y [n] that of its inputs, in place."""
    if code == SIGMOID:
        for i in range(len(g)):
            g[i] = g[i] * (ONE - y[i]) * y[i]
    elif code == RELU:
        for i in range(len(g)):
            g[i] = ZERO if y[i] <= ZERO else g[i]


@functools.cache
def block() -> int:
    """Return in blocks of how many numbers torch works on vectors here: two of the processor's."""
    return 32 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 16


@functools.cache
def _same(name: str) -> bool:
    """Whether the compiled activation is torch's, for numbers of all sizes in vectors of many lengths."""
    spread = torch.linspace(-1, 1, 2003, dtype=torch.float32, device="cpu")
    for reach in (1e-3, 1.0, 8.0, 120.0):
        for count in (*range(1, 66), 2003):
            x = spread[:count] * reach if count % 2 else spread[-count:] * reach
            y = x.clone()
            activate(CODES[name], y.numpy(), block())
            if not torch.equal(y, getattr(torch, name.lower())(x)):
                return False
    return True


def known_activation(name: str, numbers: int) -> bool:
    """Whether an activation of so many numbers is compiled, and is what torch computes on this processor."""
    return name in CODES and numbers <= MOST and (name == "" or _same(name))
