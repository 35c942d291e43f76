"""One crossbar's training pass from inputs to outputs in model units as a single step of autograd, where the engine has one for it."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Errors, Pending, Site
from ohmlet_kernels.analog_mvm import MVM
from ohmlet_tiles.input_range import AbsMax, Unscaled
from ohmlet_tiles.pass_module import PassModule

__all__ = ["Affine", "engine_part", "whole_pass", "whole_read"]


def whole_pass(module: PassModule, site: Site) -> Any:
    """Return what computes an analog pass with input scale and all in one call, or None where the engine has nothing for its settings."""
    scaling = module.settings.input_range
    if type(scaling) is not AbsMax or module.coded is not None or module.settings.varies:
        return None
    try:
        rows = getattr(site.kernel("analog_mvm", "cpu"), "rows", None)
    except ConfigError:
        return None
    if rows is None or not rows.fits(module.numbers):
        return None
    return rows(module.numbers, scaling.limit, site.out_features, site.in_features)


def whole_read(module: PassModule | None, site: Site) -> MVM | None:
    """Return the settings of a read-out of lines at full scale if the engine's transfers can do all of it by themselves."""
    if module is None or type(module.settings.input_range) is not Unscaled or module.coded is not None or module.settings.varies:
        return None
    try:
        rows = getattr(site.kernel("analog_mvm", "cpu"), "rows", None)
    except ConfigError:
        return None
    numbers = module.numbers
    return numbers if rows is not None and module.readout is None and not numbers.bound_management and rows.fits(numbers) else None


def engine_part(site: Site, name: str) -> Any:
    """Return a part of the engine's updates: its `learning` in one call, or its `network` of crossbars; None where it has none."""
    try:
        return getattr(site.kernel("pulsed_update", "cpu"), name, None)
    except ConfigError:
        return None


UNIT = torch.full((1,), Pending.UNIT)
"""What a backward pass leaves at the anchor; autograd copies what others hold too."""


@functools.lru_cache(64)
def _behind(path: str) -> str:
    return f"{path}/backward"


class _Step(torch.autograd.Function):
    """y = b + s (w x) [S, out] of x [S, in], s [out or 1, 1]; backward reads the crossbar transposed and leaves errors behind."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, bias: Tensor | None, held: tuple[dict[str, Any], Tensor, Tensor], address: Any
    ) -> Tensor:
        """Return y and keep what backward needs; `held` are the crossbar, s and w, `address` key, first ordinal and path of the noise."""
        y: Tensor
        own, scale, w = held
        key, first, path = address
        # The weights as they were, for a step may come between.
        y, kept = own["whole_forward"].forward(x, w, scale, bias, key, first, path, x.requires_grad)
        order = own["calls"] = own["calls"] + 1
        ctx.save_for_backward(x)
        ctx.rest = own, scale, scale._version, kept, address, order
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of x, the anchor and the bias."""
        (x,), (own, scale, version, kept, (key, first, path), order) = ctx.saved_tensors, ctx.rest
        g, (for_x, learns, for_bias, _, _) = grads[0], ctx.needs_input_grad
        if scale._version != version:
            raise RuntimeError(
                "the scales of a layer that learns in memory were modified by an inplace operation, such as set_weights, between its "
                "forward and its backward pass; run the forward pass again"
            )
        gradient = None
        if for_x and own["whole_backward"] is not None:
            gradient, d, finite = own["whole_backward"].backward(g, kept, scale, key, first, _behind(path))
        else:
            d, finite = own["whole_forward"].errors(g, scale)
            gradient = d @ torch.from_numpy(kept) if for_x else None
        pending, mark = own["pending"], None
        if learns:  # not where requires_grad_(False) has frozen the layer
            pending.append(Errors(order, x.detach() if for_x else x, d))
            mark = UNIT if finite else pending.mark(d)
        return gradient, mark, g.sum(0) if for_bias else None, None, None


_whole_apply: Any = _Step.apply
# A third of the time of `apply` goes into preparations for functorch, which end here where it does nothing.
_apply: Any = getattr(super(torch.autograd.Function, _Step), "apply", _whole_apply)
_transforming: Any = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


class Affine:
    """A layer of one crossbar in one step of autograd, bound to a scale [out or 1, 1] and a bias [out] of float32 on the CPU, in order.

    `affine(x, address)` is b + s (w x) [S, out] in training for float32 x [S, in] with gradients enabled, the noise at (key, ordinal of
    the first sample, path); only while `stands` says that all is what it was when this was made.
    """

    def __init__(self, crossbar: Any, scale: Tensor, bias: Tensor | None) -> None:
        # Not by attribute, which modules look up in three places and set slowly.
        self.own, self.scale, self.bias = crossbar.__dict__, scale, bias
        front, back = crossbar.forward_pass, crossbar.backward_pass or crossbar.forward_pass
        self.passes = front.__dict__, front.variation, back.__dict__, back.variation
        (algorithm,) = crossbar.algorithms
        self.read = algorithm.weights
        self.w: Tensor | None = None

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copied crossbar is bound anew."""
        return type(None), ()

    def stands(self, inputs: int, scale: Tensor, bias: Tensor | None) -> bool:
        """Whether all is what it was when this was made, with this scale and bias, and takes vectors of so many inputs."""
        own, (front, of_front, back, of_back) = self.own, self.passes
        if scale is not self.scale or bias is not self.bias or not own["training"]:
            return False
        if front["variation"] is not of_front or back["variation"] is not of_back:
            return False
        w = self.read()
        if w is not self.w:
            # Compiled code takes it by its address.
            if not (w.dtype is torch.float32 and w.is_cpu and w.is_contiguous()):
                return False
            self.w = w
        outs, ins = w.shape
        # What a parameter holds can be replaced in it, as `bias.data = ...` does.
        return inputs == ins and (bias is None or (bias.dtype is torch.float32 and bias.numel() == outs and bias.is_contiguous()))

    def link(self) -> tuple[Any, Any, Tensor]:
        """Return the engine's passes forwards and backwards, the latter None if it is exact, and the weights; only while this `stands`."""
        assert self.w is not None
        return self.own["whole_forward"], self.own["whole_backward"], self.w

    def begin(self) -> int:
        """Count a forward call that is made elsewhere, and return its number."""
        order: int = self.own["calls"] + 1
        self.own["calls"] = order
        return order

    def leave(self, order: int, x: Tensor, d: Tensor) -> Tensor:
        """Leave inputs and errors of a forward call, as its backward pass does, and return the anchor's gradient."""
        pending: Pending = self.own["pending"]
        pending.append(Errors(order, x, d))
        return pending.mark(d)

    def __call__(self, x: Tensor, address: tuple[int, int, str]) -> Tensor:
        """Return the outputs; only while this `stands`."""
        own, apply = self.own, _whole_apply if _transforming() else _apply
        y: Tensor = apply(x, own["pending"].anchor, self.bias, (own, self.scale, self.w), address)
        return y
