"""Drift compensations: a read-out of known inputs, and the digital factor that undoes what drift did to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DriftCompensation"]


class DriftCompensation(Spec):
    """Measures a crossbar right after programming and again at time t, and scales its outputs by what changed.

    Subclass it as a frozen attrs class. A whole compensation:

        @frozen(kw_only=True)
        class Repeated(DriftCompensation):
            \"\"\"Global compensation averaged over several read-outs.\"\"\"

            times: int = integer(10, "read-outs", ge=1)

            def read_out(self, mvm, in_features, like):
                inputs = torch.eye(in_features, dtype=like.dtype, device=like.device)
                means = sum(mvm(inputs).abs().mean((-2, -1), keepdim=True) for _ in range(self.times)) / self.times
                return means.clamp_min(1e-4)  # a crossbar of zeros has a factor, too
    """

    kind: ClassVar[str] = "drift_compensation"

    @abstractmethod
    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor | None:
        """Return what is remembered of a crossbar: [..., 1, 1] for one number per crossbar, [..., 1, out] for one per output.

        `mvm` is the crossbar with all its converters and noise: inputs [S, in], 1 being full scale, to outputs [..., S, out] (leading
        sizes are chip instances); each call's samples draw new noise. `like` states dtype and device. None compensates nothing.
        """

    def reference_read_out(
        self, mvm: Callable[[Tensor], Tensor], exact: Callable[[Tensor], Tensor], in_features: int, like: Tensor
    ) -> Tensor | None:
        """Return what later read-outs are compared with: by default the read-out of the crossbar right after programming.

        `exact` computes with the weights that were asked for, without converters and noise: outputs [groups?, S, out].
        """
        return self.read_out(mvm, in_features, like)

    def factor(self, reference: Tensor, now: Tensor) -> Tensor:
        """Return the factor on the outputs, reference / now, from the read-outs after programming and at time t."""
        return reference / now
