"""Two arrays with a chopped gradient and a digital buffer between them: what `c_ttv2` and `agad` have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, Device, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import boolean, number, one_of
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.transfer import Rule, Sweep
from ohmlet_optimizers.choppers import Chopping, Scales, chop
from ohmlet_optimizers.planned import Planned
from ohmlet_optimizers.transfers import Pulser, Reads, Slices, due, period, rounds, rows_of, run, snapshots

__all__ = ["Chopped", "ChoppedModule", "states"]

AUTO_MOMENTUM = 0.99


def states(cell: UnitCell) -> float:
    """Return how many steps lie between a device's mean bounds; raises ConfigError for a cell without bounds of its own."""
    bounds = cell.cells() if isinstance(cell, Device) else {}
    if "w_min" not in bounds or "w_max" not in bounds:
        raise ConfigError(f"units_in_states needs a fast device with w_min and w_max, {type(cell).__name__} has none: leave it out")
    return (bounds["w_max"].mean - bounds["w_min"].mean) / cell.granularity


@frozen(kw_only=True)
class Chopped(UpdateAlgorithm):
    """What chopped transfers have in common: signs flip on the fast array's lines, and what is read is gathered in a buffer."""

    fast: UnitCell = part(UnitCell, "the cells that gradients pulse", "soft_bounds_reference")
    slow: UnitCell = part(UnitCell, "the cells that hold the weights", "soft_bounds_reference")
    gamma: float = number(0.0, "share of the fast array in the weights, its signs undone", ge=0)
    transfer_every: float = number(1.0, "vectors between transfers, or mini-batches, or states", ge=0)
    units_in_mbatch: bool = boolean(False, "transfer_every counts mini-batches (calls of update), not vectors")
    units_in_states: bool = boolean(False, "transfer_every x the fast device's steps between its bounds is the time to read all slices")
    transfer_columns: bool = boolean(True, "slices are columns, driven at the inputs, not rows")
    fast_lr: float = number(1.0, "learning rate of the fast array; with auto_scale: pulses of the largest product, over desired_bl", gt=0)
    scale_fast_lr: bool = boolean(False, "multiply fast_lr by the optimizer's learning rate")
    transfer_lr: float = number(1.0, "learning rate of transfers", gt=0)
    scale_transfer_lr: bool = boolean(True, "multiply transfer_lr by the optimizer's learning rate")
    auto_scale: bool = boolean(False, "divide fast_lr by running averages of the largest inputs and errors")
    auto_momentum: float = number(AUTO_MOMENTUM, "memory of these averages, in mini-batches", gt=0, lt=1)
    buffer_granularity: float = number(1.0, "threshold of the buffer in steps of the fast device", gt=0)
    auto_granularity: float = number(0.0, "vectors that should lie between writes of a cell; scales the threshold, 0 leaves it", ge=0)
    correct_gradient_magnitudes: bool = boolean(False, "undo the fast learning rate in the buffer, so that writes add up to the gradient")
    step: float = number(1.0, "size of a write in steps of the slow device", gt=0)
    momentum: float = number(0.0, "share of the buffer that a write leaves", ge=0, lt=1)
    forget_buffer: bool = boolean(True, "a write leaves `momentum` of the whole buffer, also of what was not written")
    in_chop_prob: float = number(0.1, "how often a slice's sign flips, per read; its inverse is the period of regular flips", ge=0, le=1)
    gradient_granularity: str = one_of(
        "fast", ("fast", "mean"), "the step with which gradients are coded: the fast array's, or the mean over both arrays"
    )
    transfer_update: PulsedUpdate = part(
        PulsedUpdate,
        "how transfers are coded in pulses",
        {"desired_bl": 1, "update_management": False, "update_bl_management": False},
    )

    def __attrs_post_init__(self) -> None:
        if self.auto_momentum != AUTO_MOMENTUM and not self.auto_scale:
            raise ConfigError(f"auto_momentum {self.auto_momentum!r} has no effect without auto_scale: set it, or leave auto_momentum out")
        if self.auto_granularity and not self.transfer_every:
            raise ConfigError(f"auto_granularity {self.auto_granularity!r} needs transfers: set transfer_every above 0")
        if self.units_in_states:
            states(self.fast)
            if self.units_in_mbatch:
                raise ConfigError("transfer_every counts either states or mini-batches: leave units_in_states or units_in_mbatch out")

    @property
    def reads(self) -> bool:
        """Transfers read the fast array's slices."""
        return True

    @property
    def pulsed(self) -> bool:
        """Gradients pulse the fast array, as the tile's `update` says, and auto_scale goes by the length of its trains."""
        return self.fast.pulsed or self.auto_scale

    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the fast and the slow array."""
        return {"fast": self.fast, "slow": self.slow}

    @property
    def chop_period(self) -> int:
        """Sweeps between regular flips."""
        return max(math.ceil(1 / self.in_chop_prob - 1e-9), 2) if self.in_chop_prob else 0

    def period(self, samples: int, slices: int) -> int:
        """Return how many vectors lie between transfers."""
        if self.units_in_states:
            return max(round(states(self.fast) / slices * self.transfer_every), 1) if self.transfer_every else 0
        return period(self.transfer_every, self.units_in_mbatch, samples)

    def threshold(self, granularity: float, slices: int) -> float:
        """Return what the buffer counts in, in units of the fast array's weight."""
        auto = self.auto_granularity / (slices * self.transfer_every) if self.auto_granularity else 1.0
        return self.buffer_granularity * granularity * auto

    def common_equations(self) -> tuple[str, ...]:
        """Return the updates of the arrays."""
        lr_fast = f"{self.fast_lr:g}{' lr' * self.scale_fast_lr}"
        if self.auto_scale:
            lr_fast += " desired_bl g_fast / (<max|x|> <max|d|>)"
        share = f"{self.gamma:g} c_in c_out fast + slow" if self.gamma else "slow"
        unit = "states / slices" if self.units_in_states else "mini-batches" if self.units_in_mbatch else "vectors"
        return (
            f"fast <- fast - {lr_fast} (c_out d) (c_in x)^T, coded in pulses",
            f"v = read(fast)[s], s the next slice, every {self.transfer_every:g} {unit}",
            f"slow[s] <- slow[s] + n {self.step:g} g_slow, n = trunc(H[s]) up to {self.transfer_update.desired_bl}",
            f"w = {share}",
        )


