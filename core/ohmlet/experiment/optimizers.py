"""Optimizers of the digital parameters, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from ohmlet.spec import number

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as TorchOptimizer

__all__ = ["SGD", "AdamW", "Optimizer"]


@frozen(kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    type_name: ClassVar[str] = "sgd"
    lr: float = number(0.05, "learning rate at the start", gt=0.0)
    momentum: float = number(0.9, "memory of earlier gradients", ge=0.0, lt=1.0)
    weight_decay: float = number(0.0, "pull of the parameters towards zero", ge=0.0)

    def build(self, parameters: Iterable[nn.Parameter]) -> TorchOptimizer:
        """Return torch's optimizer."""
        from torch.optim import SGD as TorchSGD

        return TorchSGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


@frozen(kw_only=True)
class AdamW:
    """Adam with decoupled weight decay."""

    type_name: ClassVar[str] = "adamw"
    lr: float = number(1e-3, "learning rate at the start", gt=0.0)
    weight_decay: float = number(0.0, "pull of the parameters towards zero", ge=0.0)

    def build(self, parameters: Iterable[nn.Parameter]) -> TorchOptimizer:
        """Return torch's optimizer."""
        from torch.optim import AdamW as TorchAdamW

        return TorchAdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)


Optimizer = SGD | AdamW
