"""One product with some of the rows and columns of an array's matrix, from either side, on the crossbars that hold them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ohmlet.nn.array import AnalogArray, Block, Call, Mapped, ReadState
from ohmlet_kernels.noise import Stream

__all__ = ["Reading"]


class Reading:
    """What the crossbars of an array hold at one time, as products see it.

    `own` says that the crossbars themselves own their weights, as those do that learn in memory.
    """

    def __init__(
        self, array: AnalogArray, weights: list[Mapped], factors: list[Tensor | None], keys: list[Tensor], path: str, own: bool
    ) -> None:
        self.array, self.weights, self.factors, self.keys, self.path = array, weights, factors, keys, path
        self.state = None if own else ReadState(weights, factors, keys, path, None)

    def matrix(self) -> Tensor:
        """Return the matrix [out, in] that the cells hold, in model units, without the factors of a drift compensation."""
        rows: dict[int, list[Tensor]] = {}
        for block, mapped in zip(self.array.blocks, self.weights, strict=True):
            rows.setdefault(block.first_out, []).append(mapped.w * mapped.scale)
        return torch.cat([torch.cat(row, dim=-1) for row in rows.values()], dim=-2)

    def multiply(self, x: Tensor, rows: Tensor, columns: Tensor, transposed: bool, first: int) -> Tensor:
        """Return y [S, rows] of x [S, columns], or of x [S, rows] y [S, columns] if `transposed`; `first` numbers the first of them.

        Lines that are not selected are not driven, and crossbars without a selected line are not read.
        """
        picked = [k for k, block in enumerate(self.array.blocks) if _meets(block, rows, columns)]
        blocks = [self.array.blocks[k] for k in picked]
        crossbars: list[Any] = [self.array.crossbars[k] for k in picked]
        weights, factors = [self.weights[k] for k in picked], [self.factors[k] for k in picked]
        driven, sensed, lines = columns, rows, self.array.in_features
        if transposed:
            crossbars = [FromOutputs(*each) for each in zip(crossbars, weights, factors, strict=True)]
            weights, factors = [Mapped(each.w, each.w.new_ones((1, 1))) for each in weights], [None] * len(picked)
            blocks = [Block(b.first_in, b.last_in, b.first_out, b.last_out) for b in blocks]
            driven, sensed, lines = rows, columns, self.array.out_features
        ordinals = torch.arange(first, first + len(x), device=x.device)
        noise = [Stream(self.keys[k], ordinals, self.array.steps, self.path) for k in picked]
        part = _part(self.array, blocks, crossbars, self.state)
        inputs = x.new_zeros((len(x), lines)).index_copy(1, driven, x)
        y = part.multiply(inputs[:, None], Call(weights, [None] * len(picked), factors, noise, None))[:, 0]
        return y[:, _places(blocks, sensed)]


class FromOutputs:
    """A crossbar driven at its outputs: `mvm` returns w^T x, by its own `transposed_mvm` or else as for an array of w^T.

    What the scales and the drift compensation do to outputs behind the converters is done to the inputs before them.
    """

    def __init__(self, crossbar: Any, mapped: Mapped, factor: Tensor | None) -> None:
        self.crossbar, self.g = crossbar, mapped.g
        self.gain = mapped.scale.mT if factor is None else mapped.scale.mT * factor

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w^T x [S, R, in] of x [S, R, out] and w [out, in]."""
        scaled, noise = x * self.gain.to(x.dtype), noise.child("transposed")
        own = "transposed_mvm" if self.g is None else "transposed_conductance_mvm"
        held = w if self.g is None else self.g
        transposed = getattr(self.crossbar, own, None)
        if transposed is None:
            transposed, held = (self.crossbar.mvm if self.g is None else self.crossbar.conductance_mvm), held.mT
        y: Tensor = transposed(scaled, held, noise)
        return y


def _meets(block: Block, rows: Tensor, columns: Tensor) -> bool:
    out = (rows >= block.first_out) & (rows < block.last_out)
    return bool(out.any()) and bool(((columns >= block.first_in) & (columns < block.last_in)).any())


def _places(blocks: list[Block], sensed: Tensor) -> Tensor:
    """Return where the outputs that are sensed stand among those of the blocks."""
    outputs = dict.fromkeys((block.first_out, block.last_out) for block in blocks)
    there = torch.cat([torch.arange(*each, device=sensed.device) for each in outputs])
    places = torch.zeros(int(there.max()) + 1, dtype=torch.int64, device=sensed.device)
    places[there] = torch.arange(len(there), device=sensed.device)
    return places[sensed]


def _part(array: AnalogArray, blocks: list[Block], crossbars: list[Any], state: ReadState | None) -> AnalogArray:
    """Return an array that shares everything with another one and has only these of its crossbars."""
    part = AnalogArray.__new__(AnalogArray)
    modules = {name: module for name, module in array._modules.items() if name != "crossbars"}
    # In the object's own dictionary, where a module looks first: what drives a crossbar from its outputs is no module.
    vars(part).update(vars(array) | {"_modules": modules, "blocks": blocks, "crossbars": crossbars, "read": state})
    return part
