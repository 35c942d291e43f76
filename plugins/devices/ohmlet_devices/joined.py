"""Several devices at a crosspoint as one array: what unit cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.cells import PulsedArray
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Trains

__all__ = ["JoinedArray", "mean_granularity", "of_samples"]


def mean_granularity(cells: Sequence[UnitCell]) -> float:
    """Return the mean step over the devices of a crosspoint."""
    return sum(cell.granularity for cell in cells) / len(cells)


def of_samples(made: Trains, chosen: Tensor) -> Trains:
    """Return the trains of some of the samples, given by index or mask."""
    period = None if made.period is None else made.period[chosen]
    return Trains(made.x[chosen], made.d[chosen], made.x_negative[chosen], made.d_negative[chosen], period, made.select)


class JoinedArray(PulsedArray):
    """Arrays of the same size whose weights make up one; what happens between updates happens to each, with noise of its own."""

    def __init__(self, granularity: float, site: ArraySite, arrays: Mapping[str, nn.Module]) -> None:
        super().__init__()
        unpulsed = [name for name, array in arrays.items() if not isinstance(array, PulsedArray)]
        if unpulsed:
            raise ConfigError(
                f"a cell of several devices pulses all of them, and {', '.join(unpulsed)} takes no pulses: use a device with steps"
            )
        self.granularity, self.site_kernel = granularity, site.kernel
        self.arrays = nn.ModuleDict(arrays)

    def part(self, name: str) -> PulsedArray:
        """Return the array of a part."""
        array = self.arrays[name]
        assert isinstance(array, PulsedArray)
        return array

    def parts(self) -> dict[str, PulsedArray]:
        """Return the arrays by name."""
        return {name: self.part(name) for name in self.arrays}

    def kernel(self, operation: str, device_type: str) -> Any:
        """Return the engine's function of an operation."""
        return self.site_kernel(operation, device_type)

    def decay(self, alpha: float = 1.0, noise: Stream | None = None) -> None:
        """Let the weights decay as in `alpha` mini-batches."""
        for name, array in self.parts().items():
            array.decay(alpha, None if noise is None else noise.child(name))

    def diffuse(self, noise: Stream) -> None:
        """Let the weights diffuse as in one mini-batch."""
        for name, array in self.parts().items():
            array.diffuse(noise.child(name))

    def reset(self, mask: Tensor, noise: Stream) -> None:
        """Reset the devices where mask [out, in] is true."""
        for name, array in self.parts().items():
            array.reset(mask, noise.child(name))

    def drift(self, seconds: float, noise: Stream) -> None:
        """Let the devices drift."""
        for name, array in self.parts().items():
            array.drift(seconds, noise.child(name))

    def like(self) -> Tensor:
        """Return an empty tensor [out, in] of the weights' type."""
        return torch.empty_like(next(iter(self.parts().values())).weights())
