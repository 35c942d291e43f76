"""The crossbars of one layer: splitting, mapping onto [-1, 1], counters of the noise, and the digital sum."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, OrderError, UnprogrammedWarning
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet.nn.kernels import kernels_of
from ohmlet.nn.mapping import weight_scales
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key
from ohmlet_kernels.recompute import recomputing

__all__ = ["AnalogArray", "Block", "Call", "Mapped", "ReadState"]

STEP_BITS = 40
"""Time steps are numbered in the bits of an ordinal above these: room for 2^40 samples of 2^23 steps."""


class Block(NamedTuple):
    """The rows (outputs) and columns (inputs) of a layer's matrix that one crossbar holds."""

    first_out: int
    last_out: int
    first_in: int
    last_in: int


class Mapped(NamedTuple):
    """One crossbar's weights [..., out, in] in [-1, 1] and the scale [..., out or 1, 1] back to model units."""

    w: Tensor
    scale: Tensor


class ReadState:
    """What a chip puts in place of a layer's own weights: one entry per crossbar, all instances at one time."""

    def __init__(self, weights: list[Mapped], factors: list[Tensor | None], keys: list[Tensor], path: str, instances: int | None) -> None:
        self.weights, self.factors, self.keys, self.path, self.instances = weights, factors, keys, path, instances
        self.samples = 0
        self.rows = 0
        """Samples that the running call feeds in, all instances together; 0 outside a call."""
        self.batch_dim = 0
        """Which size of the model's inputs counts them."""


class Call(NamedTuple):
    """One call of an array: its weights mapped and its samples numbered, for one product or for one per time step."""

    weights: list[Mapped]
    factors: list[Tensor | None]
    """Of the drift compensation, per crossbar."""
    noise: list[Stream]
    bias: Tensor | None


