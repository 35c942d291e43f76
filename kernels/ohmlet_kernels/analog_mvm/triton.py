"""The analog matrix-vector product for GPUs, a kernel for each of its parts; equals the reference sample by sample."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton.runtime.jit import JITFunction

from ohmlet_kernels.analog_mvm.reference import PLAIN
from ohmlet_kernels.analog_mvm.reference import analog_mvm as reference
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.analog_mvm.triton_loops import CLIPPED, NEGATIVE, drive, multiply, read_out
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.constants import COLUMN_BITS

__all__ = ["BLOCKS", "OPTIONS", "PRODUCT_BLOCKS", "PRODUCT_OPTIONS", "analog_mvm", "fits"]

BLOCKS: dict[str, Any] = {"BLOCK_M": 4, "BLOCK_N": 128}
"""Numbers of a program that works on each by itself: 128 threads with a counter, which is four random words, each."""
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
"""One rounding after each operation: normals have the reference's bits."""

PRODUCT_BLOCKS: dict[str, Any] = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 16}
PRODUCT_OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": True}

INTERPRETED = not isinstance(drive, JITFunction)
"""Whether Triton's interpreter is on, which takes CPU tensors."""


class _Plan(NamedTuple):
    """What the kernels need beside the tensors that are differentiated."""

    settings: MVM
    noise: Stream
    keys: Tensor
    """One for each crossbar, [L]."""
    ordinals: Tensor


@functools.lru_cache(1024)
def _known(s: MVM) -> bool:
    """Whether there are kernels for these settings."""
    return not (s.bound_management or s.nonlinear or s.ir_drop or s.r_series or s.passes != "one")


def fits(x: Tensor, w: Tensor, s: MVM, noise: Stream, variation: Variation) -> bool:
    """Whether there are kernels for these settings and tensors; everything else runs on the reference."""
    if torch.compiler.is_compiling() or noise.ordinals is None or x.numel() == 0 or w.numel() == 0:
        return False
    # A stream of another class draws its numbers in some way of its own.
    if type(noise) is not Stream or not _known(s) or any(value is not None for value in variation):
        return False
    device = x.device
    here = (device.type == "cuda" or INTERPRETED) and all(each.device == device for each in (w, noise.key, noise.ordinals))
    plain = here and x.dtype == w.dtype == torch.float32 and not torch.is_autocast_enabled(device.type)
    lead, of_x, of_w = noise.key.shape, x.shape[:-3], w.shape[:-2]
    narrow = max(w.shape[-2:]) <= 4 << COLUMN_BITS
    return plain and narrow and lead in (of_x, of_w) and all(part in (lead, ()) for part in (of_x, of_w))


def _word(noise: Stream, purpose: str) -> int:
    """Return the word of a purpose as the integer of one type that all launches take."""
    return (noise.word(purpose) ^ 1 << 31) - (1 << 31)


def _programs(rows: int, columns: int) -> tuple[int]:
    return (triton.cdiv(rows, BLOCKS["BLOCK_M"]) * triton.cdiv(columns, BLOCKS["BLOCK_N"]),)


def _driven(x: Tensor, scale: Tensor, plan: _Plan, flagged: bool) -> tuple[Tensor, Tensor]:
    """Return what drives the array, v [*L or none, S R, in], and flags of the same shape, or none."""
    s, lead = plan.settings, x.shape[:-3]
    at_random = s.in_stochastic and s.in_step > 0
    if at_random or s.in_noise > 0:
        lead = plan.noise.key.shape
    given, columns, positions = x.numel() // x.shape[-1], x.shape[-1], x.shape[-2]
    v = x.new_empty((*lead, x.shape[-3] * positions, columns))
    flags = torch.empty(v.shape if flagged else (0,), dtype=torch.uint8, device=x.device)
    rows = v.numel() // columns
    drive[_programs(rows, columns)](
        x.contiguous(), scale, plan.keys, plan.ordinals, v, flags, _word(plan.noise, "uniform dac"), _word(plan.noise, "input"),
        rows, columns, given, len(plan.ordinals), positions, s.in_step, s.in_bound, s.in_noise, s.in_asymmetry,
        s.in_step > 0, at_random, s.in_noise > 0, s.in_asymmetry != 0, flagged, **BLOCKS, **OPTIONS,
    )  # fmt: skip
    return v, flags


def _product(v: Tensor, w: Tensor, lead: torch.Size) -> Tensor:
    """Return w v, [*L, vectors, out] of v [*L or none, vectors, in] and w [*L or none, out, in]."""
    vectors, inputs, outputs = v.shape[-2], v.shape[-1], w.shape[-2]
    v, w = v.contiguous(), w.contiguous()
    y = v.new_empty((*lead, vectors, outputs))
    blocks = triton.cdiv(vectors, PRODUCT_BLOCKS["BLOCK_M"]) * triton.cdiv(outputs, PRODUCT_BLOCKS["BLOCK_N"])
    precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    multiply[(blocks * lead.numel(),)](
        v, w, y, vectors, outputs, inputs, vectors * inputs if v.ndim > 2 else 0, outputs * inputs if w.ndim > 2 else 0,
        precision, **PRODUCT_BLOCKS, **PRODUCT_OPTIONS,
    )  # fmt: skip
    return y


