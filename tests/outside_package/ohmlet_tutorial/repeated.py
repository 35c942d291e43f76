"""Drift compensation `repeated`: the mean of several read-outs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.spec import integer

__all__ = ["Repeated"]


@frozen(kw_only=True)
class Repeated(DriftCompensation):
    """One factor per crossbar from the mean of several read-outs, whose noise averages out.

    alpha = m(0) / m(t), m = max(mean |y|, 1e-4) over one-hot inputs, all outputs and all read-outs.
    """

    times: int = integer(10, "read-outs that are averaged", ge=1)

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor:
        """Return the mean absolute output, [..., 1, 1]."""
        inputs = torch.eye(in_features, dtype=like.dtype, device=like.device)
        outputs = torch.stack([mvm(inputs) for _ in range(self.times)])
        return outputs.abs().mean((0, -2, -1))[..., None, None].clamp_min(1e-4)

    def equations(self) -> tuple[str, ...]:
        """Return the factor."""
        return (f"alpha = m(0) / m(t), m = max(mean_ij |y_ij|, 1e-4) over one-hot inputs and {self.times} read-outs",)
