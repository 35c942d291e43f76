"""AnalogLinear: `torch.nn.Linear` on crossbars."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ohmlet.nn.layer import AnalogLayer

__all__ = ["AnalogLinear", "AnalogOutProjection"]


class AnalogLinear(AnalogLayer):
    """y = x W^T + b with the product on crossbars; x [..., in], W [out, in], b [out], y [..., out].

    Takes Linear's arguments. Noise is drawn per sample, which is the first size of x; the sizes between are positions of one sample.
    """

    digital: ClassVar[type[nn.Module]] = nn.Linear
    settings: ClassVar[tuple[str, ...]] = ("in_features", "out_features")
    in_features: int
    out_features: int

    def forward(self, x: Tensor) -> Tensor:
        """Return y [..., out] for x [..., in]."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"expected inputs [..., {self.in_features}], got {tuple(x.shape)}")
        return self.product(x)


class AnalogOutProjection(AnalogLinear):
    """The last product of torch's MultiheadAttention, which has a class of its own there."""

    digital: ClassVar[type[nn.Module]] = NonDynamicallyQuantizableLinear
