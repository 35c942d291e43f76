"""Learned scales that become weights, for who takes the crossbars away or cuts them otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ohmlet.errors import ConversionError
from ohmlet.nn.read_out import read_back
from ohmlet.nn.writing import write_matrices

if TYPE_CHECKING:
    from ohmlet.nn.layer import AnalogLayer

__all__ = ["fold_scales"]


@torch.no_grad()
def fold_scales(layer: AnalogLayer) -> None:
    """Multiply a layer's learned scales into its weights, W <- f W, and make them 1: the layer computes the same product.

    Where scales and factors are of one kind, crossbars hold the same numbers as before; cells that learn in memory do in any case, and
    their fixed scale takes the factor. Raises ConversionError when a weight or that scale cannot take it; then nothing has changed.
    """
    if all(array.learned_scales is None for array in layer.arrays().values()):
        return
    if layer.held:
        _into_scales(layer)
    else:
        _into_weights(layer)
    for array in layer.arrays().values():
        if array.learned_scales is not None:
            array.learned_scales.reset()
    if layer.held:
        read_back(layer)


def _into_scales(layer: AnalogLayer) -> None:
    pairs = [
        (array.in_situ.scale(index), array.learned_scales.factor(index))
        for array in layer.arrays().values()
        if array.in_situ is not None and array.learned_scales is not None
        for index in range(len(array.blocks))
    ]
    if any(factor.shape[-2] > scale.shape[-2] for scale, factor in pairs):
        raise ConversionError(
            f"layer '{layer.name}': its cells have one scale per crossbar, which cannot take learned_scales columnwise; "
            "train with mapping.scales columnwise or learned_scales tilewise"
        )
    for scale, factor in pairs:
        scale.mul_(factor.to(scale.dtype))


def _into_weights(layer: AnalogLayer) -> None:
    wanted: dict[str, tuple[Tensor, Tensor | None]] = {}
    for which, matrix in layer.matrices().items():
        array = layer.arrays()[which]
        folded = array.matrix(matrix.weight, matrix.bias).clone()
        for index, block in enumerate(array.blocks):
            if array.learned_scales is not None:
                part = folded[..., block.first_out : block.last_out, block.first_in : block.last_in]
                part *= array.learned_scales.factor(index).to(folded.dtype)
        wanted[which] = array.parted(folded)
    before = [parameter.clone() for parameter in layer.parameters(recurse=False)]
    write_matrices(layer, wanted)
    after = layer.matrices()
    if all(torch.equal(after[which].weight, weight) for which, (weight, _) in wanted.items()):
        return
    for parameter, value in zip(layer.parameters(recurse=False), before, strict=True):
        parameter.copy_(value)
    raise ConversionError(
        f"layer '{layer.name}': some of its weights are kept from training or read twice, so its learned scales cannot go into them; "
        "train without mapping.learned_scales"
    )
