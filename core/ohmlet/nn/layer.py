"""What all analog layers share: the digital module's parameters, and an array of crossbars per matrix."""

from __future__ import annotations

import weakref
from math import prod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, ConversionError
from ohmlet.nn.array import AnalogArray
from ohmlet.nn.folding import fold_scales
from ohmlet.nn.read_out import accept, adopt, read_back, release, stamp, verify

__all__ = ["AnalogLayer", "Matrix", "arrays_of", "changes", "drawn_seed", "joined", "living"]

_alive: weakref.WeakSet[AnalogLayer] = weakref.WeakSet()

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)
"""Where torch keeps the hooks of a module's passes; the very dictionaries move along, so that handles still remove their hook."""


def living() -> list[AnalogLayer]:
    """Return all analog layers there are."""
    return list(_alive)


_changes = 0


def _note_change() -> None:
    global _changes
    _changes += 1


def changes() -> int:
    """Return how often layers have been made, copied or given other crossbars, for what is found out about all of them once."""
    return _changes


def drawn_seed() -> int:
    """Return a seed drawn from torch's generator, so that `torch.manual_seed` alone makes a run repeatable."""
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_())


def joined(*names: str) -> str:
    """Return the dotted path of names, empty ones left out."""
    return ".".join(filter(None, names))


def _same_cells(old: AnalogConfig, new: AnalogConfig) -> bool:
    """Whether cells of one config, as they are, can be those of another."""
    rules = [getattr(config.tile, "update_algorithm", None) for config in (old, new)]
    return rules[0] == rules[1] and new.seed is None and old.mapping == new.mapping


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
        self.held: list[str] = []
        self.stamps: list[int] = []
        self.register_load_state_dict_post_hook(accept)  # type: ignore[no-untyped-call]
        for setting in self.settings:
            setattr(self, setting, getattr(module, setting))
        for label, parameter in module._parameters.items():
            self.register_parameter(label, parameter)
        for label, child in module.named_children():
            self.add_module(label, child)
        self.training = module.training
        self.__dict__.update({hooks: module.__dict__[hooks] for hooks in HOOKS})
        chosen = config.seed if seed is None else seed
        self.build(config, name, drawn_seed() if chosen is None else chosen)
        _alive.add(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        stamp(self)
        _alive.add(self)
        _note_change()

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
            if array.in_situ is not None:
                array.to(weight.dtype)  # what cells hold is the layer's weight
            made[f"array_{which}".rstrip("_")] = array.to(weight.device).train(self.training)
        for label, array in made.items():
            self.add_module(label, array)
        self.config, self.name, self.seed = config, name, seed
        _note_change()
        adopt(self)

    @torch.no_grad()
    def set_weights(self, weight: Tensor | None = None, bias: Tensor | None = None, **others: Tensor) -> None:
        """Change parameters of the layer by their names, and bring the cells to them where it learns in memory.

        Raises ConversionError for a name or a size that the layer does not have.
        """
        given = {name: value for name, value in {"weight": weight, "bias": bias, **others}.items() if value is not None}
        for name, value in given.items():
            own = self._parameters.get(name)
            if own is None or own.shape != value.shape:
                sizes = ", ".join(f"{each} {list(parameter.shape)}" for each, parameter in self.named_parameters(recurse=False))
                raise ConversionError(f"layer '{self.name}' has no {name} {list(value.shape)}; it has {sizes}")
        for name, value in given.items():
            self.get_parameter(name).copy_(value)
        adopt(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the layer's forward pass, having made sure that its weights are what its cells hold."""
        if self.held:
            verify(self)
        return super().__call__(*args, **kwargs)

    def product(self, x: Tensor) -> Tensor:
        """Return y [..., out] of vectors x [..., in], for layers with one matrix; the sizes after the batch are positions."""
        # Compiled graphs take the long way, and no conditions on sizes with them.
        usual = not torch.compiler.is_compiling() and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        if usual and x.ndim == 2 and x.shape[0]:
            # Not by attribute, which modules look up in three places; but what was a parameter may be another kind of attribute.
            crossbars: Any = self._modules["array"]
            bias = self._parameters["bias"] if "bias" in self._parameters else self.bias  # noqa: SIM401
            learns = "in_situ" in crossbars._modules
            made: Tensor | None = crossbars.at_once(x, bias) if learns else crossbars.mapped_at_once(x, self.flat_weight(), bias)
            if made is not None:
                return made
        array = self.array
        batch = array.batch_dim(x)
        front = x.movedim(batch, 0) if batch else x
        samples = front.shape[0] if x.ndim > 1 else 1
        y: Tensor = array(front.reshape(samples, prod(front.shape[1:-1]), x.shape[-1]), self.flat_weight(), self.bias)
        # As torch's matmul returns it: no view, so that in-place functions may follow (FSDP hooks onto the outputs of layers).
        y = torch.ops.aten._unsafe_view(y.contiguous(), [*front.shape[:-1], y.shape[-1]])
        return y.movedim(0, batch) if batch else y

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make the digital module."""
        bias = {"bias": self.bias is not None} if "bias" in self._parameters else {}
        return {setting: getattr(self, setting) for setting in self.settings} | bias

    def to_digital(self) -> nn.Module:
        """Return the digital module with this layer's parameters, the same objects, and its children.

        Learned scales are multiplied into the weights first.
        """
        fold_scales(self)
        release(self)
        with torch.device("meta"):
            module = self.digital(**self.arguments())
        for label, parameter in self._parameters.items():
            setattr(module, label, parameter)
        for label, child in self.named_children():
            if not isinstance(child, AnalogArray):
                setattr(module, label, child)
        module.training = self.training
        module.__dict__.update({hooks: self.__dict__[hooks] for hooks in HOOKS})
        return module

    def keeps_scales(self, config: AnalogConfig) -> bool:
        """Whether crossbars of another config have learned scales in the same places, so that these can stay what they are."""
        old, new = self.config.mapping, config.mapping
        return all(getattr(old, name) == getattr(new, name) for name in ("learned_scales", "max_in", "max_out", "bias"))

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return ", ".join(f"{argument}={value}" for argument, value in self.arguments().items())

    def retarget(self, config: AnalogConfig) -> None:
        """Replace the crossbars by those of another config, keeping the state that the new ones have too; parameters stay.

        Keys of the noise are such state: they may come from a checkpoint, and change only when the config states a seed. Learned scales
        that the new crossbars cannot keep are multiplied into the weights.
        """
        if not self.keeps_scales(config):
            fold_scales(self)
        before = self.arrays()
        self.build(config, self.name, self.seed if config.seed is None else config.seed)
        for name, array in self.arrays().items():
            if array.blocks == before[name].blocks:
                old, now = before[name].state_dict(), array.state_dict()
                stay = {key for key in old if key in now and now[key].shape == old[key].shape and (key != "keys" or config.seed is None)}
                if array.in_situ is not None and not _same_cells(before[name].config, config):
                    stay = {key for key in stay if not key.startswith(("crossbars.", "in_situ."))}
                kept = {key: value for key, value in old.items() if key in stay}
                array.load_state_dict(kept, strict=False)
        if self.held:
            read_back(self)


def arrays_of(model: nn.Module) -> dict[str, AnalogArray]:
    """Return every array of a model by its path: that of its layer, followed by the matrix's name in layers with several."""
    return {
        joined(path, which): array
        for path, layer in model.named_modules()
        if isinstance(layer, AnalogLayer)
        for which, array in layer.arrays().items()
    }
