"""One layer in training over plain vectors, from inputs to outputs in model units with scales and bias, as one step of autograd."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.numba_loops import before_gradient, decoded
from ohmlet_kernels.analog_mvm.numba_product import times
from ohmlet_kernels.analog_mvm.numba_rows import Rows, word
from ohmlet_kernels.analog_mvm.numba_weights import hold
from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.mapped_mvm.numba_loops import drive, errors, sense
from ohmlet_kernels.threads import over_rows

__all__ = ["Address", "Layer"]


class Address(NamedTuple):
    """Where the noise of one call is found: the crossbar's key, the first sample's ordinal, the optimizer's step, the path."""

    key: int
    first: int
    step: int
    path: str


@functools.lru_cache(1024)
def _purposes(path: str) -> tuple[Any, np.uint64]:
    """Return the words of the outputs' noise and of the weights'."""
    return np.array([word(path, "weight"), word(path, "output")]), word(path, "modifier")


def _numpy(x: Tensor) -> Any:
    """Return NumPy's view of a tensor, or of a copy that lies in order."""
    return x.detach().contiguous().numpy()


NO_BITS, NO_CODES, NO_ROWS = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.int8), np.zeros(0, np.float32)
NO_MAGNITUDES = np.zeros((0, 0), np.float32)


class _Pass(torch.autograd.Function):
    """y = bias + divisor f(w) of one layer, keeping codes instead of inputs, and drawing the weights' noise again in backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, divisor: Tensor, largest: Tensor, layer: Layer, address: Address
    ) -> Tensor:
        row, kept = divisor.mT, ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        y, codes, rest = layer.forward(_numpy(x), _numpy(weight), _rows(row, len(weight)), _numpy(largest).reshape(-1), address, kept)
        if kept:
            ctx.save_for_backward(weight, row, *map(torch.from_numpy, (codes, rest.scale, rest.bits, rest.out_bits)))
            ctx.rest = layer, address, rest.strength
        return y * row if bias is None else torch.addcmul(bias, y, row)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        for_x, for_weight, for_bias, *_ = ctx.needs_input_grad
        grad_x = grad_weight = None
        if for_x or for_weight:
            (weight, row, codes, *saved), (layer, address, strength) = ctx.saved_tensors, ctx.rest
            divisor, rest = _rows(row, len(weight)), _Rest(strength, *(each.numpy() for each in saved))
            inner = layer.errors(_numpy(grads[0]), divisor, rest)
            if for_weight:
                grad_weight = times(inner.mT, layer.inputs(codes.numpy(), rest).mT)
            if for_x:
                grad_x = layer.backward(inner, weight, divisor, rest, address)
        return grad_x, grad_weight, grads[0].sum(0) if for_bias else None, None, None, None, None


def _rows(row: Tensor, outputs: int) -> Any:
    """Return the divisor as one number for each output."""
    return _numpy(row.expand(1, outputs)).reshape(-1)


class _Rest(NamedTuple):
    """What a backward pass needs beside codes, weights and divisor."""

    strength: np.float32
    """std A of the weights' noise."""
    scale: Any
    """[S], of the inputs."""
    bits: Any
    """Where inputs do not clip, of no size if none does; `out_bits` the same of outputs."""
    out_bits: Any


