"""Hardware-aware training in which each sample meets weights of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.pass_module import PassModule, with_backward

__all__ = ["ELEMENTS_AT_ONCE", "per_sample_mvm"]

ELEMENTS_AT_ONCE = {"cpu": 2**21, "cuda": 2**25}
"""Weights of all samples together that are held at a time: what a CPU's cache holds, 128 MiB elsewhere; results do not depend on it."""


def per_sample_mvm(
    forward: PassModule,
    backward: PassModule | None,
    x: Tensor,
    w: Tensor,
    noise: Stream,
    fixed: tuple[Variation | None, Variation | None],
    modified: Callable[[Tensor, Stream], Tensor],
) -> Tensor:
    """Return y [..., S, R, out] of inputs x [..., S, R, in], sample s on weights modified(w)_s [..., out, in] of its own.

    The positions R of a sample share its weights, so their errors are as correlated as on hardware; that is why the weights are drawn
    instead of one equivalent noise for each output. Gradients: dx_s = modified(w)_s^T dy_s, dw = sum_s of what each sample's own
    product gives. Only `ELEMENTS_AT_ONCE` weights exist at a time; autograd keeps none of them and draws them again in backward.
    """
    if not x.shape[-3] or noise.ordinals is None:
        return with_backward(forward, backward, x, w, noise, fixed)
    clipped, scale = forward.scaled(x)
    ahead = _for_each(forward.fabricated(w, noise) if fixed[0] is None else fixed[0])
    back = None if backward is None else _for_each(backward.fabricated(w.mT, noise) if fixed[1] is None else fixed[1])
    elements = ELEMENTS_AT_ONCE.get(x.device.type, ELEMENTS_AT_ONCE["cuda"])
    at_once = max(1, elements // max(1, noise.key.numel() * w.shape[-2] * w.shape[-1]))

    def part(x: Tensor, scale: Tensor | None, w: Tensor, key: Tensor, ordinals: Tensor) -> Tensor:
        own = noise._replace(key=key, ordinals=ordinals)
        return with_backward(forward, backward, x, modified(w, own), own, (ahead, back), (x, scale))

    parts = []
    for first in range(0, x.shape[-3], at_once):
        some = slice(first, first + at_once)
        own = noise.at(noise.ordinals[some]).each()
        assert own.ordinals is not None
        s = scale if scale is None or scale.ndim < 3 else scale[..., some, :, :].unsqueeze(-3)
        arguments = (clipped[..., some, :, :].unsqueeze(-3), s, w.unsqueeze(-3), own.key, own.ordinals)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            y: Tensor = checkpoint(part, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            y = part(*arguments)
        parts.append(y.squeeze(-3))
    return torch.cat(parts, -3) if len(parts) > 1 else parts[0]


def _for_each(fixed: Variation) -> Variation:
    """Return what differs between a crossbar's outputs and cells with a size for the samples, which share it."""
    lines = {name: value.unsqueeze(-2) for name, value in fixed._asdict().items() if value is not None and name != "w_asymmetry"}
    cells = {} if fixed.w_asymmetry is None else {"w_asymmetry": fixed.w_asymmetry.unsqueeze(-3)}
    return fixed._replace(**lines, **cells)
