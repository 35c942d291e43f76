"""The time-coded analog matrix-vector product in plain torch: the definition."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.nonideal import product
from ohmlet_kernels.analog_mvm.quantise import quantise, rounded
from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.time_coded_mvm.settings import V_SWING, TimeCoded
from ohmlet_kernels.time_coded_mvm.wires import effective_weights

__all__ = ["time_coded_mvm"]


def time_coded_mvm(
    x: Tensor, plus: Tensor, minus: Tensor, span: float, scale: Tensor | None, settings: MVM, coded: TimeCoded, noise: Stream
) -> Tensor:
    """Return the product of inputs x [..., S, R, in] with device pairs of conductances plus, minus [..., out, in] (uS).

    `span` (uS) is the difference that stands for a weight of one. Inputs become codes k = round(x / scale levels / 2); a code drives
    its row for |k| time steps, the line's charge is read, and

        y = (sum_j e_ij k_j + T o_i) / (span levels / 2)      e, o from `effective_weights`, T time steps

    then noise and ADC act as in `analog_mvm`. Split and bit-wise passes read parts of the code one after another and add them digitally.
    Gradients pass through codes and charges unchanged.
    """
    s, c = settings, coded
    empty = None
    if scale is not None:
        empty = scale <= 0
        scale = torch.where(empty, torch.ones_like(scale), scale)
        x = x / scale
    half = c.levels / 2.0
    v = quantise(x, s.in_step, s.in_bound, noise.uniform("dac", x) if s.in_stochastic else None)
    if s.in_noise > 0:
        v = v + s.in_noise * noise.normal("input", v)
    weights, standing = effective_weights(plus, minus, c)
    y = torch.zeros(())
    for index, (code, steps, weight) in enumerate(parts(v * half, c)):
        drive = code + 0.5 * torch.sign(code.detach()) if c.trapezoid else code
        charge = V_SWING * (product(drive, weights) + steps * standing[..., None, None, :])
        if c.adc_frequency > 0:
            unit = 100.0 / c.adc_frequency
            charge = charge + (torch.trunc(charge.detach() / unit) * unit - charge.detach())
        part = charge / (V_SWING * span * half)
        own = noise.child(f"part {index}")
        if s.out_noise > 0:
            part = part + s.out_noise * own.normal("output", part)
        part = rounded(part, s.out_step, own.uniform("adc", part) if s.out_stochastic and s.out_step > 0 else None)
        y = y + weight * (part.clamp(-s.out_bound, s.out_bound) if s.out_bound < math.inf else part)
    y = y * s.out_scale if scale is None else y * scale * s.out_scale
    return y if empty is None or s.in_noise > 0 else y.masked_fill(empty, 0.0)


def parts(code: Tensor, c: TimeCoded) -> list[tuple[Tensor, int, float]]:
    """Return the codes that are read one after another: each with its number of time steps and its weight in the digital sum."""
    bits = math.log2(c.levels + 2.0)
    if c.passes == "one":
        return [(code, int((c.levels + 2.0) / 2.0), 1.0)]
    if bits != int(bits):
        raise ValueError(f"codes of {c.levels:g} levels have no whole number of bits; use 2^bits - 2 levels")
    whole = torch.round(code.detach())
    if c.passes == "split":
        base = 2**c.bit_shift
        low = torch.fmod(whole, base)
        high = torch.sign(whole) * torch.floor(whole.abs() / base)
        # The gradient goes with the low part; both parts together are the code.
        return [(low + (code - code.detach()), base, 1.0), (high, 2 ** (int(bits) - c.bit_shift - 1), float(base))]
    out = []
    for bit in range(int(bits) - 1):
        one = torch.fmod(whole, 2.0)
        out.append((one + (code - code.detach()) if bit == 0 else one, 2, 2.0**bit))
        whole = torch.sign(whole) * torch.floor(whole.abs() / 2.0)
    return out
