"""Compensation `global`: one factor per crossbar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.spec import one_of

__all__ = ["GlobalCompensation"]


@frozen(kw_only=True)
class GlobalCompensation(DriftCompensation):
    """One factor per crossbar: alpha = m(0) / m(t), m = max(mean |y|, 1e-4) over one-hot inputs and all outputs.

    m(0) is read from the crossbar right after programming (`reference: programmed`) or computed from the weights that were asked for
    (`reference: exact`), which also undoes what programming did to the mean.

    References: Le Gallo et al., IEEE Trans. Electron Devices 65, 4304 (2018), doi:10.1109/TED.2018.2865352; Joshi et al., Nat. Commun.
    11, 2473 (2020), doi:10.1038/s41467-020-16108-9.
    """

    reference: str = one_of("programmed", ("programmed", "exact"), "what m(0) is read from")

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor:
        """Return the mean absolute output over one-hot inputs, [..., 1, 1]."""
        inputs = torch.eye(in_features, dtype=like.dtype, device=like.device)
        return mvm(inputs).abs().mean((-2, -1), keepdim=True).clamp_min(1e-4)

    def reference_read_out(
        self, mvm: Callable[[Tensor], Tensor], exact: Callable[[Tensor], Tensor], in_features: int, like: Tensor
    ) -> Tensor:
        """Return m(0)."""
        return self.read_out(exact if self.reference == "exact" else mvm, in_features, like)

    def equations(self) -> tuple[str, ...]:
        """Return the factor."""
        of = "the weights asked for" if self.reference == "exact" else "the crossbar as programmed"
        return ("alpha = m(0) / m(t), m = max(mean_ij |y_ij|, 1e-4) over one-hot inputs", f"m(0) from {of}")
