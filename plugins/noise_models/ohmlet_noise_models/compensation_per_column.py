"""Compensation `per_column`: one factor per output of a crossbar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation

__all__ = ["PerColumnCompensation"]


@frozen(kw_only=True)
class PerColumnCompensation(DriftCompensation):
    """One factor per output: alpha_i = m_i(0) / m_i(t), m_i = max(mean |y_i|, 1e-4) over one-hot inputs.

    Outputs are the columns of a crossbar as it is drawn, hence the name.

    References: Le Gallo et al., IEEE Trans. Electron Devices 65, 4304 (2018), doi:10.1109/TED.2018.2865352, for the factor of a whole
    crossbar; Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494.
    """

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor:
        """Return the mean absolute output over one-hot inputs, [..., 1, out]."""
        inputs = torch.eye(in_features, dtype=like.dtype, device=like.device)
        return mvm(inputs).abs().mean(-2, keepdim=True).clamp_min(1e-4)

    def equations(self) -> tuple[str, ...]:
        """Return the factors."""
        return ("alpha_i = m_i(0) / m_i(t), m_i = max(mean_j |y_ij|, 1e-4) over one-hot inputs",)
