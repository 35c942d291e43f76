"""The module behind `lrtt`: three arrays, how far their transfers have come, and what has arrived of them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ohmlet.cells import CellArray, TransferReport
from ohmlet.errors import SaturationWarning
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.lrtt_filter import FilterModule
from ohmlet_optimizers.lrtt_writes import Lines, lost_in_trains, micro_steps, orthogonal_rows, write_product, write_rows
from ohmlet_optimizers.transfers import due

if TYPE_CHECKING:
    from ohmlet_optimizers.lrtt import LRTT

__all__ = ["LRTTModule"]

ENOUGH = 8
"""Transfers before their mean is judged: one of them is noisy where products are small."""


class LRTTModule(nn.Module):
    """The arrays `up` [out, r], `down` [r, in] and `core` [out, in] of one crossbar, the state of the filter, and counters.

    Buffers: `counted`, updates or vectors so far; `stale`, whether up and down are still to start anew; `transfers`, `residuals` (mean
    and largest) and `reached` (mean, and the sum of squares about it) as in `ohmlet.cells.TransferReport`.
    """

    def __init__(self, spec: LRTT, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        self.spec, self.pulses, self.lines = spec, pulses, Lines(site)
        self.arrays, self.filter = nn.ModuleDict(arrays), FilterModule(spec.filter, site, spec.rank)
        self.told = False
        """Whether it was said that transfers do not arrive."""
        self.counted: Tensor
        self.stale: Tensor
        self.transfers: Tensor
        self.residuals: Tensor
        self.reached: Tensor
        for name, value in (("counted", 1), ("stale", 1), ("transfers", 1)):
            self.register_buffer(name, torch.zeros(value, dtype=torch.int64, device=site.key.device))
        for name, value in (("residuals", 2), ("reached", 2)):
            self.register_buffer(name, torch.zeros(value, device=site.key.device))
        noise = Stream(site.key, path="lrtt")
        self.array("down").set_weights(self.random_down(noise), noise)

    def array(self, name: str) -> CellArray:
        """Return one of the arrays."""
        return self.arrays[name]  # type: ignore[return-value]

    @property
    def signs(self) -> Tensor:
        """The signs [1, r] of a chopper."""
        return self.filter.signs

    def held(self) -> dict[str, Tensor]:
        """Return the weights of the arrays, and the signs of a chopper."""
        return {name: self.array(name).weights() for name in self.arrays} | ({"signs": self.signs} if self.spec.chops else {})

    def weights(self) -> Tensor:
        """Return the weights [out, in] that forward passes read: core, with `forward_inject` core + alpha up down."""
        return self.spec.merged(self.held()) if self.spec.forward_inject else self.array("core").weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring core to w [out, in] as far as the devices can; up is zero, down random, and all counters start anew."""
        self.array("core").set_weights(w, noise.child("core"))
        self.array("up").set_weights(torch.zeros_like(self.array("up").weights()), noise.child("up"))
        self.array("down").set_weights(self.random_down(noise), noise.child("down"))
        for state in (self.counted, self.stale, self.transfers, self.residuals, self.reached):
            state.zero_()
        self.filter.clear()

    def random_down(self, noise: Stream) -> Tensor:
        """Return a fresh `down` [r, in]."""
        spec, like = self.spec, self.array("down").weights()
        if noise.ordinals is not None:
            like = like[None]
        std = spec.reinit_gain * math.sqrt(2 / like.shape[-1])
        if spec.reinit_mode.startswith("orthogonal"):
            drawn = orthogonal_rows(noise.normal("down", like)) * (std * math.sqrt(like.shape[-1]))
        elif spec.down_init == "uniform":
            drawn = (noise.uniform("down", like) * 2 - 1) * (spec.reinit_gain / math.sqrt(like.shape[-1]))
        else:
            drawn = noise.normal("down", like) * std
        return drawn.reshape(like.shape[-2:])

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Pulse up and down for inputs x [S, in] and errors d [S, out], and make the transfers that are due on the way."""
        if lr == 0 or not len(x):
            return
        ordinals, samples = noise.ordinals, self.spec.unit == "sample"
        assert ordinals is not None
        before, done = int(self.counted), 0
        stops = due(before, len(x) if samples else 1, self.spec.transfer_every)
        for after in stops if samples else [len(x)] * len(stops):
            self.learn(x[done:after], d[done:after], lr, noise.at(ordinals[done:after]))
            self.transfer(noise.at(ordinals[after - 1 : after]))
            done = after
        if done < len(x):
            self.learn(x[done:], d[done:], lr, noise.at(ordinals[done:]))
        self.counted.add_(len(x) if samples else 1)

    def learn(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Pulse up with (c down x, d) and down with (x, c up^T d), both of them read before, c the signs of a chopper."""
        if bool(self.stale):
            assert noise.ordinals is not None
            self.start_anew(noise.child("reinit").at(noise.ordinals[:1]))
            self.stale.zero_()
        up, down = self.array("up"), self.array("down")
        p = self.projected("down", down.weights(), x, noise.child("project down"))
        q = self.projected("up", up.weights().mT, d, noise.child("project up"))
        rate = lr * self.spec.rate
        up.pulse(self.filter.signed(p), d.to(p.dtype), rate, self.pulses, noise.child("up"))
        down.pulse(x.to(q.dtype), self.filter.signed(q), rate, self.pulses, noise.child("down"))

    def projected(self, name: str, w: Tensor, v: Tensor, noise: Stream) -> Tensor:
        """Return w v of vectors [S, n] and an array's weights or their transpose."""
        v = v.to(w.dtype)
        return v @ w.mT if self.spec.proj == "digital" else self.lines.driven(name, w, v, noise)

    def transfer(self, noise: Stream) -> None:
        """Add eta up down to core, take account of what has arrived, and let up and down start anew; one ordinal in `noise`."""
        spec, core = self.spec, self.array("core")
        wanted, up, down = self.gathered(noise)
        if bool(wanted.any()):
            before, told = core.weights().clone(), noise.child("core")
            if spec.transfer_write == "set":
                core.set_weights(before + spec.eta * (up @ down), told)
            elif spec.transfer_write == "program_verify":
                self.write("core", before + spec.eta * (up @ down), told)
            else:
                steps = micro_steps(up, down, spec.eta, core.granularity, spec.update_c, spec.transfer_micro_steps)
                self.check_trains(up, down, steps)
                write_product(core, up, down, spec.eta, steps, spec.rank_chunk or spec.rank, spec.update_c, told)
            self.account(wanted, core.weights() - before)
        if spec.reset_timing == "immediate":
            self.start_anew(noise.child("reinit"))
        else:
            self.stale.fill_(spec.reinit_mode != "none")

    def gathered(self, noise: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a transfer is to add to core, and the factors [out, r] and [r, in] that it goes by; one ordinal in `noise`.

        With averages these are what is to be added; else that is known exactly, and read-outs are part of what gets lost.
        """
        spec, up, down = self.spec, self.array("up").weights(), self.array("down").weights()
        exact = spec.eta * (self.filter.signed(up) @ down)
        if not self.filter.averages and not bool(exact.any()):
            return exact, up, down
        if spec.transfer_read == "onehot":
            up = self.lines.columns("up", up, noise.child("read up"))
            down = self.lines.rows("down", down, noise.child("read down"))
        up, down = self.filter.handed_on(up, down)
        return spec.eta * (up @ down) if self.filter.averages else exact, up, down

    def write(self, name: str, target: Tensor, noise: Stream) -> None:
        """Program an array in pulses, verified as transfers are read."""
        look = functools.partial(self.lines.rows, name) if self.spec.transfer_read == "onehot" else None
        write_rows(self.array(name), target, self.spec.verify_steps, self.spec.update_c, noise, look)

    def start_anew(self, noise: Stream) -> None:
        """Bring up and down to where they start after a transfer, as `reinit_mode` says, and flip signs; one ordinal in `noise`."""
        spec = self.spec
        self.filter.flip(noise)
        if spec.reinit_mode == "none":
            return
        decays = spec.reinit_mode in {"decay", "orthogonal_decay"}
        targets = {"up": self.array("up").weights() * (spec.reinit_decay if decays else 0.0)}
        if spec.reinit_mode != "hybrid":
            kept = spec.reinit_mode == "decay"
            targets["down"] = self.array("down").weights() * spec.reinit_decay if kept else self.random_down(noise)
        for name, target in targets.items():
            if spec.reinit_write == "ideal":
                self.array(name).set_weights(target, noise.child(name))
            else:
                self.write(name, target, noise.child(name))

    def account(self, wanted: Tensor, gained: Tensor) -> None:
        """Add a transfer to the report; say so, once, when less than there should be has arrived on average."""
        square = wanted.square().sum()
        residual = ((gained - wanted).square().sum() / square).sqrt()
        reached = (gained * wanted).sum() / square
        self.transfers.add_(1)
        self.residuals[0] += (residual - self.residuals[0]) / self.transfers[0]
        self.residuals[1] = torch.maximum(self.residuals[1], residual)
        before = self.reached[0].clone()
        self.reached[0] += (reached - before) / self.transfers[0]
        self.reached[1] += (reached - before) * (reached - self.reached[0])
        count = int(self.transfers)
        if self.told or count < ENOUGH:
            return
        mean, squares = self.reached.tolist()
        if mean + 4 * math.sqrt(squares / (count * (count - 1))) < 1 - self.spec.loss_warning:
            self.tell(f"only {mean:.0%} of {count} transfers has arrived in core: its devices are at their bounds, or step less there")

    def check_trains(self, up: Tensor, down: Tensor, steps: int) -> None:
        """Say so, once, when pulse trains are too short for a transfer; `steps` may have been chosen."""
        spec, granularity = self.spec, self.array("core").granularity
        if self.told or steps >= micro_steps(up, down, spec.eta, granularity, spec.update_c, None):
            return
        lost = lost_in_trains(up, down, spec.eta, steps, granularity, spec.update_c)
        if lost > spec.loss_warning:
            self.tell(
                f"{lost:.0%} of a transfer does not fit into {steps} pulse trains of at most {spec.update_c.desired_bl} pulses for each "
                "rank: leave transfer_micro_steps out or raise it, or raise update_c.desired_bl"
            )

    def tell(self, words: str) -> None:
        """Warn, this once."""
        self.told = True
        warnings.warn(
            f"lrtt: {words}; a lower transfer_lr or transfer_every transfers less at a time, and ohmlet.cells.transfer_report(model) tells "
            "of all transfers",
            SaturationWarning,
            stacklevel=3,
        )

    def transferred(self) -> TransferReport | None:
        """Return what has arrived of the transfers so far."""
        mean, worst = self.residuals.tolist()
        return TransferReport(int(self.transfers), mean, worst, float(self.reached[0])) if bool(self.transfers) else None
