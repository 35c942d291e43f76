"""The analog matrix-vector product with its elementwise halves compiled for the CPU; equals the reference sample by sample."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.numba_loops import after, after_gradient, before, before_gradient, decoded
from ohmlet_kernels.analog_mvm.numba_product import times
from ohmlet_kernels.analog_mvm.numba_rows import Rows, known, word
from ohmlet_kernels.analog_mvm.numba_weights import hold, strengths
from ohmlet_kernels.analog_mvm.reference import PLAIN
from ohmlet_kernels.analog_mvm.reference import analog_mvm as reference
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.threads import over_rows

__all__ = ["analog_mvm", "compiled", "fits"]


class _Plan(NamedTuple):
    """What the compiled loops need beside the tensors that are differentiated."""

    settings: MVM
    noise: Stream
    divisor: Tensor | None
    std: float
    w_max: float | None
    keys: Tensor
    """One for each crossbar, [L]."""
    step: int
    """Of the optimizer, as it was in forward."""
    kept: bool
    """Whether a backward pass may follow."""


@functools.lru_cache(1024)
def _numbers(s: MVM, inputs: int) -> Any:
    """Return the numbers that `after` needs."""
    load = inputs / s.ir_drop_g_ratio
    return np.array([s.w_noise, s.out_noise, s.out_step, s.out_bound, s.out_scale, s.ir_drop, load], np.float32)


def fits(x: Tensor, w: Tensor, s: MVM, noise: Stream, variation: Variation) -> bool:
    """Whether the compiled loops know these settings and tensors; everything else runs on the reference."""
    if torch.compiler.is_compiling() or noise.ordinals is None or x.numel() == 0 or torch.is_autocast_enabled("cpu"):
        return False
    plain_settings = known(s) and (variation is PLAIN or all(value is None for value in variation))
    plain = x.dtype == w.dtype == torch.float32 and x.device.type == "cpu"
    lead, of_x, of_w = noise.key.shape, x.shape[:-3], w.shape[:-2]
    return plain_settings and plain and lead in (of_x, of_w) and all(part in (lead, ()) for part in (of_x, of_w))


def _coded(s: MVM) -> torch.dtype | None:
    """Return the type that holds the codes of a DAC, or None where only a float holds its values."""
    levels = s.in_bound / s.in_step if s.in_step > 0 else math.inf
    return torch.int8 if levels < 127.5 else torch.int16 if levels < 32767.5 else None


def _rows(scale: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a scale that broadcasts against [*shape, 1] as one number per row."""
    return scale.detach().expand(*shape, 1).reshape(-1).contiguous()


def _taken_up(w: Tensor, plan: _Plan) -> tuple[Tensor, Tensor]:
    """Return what each row of the weights [rows, in] is divided by and how strong its noise is; nothing without a divisor."""
    if plan.divisor is None:
        return w.new_empty(0), w.new_empty(0)
    divisor, crossbars = _rows(plan.divisor, w.shape[:-1]), plan.noise.key.numel()
    if plan.std == 0 or plan.w_max is not None:
        return divisor, torch.full_like(divisor, plan.std * (plan.w_max or 0.0))
    strength = torch.empty_like(divisor)
    bits = w.detach().contiguous().view(-1, w.shape[-1]).view(torch.int32).numpy()
    strengths(bits, divisor.numpy(), np.float32(plan.std), strength.view(crossbars, -1).numpy())
    return divisor, strength


def _held(w: Tensor, divisor: Tensor, strength: Tensor, plan: _Plan, absolute: bool = False) -> tuple[Tensor, Tensor]:
    """Return the weights as the crossbar holds them, and their magnitudes unless they are not asked for.

    Without a divisor they stay in model units.
    """
    w = w.detach().contiguous()
    none = w.new_empty(0)
    if not len(divisor) and (not len(strength) or plan.std == 0):
        return w, w.abs() if absolute else none
    held, magnitudes = torch.empty_like(w), torch.empty_like(w) if absolute else none
    flat = (-1, w.shape[-1])
    given = (
        w.view(flat).numpy(), divisor.numpy(), strength.numpy(), plan.keys.numpy(), np.uint64(plan.step),
        word(plan.noise.path, "modifier"), held.view(flat).numpy(), magnitudes.view(flat).numpy(),
    )  # fmt: skip
    over_rows(len(strength), w.numel(), lambda first, last: hold(first, last, *given))
    return held, magnitudes


