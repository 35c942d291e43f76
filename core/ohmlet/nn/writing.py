"""Writing whole matrices back into a layer's parameters, however the layer lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ohmlet.nn.layer import AnalogLayer

__all__ = ["write_matrices"]


def write_matrices(layer: AnalogLayer, wanted: Mapping[str, tuple[Tensor, Tensor | None]]) -> None:
    """Change a layer's parameters in place so that `matrices()` returns these weights [groups out, in] and biases [groups out].

    Matrices are parameters cut, turned and joined, linearly and without arithmetic; the transposed map, which autograd knows, puts
    their numbers back where they came from. Parameters outside them stay as they are; of a bias that is None, too.
    """
    parameters = [each for each in layer.parameters(recurse=False) if each.is_floating_point()]
    asked = [each.requires_grad for each in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            pairs = [
                (now, new.to(now.dtype))
                for which, matrix in layer.matrices().items()
                for now, new in zip(matrix, wanted[which], strict=True)
                if now is not None and new is not None
            ]
            now, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            values = torch.autograd.grad(now, parameters, new, retain_graph=True, allow_unused=True)
            covered = torch.autograd.grad(now, parameters, [torch.ones_like(each) for each in now], allow_unused=True)
    finally:
        for parameter, flag in zip(parameters, asked, strict=True):
            parameter.requires_grad_(flag)
    with torch.no_grad():
        for parameter, value, there in zip(parameters, values, covered, strict=True):
            if value is not None and there is not None:
                parameter.copy_(torch.where(there != 0, value, parameter))
