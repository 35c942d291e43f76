"""Noise that grows over the first optimizer steps of hardware-aware training."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import boolean, integer, number, one_of
from ohmlet_kernels.analog_mvm import Variation

__all__ = ["Ramp"]


@frozen(kw_only=True)
class Ramp:
    """Strength f of weight noise after n optimizer steps: f = start + (1 - start) h(min(n / steps, 1)).

    h(u) = u (`linear`) or (1 - cos(pi u)) / 2 (`cosine`). The weights in use are w + f (w' - w), w' being what the modifier makes of
    them, so that f multiplies the `std` of `add_normal`, `mult_normal` and `poly`; weights are dropped with f `drop_connect`. n is the
    layer's own count of optimizer steps, which its state_dict holds: a resumed run goes on where it was.
    """

    steps: int = integer(1000, "optimizer steps until full strength", ge=1)
    start: float = number(0.0, "strength before the first step", ge=0.0, lt=1.0)
    shape: str = one_of("linear", ("linear", "cosine"), "how the strength grows")
    out_noise: bool = boolean(False, "the forward pass's out_noise grows too, in training")

    def strength(self, event: Tensor | None) -> Tensor | None:
        """Return f as a tensor of no size, from the number of optimizer steps [1]; None, full strength, where nothing counts them."""
        if event is None:
            return None
        u = (event[0].to(torch.float64) / self.steps).clamp_max(1.0)
        grown = u if self.shape == "linear" else (1.0 - torch.cos(math.pi * u)) / 2.0
        return self.start + (1.0 - self.start) * grown

    def blended(self, w: Tensor, modified: Tensor, event: Tensor | None) -> Tensor:
        """Return w + f (modified - w); bit for bit the modified weights at full strength."""
        f = self.strength(event)
        return modified if f is None else torch.where(f >= 1.0, modified, w + f.to(w.dtype) * (modified - w))

    def varied(self, fixed: Variation, out_noise: float, like: Tensor, event: Tensor | None) -> Variation:
        """Return the variation of a pass with its output noise, for as many outputs as the rows of weights `like`, times f."""
        f = self.strength(event)
        if f is None or not self.out_noise:
            return fixed
        full = like.new_full((like.shape[-2],), out_noise) if fixed.out_noise is None else fixed.out_noise
        return fixed._replace(out_noise=full * f.to(full.dtype))
