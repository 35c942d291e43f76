"""Rounding and clipping of a converter, with straight-through gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["quantise", "rounded"]


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


def rounded(value: Tensor, step: float, uniform: Tensor | None) -> Tensor:
    """Return value rounded to multiples of `step`, half to even, or stochastically with uniforms in (0, 1); step 0 is none."""
    if step <= 0:
        return value
    out: Tensor = _Round.apply(value, step, None if uniform is None else uniform - 0.5)  # type: ignore[no-untyped-call]
    return out


def quantise(value: Tensor, step: float, bound: float, uniform: Tensor | None) -> Tensor:
    """Return value rounded to multiples of `step`, then clipped to +-`bound`.

    Rounding comes first, so the bound itself is always reachable. The gradient passes through rounding unchanged and is zero where the
    value clips.
    """
    value = rounded(value, step, uniform)
    return value.clamp(-bound, bound) if bound < float("inf") else value
