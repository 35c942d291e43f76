"""What a layer that learns in memory shows as its parameters: a read-out of its cells, which nobody else may write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConversionError, OrderError
from ohmlet.nn.writing import write_matrices

if TYPE_CHECKING:
    from ohmlet.nn.layer import AnalogLayer

__all__ = ["adopt", "held", "read_back", "release", "shown", "verify", "whole"]


def held(layer: AnalogLayer) -> list[str]:
    """Return the names of a layer's parameters that its cells hold: those in which a gradient of its matrices would end."""
    named = {name: each for name, each in layer.named_parameters(recurse=False) if each.is_floating_point()}
    asked = [each.requires_grad for each in named.values()]
    try:
        for parameter in named.values():
            parameter.requires_grad_(True)
        with torch.enable_grad():
            parts = [
                part.sum()
                for which, matrix in layer.matrices().items()
                for part in (matrix.weight, matrix.bias if layer.arrays()[which].bias_column else None)
                if part is not None and layer.arrays()[which].in_situ is not None
            ]
            found = torch.autograd.grad(parts, list(named.values()), allow_unused=True)
    finally:
        for parameter, flag in zip(named.values(), asked, strict=True):
            parameter.requires_grad_(flag)
    return [name for name, gradient in zip(named, found, strict=True) if gradient is not None]


def adopt(layer: AnalogLayer) -> None:
    """Bring the cells to the layer's weights as far as they can, and show what they hold; the weights have no gradient from then on."""
    release(layer)
    arrays = {which: array for which, array in layer.arrays().items() if array.in_situ is not None}
    if not arrays:
        return
    for which, (weight, bias) in layer.matrices().items():
        if weight.is_meta:
            raise ConversionError(
                f"layer '{layer.name}' has no weights yet (they are on the meta device) for its cells to take: load them first"
            )
        if which in arrays:
            array = arrays[which]
            assert array.in_situ is not None
            array.in_situ.adopt(array.matrix(weight.detach(), None if bias is None else bias.detach()), array.keys, array.name)
    layer.held = held(layer)
    for name in layer.held:
        layer.get_parameter(name).requires_grad_(False)
    read_back(layer)


def release(layer: AnalogLayer) -> None:
    """Give the weights their gradient back, for a layer that learns in memory no more."""
    for name in layer.held:
        layer.get_parameter(name).requires_grad_(True)
    layer.held = []


def read_back(layer: AnalogLayer) -> None:
    """Write what the cells hold into the layer's parameters."""
    if not _written(layer):
        _read_parts(layer)
    stamp(layer)


def shown(layer: AnalogLayer, weight: Tensor) -> None:
    """Take note that a layer's only parameter has got what the cells hold, by another way than torch's."""
    torch.autograd.graph.increment_version(weight)
    stamp(layer)


@torch.no_grad()
def _read_parts(layer: AnalogLayer) -> None:
    """Write what the cells hold into the layer's parameters, which may be parts of matrices or joined of several."""
    wanted: dict[str, tuple[Tensor, Tensor | None]] = {}
    for which, matrix in layer.matrices().items():
        array = layer.arrays()[which]
        if array.in_situ is None:
            wanted[which] = (matrix.weight.detach().clone(), None)
            continue
        weight, bias = array.parted(array.in_situ.matrix())
        if _same_memory(matrix.weight, layer) and (bias is None or (matrix.bias is not None and _same_memory(matrix.bias, layer))):
            matrix.weight.detach().copy_(weight)
            if bias is not None and matrix.bias is not None:
                matrix.bias.detach().copy_(bias)
        else:
            wanted[which] = (weight, bias)
    if len(wanted) == len(layer.arrays()):
        write_matrices(layer, wanted)


def whole(layer: AnalogLayer) -> nn.Parameter | None:
    """Return the only parameter that cells hold if it is the matrix of one crossbar and nothing else."""
    # A layer with an array of this name has no other; modules look attributes up in three places.
    array: Any = layer._modules.get("array")
    in_situ = array._modules.get("in_situ") if array is not None and layer.held == ["weight"] else None
    if in_situ is None or not in_situ.single:
        return None
    weight: Any = layer._parameters["weight"]
    shape = (in_situ.blocks[0].last_out, in_situ.blocks[0].last_in)
    return weight if type(weight) is nn.Parameter and weight.shape == shape and not array.bias_column else None


def _written(layer: AnalogLayer) -> bool:
    """Write the weights of the only crossbar into the only parameter, where there is one for it; return whether it was done."""
    weight = whole(layer)
    if weight is None:
        return False
    in_situ: Any = layer._modules["array"]._modules["in_situ"]  # type: ignore[union-attr]
    w = in_situ.only().weights()
    if weight.dtype != w.dtype:
        return False
    with torch.no_grad():
        torch.mul(w, in_situ._buffers["scale_0"], out=weight)
    return True


def _same_memory(matrix: Tensor, layer: AnalogLayer) -> bool:
    place = matrix.untyped_storage().data_ptr()
    return any(place == layer.get_parameter(name).untyped_storage().data_ptr() for name in layer.held)


def versions(layer: AnalogLayer) -> list[int]:
    """Return how often each of the held parameters has been written."""
    own = layer._parameters
    return [own[name]._version for name in layer.held]  # type: ignore[union-attr]


def stamp(layer: AnalogLayer) -> None:
    """Note the parameters as they are, so that a later change by somebody else is seen."""
    # In place: modules set attributes slowly.
    layer.stamps[:] = versions(layer)


def verify(layer: AnalogLayer) -> None:
    """Raise OrderError when somebody else has given the weights other values since the cells were read."""
    own = layer._parameters
    for name, stamped in zip(layer.held, layer.stamps):  # noqa: B905  (`strict` takes as long as the rest)
        if own[name]._version != stamped:  # type: ignore[union-attr]
            break
    else:
        return
    # Written, as data parallelism does when it begins; but are they different?
    accept(layer)
    if versions(layer) != layer.stamps:
        raise OrderError(
            f"the weights of layer '{layer.name}' were changed from outside, and its cells do not know: weights of a layer that learns in "
            "memory are a read-out of its cells; bring the cells to new ones with layer.set_weights(weight, bias)"
        )


def accept(layer: AnalogLayer, _keys: object = None) -> None:
    """Take weights that were written for those of the cells, if they are what the cells hold."""
    before = [layer.get_parameter(name).detach().clone() for name in layer.held]
    if not before:
        return
    read_back(layer)
    with torch.no_grad():
        for name, value in zip(layer.held, before, strict=True):
            if not torch.equal(layer.get_parameter(name), value):
                layer.get_parameter(name).copy_(value)
                layer.stamps[layer.held.index(name)] = -1
