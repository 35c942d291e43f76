"""The crossbars of one layer: splitting, mapping onto [-1, 1], counters of the noise, and the digital sum."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ohmlet.cells import build_array
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, OrderError, UnprogrammedWarning
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet.nn.in_situ import InSitu, learns
from ohmlet.nn.kernels import kernels_of
from ohmlet.nn.mapping import LearnedScales, weight_scales
from ohmlet.nn.one_step import OneStep
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key
from ohmlet_kernels.noise.stream import STEP_BITS
from ohmlet_kernels.ranks import rank_and_world
from ohmlet_kernels.recompute import recomputing

__all__ = ["AnalogArray", "Block", "Call", "Mapped", "ReadState"]


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
    g: Tensor | None = None
    """On a chip whose crossbars read them, the devices' conductances [devices, ..., out, in] in uS that amount to these weights."""


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
    divisors: list[Tensor | None]
    """What the weights of a crossbar, in model units, are still to be divided by: some do it as they take them up."""
    factors: list[Tensor | None]
    """Of the drift compensation, per crossbar."""
    noise: list[Stream]
    bias: Tensor | None


def like(own: Tensor, value: Tensor) -> Tensor:
    """Return a whole value as it is kept: sharded over processes where `own` is."""
    mesh = getattr(own, "device_mesh", None)
    if mesh is None:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, mesh, own.placements)  # type: ignore[attr-defined]


