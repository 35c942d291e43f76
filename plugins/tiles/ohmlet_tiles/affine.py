"""One crossbar's training pass from inputs to outputs in model units as a single step of autograd, where the engine has one for it."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Errors, Pending, Site
from ohmlet_tiles.input_range import AbsMax
from ohmlet_tiles.pass_module import PassModule

__all__ = ["Affine", "engine_rows", "whole_pass"]


def whole_pass(module: PassModule, site: Site) -> Any:
    """Return what computes an analog pass with input scale and all in one call, or None where the engine has nothing for its settings."""
    scaling = module.settings.input_range
    if type(scaling) is not AbsMax or module.coded is not None or module.settings.varies:
        return None
    try:
        rows = getattr(site.kernel("analog_mvm", "cpu"), "rows", None)
    except ConfigError:
        return None
    return rows(module.numbers, scaling.limit) if rows is not None and rows.fits(module.numbers) else None


def engine_rows(site: Site) -> Any:
    """Return what the engine makes vectors of updates of, or None where it has no updates in one call."""
    try:
        return getattr(site.kernel("pulsed_update", "cpu"), "rows", None)
    except ConfigError:
        return None


UNIT = torch.full((1,), Pending.UNIT)
"""What a backward pass leaves at the anchor; autograd copies what others hold too."""


@functools.lru_cache(64)
def _behind(path: str) -> str:
    return f"{path}/backward"


class Affine(torch.autograd.Function):
    """y = b + s (w x) [S, out] of x [S, in], s [out or 1, 1]; backward reads the crossbar transposed and leaves errors behind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, bias: Tensor | None, held: tuple[Any, Tensor, Tensor], address: Any) -> Tensor:
        """Return y and keep what backward needs; `held` are the crossbar, s and w, `address` key, first ordinal and path of the noise."""
        y: Tensor
        crossbar, scale, w = held
        # The weights as they were, for a step may come between.
        y, kept = crossbar.whole_forward.forward(x, w, scale, bias, *address, ctx.needs_input_grad[0])
        # Not by attribute, which modules set slowly.
        order = crossbar.__dict__["calls"] = crossbar.calls + 1
        ctx.save_for_backward(x)
        ctx.address = crossbar, scale, kept, *address, order
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of x, the anchor and the bias."""
        (x,), (crossbar, scale, kept, key, first, path, order) = ctx.saved_tensors, ctx.address
        g, pending, (for_x, learns, for_bias, *_) = grads[0], crossbar.pending, ctx.needs_input_grad
        gradient = None
        if for_x and crossbar.whole_backward is not None:
            gradient, d, finite = crossbar.whole_backward.backward(g, kept, scale, key, first, _behind(path))
            mark = UNIT if finite else pending.mark(d)
        else:
            d = g * scale.mT
            mark = pending.mark(d)
            gradient = d @ torch.from_numpy(kept) if for_x else None
        if learns:  # not where requires_grad_(False) has frozen the layer
            pending.append(Errors(order, x.detach(), d))
        return gradient, mark if learns else None, g.sum(0) if for_bias else None, None, None
