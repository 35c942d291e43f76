"""The analog matrix-vector product in plain torch: the definition, with straight-through gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.nonideal import array_product, product
from ohmlet_kernels.analog_mvm.quantise import quantise, rounded
from ohmlet_kernels.analog_mvm.scaling import abs_max_sum
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.noise import Stream

__all__ = ["analog_mvm", "product", "quantise"]

PLAIN = Variation()
Array = Callable[[Tensor, Tensor, MVM, Stream, Variation], Tensor]


def analog_mvm(
    x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN, array: Array = array_product
) -> Tensor:
    """Return the product of inputs x [..., S, R, in] with normalised weights w [..., out, in] as a crossbar computes it.

    Per sample and position, with xi standard normal, in this order:

        v = clip(round(x / (scale red) / in_step) in_step, +-in_bound) + in_noise xi;  v (1 - in_asymmetry) where v < 0
        y = array(v, w)                 product, IR drop, voltage offset and series resistance, weight read noise (`nonideal`)
        y = f y / (1 + |n y|)           S shape of strength n, calibrated gain f
        y (1 - out_asymmetry) where y < 0;  y + out_noise xi
        z = clip(round(y / out_step) out_step, +-out_bound)
        result = scale red out_scale z

    `scale` broadcasts against x with a last size of one; where it is zero or negative the input is empty and the result is 0 (with input
    noise: read unscaled). `red` is 1 without bound management; with it, samples whose outputs pass the bound are read again with red
    doubled until they do not, or until the inputs would be coarser than `max_in_resolution`. Rounding comes before clipping; the
    gradient passes through rounding unchanged, is zero where a value clips, and sees neither IR drop nor noise. Noise purposes: "dac",
    "input", "weight", "output", "adc". Another `array` computes the currents in another way, and w may be anything that it takes.
    """
    s = settings
    empty = None
    if scale is not None:
        empty = scale <= 0
        scale = torch.where(empty, torch.ones_like(scale), scale)
    if s.bound_management and s.out_bound < math.inf:
        y = _managed(x, w, scale, s, noise, variation, array)
    else:
        y, _ = _once(x if scale is None else x / scale, w, s, noise, variation, array)
        y = y if scale is None else y * scale
    if s.out_scale != 1.0:
        y = y * s.out_scale
    return y if empty is None or s.in_noise > 0 else y.masked_fill(empty, 0.0)


def _once(v: Tensor, w: Tensor, s: MVM, noise: Stream, variation: Variation, array: Array) -> tuple[Tensor, Tensor | None]:
    """Return the digital outputs of scaled inputs, and with bound management which ones overflowed."""
    v = quantise(v, s.in_step, s.in_bound, noise.uniform("dac", v) if s.in_stochastic and s.in_step > 0 else None)
    if s.in_noise > 0:
        v = v + s.in_noise * noise.normal("input", v)
    if s.in_asymmetry != 0:
        v = torch.where(v < 0, v * (1.0 - s.in_asymmetry), v)
    if s.passes == "one":
        return _converted(array(v, w, s, noise, variation), s, noise, variation)
    w_negative = w if variation.w_asymmetry is None else w * variation.w_asymmetry
    negative = array(v.clamp_max(0.0), w_negative, s, noise.child("negative"), variation)
    positive = array(v.clamp_min(0.0), w, s, noise.child("positive"), variation)
    if s.passes == "analog_sum":
        return _converted(negative + positive, s, noise, variation)
    first, over_first = _converted(negative, s, noise.child("negative"), variation)
    second, over_second = _converted(positive, s, noise.child("positive"), variation)
    return first + second, None if over_first is None or over_second is None else over_first | over_second


def _converted(y: Tensor, s: MVM, noise: Stream, variation: Variation) -> tuple[Tensor, Tensor | None]:
    """Return what the ADC makes of the currents, and with bound management whether an output of a sample overflowed."""
    if s.nonlinear:
        n = 0.0 if variation.nonlinearity is None else variation.nonlinearity[..., None, None, :].to(y.dtype)
        mean = 0.0 if variation.nonlinearity is None else variation.nonlinearity.abs().mean(-1)[..., None, None, None].to(y.dtype)
        bound = s.out_bound if s.out_bound < math.inf else 1.0
        gain = (1.0 + (mean + s.r_series) * s.slope_calibration * bound) ** 2 if s.slope_calibration > 0 else 1.0
        y = gain * y / (1.0 + (n * y).abs())
    if s.out_asymmetry != 0:
        y = torch.where(y < 0, y * (1.0 - s.out_asymmetry), y)
    if variation.out_noise is not None:
        y = y + variation.out_noise[..., None, None, :].to(y.dtype) * noise.normal("output", y)
    elif s.out_noise > 0:
        y = y + s.out_noise * noise.normal("output", y)
    y = rounded(y, s.out_step, noise.uniform("adc", y) if s.out_stochastic and s.out_step > 0 else None)
    if not s.bound_management:
        return (y.clamp(-s.out_bound, s.out_bound) if s.out_bound < math.inf else y), None
    over = y.detach() > s.out_bound
    if s.test_negative:
        over = over | (y.detach() < -s.out_bound)
    return y.clamp(-s.out_bound, s.out_bound), over.any(-1, keepdim=True)


def _managed(x: Tensor, w: Tensor, scale: Tensor | None, s: MVM, noise: Stream, variation: Variation, array: Array) -> Tensor:
    """Return the outputs in model units with bound management: samples that overflow are read again with smaller inputs."""

    reduction = torch.ones_like(x[..., :1])
    scale = torch.ones_like(reduction) if scale is None else scale.expand_as(reduction)
    y, over = _once(x / scale, w, s, noise, variation, array)
    assert over is not None
    y, attempt = y * scale, 1
    # Instances read the same input with different weights, so the outputs may have sizes in front that the inputs lack.
    scale, reduction = scale.expand_as(over), reduction.expand_as(over)
    while bool((again := over & ~_stopped(reduction, s)).any()):
        if attempt == 1 and s.worst_case:
            scale = torch.where(again, abs_max_sum(x, s), scale)
        else:
            reduction = torch.where(again, reduction * 2.0, reduction)
        use = scale * reduction
        fresh, over_now = _once(x / use, w, s, noise.child(f"attempt {attempt}"), variation, array)
        assert over_now is not None
        y = torch.where(again, fresh * use, y)
        over = again & over_now
        attempt += 1
    return y


def _stopped(reduction: Tensor, s: MVM) -> Tensor:
    """Whether inputs are reduced as far as they may be: beyond `max_reduction`, or coarser than `max_in_resolution`."""
    coarse = reduction > s.max_in_resolution / s.in_step if s.in_step > 0 else torch.zeros_like(reduction, dtype=torch.bool)
    return coarse | (reduction > s.max_reduction)
