"""The analog product with scaled and modified weights in plain torch: the definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.reference import PLAIN, analog_mvm
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.mapped_mvm.settings import Mapping
from ohmlet_kernels.noise import Stream

__all__ = ["largest", "mapped_mvm"]


def largest(w: Tensor, w_max: float | None = None) -> Tensor:
    """Return A [..., 1, 1]: `w_max` when given, else the crossbar's largest |w|, or 1 for a crossbar of zeros."""
    if w_max is not None:
        return w.new_full((1, 1), w_max)
    found = w.detach().abs().amax((-2, -1), keepdim=True)
    return torch.where(found > 0, found, torch.ones_like(found))


def mapped_mvm(
    x: Tensor,
    weight: Tensor,
    mapping: Mapping,
    scale: Tensor | None,
    settings: MVM,
    noise: Stream,
    variation: Variation = PLAIN,
    product: Callable[..., Any] = analog_mvm,
) -> Tensor:
    """Return the product of inputs x [..., S, R, in] with a layer's weights [..., out, in] as a crossbar computes it.

        w = weight / divisor
        w <- w + std A xi        A the crossbar's largest |w|, xi standard normal at `noise.shared()`, purpose "modifier"
        y = analog_mvm(x, w, scale)

    The gradient of the weights is that of w / divisor, the divisor taken as fixed. `product` is the engine's `analog_mvm`.
    """
    w = weight / mapping.divisor
    if mapping.std > 0:
        w = w + mapping.std * largest(w, mapping.w_max) * noise.shared().normal("modifier", w)
    out: Tensor = product(x, w, scale, settings, noise, variation)
    return out