def parts(size: int, largest: int) -> list[int]:
    """Return the bounds of `size` split as evenly as possible into parts of at most `largest` (0: no limit), the first ones longer."""
    count = 1 if largest == 0 else -(-size // largest)
    base, longer = divmod(size, count)
    bounds = [0]
    for index in range(count):
        bounds.append(bounds[-1] + base + (index < longer))
    return bounds


class AnalogArray(nn.Module):
    """All crossbars of one layer, computing y = W x + b in model units from weights that the layer owns.

    The matrix [groups..., out, in] (with the bias as a further input when `mapping.bias` is analog) is cut into blocks; each block is
    constrained by its tile, divided by its scale, multiplied on its crossbar and scaled back. Scales follow the weights: they are a
    pure function of them, detached. Buffers: `keys` of the noise streams, and how many samples and optimizer steps there have been.
    """

    def __init__(self, config: AnalogConfig, out_features: int, in_features: int, groups: int, bias: bool, name: str, seed: int) -> None:
        super().__init__()
        if min(out_features, in_features, groups) < 1:
            raise ConfigError(f"a crossbar needs at least one input and one output, layer '{name}' is {out_features} x {in_features}")
        self.config, self.name, self.seed = config, name, seed
        self.out_features, self.in_features, self.groups = out_features, in_features, groups
        self.bias_column = bias and config.mapping.bias == "analog"
        outs = list(pairwise(parts(out_features, config.mapping.max_out)))
        ins = list(pairwise(parts(in_features + self.bias_column, config.mapping.max_in)))
        self.blocks = [Block(*o, *i) for o in outs for i in ins]
        kernel = kernels_of(config.tile.engine or config.engine)
        self.crossbars = nn.ModuleList(
            config.tile.build(Site(out_features=b.last_out - b.first_out, in_features=b.last_in - b.first_in, kernel=kernel))
            for b in self.blocks
        )
        keys = [[stream_key(seed, name, b, g) for g in range(groups)] for b in range(len(self.blocks))]
        self.keys: Tensor
        self.trained_samples: Tensor
        self.evaluated_samples: Tensor
        self.steps: Tensor
        self.register_buffer("keys", torch.tensor(keys, dtype=torch.int64))
        for counter in ("trained_samples", "evaluated_samples", "steps"):
            self.register_buffer(counter, torch.zeros(1, dtype=torch.int64))
        self.read: ReadState | None = None
        # Of the latest forward passes, last first: checkpointing runs them again in that order, inside backward.
        self._bases: deque[Tensor] = deque(maxlen=256)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{len(self.blocks)} crossbar{'s' * (len(self.blocks) > 1)}" + (f" x {self.groups} groups" if self.groups > 1 else "")

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the matrix [groups?, out, in (+1)] that the crossbars hold, from weight [groups out, in] and bias [groups out]."""
        if self.bias_column:
            assert bias is not None
            weight = torch.cat((weight, bias[:, None]), dim=1)
        return weight.unflatten(0, (self.groups, self.out_features)) if self.groups > 1 else weight

    def mapped(self, matrix: Tensor, block: Block, crossbar: nn.Module) -> Mapped:
        """Return one block of the matrix as its crossbar holds it."""
        part = matrix[..., block.first_out : block.last_out, block.first_in : block.last_in]
        constrain = getattr(crossbar, "constrain", None)
        part = part if constrain is None else constrain(part)
        m = self.config.mapping
        scale = weight_scales(part, m.scales, m.omega, m.max_scale_range)
        return Mapped(part if m.scales == "none" else part / scale, scale)

    def mapped_blocks(self, weight: Tensor, bias: Tensor | None) -> Iterator[Mapped]:
        """Yield every block as its crossbar holds it."""
        matrix = self.matrix(weight, bias)
        for block, crossbar in zip(self.blocks, self.crossbars, strict=True):
            yield self.mapped(matrix, block, crossbar)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return y [S, R, groups out] for inputs x [S, R, groups in], weight [groups out, in] and bias [groups out].

        With a chip's state in place, S counts all instances: x is [instances S, R, ...], instance by instance.
        """
        return self.multiply(x, self.call(x.shape[0], weight, bias))

    def call(self, rows: int, weight: Tensor, bias: Tensor | None) -> Call:
        """Map the weights and number the samples of a call with S `rows`, all instances together; advances the counter."""
        read = self.read
        if not self.training and read is None and not torch.compiler.is_compiling():
            self._warn()
        if read is not None and read.rows and (rows % read.rows or (read.batch_dim and rows != read.rows)):
            raise OrderError(
                f"layer '{self.name}' got {rows} rows where all chip instances together feed {read.rows}: its first size is not the "
                "batch; evaluate one instance at a time with chip.at(t).instance(i)"
            )
        ordinals, path = self._ordinals(rows if read is None or read.instances is None else rows // read.instances)
        if read is None:
            weights, keys = list(self.mapped_blocks(weight, bias)), list(self.keys if self.groups > 1 else self.keys[:, 0])
            factors: list[Tensor | None] = [None] * len(weights)
        else:
            weights, keys, factors = read.weights, read.keys, read.factors
        return Call(weights, factors, [Stream(key, ordinals, self.steps, path) for key in keys], None if self.bias_column else bias)

    def multiply(self, x: Tensor, call: Call, step: int = 0) -> Tensor:
        """Return y [S, R, groups out] of x [S, R, groups in] with the weights and the noise of a call.

        Time steps of one call share its weights and their noise, and draw all other noise anew.
        """
        if self.bias_column:
            ones = x.new_ones((*x.shape[:-1], self.groups, 1))
            x = torch.cat((x.unflatten(-1, (self.groups, self.in_features)), ones), dim=-1).flatten(-2)
        instances = self.read.instances if self.read is not None else None
        if instances is not None:
            x = x.unflatten(0, (instances, x.shape[0] // instances))
        if self.groups > 1:
            x = x.unflatten(-1, (self.groups, x.shape[-1] // self.groups)).movedim(-2, -4)
        rows: dict[int, Tensor] = {}
        for block, crossbar, mapped, factor, noise in zip(self.blocks, self.crossbars, call.weights, call.factors, call.noise, strict=True):
            if step and noise.ordinals is not None:
                noise = noise.at(noise.ordinals + (step << STEP_BITS))
            y = crossbar.mvm(x[..., block.first_in : block.last_in], mapped.w, noise)  # type: ignore[operator]
            y = y * mapped.scale.mT.unsqueeze(-3).to(y.dtype)
            if factor is not None:
                y = y * factor.unsqueeze(-3).to(y.dtype)
            rows[block.first_out] = y if block.first_out not in rows else rows[block.first_out] + y
        out = torch.cat(list(rows.values()), dim=-1) if len(rows) > 1 else next(iter(rows.values()))
        if self.groups > 1:
            out = out.movedim(-4, -2).flatten(-2)
        if instances is not None:
            out = out.flatten(0, 1)
        out = out if call.bias is None else out + call.bias
        # As torch's own layers under autocast; scales and noise were worked out in the weights' precision.
        return out.to(torch.get_autocast_dtype(x.device.type)) if torch.is_autocast_enabled(x.device.type) else out

    def batch_dim(self, x: Tensor) -> int:
        """Return which size of vectors x [..., in] is the batch: the first, or for a chip whose batch is elsewhere, that one."""
        at = 0 if self.read is None else self.read.batch_dim
        if not at or self.read is None or x.ndim <= at + 1 or x.shape[at] != self.read.rows:
            return 0
        if x.shape[0] == x.shape[at]:
            raise OrderError(
                f"layer '{self.name}' got inputs {tuple(x.shape)}, two of whose sizes could be the batch of {self.read.rows}, all chip "
                "instances together; evaluate another number of samples at once, or one instance at a time with chip.at(t).instance(i)"
            )
        return at

    def _ordinals(self, samples: int) -> tuple[Tensor, str]:
        """Return the global ordinals of this call's samples and the path of their noise; advances the counter."""
        count = torch.arange(samples, device=self.keys.device)
        if self.read is not None:
            self.read.samples += samples
            return count + (self.read.samples - samples), self.read.path
        if self._bases and recomputing():
            return self._bases.pop() + count, "training"
        counter, path = (self.trained_samples, "training") if self.training else (self.evaluated_samples, "evaluation")
        rank, world = (0, 1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        base = counter + rank * samples
        if self.training and not torch.compiler.is_compiling():
            self._bases.append(base)
        ordinals = base + count
        counter.add_(world * samples)
        return ordinals, path

    def _warn(self) -> None:
        tile: Any = self.config.tile
        if isinstance(tile, ProgrammableTile) and tile.noise_model is not None:
            warnings.warn(
                "analog layers are evaluated before they are programmed: without programming noise and drift, which is optimistic; "
                "ohmlet.program(model) makes chips to evaluate on",
                UnprogrammedWarning,
                stacklevel=2,
            )
