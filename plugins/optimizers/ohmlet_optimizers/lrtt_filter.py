"""What lies between the arrays `up` and `down` of `lrtt` and the transfers to `core`: averages, and signs that flip."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.interfaces.device import ArraySite
from ohmlet.spec import boolean, number
from ohmlet_kernels.noise import Stream

__all__ = ["EMA", "Chopper", "Filter", "FilterModule", "Unfiltered"]


def averaging(momentum: float, up: str) -> tuple[str, ...]:
    """Return the equation of averages."""
    return (f"H_up <- {momentum:g} H_up + {1 - momentum:g} {up}, H_down <- {momentum:g} H_down + {1 - momentum:g} down",)


@frozen(kw_only=True)
class Unfiltered:
    """up and down are transferred as they are read."""

    type_name: ClassVar[str] = "none"
    momentum: ClassVar[float] = 0.0

    def equations(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()


@frozen(kw_only=True)
class EMA:
    """Exponential averages of what is read of up and down are transferred: a digital low-pass of low rank.

        H_up   <- momentum H_up   + (1 - momentum) read(up)      from zero, so that each read counts once in the end
        H_down <- momentum H_down + (1 - momentum) read(down)    from the first read
        core   <- core + eta H_up H_down                         every `transfer_every`

    H_up H_down is the average of the products read(up) read(down) as long as down stays, and their weighted covariance away from it
    otherwise. Where up starts anew after transfers, what the averages hold back is in no array until it arrives. They take r (out + in)
    digital numbers, as many as the low-rank arrays have cells; an average of the products themselves would take out in, at any rank.
    """

    type_name: ClassVar[str] = "ema"
    momentum: float = number(0.9, "share of the averages that a transfer leaves; the rest is the new read", gt=0, lt=1)

    def equations(self) -> tuple[str, ...]:
        """Return what the averages do, with its values."""
        return averaging(self.momentum, "up")


@frozen(kw_only=True)
class Chopper:
    """Signs c [r] on the lines between down and up: gradients gather on up with them, transfers undo them, offsets of up average out.

        up   <- up   - lr s d (c p)^T
        down <- down - lr s (c q) x^T
        core <- core + eta up (c down)        = eta (up - o) (c down) + eta o (c down)   for an offset o of up's cells
        y     = core x + alpha up (c (down x))

    The first term does not know of c, the second one changes its sign with it. All signs flip after every 1/in_chop_prob-th transfer,
    or each after any transfer with probability in_chop_prob. r digital signs; an offset of down needs none, for it is multiplied by
    up, whose sign is undone. Where up starts anew after transfers flips cost nothing; where it stays, they turn what it holds, which
    gradients have to undo. With `momentum` the averages of `ema` are taken of up with its signs undone, so that offsets are gone
    before they become pulses on core.

    References: the choppers of Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z, on the
    input lines of one of two arrays of low rank.
    """

    type_name: ClassVar[str] = "chopper"
    in_chop_prob: float = number(0.1, "how often a line's sign flips, per transfer; its inverse is the period of regular flips", gt=0, le=1)
    in_chop_random: bool = boolean(False, "flip at random, not regularly")
    momentum: float = number(0.0, "share of averages as those of ema that a transfer leaves; 0 for no averages", ge=0, lt=1)

    @property
    def chop_period(self) -> int:
        """Transfers between regular flips."""
        return math.ceil(1 / self.in_chop_prob - 1e-9)

    def equations(self) -> tuple[str, ...]:
        """Return what signs and averages do, with their values."""
        flips = f"each c flips with probability {self.in_chop_prob:g}" if self.in_chop_random else f"all c flip every {self.chop_period}"
        unit = "after a transfer" if self.in_chop_random else "transfers"
        return (f"{flips} {unit}", *(averaging(self.momentum, "c up") if self.momentum else ()))


Filter = Unfiltered | EMA | Chopper


class FilterModule(nn.Module):
    """The state of a filter.

    Buffers: of a chopper `signs` [1, r], and with regular flips `sweeps`, the transfers so far; of averages `mean_up` [out, r],
    `mean_down` [r, in] and `started`, whether anything was read.
    """

    def __init__(self, settings: Filter, site: ArraySite, rank: int) -> None:
        super().__init__()
        self.settings = settings
        device = site.key.device
        self.signs: Tensor
        self.sweeps: Tensor
        self.mean_up: Tensor
        self.mean_down: Tensor
        self.started: Tensor
        if isinstance(settings, Chopper):
            self.register_buffer("signs", torch.ones((1, rank), device=device))
            if not settings.in_chop_random:
                self.register_buffer("sweeps", torch.zeros(1, dtype=torch.int64, device=device))
        if self.averages:
            self.register_buffer("mean_up", torch.zeros((site.rows, rank), device=device))
            self.register_buffer("mean_down", torch.zeros((rank, site.columns), device=device))
            self.register_buffer("started", torch.zeros(1, dtype=torch.bool, device=device))

    @property
    def averages(self) -> bool:
        """Whether averages are transferred."""
        return self.settings.momentum > 0

    @property
    def chops(self) -> bool:
        """Whether lines have signs."""
        return isinstance(self.settings, Chopper)

    def clear(self) -> None:
        """Forget what was read; all signs are positive again."""
        for name, state in self.named_buffers():
            state.fill_(1 if name == "signs" else 0)

    def signed(self, v: Tensor) -> Tensor:
        """Return vectors or rows [..., r] with the lines' signs."""
        return v * self.signs if self.chops else v

    def handed_on(self, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors [out, r] and [r, in] of what is transferred, from what was read; moves the averages on."""
        up = self.signed(up)
        if not self.averages:
            return up, down
        self.mean_up.lerp_(up, 1 - self.settings.momentum)
        self.mean_down.copy_(torch.where(self.started, torch.lerp(self.mean_down, down, 1 - self.settings.momentum), down))
        self.started.fill_(True)
        return self.mean_up.clone(), self.mean_down.clone()

    def flip(self, noise: Stream) -> None:
        """Let signs flip as they do after a transfer; one ordinal in `noise`."""
        if not isinstance(self.settings, Chopper):
            return
        if self.settings.in_chop_random:
            drawn = noise.uniform("in chopper", self.signs[None])[0]
            self.signs.copy_(torch.where(drawn < self.settings.in_chop_prob, -self.signs, self.signs))
            return
        self.sweeps.add_(1)
        if int(self.sweeps) % self.settings.chop_period == 0:
            self.signs.neg_()