def parts(size: int, largest: int) -> list[int]:
    """Return the bounds of `size` split as evenly as possible into parts of at most `largest` (0: no limit), the first ones longer."""
    count = 1 if largest == 0 else -(-size // largest)
    base, longer = divmod(size, count)
    bounds = [0]
    for index in range(count):
        bounds.append(bounds[-1] + base + (index < longer))
    return bounds


class AnalogArray(OneStep):
    """All crossbars of one layer, computing y = W x + b in model units from weights that the layer owns.

    The matrix [groups..., out, in] (with the bias as a further input when `mapping.bias` is analog) is cut into blocks; each block is
    constrained by its tile, divided by its scale, multiplied on its crossbar and scaled back. Scales follow the weights: they are a
    pure function of them, detached. With `mapping.learned_scales` there are trained factors on them, `learned_scales`. Buffers: `keys` of
    the noise streams, and how many samples and optimizer steps there have been.
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
        keys = [[stream_key(seed, name, b, g) for g in range(groups)] for b in range(len(self.blocks))]
        self.crossbars = nn.ModuleList(
            config.tile.build(
                Site(
                    out_features=b.last_out - b.first_out,
                    in_features=b.last_in - b.first_in,
                    kernel=kernel,
                    keys=torch.tensor(lanes, dtype=torch.int64),
                    cells=build_array,
                )
            )
            for b, lanes in zip(self.blocks, keys, strict=True)
        )
        learning = bool(self.crossbars) and learns(self.crossbars[0])
        self.in_situ = InSitu(self.crossbars, self.blocks, groups, config.mapping) if learning else None
        learned, rows = config.mapping.learned_scales, [b.last_out - b.first_out for b in self.blocks]
        self.learned_scales = None if learned == "none" else LearnedScales(learned, config.mapping.learned_form, rows, groups)
        self.keys: Tensor
        self.trained_samples: Tensor
        self.evaluated_samples: Tensor
        self.steps: Tensor
        self.register_buffer("keys", torch.tensor(keys, dtype=torch.int64))
        for counter in ("trained_samples", "evaluated_samples", "steps"):
            self.register_buffer(counter, torch.zeros(1, dtype=torch.int64))
        self.read: ReadState | None = None
        self.forgotten = 0
        """How often an optimizer has stepped the layer's matrix and none the array's own parameters, which have gradients."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move as every module does; what leaves the meta device, as `to_empty` has it, starts with its real values, not with none."""
        abstract = self.keys.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if abstract and not self.keys.is_meta:
            self.restart()
        return self

    def restart(self) -> None:
        """Give every buffer and parameter of the array the value that it had at conversion."""
        with torch.device(self.keys.device):
            fresh = AnalogArray(self.config, self.out_features, self.in_features, self.groups, self.bias_column, self.name, self.seed)
        own = dict(self.named_buffers()) | dict(self.named_parameters())
        with torch.no_grad():
            for name, value in [*fresh.named_buffers(), *fresh.named_parameters()]:
                own[name].copy_(like(own[name], value))

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{len(self.blocks)} crossbar{'s' * (len(self.blocks) > 1)}" + (f" x {self.groups} groups" if self.groups > 1 else "")

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the matrix [groups?, out, in (+1)] that the crossbars hold, from weight [groups out, in] and bias [groups out]."""
        if self.bias_column:
            assert bias is not None
            weight = torch.cat((weight, bias[:, None]), dim=1)
        return weight.unflatten(0, (self.groups, self.out_features)) if self.groups > 1 else weight

    def parted(self, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weight [groups out, in] and the bias [groups out] of a matrix as `matrix` returns it."""
        flat = matrix.flatten(0, 1) if self.groups > 1 else matrix
        return (flat[:, :-1], flat[:, -1]) if self.bias_column else (flat, None)

    def taken_up(
        self, matrix: Tensor, block: Block, crossbar: nn.Module, factor: Tensor | None, divide: bool
    ) -> tuple[Mapped, Tensor | None]:
        """Return one block of the matrix, with a learned factor on its scale, and what its weights are still to be divided by."""
        part = matrix[..., block.first_out : block.last_out, block.first_in : block.last_in]
        constrain = getattr(crossbar, "constrain", None)
        part = part if constrain is None else constrain(part)
        m = self.config.mapping
        scale = weight_scales(part, m.scales, m.omega, m.max_scale_range)
        w = part / scale if divide and m.scales != "none" else part
        return Mapped(w, scale if factor is None else scale * factor.to(scale.dtype)), None if divide else scale

    def mapped_blocks(self, weight: Tensor, bias: Tensor | None) -> Iterator[Mapped]:
        """Yield every block as its crossbar holds it."""
        for mapped, _ in self.blocks_taken_up(weight, bias, lambda crossbar: True):
            yield mapped

    def blocks_taken_up(
        self, weight: Tensor, bias: Tensor | None, divide: Callable[[nn.Module], bool]
    ) -> Iterator[tuple[Mapped, Tensor | None]]:
        """Yield every block as its crossbar takes it up: where `divide` says no, in model units and with its divisor."""
        learned = self.learned_scales
        if self.in_situ is not None:
            for index, crossbar in enumerate(self.crossbars):
                scale, w = self.in_situ.scale(index), crossbar.weights()  # type: ignore[operator]
                yield Mapped(w, scale if learned is None else scale * learned.factor(index).to(scale.dtype)), None
            return
        matrix = self.matrix(weight, bias)
        for index, (block, crossbar) in enumerate(zip(self.blocks, self.crossbars, strict=True)):
            yield self.taken_up(matrix, block, crossbar, None if learned is None else learned.factor(index), divide(crossbar))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return y [S, R, groups out] for inputs x [S, R, groups in], weight [groups out, in] and bias [groups out].

        With a chip's state in place, S counts all instances: x is [instances S, R, ...], instance by instance.
        """
        return self.multiply(x, self.call(x.shape[0], weight, bias))

    def call(self, rows: int, weight: Tensor, bias: Tensor | None) -> Call:
        """Map the weights and number the samples of a call with S `rows`, all instances together; advances the counter."""
        read = self.read
        if self.in_situ is not None and self.training:
            self.in_situ.check(self.name)
        if not self.training and read is None and not torch.compiler.is_compiling():
            self._warn()
        if read is not None and read.rows and (rows % read.rows or (read.batch_dim and rows != read.rows)):
            raise OrderError(
                f"layer '{self.name}' got {rows} rows where all chip instances together feed {read.rows}: its first size is not the "
                "batch; evaluate one instance at a time with chip.at(t).instance(i)"
            )
        ordinals, path = self._ordinals(rows if read is None or read.instances is None else rows // read.instances)
        divisors: list[Tensor | None] = [None] * len(self.blocks)
        if read is None:
            taken = list(self.blocks_taken_up(weight, bias, lambda crossbar: not hasattr(crossbar, "mapped_mvm")))
            weights, divisors = [mapped for mapped, _ in taken], [divisor for _, divisor in taken]
            keys = list(self.keys if self.groups > 1 else self.keys[:, 0])
            factors: list[Tensor | None] = [None] * len(weights)
        else:
            weights, keys, factors = read.weights, read.keys, read.factors
        noise = [Stream(key, ordinals, self.steps, path) for key in keys]
        return Call(weights, divisors, factors, noise, None if self.bias_column else bias)

    def multiply(self, x: Tensor, call: Call, step: int = 0) -> Tensor:
        """Return y [S, R, groups out] of x [S, R, groups in] with the weights and the noise of a call.

        Time steps of one call share its weights and their noise, and draw all other noise anew.
        """
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(call.weights[0].w.dtype)
        if self.bias_column:
            ones = x.new_ones((*x.shape[:-1], self.groups, 1))
            x = torch.cat((x.unflatten(-1, (self.groups, self.in_features)), ones), dim=-1).flatten(-2)
        instances = self.read.instances if self.read is not None else None
        if instances is not None:
            x = x.unflatten(0, (instances, x.shape[0] // instances))
        if self.groups > 1:
            x = x.unflatten(-1, (self.groups, x.shape[-1] // self.groups)).movedim(-2, -4)
        rows: dict[int, Tensor] = {}
        bias = call.bias
        # Scale and bias in one pass over the outputs where one crossbar gives all of them.
        at_once = bias is not None and len(self.blocks) == self.groups == 1 and bias.dtype == x.dtype
        taken = zip(self.blocks, self.crossbars, call.weights, call.divisors, call.factors, call.noise, strict=True)
        for block, crossbar, mapped, divisor, factor, noise in taken:
            if step and noise.ordinals is not None:
                noise = noise.at(noise.ordinals + (step << STEP_BITS))
            inputs = x[..., block.first_in : block.last_in]
            if self.read is None and getattr(crossbar, "composed", False):
                y = crossbar.composed_mvm(inputs, noise)
            elif mapped.g is not None:
                y = crossbar.conductance_mvm(inputs, mapped.g, noise)
            else:
                y = crossbar.mvm(inputs, mapped.w, noise) if divisor is None else crossbar.mapped_mvm(inputs, mapped.w, divisor, noise)
            scale = mapped.scale.mT.unsqueeze(-3).to(y.dtype)
            if factor is not None:
                scale = scale * factor.unsqueeze(-3).to(y.dtype)
            y = torch.addcmul(bias, y, scale) if at_once and bias is not None else y * scale
            rows[block.first_out] = y if block.first_out not in rows else rows[block.first_out] + y
        out = torch.cat(list(rows.values()), dim=-1) if len(rows) > 1 else next(iter(rows.values()))
        if self.groups > 1:
            out = out.movedim(-4, -2).flatten(-2)
        if instances is not None:
            out = out.flatten(0, 1)
        out = out if bias is None or at_once else out + bias
        # As torch's own layers under autocast; converters, scales and noise worked in the weights' precision.
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
        rank, world = rank_and_world()
        if self._bases and recomputing():
            return self._bases.pop() + count, "training"
        counter, path = (self.trained_samples, "training") if self.training else (self.evaluated_samples, "evaluation")
        # Ranks take consecutive parts of a batch, of one size: the sizes of the others are not known here.
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