class ChoppedModule(Planned, ABC):
    """Both arrays, the buffer `buffer` [out, in], signs, running scales and counters."""

    states: tuple[str, ...] = ("vectors", "current", "sweeps", "in_signs", "out_signs", "buffer")
    """The buffers that an engine's transfer works on."""

    def __init__(self, spec: Any, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        self.spec, self.pulses, self.slices = spec, pulses, Slices(site, spec.transfer_columns)
        self.arrays = nn.ModuleDict(arrays)
        steps = [self.fast.granularity, self.slow.granularity]
        self.granularity = steps[0] if spec.gradient_granularity == "fast" else sum(steps) / 2
        self.rescaled = spec.gamma if spec.gamma else 1.0
        device = site.key.device
        self.vectors: Tensor
        self.current: Tensor
        self.sweeps: Tensor
        self.buffer: Tensor
        self.in_signs: Tensor
        self.out_signs: Tensor
        self.scales: Tensor
        for counter in ("vectors", "current", "sweeps"):
            self.register_buffer(counter, torch.zeros(1, dtype=torch.int64, device=device))
        self.register_buffer("buffer", torch.zeros((site.rows, site.columns), device=device))
        self.register_buffer("in_signs", torch.ones(self.slices.number, device=device))
        self.register_buffer("out_signs", torch.ones(self.slices.width, device=device))
        if spec.auto_scale:
            self.register_buffer("scales", torch.zeros(2, dtype=torch.float64, device=device))

    @property
    def fast(self) -> CellArray:
        """The array that gradients pulse."""
        # Not by attribute, which modules look up in three places.
        return self._modules["arrays"]._modules["fast"]  # type: ignore[return-value, union-attr]

    @property
    def slow(self) -> CellArray:
        """The array that holds the weights."""
        return self._modules["arrays"]._modules["slow"]  # type: ignore[return-value, union-attr]

    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see."""
        gamma: float = self.spec.gamma
        if not gamma:
            return self.slow.weights()
        signs = self.in_signs[:, None] * self.out_signs
        return gamma * (signs.mT if self.slices.columns else signs) * self.fast.weights() + self.slow.weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the slow array to w [out, in], the fast one to zero; buffer, signs and counters start anew."""
        self.fast.set_weights(torch.zeros_like(w), noise.child("fast"))
        self.slow.set_weights(w, noise.child("slow"))
        for name, state in self.named_buffers(recurse=False):
            state.fill_(1 if name.endswith("_signs") else 0)

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Pulse the fast array for inputs x [S, in] and errors d [S, out], and make the transfers that are due on the way."""
        if lr == 0 or not len(x):
            return
        given = rows_of(self, x, d, noise)
        if given is not None and self.at_once(given, lr):
            return
        spec, columns = self.spec, self.slices.columns
        reads = self.reads(due(int(self.vectors), len(x), spec.period(len(x), self.slices.number)), noise.child("transfer"))
        signs = self.chop(len(x), reads, noise.child("transfer"))
        for_x, for_d = (signs.lines, signs.across) if columns else (signs.across, signs.lines)
        rate = self.fast_rate(x, d, lr)
        pulse = Pulser(self.fast, x * for_x.to(x.dtype), d * for_d.to(d.dtype), rate, self.pulses, noise.child("fast"), self.granularity)
        taken = snapshots(pulse, reads.after, reads, self.slices)
        if reads.slices:
            values = self.slices.read(self.fast.weights(), taken, reads, noise.child("transfer"))
            factor = self.per_read(rate, reads, lr)
            parts = [
                self.digital(values[chunk], reads.slices[chunk], factor[chunk] if isinstance(factor, Tensor) else factor, signs, chunk)
                for chunk in rounds(reads.slices)
            ]
            writes, size = torch.cat(parts) if len(parts) > 1 else parts[0], spec.step * self.slow.granularity
            write = self.slices.writer(self.slow, reads, -writes, size, spec.transfer_update, noise.child("slow"))
            write(0, len(writes))
        self.vectors.add_(len(x))

    def rates(self, samples: int, lr: float) -> tuple[Any, ...] | None:
        """Return the fast array's rate, the rule of transfers, the rate of one pulse of them, and what auto_scale needs."""
        spec, pulses = self.spec, self.pulses
        rate: float = spec.fast_lr * (lr if spec.scale_fast_lr else 1.0)
        # Rates that follow the gradients are not known before, and neither are trains that grow with them.
        if spec.auto_scale and (spec.correct_gradient_magnitudes or not (pulses.update_bl_management or pulses.fixed_bl)):
            return None
        rule = self.rule(self.per_read(rate, None, lr))
        auto = ((1 - spec.auto_momentum) / samples, rate * pulses.desired_bl * self.fast.granularity) if spec.auto_scale else None
        return None if rule is None else (rate, rule, spec.step * self.slow.granularity, auto)

    def made(self, views: Any, samples: int, lr: float, path: str) -> Any:
        """Return the engine's plan of an update, or None for settings that it does not know."""
        spec, site, rates = self.spec, self.slices.site, self.rates(samples, lr)
        random, regular, at, across = spec.flips()
        if across or rates is None or not site.read_by_engine:
            return None
        rate, rule, size, auto = rates
        names = self.states if auto is None else (*self.states, "scales")
        sweep = Sweep(spec.period(samples, self.slices.number), self.slices.columns, random, regular, at)
        update: Any = site.kernel("pulsed_update", "cpu")
        # An engine with views of cells has this, too.
        return update.transfer(
            {name: self._buffers[name] for name in names}, *views, samples, rate, self.granularity, self.pulses, sweep, rule, size,
            self.slow.granularity, spec.transfer_update, path, site.reading, f"{path}/transfer", auto,
        )  # fmt: skip

    def reads(self, times: list[int], noise: Stream) -> Reads:
        """Return the slices that are read at given times; moves on."""
        assert noise.ordinals is not None
        first, count = int(self.current), self.slices.number
        self.current.fill_((first + len(times)) % count)
        ordinals = noise.ordinals[run([after - 1 for after in times])] if times else noise.ordinals[:0]
        return Reads(times, [(first + t) % count for t in range(len(times))], ordinals)

    def chop(self, vectors: int, reads: Reads, noise: Stream) -> Chopping:
        """Return the signs of a mini-batch; flips them on the way."""
        spec = self.spec
        random, regular, at, across = spec.flips()
        flips = [False] * len(reads.slices)
        if random and flips:
            drawn = noise.at(reads.ordinals).uniform("in chopper", reads.ordinals.new_zeros((len(flips), 1, 1), dtype=torch.float64))
            flips = (drawn.flatten() < random).tolist()
        told = noise.at(reads.ordinals)
        signs, sweeps = chop(
            self.in_signs, self.out_signs, int(self.sweeps), vectors, reads.after, reads.slices, flips, regular, at, told, across
        )
        self.sweeps.fill_(sweeps)
        return signs

    def fast_rate(self, x: Tensor, d: Tensor, lr: float) -> float | Tensor:
        """Return the learning rate of the fast array, with auto_scale that of each vector, float64 [S]."""
        spec = self.spec
        rate: float = spec.fast_lr * (lr if spec.scale_fast_lr else 1.0)
        if not spec.auto_scale:
            return rate
        scales = Scales.of(x, d, self.scales, spec.auto_momentum)
        product = scales.x * scales.d
        return torch.where(product > 0, rate * self.pulses.desired_bl * self.fast.granularity / product.clamp(min=1e-300), 0.0)

    def per_read(self, rate: float | Tensor, reads: Reads | None, lr: float) -> float | Tensor:
        """Return what read-outs are multiplied by on their way into the buffer, each of them [T, 1] where the rate is each vector's."""
        spec = self.spec
        transfer = abs(spec.transfer_lr * (lr if spec.scale_transfer_lr else 1.0)) * self.rescaled
        unit = spec.threshold(self.fast.granularity, self.slices.number)
        if not spec.correct_gradient_magnitudes:
            factor: float = transfer / unit
            return factor
        steps = unit * self.slow.granularity / self.fast.granularity
        if not isinstance(rate, Tensor):
            return transfer / rate / steps if rate > 0 else 0.0
        assert reads is not None
        at = rate[run([after - 1 for after in reads.after])]
        made: Tensor = (torch.where(at > 0, transfer / at.clamp(min=1e-300), 0.0) / steps)[:, None].to(self.buffer.dtype)
        return made

    def rule(self, gain: Any) -> Rule | None:
        """Return what `digital` does as an engine's transfer is told, or None for what that does not know."""
        return None

    @abstractmethod
    def digital(self, values: Tensor, slices: list[int], factor: float | Tensor, signs: Chopping, chunk: slice) -> Tensor:
        """Return the numbers of pulses [T, width] from what was read of slices, none of them twice; updates the buffer."""

    def fire(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """Return the whole numbers of pulses in buffers, and what the buffers hold after them."""
        spec = self.spec
        n = omega.trunc().clamp(-spec.transfer_update.desired_bl, spec.transfer_update.desired_bl)
        after = spec.momentum * omega if spec.forget_buffer else omega - (1 - spec.momentum) * n
        return n, torch.where(n != 0, after, omega)
