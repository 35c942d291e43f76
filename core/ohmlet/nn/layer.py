"""What all analog layers share: the digital module's parameters, an array of crossbars per matrix, and a count of optimizer steps."""

from __future__ import annotations

import weakref
from math import prod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, ConversionError
from ohmlet.nn.array import AnalogArray

__all__ = ["AnalogLayer", "Matrix", "arrays_of", "drawn_seed", "joined"]

_alive: weakref.WeakSet[AnalogLayer] = weakref.WeakSet()


def drawn_seed() -> int:
    """Return a seed drawn from torch's generator, so that `torch.manual_seed` alone makes a run repeatable."""
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_())


def _count_step(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
    """Advance the step count of every layer with a matrix that this optimizer has just updated."""
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for layer in list(_alive):
        if any(id(parameter) in stepped for parameter in layer.parameters(recurse=False) if parameter.ndim > 1):
            for array in layer.arrays().values():
                array.steps.add_(1)


register_optimizer_step_post_hook(_count_step)


def joined(*names: str) -> str:
    """Return the dotted path of names, empty ones left out."""
    return ".".join(filter(None, names))


class Matrix(NamedTuple):
    """What the crossbars of one array hold: a weight [groups out, in] and a bias [groups out], in model units."""

    weight: Tensor
    bias: Tensor | None


class AnalogLayer(nn.Module):
    """A layer whose matrix products happen on crossbars; its parameters are ordinary ones in model units.

    It takes over the parameters and children of the digital module it is made from, the same objects under the same names, so that
    optimizers, tied weights and checkpoints keep working. Beside them it has one AnalogArray per matrix: `array` where there is one
    matrix, `array_<name>` for each where there are several. Takes the digital module's arguments, the config (an AnalogConfig, a
    preset's name or a mapping), and for the noise a name and a seed. Raises ConfigError for a config that does not make sense.

    A subclass states `digital` and `settings`, computes `forward` with its arrays, and says in `flat_weight` or `matrices` what they
    hold; registered in `ohmlet.nn.LAYERS` it is what `convert` uses.
    """

    digital: ClassVar[type[nn.Module]]
    """The torch module that this layer stands for."""
    settings: ClassVar[tuple[str, ...]]
    """The arguments of `digital`, apart from `bias`, that it keeps as attributes of the same name; so does this layer."""
    only_by_rule: ClassVar[bool] = False
    """Whether `convert` leaves this layer digital unless a rule asks for it."""

    # Of layers with one matrix.
    weight: nn.Parameter
    bias: nn.Parameter | None
    array: AnalogArray

    def __init__(self, *args: Any, config: Any, name: str = "", seed: int | None = None, **kwargs: Any) -> None:
        config = AnalogConfig.parse(config)
        if config.seed is not None and seed is None and not name:
            raise ConfigError(f"the config states seed {config.seed}, and layers without a name would all draw the same noise: pass name=")
        self.take(self.digital(*args, **kwargs), config, name, seed)

    @classmethod
    def from_digital(cls, module: nn.Module, config: AnalogConfig, name: str = "", seed: int | None = None) -> Self:
        """Return the analog layer that takes over a digital module's parameters; its children stay what they are."""
        layer = cls.__new__(cls)
        layer.take(module, config, name, seed)
        return layer

    @classmethod
    def weight_names(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the parameters of a digital module that hold its matrices."""
        return ("weight",)

    def take(self, module: nn.Module, config: AnalogConfig, name: str, seed: int | None) -> None:
        """Become the analog layer of a digital module."""
        nn.Module.__init__(self)
        for setting in self.settings:
            setattr(self, setting, getattr(module, setting))
        for label, parameter in module._parameters.items():
            self.register_parameter(label, parameter)
        for label, child in module.named_children():
            self.add_module(label, child)
        self.training = module.training
        chosen = config.seed if seed is None else seed
        self.build(config, name, drawn_seed() if chosen is None else chosen)
        _alive.add(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _alive.add(self)

    def flat_weight(self) -> Tensor:
        """Return the weight as the matrix [groups out, in] whose products the crossbars compute, for layers with one matrix."""
        return self.weight.flatten(1)

    def matrices(self) -> dict[str, Matrix]:
        """Return the layer's matrices by name; a layer with one names it ""."""
        return {"": Matrix(self.flat_weight(), self.bias)}

    def arrays(self) -> dict[str, AnalogArray]:
        """Return the layer's arrays by the names of their matrices."""
        return {
            name.removeprefix("array").removeprefix("_"): module
            for name, module in self._modules.items()
            if isinstance(module, AnalogArray)
        }

    @property
    def size(self) -> int:
        """The number of crossbars."""
        return sum(len(array.blocks) * array.groups for array in self.arrays().values())

    def build(self, config: AnalogConfig, name: str, seed: int) -> None:
        """Give the layer its crossbars; raises ConversionError for weights that are not finite."""
        for label, tensor in self.named_parameters(recurse=False):
            if not tensor.is_floating_point():
                raise ConversionError(f"layer '{name}': weights are {tensor.dtype}, and crossbars hold real numbers")
            if not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).sum())
                raise ConversionError(f"layer '{name}': {bad} of {tensor.numel()} values of its {label} are not finite (NaN or infinite)")
        made, groups = {}, getattr(self, "groups", 1)
        for which, (weight, bias) in self.matrices().items():
            outs, ins = weight.shape
            array = AnalogArray(config, outs // groups, ins, groups, bias is not None, joined(name, which), seed)
            made[f"array_{which}".rstrip("_")] = array.to(weight.device).train(self.training)
        for label, array in made.items():
            self.add_module(label, array)
        self.config, self.name, self.seed = config, name, seed

    def product(self, x: Tensor) -> Tensor:
        """Return y [..., out] of vectors x [..., in], for layers with one matrix; the sizes after the batch are positions."""
        batch = self.array.batch_dim(x)
        front = x.movedim(batch, 0) if batch else x
        samples = front.shape[0] if x.ndim > 1 else 1
        y: Tensor = self.array(front.reshape(samples, prod(front.shape[1:-1]), x.shape[-1]), self.flat_weight(), self.bias)
        y = y.reshape(*front.shape[:-1], y.shape[-1])
        return y.movedim(0, batch) if batch else y

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make the digital module."""
        bias = {"bias": self.bias is not None} if "bias" in self._parameters else {}
        return {setting: getattr(self, setting) for setting in self.settings} | bias

    def to_digital(self) -> nn.Module:
        """Return the digital module with this layer's parameters, the same objects, and its children."""
        with torch.device("meta"):
            module = self.digital(**self.arguments())
        for label, parameter in self._parameters.items():
            setattr(module, label, parameter)
        for label, child in self.named_children():
            if not isinstance(child, AnalogArray):
                setattr(module, label, child)
        module.training = self.training
        return module

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return ", ".join(f"{argument}={value}" for argument, value in self.arguments().items())

    def retarget(self, config: AnalogConfig) -> None:
        """Replace the crossbars by those of another config, keeping the state that the new ones have too; parameters stay."""
        before = self.arrays()
        self.build(config, self.name, self.seed if config.seed is None else config.seed)
        for name, array in self.arrays().items():
            if array.blocks == before[name].blocks:
                old, now = before[name].state_dict(), array.state_dict()
                kept = {key: value for key, value in old.items() if key != "keys" and key in now and now[key].shape == value.shape}
                array.load_state_dict(kept, strict=False)


def arrays_of(model: nn.Module) -> dict[str, AnalogArray]:
    """Return every array of a model by its path: that of its layer, followed by the matrix's name in layers with several."""
    return {
        joined(path, which): array
        for path, layer in model.named_modules()
        if isinstance(layer, AnalogLayer)
        for which, array in layer.arrays().items()
    }
