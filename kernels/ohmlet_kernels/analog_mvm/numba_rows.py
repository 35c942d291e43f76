"""One analog pass over plain vectors, from their largest entry to the outputs: what training in memory does for every mini-batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ohmlet_kernels.addresses import reals
from ohmlet_kernels.analog_mvm.numba_loops import after
from ohmlet_kernels.analog_mvm.numba_managed import attempts, manageable, managed
from ohmlet_kernels.analog_mvm.numba_product import accumulate, most_rows, times, turned
from ohmlet_kernels.analog_mvm.numba_weights import largest_of_rows
from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.noise import Stream

__all__ = [
    "Rows",
    "backward_rows",
    "drive",
    "errors_of",
    "finite_errors",
    "forward_rows",
    "known",
    "purposes_of",
    "purposes_of_attempts",
    "scaled",
    "sense",
    "word",
]


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
def purposes_of(path: str) -> Any:
    """Return the words of weight and output noise of a read with noise of a path."""
    return np.array([word(path, "weight"), word(path, "output")])


@functools.lru_cache(1024)
def purposes_of_attempts(path: str, count: int) -> Any:
    """Return the words of weight and output noise of a first read and of so many further attempts [count + 1, 2]."""
    return np.array([purposes_of(path), *(purposes_of(f"{path}/attempt {attempt}") for attempt in range(1, count + 1))])


@njit(nogil=True, cache=True, error_model="numpy")
def drive(x, numbers, scale, v):  # type: ignore[no-untyped-def]
    """Fill scale [rows] with min(max|x|, limit) and v [rows, in] with what drives the array; return whether all of x is finite.

    `numbers` are the limit and the converter's step and bound.
    """
    (rows, columns), limit, step, bound = x.shape, numbers[0], numbers[1], numbers[2]
    largest_of_rows(0, rows, x.view(np.int32), scale.view(np.int32))
    finite = True
    for i in range(rows):
        finite &= np.isfinite(scale[i])
        scale[i] = limit if scale[i] > limit else scale[i]
        by = scale[i] if scale[i] > np.float32(0) else np.float32(1)
        # As `before`, which can do much more, and takes four times as long to find that nothing of it is asked for.
        if step > np.float32(0):
            for j in range(columns):
                v[i, j] = min(max(np.rint(x[i, j] / by / step) * step, -bound), bound)
        else:
            for j in range(columns):
                v[i, j] = min(max(x[i, j] / by, -bound), bound)
    return finite


@njit(nogil=True, cache=True, error_model="numpy")
def sense(y, scale, key, first, purposes, numbers):  # type: ignore[no-untyped-def]
    """Turn currents y [rows, out] into outputs, in place; the noise of row i has the ordinal first + i."""
    rows, columns = y.shape
    keys, ordinals = np.empty(1, np.int64), np.arange(first, first + rows)
    keys[0] = key
    none, other, bits = reals(0, (0,)), reals(0, (1, 0, rows, columns)), reals(0, (0, 0)).view(np.uint8)
    clipped = none.view(np.int32)
    after(0, rows, y.reshape(1, 1, rows, columns), other, none, scale, keys, ordinals, 1, purposes, numbers, y, bits, clipped)


# As torch's addcmul, which rounds once where the processor can.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def scaled(y, factor, bias):  # type: ignore[no-untyped-def]
    """Make y [rows, out] b + s y with s [out or 1, 1] and b [out or 0], in place."""
    for i in range(len(y)):
        for j in range(y.shape[1]):
            by = factor[j if len(factor) > 1 else 0, 0]
            y[i, j] = bias[j] + y[i, j] * by if len(bias) else y[i, j] * by


@njit(nogil=True, cache=True, error_model="numpy")
def _copy(w, out):  # type: ignore[no-untyped-def]
    """Fill out with w, both [out, in]; an assignment of arrays takes several times as long."""
    for i in range(w.shape[0]):
        for k in range(w.shape[1]):
            out[i, k] = w[i, k]


@njit(nogil=True, cache=True, error_model="numpy")
def forward_rows(x, w, factor, factors, bias, y, rows, inputs, outputs, numbers, purposes, key, first, kept):  # type: ignore[no-untyped-def]
    """Fill y [rows, out] with b + s (w x) of x [rows, in], w [out, in], s [factors, 1], b [out]; kept becomes w unless it has no size.

    x, w, s, b (0 for none) and y are addresses; numbers are limit, step and bound of the inputs, then what `after` takes; purposes are
    those of the first read and of further attempts.
    """
    scale, v, across = np.empty(rows, np.float32), np.empty((rows, inputs), np.float32), np.empty((inputs, outputs), np.float32)
    weights, made = reals(w, (outputs, inputs)), reals(y, (rows, outputs))
    drive(reals(x, (rows, inputs)), numbers, scale, v)
    turned(weights, across)
    accumulate(v, across, made)
    if len(purposes) > 1:
        managed(reals(x, (rows, inputs)), across, made, scale, key, first, purposes, numbers)
    else:
        sense(made, scale, key, first, purposes[0], numbers[3:])
    scaled(made, reals(factor, (factors, 1)), reals(bias, (outputs if bias else 0,)))
    if kept.size:
        _copy(weights, kept)


@njit(nogil=True, cache=True, error_model="numpy")
def errors_of(g, factor, d):  # type: ignore[no-untyped-def]
    """Fill d [rows, out] with g s of gradients g [rows, out] and s [out or 1, 1]."""
    for i in range(len(g)):
        for j in range(g.shape[1]):
            d[i, j] = g[i, j] * factor[j if len(factor) > 1 else 0, 0]


@njit(nogil=True, cache=True, error_model="numpy")
def finite_errors(g, factor, factors, d, rows, outputs):  # type: ignore[no-untyped-def]
    """Fill d as `_errors` does, g, s and d being addresses; return whether all of it is finite."""
    made, largest = reals(d, (rows, outputs)), np.empty(rows, np.float32)
    errors_of(reals(g, (rows, outputs)), reals(factor, (factors, 1)), made)
    largest_of_rows(0, rows, made.view(np.int32), largest.view(np.int32))
    finite = True
    for i in range(rows):
        finite &= np.isfinite(largest[i])
    return finite


@njit(nogil=True, cache=True, error_model="numpy")
def backward_rows(g, w, factor, factors, y, d, rows, inputs, outputs, numbers, purposes, key, first):  # type: ignore[no-untyped-def]
    """Fill d as `_errors` does, and y [rows, in] with its outputs of w [out, in], read transposed; return whether all of d is finite.

    g, s, y and d are addresses, `numbers` those of `_forward`.
    """
    errors, made = reals(d, (rows, outputs)), reals(y, (rows, inputs))
    errors_of(reals(g, (rows, outputs)), reals(factor, (factors, 1)), errors)
    scale, v = np.empty(rows, np.float32), np.empty((rows, outputs), np.float32)
    finite = drive(errors, numbers, scale, v)
    accumulate(v, w, made)
    sense(made, scale, key, first, purposes, numbers[3:])
    return finite


def _numpy(x: Tensor) -> Any:
    """Return NumPy's view of a tensor, or of a copy that lies in order."""
    return (x.detach() if x.requires_grad else x).contiguous().numpy()


