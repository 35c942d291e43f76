"""The analog matrix-vector product in plain torch: the definition, with straight-through gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.noise import Stream

__all__ = ["analog_mvm", "product", "quantise"]


class _Round(torch.autograd.Function):
    """Rounds to multiples of a step, half to even; the gradient passes unchanged."""

    @staticmethod
    def forward(value: Tensor, step: float, offset: Tensor | None) -> Tensor:
        scaled = value / step
        return torch.round(scaled if offset is None else scaled + offset) * step

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing: the gradient does not depend on the values."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0], None, None


def quantise(value: Tensor, step: float, bound: float, uniform: Tensor | None) -> Tensor:
    """Return value rounded to multiples of `step` (stochastically with a uniform in (0, 1)), then clipped to +-`bound`.

    Rounding comes first, so the bound itself is always reachable. The gradient passes through rounding unchanged and is zero where the
    value clips.
    """
    if step > 0:
        value = _Round.apply(value, step, None if uniform is None else uniform - 0.5)  # type: ignore[no-untyped-call]
    return value.clamp(-bound, bound) if bound < float("inf") else value


def product(v: Tensor, w: Tensor) -> Tensor:
    """Return w v: inputs [..., S, R, in] and weights [..., out, in] give [..., S, R, out]; leading sizes broadcast."""
    flat = v.flatten(-3, -2)
    y = torch.nn.functional.linear(flat, w) if w.ndim == 2 else torch.matmul(flat, w.mT)
    out: Tensor = y.unflatten(-2, v.shape[-3:-1])
    return out


def analog_mvm(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream) -> Tensor:
    """Return the product of inputs x [..., S, R, in] with normalised weights w [..., out, in] as a crossbar computes it.

    With v = clip(round(x / scale / in_step) in_step, +-in_bound), per sample and position

        y_i = sum_j w_ij v_j + w_noise ||v|| xi_i + out_noise xi'_i
        result_i = scale clip(round(y_i / out_step) out_step, +-out_bound)

    `scale` broadcasts against x with a last size of one. The weight noise is that of weights read with an additive error of standard
    deviation w_noise, drawn anew for each input vector. Noise purposes: "dac", "weight", "output", "adc".
    """
    s = settings
    v = x if scale is None else x / scale
    v = quantise(v, s.in_step, s.in_bound, noise.uniform("dac", v) if s.in_stochastic and s.in_step > 0 else None)
    y = product(v, w)
    if s.w_noise > 0:
        norm = torch.linalg.vector_norm(v.detach(), dim=-1, keepdim=True)
        y = y + s.w_noise * norm * noise.normal("weight", y)
    if s.out_noise > 0:
        y = y + s.out_noise * noise.normal("output", y)
    y = quantise(y, s.out_step, s.out_bound, noise.uniform("adc", y) if s.out_stochastic and s.out_step > 0 else None)
    return y if scale is None else y * scale
