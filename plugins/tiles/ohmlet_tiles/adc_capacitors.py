"""The capacitive DAC inside converters: how much each bit adds to a level when capacitors differ from their nominal sizes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bit_levels", "with_gain"]


def bit_levels(xi: Tensor, sigma: float, split: bool) -> Tensor:
    """Return what each bit adds to a level, [..., bits] in steps, lowest first.

    xi [..., bits + 1] are standard normals, one for each capacitor, the last for the one that is never switched; with k the order of a
    bit and d_k its digit,

        C_k = 2^k + sigma xi 2^(k/2)                                            mismatch falls with the root of the size
        level = 2^bits sum_k d_k C_k / (C_fixed + sum_k C_k)                    one array
        level = 2^bits (C_l C_b + C_m (C_L + C_b)) / ((C_L + C_b)(C_M + C_b) - C_b^2)

    The last is for an array `split` in a low half of h = floor(bits / 2) bits and a high half, each with orders from 0, and a bridge
    C_b = 2^h / (2^h - 1) between them: C_l and C_m are what the digits switch in either half, C_L (with the fixed one) and C_M all.

    References: Spear et al., IEEE JxCDC 9 (2023), doi:10.1109/JXCDC.2023.3315134.
    """
    bits = xi.shape[-1] - 1
    h = bits // 2 if split else 0
    sizes = 2.0 ** torch.cat((torch.arange(h), torch.arange(bits - h))).to(xi)
    c, fixed = sizes + sigma * xi[..., :-1] * sizes.sqrt(), 1.0 + sigma * xi[..., -1:]
    if not split:
        return 2.0**bits * c / (c.sum(-1, keepdim=True) + fixed)
    bridge = 2.0**h / (2.0**h - 1.0)
    low, high = c[..., :h], c[..., h:]
    all_low, all_high = low.sum(-1, keepdim=True) + fixed + bridge, high.sum(-1, keepdim=True) + bridge
    return 2.0**bits * torch.cat((low * bridge, high * all_low), -1) / (all_low * all_high - bridge**2)


def with_gain(level: Tensor, half: float, inverse_gain: float, split: bool) -> Tensor:
    """Return levels (in steps) behind an amplifier of gain A: their distance from `half` the scale divided by 1 + 1 / (A beta).

    beta = C / (C + C_switched) of one array with capacitance C, of which the level says the switched share; 1 of a split one.
    """
    if inverse_gain == 0.0:
        return level
    inverse_beta = 1.0 if split else 1.0 + level / (2.0 * half)
    return half + (level - half) / (1.0 + inverse_gain * inverse_beta)
