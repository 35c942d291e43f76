"""The currents of an array: the product, and what wires, offsets and noisy cells do to it."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.noise import Stream

__all__ = ["array_product", "ir_drop_loss", "product", "read_power"]


def product(v: Tensor, w: Tensor) -> Tensor:
    """Return w v: inputs [..., S, R, in] and weights [..., out, in] give [..., S, R, out]; leading sizes broadcast."""
    flat = v.flatten(-3, -2)
    y = torch.nn.functional.linear(flat, w) if w.ndim == 2 else torch.matmul(flat, w.mT)
    # Under autocast the sum alone is of the lower precision: noise and converters work in the weights'.
    out: Tensor = y.to(w.dtype).unflatten(-2, v.shape[-3:-1])
    return out


def array_product(v: Tensor, w: Tensor, s: MVM, noise: Stream, variation: Variation) -> Tensor:
    """Return the currents y [..., S, R, out] of inputs v and weights w, in this order:

    y_i = sum_j w_ij v_j
    y_i - ir_drop c_i sum_j w_ij v_j (1 - (1 - j/n)^2)                          `ir_drop_loss`
    (1 - o_i)(y_i + r) / (1 + rs |y_i + r|) - (1 + o_i) r / (1 + rs |r|)        `series`
    y_i + w_noise (sum_j h_ij v_j^2)^(1/2) xi_i                                 h = 1, w^2 or |w|: additive, relative, pcm
    """
    y = product(v, w)
    if s.ir_drop > 0:
        y = y - s.ir_drop * ir_drop_loss(v.detach(), w.detach(), s.ir_drop_g_ratio)
    if variation.v_offset is not None or s.r_series > 0:
        y = series(y, v, s, variation)
    if s.w_noise > 0:
        y = y + s.w_noise * read_power(v.detach(), w.detach(), s.w_noise_kind) * noise.normal("weight", y)
    return y


def read_power(v: Tensor, w: Tensor, kind: str) -> Tensor:
    """Return (sum_j h_ij v_j^2)^(1/2) [..., S, R, out], or [..., S, R, 1] where it is the same for all outputs."""
    if kind == "additive":
        norm: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        return norm
    return product(v * v, w.abs() if kind == "pcm" else w * w).clamp_min(0.0).sqrt()


def ir_drop_loss(v: Tensor, w: Tensor, g_ratio: float) -> Tensor:
    """Return what the resistance of an output line takes from its current, to second order in the wire's share.

    a_i = n / g_ratio sum_j |w_ij| |v_j|,  c_i = a (a (0.05 a - 0.2) + 0.5),  loss_i = c_i sum_j w_ij v_j (1 - (1 - j/n)^2)

    with n inputs along the line, j = 0 farthest from the ADC, and g_ratio the conductance of a wire segment over a device's largest.
    Source: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494.
    """
    n = v.shape[-1]
    a = n / g_ratio * product(v.abs(), w.abs())
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    position = torch.arange(n, dtype=v.dtype, device=v.device) / n
    return c * product(v * (1.0 - (1.0 - position) ** 2), w)


def series(y: Tensor, v: Tensor, s: MVM, variation: Variation) -> Tensor:
    """Return currents with relative voltage offsets o_i and a series resistance rs, r = -v_offset_w_min sum_j v_j being the reference's.

    Without a reference (v_offset_w_min = 0): (1 - o) y / (1 + rs |y|).
    """
    offset = 0.0 if variation.v_offset is None else variation.v_offset[..., None, None, :].to(y.dtype)
    rs = s.r_series
    if s.v_offset_w_min == 0:
        return (1.0 - offset) * y / (1.0 + rs * y.abs())
    r = -s.v_offset_w_min * v.sum(-1, keepdim=True)
    if rs == 0:
        return (1.0 - offset) * y - 2.0 * offset * r
    together = y + r
    return (1.0 - offset) * together / (1.0 + rs * together.abs()) - (1.0 + offset) * r / (1.0 + rs * r.abs())
