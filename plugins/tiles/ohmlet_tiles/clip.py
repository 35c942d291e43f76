"""Weight clipping inside the forward pass, so that no optimizer, trainer or sharding can skip it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import number

__all__ = ["AverageChannelMax", "Clip", "FixedValue", "LayerGaussian"]


class _ClipInward(torch.autograd.Function):
    """Clips to +-bound; a clipped weight gets the gradient only where it pulls the weight back inside.

        dL/dW = 0 where W > b and dL/dw < 0, or W < -b and dL/dw > 0;  dL/dw elsewhere, at the bound itself too

    Pushes outward do nothing and pulls inward act, as they would if stored weights were set back to the bound after each step. The
    stored weight is not set back, though: it keeps what the one step that crossed the bound went beyond it, and a pull has to undo
    that first. With plain gradient descent and a fixed bound the two are equal until then; `ohmlet.clip_stored` is the other way.
    """

    @staticmethod
    def forward(w: Tensor, bound: Tensor) -> Tensor:
        return w.clamp(-bound, bound)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the weights and the bound."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        w, bound = ctx.saved_tensors
        g = grads[0]
        outward = ((w > bound) & (g < 0)) | ((w < -bound) & (g > 0))
        return torch.where(outward, torch.zeros_like(g), g), None


def clip(w: Tensor, bound: Tensor) -> Tensor:
    """Return weights clipped to +-bound, with a gradient that is masked where it pushes them further out."""
    clipped: Tensor = _ClipInward.apply(w, bound)  # type: ignore[no-untyped-call]
    return clipped


@frozen(kw_only=True)
class LayerGaussian:
    """Clips a crossbar's weights to +-sigma standard deviations, or to +-`at_most` where that is less."""

    type_name: ClassVar[str] = "layer_gaussian"
    sigma: float = number(2.5, "bound in standard deviations of the crossbar's weights", gt=0.0)
    at_most: float | None = number(None, "largest bound, in model units", gt=0.0)

    def constrain(self, w: Tensor) -> Tensor:
        """Return clipped weights [..., out, in]."""
        if w.shape[-1] * w.shape[-2] < 2:
            return w
        spread = w.detach().std((-2, -1), keepdim=True)
        bound = torch.where(spread > 0, self.sigma * spread, torch.inf)
        return clip(w, bound if self.at_most is None else bound.clamp_max(self.at_most))


@frozen(kw_only=True)
class FixedValue:
    """Clips the weights to a fixed bound in model units."""

    type_name: ClassVar[str] = "fixed_value"
    value: float = number(1.0, "bound in model units", gt=0.0)

    def constrain(self, w: Tensor) -> Tensor:
        """Return clipped weights [..., out, in]."""
        return clip(w, torch.full((), self.value, dtype=w.dtype, device=w.device))


@frozen(kw_only=True)
class AverageChannelMax:
    """Clips a crossbar's weights to the mean over outputs of each output's largest |w|, or to `at_most` where that is less."""

    type_name: ClassVar[str] = "average_channel_max"
    at_most: float | None = number(None, "largest bound, in model units", gt=0.0)

    def constrain(self, w: Tensor) -> Tensor:
        """Return clipped weights [..., out, in]."""
        bound = w.detach().abs().amax(-1, keepdim=True).mean(-2, keepdim=True)
        bound = torch.where(bound > 0, bound, torch.inf)
        return clip(w, bound if self.at_most is None else bound.clamp_max(self.at_most))


Clip = LayerGaussian | FixedValue | AverageChannelMax
