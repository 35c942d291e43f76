"""One analog pass over plain vectors, from their largest entry to the outputs: what training in memory does for every mini-batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ohmlet_kernels.analog_mvm.numba_loops import after, before
from ohmlet_kernels.analog_mvm.numba_product import times
from ohmlet_kernels.analog_mvm.numba_weights import largest_of_rows
from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.noise import Stream

__all__ = ["Rows", "known", "word"]


@functools.lru_cache(1024)
def known(s: MVM) -> bool:
    """Whether the compiled loops know these settings."""
    return not (
        s.bound_management or s.nonlinear or s.in_stochastic or s.out_stochastic or s.in_noise or s.in_asymmetry or s.out_asymmetry
        or s.r_series or s.passes != "one"
    )  # fmt: skip


@functools.lru_cache(1024)
def word(path: str, purpose: str) -> np.uint64:
    """Return a stream's word for a purpose, which takes Python longer to hash than a small layer to compute."""
    return np.uint64(Stream(torch.empty(0), path=path).word(purpose))


@functools.lru_cache(1024)
def _purposes(path: str) -> Any:
    return np.array([word(path, "weight"), word(path, "output")])


@njit(nogil=True, cache=True, error_model="numpy")
def _drive(x, limit, step, bound, scale, v):  # type: ignore[no-untyped-def]
    """Fill scale [rows] with min(max|x|, limit) and v [rows, in] with what drives the array; return whether all of x is finite."""
    rows, columns = x.shape
    largest_of_rows(0, rows, x.view(np.int32), scale.view(np.int32))
    finite = True
    for i in range(rows):
        finite &= np.isfinite(scale[i])
        scale[i] = limit if scale[i] > limit else scale[i]
    none, clipped = np.empty(0, np.float32), np.empty(0, np.int32)
    other, codes, bits = np.empty((1, 0, rows, columns), np.float32), np.empty((0, 0), np.int8), np.empty((0, 0), np.uint8)
    before(0, rows, x, scale, step, bound, none, v.reshape(1, 1, rows, columns), other, codes, bits, clipped)
    return finite


@njit(nogil=True, cache=True, error_model="numpy")
def _sense(y, scale, key, ordinals, purposes, numbers):  # type: ignore[no-untyped-def]
    """Turn currents y [rows, out] into outputs, in place."""
    rows, columns = y.shape
    none, clipped = np.empty(0, np.float32), np.empty(0, np.int32)
    other, bits = np.empty((1, 0, rows, columns), np.float32), np.empty((0, 0), np.uint8)
    after(0, rows, y.reshape(1, 1, rows, columns), other, none, scale, key, ordinals, 1, purposes, numbers, y, bits, clipped)


class Rows:
    """The pass with an input scale of its own for each vector, min(max_j |x_j|, limit), for settings that `fits` accepts."""

    def __init__(self, settings: MVM, limit: float) -> None:
        s = settings
        self.limit, self.in_step, self.in_bound = np.float32(limit), np.float32(s.in_step), np.float32(s.in_bound)
        self.numbers = np.array([0.0, s.out_noise, s.out_step, s.out_bound, s.out_scale, 0.0, 0.0], np.float32)

    @staticmethod
    def fits(settings: MVM) -> bool:
        """Whether nothing but DAC, output noise and ADC stands between inputs and outputs."""
        return not (settings.w_noise or settings.ir_drop) and known(settings)

    def __call__(self, x: Tensor, w: Tensor, noise: Stream) -> tuple[Tensor, bool]:
        """Return what `analog_mvm` makes of x [S, in] and contiguous w [out, in], float32 on the CPU, and whether x is finite.

        The noise has one key and an ordinal for each vector. Autograd knows nothing of it.
        """
        inputs = x.numpy()
        if not inputs.flags.c_contiguous:
            inputs = np.ascontiguousarray(inputs)
        v, scale = torch.empty(x.shape, dtype=torch.float32), np.empty(len(inputs), np.float32)
        finite: bool = _drive(inputs, self.limit, self.in_step, self.in_bound, scale, v.numpy())
        y = times(v, w)
        assert noise.ordinals is not None
        _sense(y.numpy(), scale, noise.key.reshape(1).numpy(), noise.ordinals.numpy(), _purposes(noise.path), self.numbers)
        return y, finite
