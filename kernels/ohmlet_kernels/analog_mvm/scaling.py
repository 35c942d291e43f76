"""The number that an input vector is divided by so that it fits the DAC."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.extremes import largest_of_rows

__all__ = ["abs_max", "abs_max_sum", "running_abs_max", "signed_max"]


def abs_max(x: Tensor, limit: float = math.inf) -> Tensor:
    """Return min(max_j |x_j|, limit) [..., 1] of vectors [..., in]."""
    largest = largest_of_rows(x)
    return largest.clamp_max(limit) if limit < math.inf else largest


def signed_max(x: Tensor, limit: float = math.inf) -> Tensor:
    """Return min(max_j x_j, limit) [..., 1]; vectors without a positive entry get a scale that is not positive."""
    largest = x.detach().amax(-1, keepdim=True)
    return largest.clamp_max(limit) if limit < math.inf else largest


def abs_max_sum(x: Tensor, settings: MVM, limit: float = math.inf) -> Tensor:
    """Return max(m, q) [..., 1]: the scale under which the outputs cannot pass the ADC's bound, were all weights `assumed_w_max`.

    m = abs_max(x), q = max(sum of positive x, -sum of negative x) assumed_w_max / out_bound, at most m max_in_resolution / in_step so
    that the DAC keeps some resolution.
    """
    s, d = settings, x.detach()
    m = abs_max(d, limit)
    one_sided = torch.maximum(d.clamp_min(0).sum(-1, keepdim=True), -d.clamp_max(0).sum(-1, keepdim=True))
    q = one_sided * s.assumed_w_max / (s.out_bound if s.out_bound < math.inf else 1.0)
    if s.in_step > 0:
        q = torch.minimum(q, m / s.in_step * s.max_in_resolution)
    return torch.maximum(m, q)


def running_abs_max(x: Tensor, before: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Return the running average of abs_max for each sample [S, R, 1] of x [..., S, R, in] in order, and the last one.

    a <- (1 - decay) a + decay max|x| vector by vector; a negative `before` stands for none, and the first vector is its own average.
    """
    largest = abs_max(x).amax(tuple(range(x.ndim - 3))) if x.ndim > 3 else abs_max(x)
    flat = largest.flatten().to(torch.float64)
    averages = []
    now = before.to(torch.float64)
    for part in flat.split(512):
        start = torch.where(now < 0, part[0], now)
        powers = (1.0 - decay) ** torch.arange(1, len(part) + 1, dtype=torch.float64, device=x.device)
        averages.append(powers * (start + torch.cumsum(decay * part / powers, 0)))
        now = averages[-1][-1]
    if not averages:
        return largest, before
    return torch.cat(averages).reshape(largest.shape).to(x.dtype), now.to(before.dtype)
