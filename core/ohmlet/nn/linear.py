"""AnalogLinear: `torch.nn.Linear` on crossbars."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.nn.layer import AnalogLayer, drawn_seed

__all__ = ["AnalogLinear"]


class AnalogLinear(AnalogLayer):
    """y = x W^T + b with the product on crossbars; x [..., in], W [out, in], b [out], y [..., out].

    Noise is drawn per sample, which is the first size of x; the sizes between are positions of one sample. `config` is an
    AnalogConfig, a preset's name or a mapping. Raises ConfigError for a config that does not make sense.
    """

    digital: ClassVar[type[nn.Module]] = nn.Linear

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        config: Any,
        device: Any = None,
        dtype: torch.dtype | None = None,
        name: str = "",
        seed: int | None = None,
    ) -> None:
        self._take(nn.Linear(in_features, out_features, bias, device=device, dtype=dtype), AnalogConfig.parse(config), name, seed)

    def _take(self, module: nn.Linear, config: AnalogConfig, name: str, seed: int | None) -> None:
        AnalogLayer.__init__(self, cast("nn.Parameter", module.weight), cast("nn.Parameter | None", module.bias))
        self.in_features, self.out_features = module.in_features, module.out_features
        self.train(module.training)
        chosen = config.seed if seed is None else seed
        self.build(config, name, drawn_seed() if chosen is None else chosen, self.out_features, self.in_features)

    @classmethod
    def from_digital(cls, module: nn.Linear, config: AnalogConfig, name: str = "", seed: int | None = None) -> AnalogLinear:
        """Return the analog layer that takes over a Linear's parameters."""
        layer = cls.__new__(cls)
        layer._take(module, config, name, seed)
        return layer

    def to_digital(self) -> nn.Linear:
        """Return a Linear with this layer's parameters, the same objects."""
        module = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        module.weight, module.bias = self.weight, self.bias  # type: ignore[assignment]
        return module.train(self.training)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def forward(self, x: Tensor) -> Tensor:
        """Return y [..., out] for x [..., in]."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"expected inputs [..., {self.in_features}], got {tuple(x.shape)}")
        samples = x.shape[0] if x.ndim > 1 else 1
        y: Tensor = self.array(x.reshape(samples, prod(x.shape[1:-1]), self.in_features), self.flat_weight(), self.bias)
        return y.reshape(*x.shape[:-1], self.out_features)
