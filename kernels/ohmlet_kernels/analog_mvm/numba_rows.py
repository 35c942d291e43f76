"""One analog pass over plain vectors, from their largest entry to the outputs: what training in memory does for every mini-batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ohmlet_kernels.analog_mvm.numba_loops import after, before
from ohmlet_kernels.analog_mvm.numba_product import accumulate, is_small, times, turned
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
def _sense(y, scale, key, first, purposes, numbers):  # type: ignore[no-untyped-def]
    """Turn currents y [rows, out] into outputs, in place; the noise of row i has the ordinal first + i."""
    rows, columns = y.shape
    keys, ordinals = np.empty(1, np.int64), np.arange(first, first + rows)
    keys[0] = key
    none, clipped = np.empty(0, np.float32), np.empty(0, np.int32)
    other, bits = np.empty((1, 0, rows, columns), np.float32), np.empty((0, 0), np.uint8)
    after(0, rows, y.reshape(1, 1, rows, columns), other, none, scale, keys, ordinals, 1, purposes, numbers, y, bits, clipped)


# As torch's addcmul, which rounds once where the processor can.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _scaled(y, factor, bias):  # type: ignore[no-untyped-def]
    """Make y [rows, out] b + s y with s [out or 1, 1] and b [out or 0], in place."""
    for i in range(len(y)):
        for j in range(y.shape[1]):
            by = factor[j if len(factor) > 1 else 0, 0]
            y[i, j] = bias[j] + y[i, j] * by if len(bias) else y[i, j] * by


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(x, w, limit, step, bound, key, first, purposes, numbers, factor, bias, y, kept):  # type: ignore[no-untyped-def]
    """Fill y [rows, out] with b + s (w x) of x [rows, in], w [out, in], s [out or 1, 1], b [out or 0].

    `kept` becomes w unless it has no size.
    """
    scale, v, across = np.empty(len(x), np.float32), np.empty(x.shape, np.float32), np.empty((w.shape[1], w.shape[0]), np.float32)
    _drive(x, limit, step, bound, scale, v)
    turned(w, across)
    accumulate(v, across, y)
    _sense(y, scale, key, first, purposes, numbers)
    _scaled(y, factor, bias)
    if kept.size:
        kept[:] = w


@njit(nogil=True, cache=True, error_model="numpy")
def _errors(g, factor, d):  # type: ignore[no-untyped-def]
    """Fill d [rows, out] with g s of gradients g [rows, out] and s [out or 1, 1]."""
    for i in range(len(g)):
        for j in range(g.shape[1]):
            d[i, j] = g[i, j] * factor[j if len(factor) > 1 else 0, 0]


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(g, w, limit, step, bound, key, first, purposes, numbers, factor, y, d):  # type: ignore[no-untyped-def]
    """Fill d as `_errors` does, and y [rows, in] with its outputs of w [out, in], read transposed; return whether all of d is finite."""
    _errors(g, factor, d)
    scale, v = np.empty(len(d), np.float32), np.empty(d.shape, np.float32)
    finite = _drive(d, limit, step, bound, scale, v)
    accumulate(v, w, y)
    _sense(y, scale, key, first, purposes, numbers)
    return finite


def _numpy(x: Tensor) -> Any:
    """Return NumPy's view of a tensor, or of a copy that lies in order."""
    return (x.detach() if x.requires_grad else x).contiguous().numpy()


NO_COPY, NONE = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)


class Rows:
    """The pass with an input scale of its own for each vector, min(max_j |x_j|, limit), for settings that `fits` accepts.

    Vectors are float32 on the CPU, `key` is a signed integer, the noise of vector i has the ordinal first + i. Autograd knows nothing of
    it.
    """

    def __init__(self, settings: MVM, limit: float) -> None:
        s = settings
        self.given = (np.float32(limit), np.float32(s.in_step), np.float32(s.in_bound))
        self.numbers = np.array([0.0, s.out_noise, s.out_step, s.out_bound, s.out_scale, 0.0, 0.0], np.float32)

    @staticmethod
    def fits(settings: MVM) -> bool:
        """Whether nothing but DAC, output noise and ADC stands between inputs and outputs."""
        return not (settings.w_noise or settings.ir_drop) and known(settings)

    def forward(
        self, x: Tensor, w: Tensor, factor: Tensor, bias: Tensor | None, key: int, first: int, path: str, keep: bool
    ) -> tuple[Tensor, Any]:
        """Return b + s y [S, out], with y what `analog_mvm` makes of x [S, in] and w [out, in], and a copy of w if it is to be kept.

        s [out or 1, 1] is the `factor`, b [out] the bias; the copy is for `backward`.
        """
        inputs, weights, s = _numpy(x), _numpy(w), _numpy(factor)
        samples = len(inputs)
        kept = np.empty(weights.shape, np.float32) if keep else None
        if is_small(samples, *weights.shape):
            y = np.empty((samples, len(weights)), np.float32)
            _forward(
                inputs, weights, *self.given, key, first, _purposes(path), self.numbers, s, NONE if bias is None else _numpy(bias), y,
                NO_COPY if kept is None else kept,
            )  # fmt: skip
            return torch.from_numpy(y), kept
        v, scale = np.empty_like(inputs), np.empty(samples, np.float32)
        _drive(inputs, *self.given, scale, v)
        made = times(torch.from_numpy(v), w.detach().contiguous())
        _sense(made.numpy(), scale, key, first, _purposes(path), self.numbers)
        if kept is not None:
            kept[:] = weights
        row = factor.mT
        return made * row if bias is None else torch.addcmul(bias, made, row), kept

    def backward(self, g: Tensor, w: Any, factor: Tensor, key: int, first: int, path: str) -> tuple[Tensor, Tensor, bool]:
        """Return what `analog_mvm` makes of errors d = g s [S, out] and the transpose of w [out, in], d, and whether all of d is finite.

        g [S, out] are gradients, s [out or 1, 1] the `factor` of the forward pass, which has made the copy w.
        """
        gradients, s = _numpy(g), _numpy(factor)
        samples, (outputs, inputs) = len(gradients), w.shape
        d = np.empty(gradients.shape, np.float32)
        if is_small(samples, inputs, outputs):
            y = np.empty((samples, inputs), np.float32)
            finite: bool = _backward(gradients, w, *self.given, key, first, _purposes(path), self.numbers, s, y, d)
            return torch.from_numpy(y), torch.from_numpy(d), finite
        _errors(gradients, s, d)
        v, scale = np.empty_like(d), np.empty(samples, np.float32)
        finite = _drive(d, *self.given, scale, v)
        made = times(torch.from_numpy(v), torch.from_numpy(w).mT.contiguous())
        _sense(made.numpy(), scale, key, first, _purposes(path), self.numbers)
        return made, torch.from_numpy(d), finite