def _power(v: Tensor, w: Tensor, kind: str, lead: torch.Size) -> Tensor:
    """Return what the weights' read noise grows with: (sum_j h_ij v_j^2)^(1/2) [*L, vectors, out or 1], h = 1, w^2 or |w|."""
    if kind == "additive":
        norm: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        return norm.expand(*lead, *norm.shape[-2:]).contiguous()
    return _product(v * v, w.abs() if kind == "pcm" else w * w, lead).clamp_min(0.0).sqrt()


class _Pass(torch.autograd.Function):
    """The whole pass as one step of autograd; it keeps inputs and flags, and draws what else it needs again, from the same addresses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, scale: Tensor, plan: _Plan, kept: bool) -> Tensor:
        s, lead = plan.settings, plan.noise.key.shape
        v, _ = _driven(x, scale, plan, False)
        y = _product(v, w, lead)
        power = _power(v, w, s.w_noise_kind, lead) if s.w_noise > 0 else y.new_empty(0)
        out = y.new_empty((*lead, *x.shape[-3:-1], y.shape[-1]))
        flagged = kept and (s.out_asymmetry != 0 or s.out_bound < float("inf"))
        flags = torch.empty(out.shape if flagged else (0,), dtype=torch.uint8, device=x.device)
        rows, columns = out.numel() // out.shape[-1], out.shape[-1]
        read_out[_programs(rows, columns)](
            y, power, scale, plan.keys, plan.ordinals, out, flags, _word(plan.noise, "weight"), _word(plan.noise, "output"),
            _word(plan.noise, "uniform adc"), rows, columns, len(scale), len(plan.ordinals), x.shape[-2],
            s.w_noise, s.out_noise, s.out_asymmetry, s.out_step, s.out_bound, s.out_scale,
            power.shape[-1] if s.w_noise > 0 else 0, s.out_asymmetry != 0, s.out_noise > 0, s.out_step > 0,
            s.out_stochastic and s.out_step > 0, s.in_noise == 0, flagged, **BLOCKS, **OPTIONS,
        )  # fmt: skip
        ctx.save_for_backward(x, w, scale, flags)
        ctx.plan, ctx.flagged = plan, flagged
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x, w, scale, flags), plan = ctx.saved_tensors, ctx.plan
        s, empty = plan.settings, scale <= 0
        by = scale.masked_fill(empty, 1.0)
        to = (by if s.in_noise > 0 else by.masked_fill(empty, 0.0)) * s.out_scale
        g = grads[0] * to.view(*x.shape[:-1], 1)
        if ctx.flagged:
            g = _unflagged(g, flags, s.out_asymmetry)
        g = g.flatten(-3, -2)
        grad_x = grad_w = None
        v, in_flags = _driven(x, scale, plan, True)
        if ctx.needs_input_grad[1]:
            grad_w = (g.mT @ v).sum_to_size(w.shape)
        if ctx.needs_input_grad[0]:
            at_x = _unflagged(g @ w, in_flags, s.in_asymmetry).unflatten(-2, x.shape[-3:-1]) / by.view(*x.shape[:-1], 1)
            grad_x = at_x.sum_to_size(x.shape)
        return grad_x, grad_w, None, None, None


def _unflagged(g: Tensor, flags: Tensor, asymmetry: float) -> Tensor:
    """Return gradients that are zero where a value clipped and smaller by the asymmetry where it was negative."""
    if asymmetry != 0:
        g = torch.where(flags & NEGATIVE != 0, g * (1.0 - asymmetry), g)
    return g.masked_fill(flags & CLIPPED != 0, 0.0)


def analog_mvm(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN) -> Tensor:
    """Return the product as `analog_mvm.reference` defines it; settings without a kernel run on the reference itself."""
    if not fits(x, w, settings, noise, variation):
        return reference(x, w, scale, settings, noise, variation)
    rows = x.shape[:-1]
    divided_by = x.new_ones(rows) if scale is None else scale.detach().to(x).expand(*rows, 1)
    assert noise.ordinals is not None
    plan = _Plan(settings, noise, noise.key.reshape(-1).contiguous(), noise.ordinals.contiguous())
    kept = torch.is_grad_enabled() and (x.requires_grad or w.requires_grad)
    with torch.cuda.device_of(x):
        out: Tensor = _Pass.apply(x, w, divided_by.reshape(-1).contiguous(), plan, kept)  # type: ignore[no-untyped-call]
    return out
