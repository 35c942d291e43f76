"""How a crossbar's weights are scaled onto its range."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["weight_scales"]


def weight_scales(weight: Tensor, kind: str, omega: float, max_range: float = math.inf, least: float | None = None) -> Tensor:
    """Return the scales that map weights [..., out, in] onto [-omega, omega], detached; a zero maximum scales by one.

    `tilewise` max|W| / omega [..., 1, 1]; `columnwise` max_j |W_ij| / omega for each output [..., out, 1], at most `max_range` times
    `least` (the smallest of them unless given), beyond which an output's weights leave the range; `none` one.
    """
    if kind == "none":
        return weight.new_ones((1, 1))
    largest = weight.detach().abs().amax(-1 if kind == "columnwise" else (-2, -1), keepdim=True)
    scales = torch.where(largest > 0, largest / omega, torch.ones_like(largest))
    if kind == "columnwise" and max_range < math.inf:
        bound = scales.amin(-2, keepdim=True) if least is None else scales.new_tensor(least)
        scales = torch.minimum(scales, bound * max_range)
    return scales
