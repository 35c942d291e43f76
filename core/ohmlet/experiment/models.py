"""Models by name, or by a function of the user's own."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from ohmlet.errors import ConfigError
from ohmlet.experiment.imports import Imports, imported
from ohmlet.spec import integer, one_of

if TYPE_CHECKING:
    from torch import nn

    from ohmlet.experiment.data import Split

__all__ = ["CNN", "MLP", "ImportedModel", "Model"]


def _sizes(_: object, attribute: Any, value: tuple[int, ...]) -> None:
    if any(size < 1 for size in value):
        raise ValueError(f"'{attribute.name}' are sizes of at least 1: {list(value)}")


def activation(name: str) -> nn.Module:
    """Return an activation's module by name."""
    from torch import nn

    return {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}[name]()  # type: ignore[no-any-return]


ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")


@frozen(kw_only=True)
class MLP:
    """Fully connected layers on the flattened input."""

    type_name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = field(default=(64, 64), validator=_sizes, metadata={"doc": "sizes of the hidden layers"})
    activation: str = one_of("relu", ACTIVATIONS, "between layers")

    def build(self, data: Split, imports: Imports) -> nn.Module:
        """Return the network."""
        from torch import nn

        sizes = [data.train_x[0].numel(), *self.hidden, data.classes]
        layers: list[nn.Module] = [nn.Flatten()]
        for first, second in pairwise(sizes[:-1]):
            layers += [nn.Linear(first, second), activation(self.activation)]
        return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


@frozen(kw_only=True)
class CNN:
    """Convolutions, each followed by the activation and 2x2 max pooling, then one fully connected layer."""

    type_name: ClassVar[str] = "cnn"
    channels: tuple[int, ...] = field(default=(8, 16), validator=_sizes, metadata={"doc": "channels of the convolutions"})
    kernel_size: int = integer(3, "width of the convolutions' kernels", unit="pixel", ge=1)
    activation: str = one_of("relu", ACTIVATIONS, "after each convolution")

    def build(self, data: Split, imports: Imports) -> nn.Module:
        """Return the network; raises ConfigError for data that are no images or too small for the pooling."""
        from torch import nn

        shape = tuple(data.train_x.shape[1:])
        if len(shape) != 3 or min(shape[1:]) >> len(self.channels) < 1:
            raise ConfigError(
                f"a cnn of {len(self.channels)} convolutions needs images [channels, height, width] of at least "
                f"2^{len(self.channels)} pixels, got {shape}"
            )
        layers: list[nn.Module] = []
        for first, second in pairwise((shape[0], *self.channels)):
            layers += [nn.Conv2d(first, second, self.kernel_size, padding="same"), activation(self.activation), nn.MaxPool2d(2)]
        features = self.channels[-1] * (shape[1] >> len(self.channels)) * (shape[2] >> len(self.channels))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, data.classes))


@frozen(kw_only=True)
class ImportedModel:
    """A model from a function of your own, `package.module:function`, which returns a torch.nn.Module giving logits [n, classes]."""

    type_name: ClassVar[str] = "import"
    function: str = field(metadata={"doc": "package.module:function"})
    arguments: dict[str, Any] = field(factory=dict, metadata={"doc": "passed to the function by name"}, hash=False)

    def build(self, data: Split, imports: Imports) -> nn.Module:
        """Return what the function gives; raises ConfigError unless imports are allowed and it gives a Module."""
        from torch import nn

        found = imported(self.function, imports)(**self.arguments)
        if not isinstance(found, nn.Module):
            raise ConfigError(f"{self.function} must return a torch.nn.Module, got {type(found).__name__}")
        return found


Model = MLP | CNN | ImportedModel
