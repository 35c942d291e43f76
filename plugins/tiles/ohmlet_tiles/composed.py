"""Passes over a crossbar that consists of several arrays, each of them read by a pass of its own, as its update algorithm says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Errors
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_tiles.pass_module import PassModule

__all__ = ["Composed", "check_ranges"]


def check_ranges(algorithm: str, *passes: PassModule | None) -> None:
    """Raise ConfigError for passes with one input range for all: arrays that are read one after the other have inputs of other sizes."""
    for each in passes:
        if each is not None and (each.range is not None or each.running is not None or each.calibrated is not None):
            raise ConfigError(
                f"tile.{each.name}.input_range {each.settings.input_range.type_name} is one range for all inputs of a crossbar, and "
                f"{algorithm} reads arrays whose inputs differ in size: use abs_max, which scales each vector, or a fixed value"
            )


def of_array(noise: Stream, name: str) -> Stream:
    """Return the noise of one array's pass: its lines differ from those of the other arrays, and so do its draws."""
    return noise.child(name)._replace(key=noise.key ^ purpose_word(name))


def forward_mvm(crossbar: Any, noise: Stream) -> Callable[[str, Tensor, Tensor], Tensor]:
    """Return the forward pass of an array by its name."""

    def mvm(name: str, x: Tensor, w: Tensor) -> Tensor:
        y: Tensor = crossbar.pass_of(name, "forward")(x, w, of_array(noise, name))
        return y

    return mvm


def transposed_mvm(crossbar: Any, noise: Stream) -> Callable[[str, Tensor, Tensor], Tensor]:
    """Return the transposed pass of an array by its name, exact where the tile has none."""

    def mvm(name: str, d: Tensor, w: Tensor) -> Tensor:
        through: PassModule | None = crossbar.pass_of(name, "backward")
        if through is None:
            exact: Tensor = torch.matmul(d.flatten(-3, -2), w.to(d.dtype)).unflatten(-2, d.shape[-3:-1])
            return exact
        gradient: Tensor = through(d, w.mT, of_array(noise, name).child("backward"))
        return gradient

    return mvm


class Composed(torch.autograd.Function):
    """The product of several arrays; the backward pass reads them transposed and leaves errors with the crossbar in training."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, crossbar: Any, noise: Stream, order: int, *arrays: Tensor) -> Tensor:
        """Return y [..., S, R, out] of x [..., S, R, in] and keep the arrays as they are, for a step may come between."""
        names = crossbar.tile.update_algorithm.operands
        ctx.save_for_backward(x, *(w.clone() for w in arrays))
        ctx.crossbar, ctx.noise, ctx.order, ctx.names = crossbar, noise, order, names
        y: Tensor = crossbar.tile.update_algorithm.product(x, dict(zip(names, arrays, strict=True)), forward_mvm(crossbar, noise))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of x and the anchor."""
        (d,), (x, *arrays), crossbar = grads, ctx.saved_tensors, ctx.crossbar
        learns = ctx.needs_input_grad[1]  # not in evaluation, nor where requires_grad_(False) has frozen the layer
        if learns:
            crossbar.pending.append(Errors(ctx.order, x.detach(), d))
        gradient = None
        if ctx.needs_input_grad[0]:
            gradient = crossbar.tile.update_algorithm.transposed_product(
                d, dict(zip(ctx.names, arrays, strict=True)), transposed_mvm(crossbar, ctx.noise)
            )
        return gradient, crossbar.pending.mark(d) if learns else None, *[None] * (3 + len(arrays))
