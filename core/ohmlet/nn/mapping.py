"""How a crossbar's weights are scaled onto its range, and the factors on its outputs that are learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ohmlet_kernels.extremes import largest_of_rows

__all__ = ["LearnedScales", "weight_scales"]


def weight_scales(
    weight: Tensor, kind: str, omega: float, max_range: float = math.inf, least: float | None = None, largest: Tensor | None = None
) -> Tensor:
    """Return the scales that map weights [..., out, in] onto [-omega, omega], detached; a zero maximum scales by one.

    `tilewise` max|W| / omega [..., 1, 1]; `columnwise` max_j |W_ij| / omega for each output [..., out, 1], at most `max_range` times
    `least` (the smallest of them unless given), beyond which an output's weights leave the range; `none` one. `largest` is
    max_j |W_ij| [..., out, 1] where it is known.
    """
    if kind == "none":
        return weight.new_ones((1, 1))
    largest = largest_of_rows(weight) if largest is None else largest
    if kind != "columnwise":
        largest = largest.amax(-2, keepdim=True)
    scales = torch.where(largest > 0, largest / omega, 1.0)
    if kind == "columnwise" and max_range < math.inf:
        bound = scales.amin(-2, keepdim=True) if least is None else scales.new_tensor(least)
        scales = torch.minimum(scales, bound * max_range)
    return scales


class LearnedScales(nn.ParameterList):
    """Trained factors f on the outputs of an array's crossbars, of one Parameter g for each crossbar, zero at first.

    f = exp(g), or 1 + g with form `linear`; weight decay pulls either to 1. g is [groups?, out, 1] with `columnwise` and [groups?, 1, 1]
    with `tilewise`.
    """

    def __init__(self, kind: str, form: str, outs: list[int], groups: int) -> None:
        lead = (groups,) if groups > 1 else ()
        rows = outs if kind == "columnwise" else [1] * len(outs)
        super().__init__(nn.Parameter(torch.zeros(*lead, count, 1)) for count in rows)
        self.form = form

    def factor(self, index: int) -> Tensor:
        """Return f of one crossbar."""
        g: Tensor = self[index]
        factor: Tensor = 1 + g if self.form == "linear" else g.exp()
        return factor

    @torch.no_grad()
    def reset(self) -> None:
        """Make every factor 1."""
        for parameter in self:
            parameter.zero_()
