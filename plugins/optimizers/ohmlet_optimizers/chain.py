"""A chain of arrays, each of which is read slice by slice and written onto the next: what `tiki_taka` and `ttv2` have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import boolean, integer, number, numbers, one_of
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.transfer import Rule, Sweep
from ohmlet_optimizers.planned import Planned
from ohmlet_optimizers.transfers import Pulser, Reads, Slices, due, period, rows_of, run, snapshots

__all__ = ["Chain", "ChainModule"]


@frozen(kw_only=True)
class Chain(UpdateAlgorithm):
    """What the chains of arrays have in common: gradients pulse the first, and each is transferred to the next, slice by slice.

    Arrays k = 0 to n - 1 are `fast`, those `between`, `slow`; the layer's weights are sum_k gamma^(n-1-k) w_k.
    """

    fast: UnitCell = part(UnitCell, "the cells that gradients pulse", "soft_bounds_reference")
    slow: UnitCell = part(UnitCell, "the cells that hold the weights", "soft_bounds_reference")
    between: tuple[UnitCell, ...] = part(tuple[UnitCell, ...], "the cells of further arrays from the fast to the slow one", ())
    gamma: float = number(0.0, "share of each array in the weights, relative to the next", ge=0)
    gamma_vec: tuple[float, ...] | None = numbers(None, "share of each array, fast to slow, instead of powers of gamma", ge=0, shortest=2)
    transfer_every: float = number(1.0, "mini-batches or vectors between transfers from the fast array", ge=0)
    transfer_every_vec: tuple[float, ...] | None = numbers(None, "the same for each transfer of the chain", ge=0)
    stage_ratio: str = one_of(
        "slices", ("slices", "width"), "transfers per transfer of the next array: all slices read once, or as many as a slice has cells"
    )
    units_in_mbatch: bool = boolean(True, "transfer_every counts mini-batches (calls of update), not vectors")
    n_reads_per_transfer: int = integer(1, "slices that a transfer reads", ge=1)
    transfer_columns: bool = boolean(True, "slices are columns, driven at the inputs, not rows")
    random_selection: bool = boolean(False, "start each transfer at a random slice, not where the last one ended")
    fast_lr: float = number(1.0, "learning rate of the fast array", gt=0)
    scale_fast_lr: bool = boolean(True, "multiply fast_lr by the optimizer's learning rate")
    transfer_lr: float = number(1.0, "learning rate of transfers", gt=0)
    transfer_lr_vec: tuple[float, ...] | None = numbers(None, "the same for each transfer of the chain", gt=0)
    scale_transfer_lr: bool = boolean(True, "multiply transfer_lr by the optimizer's learning rate")
    gradient_granularity: str = one_of(
        "fast", ("fast", "mean"), "the step with which gradients are coded: the fast array's, or the mean over all arrays"
    )
    transfer_update: PulsedUpdate = part(PulsedUpdate, "how transfers are coded in pulses", {})

    def __attrs_post_init__(self) -> None:
        stages = len(self.between) + 1
        for name, plain, length in (
            ("gamma_vec", "gamma", stages + 1),
            ("transfer_every_vec", "transfer_every", stages),
            ("transfer_lr_vec", "transfer_lr", stages),
        ):
            given = getattr(self, name)
            if given is not None and len(given) != length:
                raise ConfigError(f"{name} needs {length} numbers for {stages + 1} arrays, it has {len(given)}: {list(given)}")
            default = {"gamma": 0.0}.get(plain, 1.0)
            if given is not None and getattr(self, plain) != default:
                raise ConfigError(f"{plain} {getattr(self, plain)!r} has no effect beside {name}: leave one of them out")
        if self.gamma_vec is not None and self.gamma_vec[-1] == 0:
            raise ConfigError(f"gamma_vec {list(self.gamma_vec)} gives the slow array no share in the weights")
        if self.stage_ratio != "slices" and (not self.between or self.transfer_every_vec is not None):
            raise ConfigError(f"stage_ratio {self.stage_ratio} has no effect without `between`, or beside transfer_every_vec: leave it out")

    @property
    def reads(self) -> bool:
        """Transfers read the fast array's slices."""
        return True

    @property
    def pulsed(self) -> bool:
        """Gradients pulse the fast array, as the tile's `update` says; transfers have pulses of their own."""
        return self.fast.pulsed

    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the arrays from fast to slow."""
        return {"fast": self.fast, **{f"between_{k}": cell for k, cell in enumerate(self.between, start=1)}, "slow": self.slow}

    def shares(self) -> tuple[float, ...]:
        """Return the factor of each array in the weights."""
        stages = len(self.between) + 1
        return self.gamma_vec or tuple(self.gamma ** (stages - k) if k < stages else 1.0 for k in range(stages + 1))

    def every(self, slices: Slices) -> tuple[float, ...]:
        """Return after how many vectors or mini-batches each array but the last is transferred."""
        ratio = (slices.number if self.stage_ratio == "slices" else slices.width) / self.n_reads_per_transfer
        return self.transfer_every_vec or tuple(self.transfer_every * ratio**k for k in range(len(self.between) + 1))


class ChainModule(Planned, ABC):
    """Arrays, how far their transfers have come, and the updates of a chain."""

    states: tuple[str, ...] = ("vectors", "current")
    """The buffers that an engine's transfer works on."""

    def __init__(self, spec: Any, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        self.spec, self.pulses, self.slices = spec, pulses, Slices(site, spec.transfer_columns)
        if spec.n_reads_per_transfer > self.slices.number:
            raise ConfigError(
                f"n_reads_per_transfer {spec.n_reads_per_transfer} reads more than the crossbar's {self.slices.number} slices"
            )
        self.arrays, self.shares = nn.ModuleDict(arrays), spec.shares()
        self.every = spec.every(self.slices)
        steps = [array.granularity for array in self.chain]
        self.granularity = steps[0] if spec.gradient_granularity == "fast" else sum(steps) / len(steps)
        self.vectors: Tensor
        self.current: Tensor
        self.register_buffer("vectors", torch.zeros(1, dtype=torch.int64, device=site.key.device))
        self.register_buffer("current", torch.zeros(len(steps) - 1, dtype=torch.int64, device=site.key.device))

    @property
    def chain(self) -> list[CellArray]:
        """The arrays from fast to slow."""
        # Not by attribute, which modules look up in three places.
        return list(self._modules["arrays"]._modules.values())  # type: ignore[arg-type, union-attr]

    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see."""
        *hidden, slow = [
            share * array.weights() if share != 1 else array.weights()
            for share, array in zip(self.shares, self.chain, strict=True)
            if share
        ]
        for w in hidden:
            slow = slow + w
        return slow

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the slow array to w [out, in] by its share, the others to zero; transfers start anew."""
        *others, slow = self.arrays
        for name in others:
            self.arrays[name].set_weights(torch.zeros_like(w), noise.child(name))  # type: ignore[operator]
        self.arrays[slow].set_weights(w / self.shares[-1], noise.child(slow))  # type: ignore[operator]
        self.vectors.zero_()
        self.current.zero_()

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Pulse the fast array for inputs x [S, in] and errors d [S, out], and make the transfers that are due on the way."""
        if lr == 0 or not len(x):
            return
        given = rows_of(self, x, d, noise)
        if given is not None and self.at_once(given, lr):
            return
        spec, names, chain = self.spec, list(self.arrays), self.chain
        rate = spec.fast_lr * (lr if spec.scale_fast_lr else 1.0)
        pulse = Pulser(chain[0], x, d, rate, self.pulses, noise.child(names[0]), self.granularity)
        before, arrived = int(self.vectors), list(range(1, len(x) + 1))
        for stage, every in enumerate(self.every):
            source, target = chain[stage], chain[stage + 1]
            told = noise.child(f"{names[stage]} to {names[stage + 1]}")
            reads = self.reads(stage, due(before, len(x), period(every, spec.units_in_mbatch, len(x))), told)
            # A vector's own transfer into an array comes before its transfer out of it.
            counts = [sum(at <= after for at in arrived) for after in reads.after] if stage else reads.after
            taken = snapshots(pulse, counts, reads, self.slices, self.after_read(stage, source, reads, told))
            if not reads.slices:
                pulse, arrived = Pulser(target, x[:0], d[:0], 0.0, spec.transfer_update, told), []
                continue
            values, write_lr = self.digital(stage, self.slices.read(source.weights(), taken, reads, told), reads, lr)
            pulse = self.slices.writer(target, reads, values, write_lr, spec.transfer_update, noise.child(names[stage + 1]))
            arrived = reads.after
        pulse(0, len(arrived))
        self.vectors.add_(len(x))

    def rates(self, samples: int, lr: float) -> tuple[Any, ...] | None:
        """Return the fast array's rate, the rule of transfers, the rate of one pulse of them, and nothing that follows gradients."""
        spec, told = self.spec, self.rule(lr)
        return None if told is None else (spec.fast_lr * (lr if spec.scale_fast_lr else 1.0), *told, None)

    def made(self, views: Any, samples: int, lr: float, path: str) -> Any:
        """Return the engine's plan of an update, or None for settings that it does not know."""
        spec, chain, site, rates = self.spec, self.chain, self.slices.site, self.rates(samples, lr)
        if len(chain) > 2 or spec.n_reads_per_transfer > 1 or spec.random_selection or rates is None or not site.read_by_engine:
            return None
        rate, rule, size, _ = rates
        sweep = Sweep(period(self.every[0], spec.units_in_mbatch, samples), self.slices.columns)
        update: Any = site.kernel("pulsed_update", "cpu")
        # An engine with views of cells has this, too.
        return update.transfer(
            {name: self._buffers[name] for name in self.states}, *views, samples, rate, self.granularity, self.pulses, sweep, rule, size,
            chain[1].granularity, spec.transfer_update, path, site.reading, f"{path}/{' to '.join(self.arrays)}",
        )  # fmt: skip

    def rule(self, lr: float) -> tuple[Rule, float] | None:
        """Return what `digital` does between two arrays as an engine's transfer is told, and the learning rate of one pulse; or None."""
        return None

    def transfer_rate(self, stage: int, lr: float) -> float:
        """Return the learning rate of a transfer."""
        spec = self.spec
        rate: float = spec.transfer_lr_vec[stage] if spec.transfer_lr_vec else spec.transfer_lr
        return rate * (lr if spec.scale_transfer_lr else 1.0)

    def reads(self, stage: int, times: list[int], noise: Stream) -> Reads:
        """Return the slices that a stage reads at given times; moves on where they start."""
        each, count = self.spec.n_reads_per_transfer, self.slices.number
        assert noise.ordinals is not None
        ordinals = noise.ordinals[run([after - 1 for after in times])] if times else noise.ordinals[:0]
        if self.spec.random_selection:
            drawn = noise.at(ordinals).uniform("selection", self.vectors.new_zeros((len(times), 1, 1), dtype=torch.float64))
            starts = [min(int(u * count), count - 1) for u in drawn.flatten().tolist()]
        else:
            first = int(self.current[stage])
            starts = [(first + each * t) % count for t in range(len(times))]
            self.current[stage] = (first + each * len(times)) % count
        slices = [(start + r) % count for start in starts for r in range(each)]
        numbered = (ordinals[:, None] * each + torch.arange(each, device=ordinals.device)).flatten()
        return Reads([after for after in times for _ in range(each)], slices, numbered)

    def after_read(self, stage: int, source: CellArray, reads: Reads, noise: Stream) -> Any:
        """Return what happens to a source after each of its slices was read, if anything does."""
        return None

    @abstractmethod
    def digital(self, stage: int, values: Tensor, reads: Reads, lr: float) -> tuple[Tensor, float]:
        """Return what is subtracted from the target's slices [T, width], and at what learning rate, from what was read."""
