"""The analog matrix-vector product with its elementwise halves compiled for the CPU; equals the reference sample by sample."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.nonideal import ir_drop_loss, product, read_power
from ohmlet_kernels.analog_mvm.numba_loops import after, after_gradient, before, before_gradient
from ohmlet_kernels.analog_mvm.reference import PLAIN
from ohmlet_kernels.analog_mvm.reference import analog_mvm as reference
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.threads import over_rows

__all__ = ["analog_mvm"]

NONE = np.empty((0, 0), np.uint8)


class _Plan(NamedTuple):
    """What the compiled loops need beside the tensors."""

    settings: MVM
    noise: Stream
    ordinals: Tensor


def fits(x: Tensor, w: Tensor, s: MVM, noise: Stream, variation: Variation) -> bool:
    """Whether the compiled loops know these settings and tensors; everything else runs on the reference."""
    known = not (
        s.bound_management or s.nonlinear or s.in_stochastic or s.out_stochastic or s.in_noise or s.in_asymmetry or s.out_asymmetry
        or s.r_series or s.passes != "one" or any(value is not None for value in variation)
    )  # fmt: skip
    plain = x.dtype == w.dtype == torch.float32 and x.device.type == "cpu" and not torch.compiler.is_compiling()
    lead = torch.broadcast_shapes(x.shape[:-3], w.shape[:-2])
    return (
        known
        and plain
        and noise.ordinals is not None
        and lead == noise.key.shape
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


class _Pass(torch.autograd.Function):
    """The whole pass as one step of autograd, keeping codes instead of noise and intermediate sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, scale: Tensor, plan: _Plan) -> Tensor:
        s, rows = plan.settings, x.shape[:-1]
        flat = x.detach().reshape(-1, x.shape[-1]).numpy()
        x_scale = scale.expand(*rows, 1).reshape(-1).contiguous() if scale.ndim else scale.expand(len(flat)).contiguous()
        needs = ctx.needs_input_grad
        v = np.empty_like(flat)
        in_inside = np.empty(flat.shape, np.uint8) if needs[0] and s.in_bound < math.inf else NONE
        loop = (flat, x_scale.numpy(), np.float32(s.in_step), np.float32(s.in_bound), v, in_inside)
        over_rows(len(flat), flat.size, lambda first, last: before(first, last, *loop))
        codes = torch.from_numpy(v).view(x.shape)
        y = product(codes, w.detach())
        if s.ir_drop > 0:
            y = y - s.ir_drop * ir_drop_loss(codes, w.detach(), s.ir_drop_g_ratio)
        y_scale = scale.expand(*y.shape[:-1], 1).reshape(-1).contiguous() if scale.ndim else scale.expand(y[..., 0].numel()).contiguous()
        out = y.reshape(-1, y.shape[-1]).contiguous()
        power = np.empty((0, 0), np.float32)
        if s.w_noise > 0:
            power = read_power(codes, w.detach(), s.w_noise_kind).expand(*y.shape[:-1], -1).reshape(len(out), -1).contiguous().numpy()
        out_inside = np.empty(out.shape, np.uint8) if (needs[0] or needs[1]) and s.out_bound < math.inf else NONE
        numbers = np.array([s.w_noise, s.out_noise, s.out_step, s.out_bound, s.out_scale], np.float32)
        purposes = np.array([plan.noise.word("weight"), plan.noise.word("output")], np.uint64)
        keys = plan.noise.key.reshape(-1).contiguous().numpy()
        fixed = (keys, plan.ordinals.numpy(), x.shape[-2], purposes, numbers, s.in_noise > 0, out_inside)
        results = (out.numpy(), power, y_scale.numpy(), *fixed)
        over_rows(len(out), out.numel(), lambda first, last: after(first, last, *results))
        ctx.save_for_backward(w, codes, x_scale, y_scale)
        ctx.plan, ctx.in_inside, ctx.out_inside = plan, in_inside, out_inside
        return out.view(y.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        w, codes, x_scale, y_scale = ctx.saved_tensors
        gradient, settings = grads[0], ctx.plan.settings
        flat = gradient.reshape(-1, gradient.shape[-1]).contiguous().numpy()
        inner = np.empty_like(flat)
        loop = (flat, y_scale.numpy(), np.float32(settings.out_scale), settings.in_noise > 0, ctx.out_inside, inner)
        over_rows(len(flat), flat.size, lambda first, last: after_gradient(first, last, *loop))
        g = torch.from_numpy(inner).view(*gradient.shape[:-3], -1, gradient.shape[-1])
        grad_x = grad_w = None
        if ctx.needs_input_grad[1]:
            grad_w = (g.mT @ codes.flatten(-3, -2)).sum_to_size(w.shape)
        if ctx.needs_input_grad[0]:
            at_codes = (g @ w).unflatten(-2, codes.shape[-3:-1]).sum_to_size(codes.shape).contiguous()
            inputs = (at_codes.view(-1, codes.shape[-1]).numpy(), x_scale.numpy(), ctx.in_inside)
            over_rows(len(inputs[0]), at_codes.numel(), lambda first, last: before_gradient(first, last, *inputs))
            grad_x = at_codes
        return grad_x, grad_w, None, None


def analog_mvm(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN) -> Tensor:
    """Return the product as `analog_mvm.reference` defines it; settings without a compiled loop run on the reference itself."""
    if not fits(x, w, settings, noise, variation):
        return reference(x, w, scale, settings, noise, variation)
    assert noise.ordinals is not None
    divisor = x.new_ones(()) if scale is None else scale.detach()
    plan = _Plan(settings, noise, noise.ordinals.contiguous())
    out: Tensor = _Pass.apply(x, w, divisor, plan)  # type: ignore[no-untyped-call]
    return out