def _driven(x: Tensor, x_scale: Tensor, s: MVM, powers: bool, kept: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `before` fills: v [*L, 1 or 2, S R, in], other [*L, 0 to 2, S R, in], codes and flags of what clips."""
    size, wires = x.shape[-1], s.ir_drop > 0
    flat = x.detach().reshape(-1, size).contiguous()
    v = flat.new_empty((*x.shape[:-3], 1 + wires, x.shape[-3] * x.shape[-2], size))
    other = flat.new_empty((*x.shape[:-3], wires + powers, *v.shape[-2:]))
    kind = _coded(s)
    codes = torch.empty(flat.shape if kept and kind is not None else (0, 0), dtype=kind or torch.int8)
    bits = _flags(kept and s.in_bound < math.inf, flat.shape)
    clipped = np.zeros(len(flat), np.int32)
    position = 1.0 - (1.0 - torch.arange(size, dtype=x.dtype) / size) ** 2 if wires else flat.new_empty(0)
    vectors = max(1, v.shape[-2])
    loop = (
        flat.numpy(), x_scale.numpy(), np.float32(s.in_step), np.float32(s.in_bound), position.numpy(),
        v.view(-1, 1 + wires, vectors, size).numpy(), other.view(len(flat) // vectors, wires + powers, vectors, size).numpy(),
        codes.numpy(), bits.numpy(), clipped,
    )  # fmt: skip
    over_rows(len(flat), flat.numel(), lambda first, last: before(first, last, *loop))
    if kept and kind is None:
        codes = v if not wires else v[..., 0, :, :].contiguous()
    return v, other, codes, bits if bits.numel() and clipped.any() else _flags(False, flat.shape)


def _flags(wanted: bool, shape: tuple[int, ...]) -> Tensor:
    """Return room for one bit per element [rows, columns], or none."""
    return torch.empty((shape[0], (shape[1] + 7) // 8) if wanted else (0, 0), dtype=torch.uint8)


class _Pass(torch.autograd.Function):
    """The whole pass as one step of autograd, keeping codes instead of inputs, and neither noise nor intermediate sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, scale: Tensor, plan: _Plan) -> Tensor:
        s, noise, wires = plan.settings, plan.noise, plan.settings.ir_drop > 0
        powers = s.w_noise > 0 and s.w_noise_kind != "additive"
        x_scale = _rows(scale, x.shape[:-1])
        v, other, codes, bits = _driven(x, x_scale, s, powers, plan.kept)
        divisor, strength = _taken_up(w, plan)
        held, magnitudes = _held(w, divisor, strength, plan, wires or (powers and s.w_noise_kind == "pcm"))
        y = times(v.flatten(-3, -2), held)
        lead, size = y.shape[:-2], y.shape[-1]
        norm = torch.linalg.vector_norm(v[..., 0, :, :], dim=-1) if s.w_noise > 0 and not powers else y.new_empty(0)
        if other.numel():
            if powers and s.w_noise_kind == "relative":
                square = times(other[..., -1, :, :], held * held)
                other = torch.cat((times(other[..., 0, :, :], magnitudes), square), -2) if wires else square
            else:
                other = times(other.flatten(-3, -2), magnitudes)
        vectors, parts = v.shape[-2], int(wires) + int(powers)
        currents = y.reshape(-1, 1 + wires, vectors, size)
        # In place, but where the products of the wires lie between.
        out = (y.new_empty(len(currents) * vectors, size) if wires else currents).view(*lead, *x.shape[-3:-1], size)
        flat = out.view(-1, size).numpy()
        y_scale = x_scale if lead == x.shape[:-3] else _rows(scale, out.shape[:-1])
        out_bits, clipped = _flags(plan.kept and s.out_bound < math.inf, flat.shape), np.zeros(len(flat), np.int32)
        assert noise.ordinals is not None
        loop = (
            currents.numpy(),
            (other if parts else y.new_empty(0)).reshape(len(flat) // vectors, parts, vectors, size).numpy(),
            norm.expand(*lead, vectors).reshape(-1).numpy() if norm.numel() else norm.numpy(), y_scale.numpy(),
            plan.keys.numpy(), noise.ordinals.contiguous().numpy(), x.shape[-2],
            np.array([word(noise.path, "weight"), word(noise.path, "output")]), _numbers(s, x.shape[-1]), flat, out_bits.numpy(), clipped,
        )  # fmt: skip
        over_rows(len(flat), flat.size, lambda first, last: after(first, last, *loop))
        out_bits = out_bits if out_bits.numel() and clipped.any() else _flags(False, flat.shape)
        ctx.save_for_backward(w, codes, bits, out_bits, x_scale, y_scale, divisor, strength)
        ctx.plan, ctx.shape = plan._replace(divisor=None), x.shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        w, codes, bits, out_bits, x_scale, y_scale, divisor, strength = ctx.saved_tensors
        plan, shape = ctx.plan, ctx.shape
        s, size = plan.settings, grads[0].shape[-1]
        flat = grads[0].reshape(-1, size).contiguous().numpy()
        inner = np.empty_like(flat)
        # The gradient over the divisor serves both: that of the weights, and with weights in model units that of the inputs.
        given = (flat, y_scale.numpy(), np.float32(s.out_scale), out_bits.numpy(), divisor.view(-1, size).numpy(), inner)
        over_rows(len(flat), flat.size, lambda first, last: after_gradient(first, last, *given))
        lead, vectors = grads[0].shape[:-3], shape[-3] * shape[-2]
        g = torch.from_numpy(inner).view(*lead, vectors, size)
        grad_x = grad_w = None
        if ctx.needs_input_grad[1]:
            v = codes.view(*shape[:-3], vectors, shape[-1])
            if _coded(s) is not None:
                values = np.empty(codes.shape, np.float32)
                decode = (codes.numpy(), np.float32(s.in_step), np.float32(s.in_bound), bits.numpy(), values)
                over_rows(len(codes), codes.numel(), lambda first, last: decoded(first, last, *decode))
                v = torch.from_numpy(values).view(v.shape)
            grad_w = (times(g.mT, v.mT) if g.ndim == v.ndim == 2 else g.mT @ v).sum_to_size(w.shape)
        if ctx.needs_input_grad[0]:
            held = _held(w, divisor[:0], strength * divisor, plan)[0]
            at_codes = times(g, held.mT).unflatten(-2, shape[-3:-1]).sum_to_size(shape).contiguous()
            inputs = (at_codes.view(-1, shape[-1]).numpy(), x_scale.numpy(), bits.numpy())
            over_rows(len(inputs[0]), at_codes.numel(), lambda first, last: before_gradient(first, last, *inputs))
            grad_x = at_codes
        return grad_x, grad_w, None, None


def compiled(
    x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, divisor: Tensor | None, std: float, w_max: float | None
) -> Tensor:
    """Return the product of inputs and settings that `fits` accepts, with weights w / divisor + std A xi (w alone without a divisor)."""
    kept = torch.is_grad_enabled() and (x.requires_grad or w.requires_grad)
    step = int(noise.event) if std > 0 and noise.event is not None else 0
    divided_by = x.new_ones(()) if scale is None else scale.detach()
    plan = _Plan(settings, noise, divisor, std, w_max, noise.key.reshape(-1).contiguous(), step, kept)
    out: Tensor = _Pass.apply(x, w, divided_by, plan)  # type: ignore[no-untyped-call]
    return out


def analog_mvm(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN) -> Tensor:
    """Return the product as `analog_mvm.reference` defines it; settings without a compiled loop run on the reference itself."""
    if not fits(x, w, settings, noise, variation):
        return reference(x, w, scale, settings, noise, variation)
    return compiled(x, w, scale, settings, noise, None, 0.0, None)


# As a method of the kernel, so that tiles find it wherever this engine is the one chosen.
analog_mvm.rows = Rows  # type: ignore[attr-defined]
