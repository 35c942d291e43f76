"""What programming aims at: every crossbar of a model with its target conductances, by one name wherever crossbars are named."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.errors import ConfigError, ConversionError
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet.nn import AnalogLayer
from ohmlet.nn.array import AnalogArray, Block
from ohmlet.nn.layer import joined
from ohmlet_kernels.noise import key as stream_key

__all__ = ["Target", "crossbar_name", "targets_of"]


class Target(NamedTuple):
    """One crossbar and what it is to hold."""

    name: str
    """`crossbar_name` of its matrix and its number."""
    path: str
    """Of its matrix: the layer's path, followed by the matrix's name in layers with several."""
    array: AnalogArray
    number: int
    """Among the crossbars of its matrix."""
    w: Tensor
    """Weights asked for, [groups?, out, in] in [-1, 1]."""
    scale: Tensor
    """[groups?, out or 1, 1] back to model units."""
    g: Tensor
    """Target conductances [devices, groups?, out, in] in uS."""

    @property
    def block(self) -> Block:
        """The rows and columns of its matrix that the crossbar holds."""
        return self.array.blocks[self.number]

    def keys(self, instances: int, seed: int) -> Tensor:
        """Return the keys of its noise streams, int64 [instances, groups?]."""
        groups = range(self.array.groups)
        drawn = [[stream_key(seed, self.path, self.number, group, instance) for group in groups] for instance in range(instances)]
        keys = torch.tensor(drawn, dtype=torch.int64, device=self.w.device)
        return keys if self.array.groups > 1 else keys[:, 0]


def crossbar_name(path: str, index: int) -> str:
    """Return the name of a crossbar in fault maps and measured chips, such as "encoder.0.block1"."""
    return joined(path, f"block{index}")


@torch.no_grad()
def targets_of(name: str, layer: AnalogLayer) -> list[Target]:
    """Return the crossbars of a layer, those of its first matrix first.

    Raises ConfigError for a tile without conductances or weights beyond a crossbar's range, ConversionError for weights that are not
    finite.
    """
    tile = layer.config.tile
    if not isinstance(tile, ProgrammableTile):
        raise ConfigError(
            f"layer '{name}' cannot be programmed: its tile holds no conductances; "
            "retarget the model to a config with a tile that has a conductance_converter, for example inference"
        )
    for label, tensor in layer.named_parameters(recurse=False):
        if not bool(torch.isfinite(tensor).all()):
            raise ConversionError(
                f"layer '{name}' cannot be programmed: its {label} holds {int((~torch.isfinite(tensor)).sum())} values that are not finite"
            )
    arrays, targets = layer.arrays(), []
    for which, matrix in layer.matrices().items():
        path = joined(name, which)
        for index, mapped in enumerate(arrays[which].mapped_blocks(*matrix)):
            w, scale = mapped.w, mapped.scale
            largest = float(w.abs().max())
            if arrays[which].in_situ is not None and largest > 1.0:
                # What cells hold is what it is: the largest of them has the largest conductance.
                w, scale = w / largest, scale * largest
            if float(w.abs().max()) > 1.0 + 1e-6:
                raise ConfigError(
                    f"layer '{path}': weights reach {float(w.abs().max()):.3g}, a crossbar's range is 1; "
                    "set mapping.scales to columnwise or tilewise"
                )
            g = tile.conductance_converter.to_conductances(w)
            targets.append(Target(crossbar_name(path, index), path, arrays[which], index, w, scale, g))
    return targets
