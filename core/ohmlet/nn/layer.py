"""What all analog layers share: real parameters, an array of crossbars, and a count of optimizer steps."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConversionError
from ohmlet.nn.array import AnalogArray

__all__ = ["AnalogLayer", "drawn_seed"]

_alive: weakref.WeakSet[AnalogLayer] = weakref.WeakSet()


def drawn_seed() -> int:
    """Return a seed drawn from torch's generator, so that `torch.manual_seed` alone makes a run repeatable."""
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_())


def _count_step(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
    """Advance the step count of every layer whose weight this optimizer has just updated."""
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for layer in list(_alive):
        if id(layer.weight) in stepped:
            layer.array.steps.add_(1)


register_optimizer_step_post_hook(_count_step)


class AnalogLayer(nn.Module):
    """A layer whose matrix product happens on crossbars; `weight` and `bias` are ordinary parameters in model units.

    The layer takes over the parameters of the digital module it is made from, so optimizers and tied weights keep working.
    """

    digital: ClassVar[type[nn.Module]]
    """The torch module that this layer stands for."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    array: AnalogArray

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight = weight
        self.register_parameter("bias", bias)
        _alive.add(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _alive.add(self)

    @property
    def config(self) -> AnalogConfig:
        """The hardware behind this layer."""
        return self.array.config

    def build(self, config: AnalogConfig, name: str, seed: int, out_features: int, in_features: int, groups: int = 1) -> None:
        """Give the layer its crossbars; raises ConversionError for weights that are not finite."""
        for label, tensor in (("weight", self.weight), ("bias", self.bias)):
            if tensor is not None and not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).sum())
                raise ConversionError(f"layer '{name}': {bad} of {tensor.numel()} values of its {label} are not finite (NaN or infinite)")
        if not self.weight.is_floating_point():
            raise ConversionError(f"layer '{name}': weights are {self.weight.dtype}, and crossbars hold real numbers")
        self.array = AnalogArray(config, out_features, in_features, groups, self.bias is not None, name, seed)
        self.array.to(self.weight.device)
        self.array.train(self.training)

    def flat_weight(self) -> Tensor:
        """Return the weight as the matrix [groups out, in] whose products the crossbars compute."""
        return self.weight.flatten(1)

    @classmethod
    def from_digital(cls, module: Any, config: AnalogConfig, name: str = "", seed: int | None = None) -> AnalogLayer:
        """Return the analog layer that takes over a digital module's parameters."""
        raise NotImplementedError

    def to_digital(self) -> nn.Module:
        """Return the digital module with this layer's parameters, the same objects."""
        raise NotImplementedError

    def retarget(self, config: AnalogConfig) -> None:
        """Replace the crossbars by those of another config, keeping the state that the new ones have too; parameters stay."""
        old = self.array
        seed = old.seed if config.seed is None else config.seed
        self.build(config, old.name, seed, old.out_features, old.in_features, old.groups)
        if self.array.blocks == old.blocks:
            now = self.array.state_dict()
            kept = {key: value for key, value in old.state_dict().items() if key != "keys" and key in now and now[key].shape == value.shape}
            self.array.load_state_dict(kept, strict=False)