class Layer:
    """A crossbar's pass with an input scale of its own for each vector, min(max_j |x_j|, limit), for settings that `fits` accepts.

    `layer(x, weight, divisor, largest, bias, address)` is bias + divisor f [S, out], where f is what `mapped_mvm.reference` makes of
    x [S, in] and weight [out, in], float32 on the CPU; divisor is [out or 1, 1], `largest` [out, 1] the largest |weight| of each row.
    """

    def __init__(self, settings: MVM, limit: float, std: float, w_max: float | None) -> None:
        s = settings
        levels = s.in_bound / s.in_step if s.in_step > 0 else math.inf
        self.codes = np.int8 if levels < 127.5 else np.int16 if levels < 32767.5 else None
        self.limit, self.converter = np.float32(limit), (np.float32(s.in_step), np.float32(s.in_bound))
        self.numbers = np.array([0.0, s.out_noise, s.out_step, s.out_bound, s.out_scale, 0.0, 0.0], np.float32)
        self.bounded = s.in_bound < math.inf, s.out_bound < math.inf
        self.std, self.w_max = std, w_max

    @staticmethod
    def fits(settings: MVM) -> bool:
        """Whether nothing but DAC, output noise and ADC stands between inputs and outputs, and each input is read once."""
        return Rows.fits(settings) and not settings.bound_management

    def __call__(
        self, x: Tensor, weight: Tensor, divisor: Tensor, largest: Tensor, bias: Tensor | None, address: tuple[int, int, int, str]
    ) -> Tensor:
        """Return the outputs [S, out] in model units; gradients flow to x, weight and bias."""
        y: Tensor = _Pass.apply(x, weight, bias, divisor, largest, self, Address(*address))  # type: ignore[no-untyped-call]
        return y

    def forward(self, x: Any, w: Any, divisor: Any, largest: Any, address: Address, kept: bool) -> tuple[Tensor, Any, _Rest]:
        """Return the outputs in units of the crossbar, the codes (or inputs) that drove it, and the rest for `backward`."""
        samples = len(x)
        scale, v = np.empty(samples, np.float32), np.empty_like(x)
        codes = np.empty(x.shape, self.codes) if kept and self.codes is not None else NO_CODES
        bits, out_bits = (_flags(kept and bounded, samples, size) for bounded, size in zip(self.bounded, (x.shape[1], len(w)), strict=True))
        clipped = np.zeros((2, samples), np.int32)
        inputs = (x, self.limit, *self.converter, scale, v, codes, bits, clipped[0])
        over_rows(samples, x.size, lambda first, last: drive(first, last, *inputs))
        strength = self._strength(largest, divisor)
        held = self._held(w, divisor, np.full(len(w), strength), address)
        y = times(torch.from_numpy(v), torch.from_numpy(held))
        ordinals = np.arange(address.first, address.first + samples)
        outputs = (y.numpy(), scale, np.array([address.key]), ordinals, _purposes(address.path)[0], self.numbers, out_bits, clipped[1])
        over_rows(samples, y.numel(), lambda first, last: sense(first, last, *outputs))
        inside = (each if each.size and n.any() else NO_BITS for each, n in zip((bits, out_bits), clipped, strict=True))
        return y, v if self.codes is None else codes, _Rest(strength, scale, *inside)

    def _strength(self, largest: Any, divisor: Any) -> np.float32:
        """Return std A."""
        if self.std == 0 or self.w_max is not None:
            return np.float32(self.std * (self.w_max or 0.0))
        most = (largest / divisor).max()
        return np.float32(np.float32(self.std) * (most if most > 0 else np.float32(1)))

    @staticmethod
    def _held(w: Any, divisor: Any, strength: Any, address: Address) -> Any:
        """Return the weights as the crossbar holds them with noise of a strength for each row; in model units without a divisor."""
        held, modifier = np.empty_like(w), _purposes(address.path)[1]
        given = (w, divisor, strength, np.array([address.key]), np.uint64(address.step), modifier, held, NO_MAGNITUDES)
        over_rows(len(w), w.size, lambda first, last: hold(first, last, *given))
        return held

    def errors(self, gradient: Any, divisor: Any, rest: _Rest) -> Tensor:
        """Return the gradient at the currents over the divisor [S, out]: that of the weights, and with weights in model units of inputs."""
        inner = np.empty_like(gradient)
        given = (gradient, divisor, rest.scale, self.numbers[4], rest.out_bits, inner)
        over_rows(len(gradient), gradient.size, lambda first, last: errors(first, last, *given))
        return torch.from_numpy(inner)

    def inputs(self, codes: Any, rest: _Rest) -> Tensor:
        """Return what drove the array [S, in]."""
        if self.codes is None:
            return torch.from_numpy(codes)
        v = np.empty(codes.shape, np.float32)
        given = (codes, *self.converter, rest.bits, v)
        over_rows(len(codes), codes.size, lambda first, last: decoded(first, last, *given))
        return torch.from_numpy(v)

    def backward(self, inner: Tensor, weight: Tensor, divisor: Any, rest: _Rest, address: Address) -> Tensor:
        """Return the gradient of the inputs [S, in]."""
        w = _numpy(weight)
        held = w if self.std == 0 else self._held(w, NO_ROWS, rest.strength * divisor, address)
        gradient = times(inner, torch.from_numpy(held).mT)
        given = (gradient.numpy(), rest.scale, rest.bits)
        over_rows(len(gradient), gradient.numel(), lambda first, last: before_gradient(first, last, *given))
        return gradient


def _flags(wanted: bool, rows: int, columns: int) -> Any:
    """Return room for one bit per element, or none."""
    return np.empty((rows, (columns + 7) // 8), np.uint8) if wanted else NO_BITS
