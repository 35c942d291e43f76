"""Outputs of a network that the engine computes, as torch's autograd sees them: a gradient of theirs is handed over, and no more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["outputs"]

LEAF = torch.zeros(1, requires_grad=True, device="cpu")
"""What makes outputs ask for gradients."""


class _Outputs(torch.autograd.Function):
    """What `network.forward` makes of x; backward adds the outputs' gradient to a list."""

    @staticmethod
    def forward(ctx: Any, _leaf: Tensor, network: Any, x: Tensor, found: list[Tensor]) -> Tensor:
        y: Tensor = network.forward(x)
        # An activation's derivative is one of its outputs, which nobody may have changed since.
        if network.links[-1].activation:
            ctx.save_for_backward(y)
        ctx.found = found
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.saved_tensors  # noqa: B018  (raises if they have been changed)
        ctx.found.append(grads[0])
        return None, None, None, None


_whole_apply: Any = _Outputs.apply
# As in one step of a layer: preparations for functorch are left out where it does nothing.
_apply: Any = getattr(super(torch.autograd.Function, _Outputs), "apply", _whole_apply)
_transforming: Any = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def outputs(network: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what a network makes of x [S, in], and the list that its gradients [S, out] will be in."""
    found: list[Tensor] = []
    y: Tensor = (_whole_apply if _transforming() else _apply)(LEAF, network, x, found)
    return y, found
