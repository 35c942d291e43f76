"""One crossbar's training pass from inputs to outputs in model units as a single step of autograd, where the engine has one for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Errors, Site
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.input_range import AbsMax
from ohmlet_tiles.pass_module import PassModule

__all__ = ["Affine", "whole_pass"]


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


class Affine(torch.autograd.Function):
    """y = b + s (w x) [S, out] of x [S, in], s [out or 1, 1]; backward reads the crossbar transposed and leaves errors behind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, bias: Tensor | None, scale: Tensor, w: Tensor, crossbar: Any, noise: Stream) -> Tensor:
        """Return y and keep what backward needs."""
        y: Tensor = crossbar.whole_forward(x.detach(), w, noise)[0]
        crossbar.calls += 1
        # The weights as they were, for a step may come between.
        kept = None
        if ctx.needs_input_grad[0]:
            kept = w.clone() if crossbar.backward_pass is None else w.mT.clone(memory_format=torch.contiguous_format)
        row = scale.mT
        ctx.save_for_backward(x, row, kept)
        ctx.crossbar, ctx.noise, ctx.order = crossbar, noise, crossbar.calls
        return y * row if bias is None else torch.addcmul(bias, y, row)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of x, the anchor and the bias."""
        (x, row, kept), crossbar, gradient = ctx.saved_tensors, ctx.crossbar, None
        d = grads[0] * row
        if ctx.needs_input_grad[0] and crossbar.backward_pass is not None:
            gradient, finite = crossbar.whole_backward(d, kept, ctx.noise.child("backward"))
            mark = crossbar.pending.mark(d) if not finite else d.new_full((1,), crossbar.pending.UNIT)
        else:
            mark = crossbar.pending.mark(d)
            gradient = d @ kept if ctx.needs_input_grad[0] else None
        learns = ctx.needs_input_grad[1]  # not where requires_grad_(False) has frozen the layer
        if learns:
            crossbar.pending.append(Errors(ctx.order, x.detach().unsqueeze(1), d.unsqueeze(1)))
        return gradient, mark if learns else None, grads[0].sum(0) if ctx.needs_input_grad[2] else None, None, None, None, None
