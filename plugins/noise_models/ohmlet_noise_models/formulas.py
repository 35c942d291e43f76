"""Formulas that several noise models and converters share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ohmlet.errors import ConfigError

__all__ = ["interpolate", "never_below", "polynomial", "power_law", "read_growth", "written"]


def polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Return c_0 + c_1 x + c_2 x^2 + ..., the constant first."""
    y = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = y * x + c
    return y


def never_below(least: float, coefficients: Sequence[float], name: str) -> None:
    """Raise ConfigError when a polynomial that stands for a standard deviation falls below `least` somewhere in [0, 1]."""
    lowest = float(polynomial(coefficients, torch.linspace(0.0, 1.0, 257, dtype=torch.float64)).min())
    if lowest < least:
        raise ConfigError(
            f"'{name}' gives a standard deviation of {lowest:.4g} uS somewhere in the conductance range, at least {least:g} makes sense: "
            f"{coefficients!r}"
        )


def written(coefficients: Sequence[float], x: str) -> str:
    """Return a polynomial as text."""
    terms = [f"{c:+g}{'' if power == 0 else f' {x}' if power == 1 else f' {x}^{power}'}" for power, c in enumerate(coefficients)]
    return " ".join([terms[0].lstrip("+"), *(f"{term[0]} {term[1:]}" for term in terms[1:])])


def interpolate(x: Tensor, nodes: Sequence[float], values: Sequence[float]) -> Tensor:
    """Return the straight lines between (nodes, values) at x, constant beyond both ends; nodes ascend."""
    at, y = x.new_tensor(nodes), x.new_tensor(values)
    upper = torch.bucketize(x.contiguous(), at).clamp(1, len(nodes) - 1)
    lower = upper - 1
    part = ((x - at[lower]) / (at[upper] - at[lower])).clamp(0.0, 1.0)
    return y[lower] + part * (y[upper] - y[lower])


def power_law(g: Tensor, nu: Tensor, t: float, t_0: float) -> Tensor:
    """Return g ((t + t_0) / t_0)^-nu."""
    return g * torch.exp(-nu * math.log((t + t_0) / t_0))


def read_growth(t: float, t_read: float) -> float:
    """Return sqrt(ln((t + t_read) / (2 t_read))), how 1/f noise of a read-out grows with the time t since programming."""
    return math.sqrt(max(math.log((t + t_read) / (2.0 * t_read)), 0.0))
