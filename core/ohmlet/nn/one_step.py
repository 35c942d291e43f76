"""A layer's call as one step of autograd, where one crossbar computes it so: for small layers the steps themselves are what takes time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ohmlet.nn.mapping import weight_scales
from ohmlet.nn.plain import advance, hooked, plain
from ohmlet_kernels.extremes import largest_of_rows
from ohmlet_kernels.ranks import rank_and_world
from ohmlet_kernels.recompute import recomputing

if TYPE_CHECKING:
    from ohmlet.config.analog import AnalogConfig
    from ohmlet.nn.array import Block

__all__ = ["OneStep"]

UNIT = torch.ones(1, 1, dtype=torch.float32, device="cpu")
"""No scale."""


class OneStep(nn.Module):
    """What an array does for plain vectors in training, with the very numbers of the long way."""

    config: AnalogConfig
    name: str
    blocks: list[Block]
    groups: int
    bias_column: bool
    read: Any
    keys: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Of the latest forward passes, last first: checkpointing runs them again in that order, inside backward.
        self._bases: deque[Tensor | int] = deque(maxlen=256)
        self.bound: Any = None
        """What the crossbar has made for its scale and bias as they are, to compute the layer in one step; see `interfaces.tile`."""

    def at_once(self, x: Tensor, bias: Tensor | None) -> Tensor | None:
        """Return y [S, out] of x [S, in] in training where one crossbar computes it in one step, else None; the same numbers."""
        affine = self.affine(x.shape[1], bias) if plain(x) else None
        if affine is None:
            return None
        y: Tensor = affine(x, self._address(len(x)))
        modules = self.__dict__["_modules"]
        learned = modules.get("learned_scales")
        if learned is None:
            return y
        # Factors that are learned are torch's to differentiate.
        factor = (modules["in_situ"].scale(0) * learned.factor(0).to(y.dtype)).mT
        return y * factor if bias is None else torch.addcmul(bias, y, factor)

    def affine(self, inputs: int, bias: Tensor | None) -> Any:
        """Return what computes the layer for vectors of so many inputs in training, where one crossbar does so in one step, else None.

        With learned scales it computes no more than w x.
        """
        # Modules look attributes up in three places, tens of times for a mini-batch.
        own = self.__dict__
        modules = own["_modules"]
        in_situ = modules.get("in_situ")
        if in_situ is None or not own["training"] or own["read"] is not None:
            return None
        crossbar = in_situ.only()
        if hooked(own, crossbar.__dict__):
            return None
        if crossbar.pending:
            in_situ.check(self.name)
        scale = in_situ.__dict__["_buffers"]["scale_0"]
        if modules.get("learned_scales") is not None:
            scale, bias = UNIT, None
        bound = own["bound"]
        if bound is None or not bound.stands(inputs, scale, bias):
            # Something has changed, as when a model is moved; or there is nothing that computes it in one step.
            whole = self._whole(crossbar) and (bias is None or plain(bias))
            bound = self.bound = crossbar.affine(scale, bias) if whole else None
            if bound is None or not bound.stands(inputs, scale, bias):
                return None
        return bound

    def _whole(self, crossbar: nn.Module) -> bool:
        """Whether one crossbar does all that the layer does, and may know how to do so in one step."""
        return len(self.blocks) == self.groups == 1 and not self.bias_column and hasattr(crossbar, "affine")

    def _address(self, samples: int) -> tuple[int, int, str]:
        """Return key, ordinal of the first sample and path of the noise of a training call; advances the counter."""
        return self.__dict__["_buffers"]["keys"].item(), self._first(samples), "training"

    def mapped_at_once(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """Return what `at_once` does where the layer owns the weight [out, in]: y [S, out], or None."""
        modules: Any = self._modules
        crossbars = modules["crossbars"]._modules
        if len(crossbars) > 1 or self.groups > 1 or not self.training or self.read is not None or self.bias_column:
            return None
        (crossbar,) = crossbars.values()
        affine = getattr(crossbar, "mapped_affine", None)
        compute = affine() if affine is not None else None
        if compute is None or modules.get("learned_scales") is not None or hooked(self.__dict__, crossbar.__dict__):
            return None
        if not (plain(x) and plain(weight) and (bias is None or plain(bias))):
            return None
        m, largest = self.config.mapping, largest_of_rows(weight)
        scale = weight_scales(weight, m.scales, m.omega, m.max_scale_range, largest=largest)
        key, step = int(self.keys), int(self.steps)
        y: Tensor = compute(x, weight, scale, largest, bias, (key, self._first(len(x)), step, "training"))
        return y

    def _first(self, samples: int) -> int:
        """Return the ordinal of the first of a training call's samples; advances the counter."""
        own = self.__dict__
        bases = own["_bases"]
        if bases and recomputing():
            return int(bases.pop())
        rank, world = rank_and_world()
        before = advance(own["_buffers"]["trained_samples"], world * samples)
        first: int = before + rank * samples
        bases.append(first)
        return first