def _room(rows: int, columns: int) -> Tensor:
    """Return float32 [rows, columns] on the CPU, whatever torch's defaults are."""
    return torch.from_numpy(np.empty((rows, columns), np.float32))


NO_COPY = np.zeros((0, 0), np.float32)


class Rows:
    """The pass with an input scale of its own for each vector, min(max_j |x_j|, limit), for settings that `fits` accepts.

    Of a crossbar with so many outputs and inputs. Vectors are float32 on the CPU, `key` is a signed integer, the noise of vector i has
    the ordinal first + i; weights, factor and bias lie in order. Autograd knows nothing of it.
    """

    def __init__(self, settings: MVM, limit: float, outputs: int, inputs: int) -> None:
        s, self.outputs, self.inputs, self.few = settings, outputs, inputs, most_rows(outputs, inputs)
        given = (limit, s.in_step, s.in_bound, 0.0, s.out_noise, s.out_step, s.out_bound, s.out_scale, 0.0, 0.0)
        self.numbers, self.attempts = np.array(given, np.float32), attempts(s)

    @staticmethod
    def fits(settings: MVM) -> bool:
        """Whether nothing but DAC, output noise and ADC, managed or not, stands between inputs and outputs."""
        return not (settings.w_noise or settings.ir_drop) and known(settings._replace(bound_management=False)) and manageable(settings)

    def forward(
        self, x: Tensor, w: Tensor, factor: Tensor, bias: Tensor | None, key: int, first: int, path: str, keep: bool
    ) -> tuple[Tensor, Any]:
        """Return b + s y [S, out], with y what `analog_mvm` makes of x [S, in] and w [out, in], and a copy of w if it is to be kept.

        s [out or 1, 1] is the `factor`, b [out] the bias; the copy is for `backward`.
        """
        samples, outputs, inputs = x.shape[0], self.outputs, self.inputs
        kept, purposes = np.empty((outputs, inputs), np.float32) if keep else NO_COPY, purposes_of_attempts(path, self.attempts)
        if samples <= self.few:
            y = _room(samples, outputs)
            x = x if x.is_contiguous() else x.contiguous()
            # Addresses, for arrays take compiled code longer to take up than some of the loops to run.
            given = (x.data_ptr(), w.data_ptr(), factor.data_ptr(), factor.shape[0], 0 if bias is None else bias.data_ptr(), y.data_ptr())
            forward_rows(*given, samples, inputs, outputs, self.numbers, purposes, key, first, kept)
            return y, kept
        v, scale = np.empty((samples, inputs), np.float32), np.empty(samples, np.float32)
        drive(_numpy(x), self.numbers, scale, v)
        made = times(torch.from_numpy(v), w.detach())
        if self.attempts:
            managed(_numpy(x), _numpy(w.mT), made.numpy(), scale, key, first, purposes, self.numbers)
        else:
            sense(made.numpy(), scale, key, first, purposes[0], self.numbers[3:])
        if keep:
            _copy(_numpy(w), kept)
        row = factor.mT
        return made * row if bias is None else torch.addcmul(bias, made, row), kept

    def backward(self, g: Tensor, w: Any, factor: Tensor, key: int, first: int, path: str) -> tuple[Tensor, Tensor, bool]:
        """Return what `analog_mvm` makes of errors d = g s [S, out] and the transpose of w [out, in], d, and whether all of d is finite.

        g [S, out] are gradients, s [out or 1, 1] the `factor` of the forward pass, which has made the copy w.
        """
        samples, outputs, inputs = g.shape[0], self.outputs, self.inputs
        g = g if g.is_contiguous() else g.contiguous()
        d = _room(samples, outputs)
        if samples <= self.few:
            y = _room(samples, inputs)
            given = (g.data_ptr(), w, factor.data_ptr(), factor.shape[0], y.data_ptr(), d.data_ptr())
            finite: bool = backward_rows(*given, samples, inputs, outputs, self.numbers, purposes_of(path), key, first)
            return y, d, finite
        errors = d.numpy()
        errors_of(_numpy(g), _numpy(factor), errors)
        v, scale = np.empty_like(errors), np.empty(samples, np.float32)
        finite = drive(errors, self.numbers, scale, v)
        made = times(torch.from_numpy(v), torch.from_numpy(w).mT.contiguous())
        sense(made.numpy(), scale, key, first, purposes_of(path), self.numbers[3:])
        return made, d, finite

    @staticmethod
    def errors(g: Tensor, factor: Tensor) -> tuple[Tensor, bool]:
        """Return the errors of `backward` alone, and whether all of them are finite."""
        g = g if g.is_contiguous() else g.contiguous()
        samples, outputs = g.shape
        d = _room(samples, outputs)
        return d, bool(finite_errors(g.data_ptr(), factor.data_ptr(), factor.shape[0], d.data_ptr(), samples, outputs))
