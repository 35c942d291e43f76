"""Device `one_sided`: two devices that pulses can only increase, read against each other, with refresh."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import DeviceArray
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, CompositeCell, Device, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import boolean, integer, number, one_of
from ohmlet_devices.joined import JoinedArray, mean_granularity, of_samples
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Trains
from ohmlet_kernels.pulsed_update.cells import DOWN_AS_UP, UP_ONLY
from ohmlet_kernels.pulsed_update.trains import trains

__all__ = ["OneSided", "OneSidedArray"]


@frozen(kw_only=True)
class OneSided(CompositeCell):
    """Two unidirectional devices at each crosspoint: w = g_plus - g_minus; every pulse is one up, to g_plus or to g_minus.

    Both saturate in time, so that a refresh reads, resets and rewrites pairs: every `refresh_every` mini-batches (or vectors) it resets
    both devices where the larger reading passes refresh_upper_thres and the smaller one refresh_lower_thres, in units of the nominal
    w_max, and writes their difference to the larger one with one pulsed update, in open loop. Readings go through the tile.

    `copy_inverted` makes g_plus the mirror image of the g_minus beside it (its steps up are the other's steps down).
    Source: Suri et al., IEDM (2011), doi:10.1109/IEDM.2011.6131488; Bichler et al., IEEE Trans. Electron Devices 59, 2206 (2012),
    doi:10.1109/TED.2012.2197951.
    """

    minus: UnitCell = part(UnitCell, "the device that decreases w", {"type": "soft_bounds", "w_max": 1.0, "w_min": 0.0})
    plus: UnitCell | None = part(UnitCell | None, "the device that increases w; as `minus` unless given", None)
    refresh_every: int = integer(0, "mini-batches or vectors between refreshes, 0 for none", ge=0)
    units_in_mbatch: bool = boolean(True, "refresh_every counts mini-batches rather than vectors")
    refresh_upper_thres: float = number(0.75, "reading of the larger device that calls for a refresh, in units of w_max", ge=0)
    refresh_lower_thres: float = number(0.25, "reading of the smaller device that calls for a refresh, in units of w_max", ge=0)
    refresh_update: PulsedUpdate = part(PulsedUpdate, "the pulses that write the difference", {})
    copy_inverted: str = one_of(
        "no",
        ("no", "mirrored", "mirrored_slopes"),
        "g_plus as mirror image: mirrored: of the g_minus beside it; mirrored_slopes: of a device of its own, with the slopes of g_minus",
    )

    def __attrs_post_init__(self) -> None:
        for cell in (self.minus, self.plus):
            if cell is not None and not isinstance(cell, Device):
                raise ConfigError(f"one_sided needs plain devices that can be reset, got {type(cell).__name__}")
        if self.copy_inverted != "no" and self.plus is not None and self.plus != self.minus:
            raise ConfigError("copy_inverted makes plus the mirror image of minus: leave `plus` out")
        if self.refresh_every == 0:
            if not self.units_in_mbatch:
                raise ConfigError("units_in_mbatch has no effect without refresh_every: set it or leave units_in_mbatch out")
            if self.refresh_upper_thres != 0.75 or self.refresh_lower_thres != 0.25 or self.refresh_update != PulsedUpdate():
                raise ConfigError("thresholds and pulses of the refresh have no effect without refresh_every: set it or leave them out")

    @property
    def granularity(self) -> float:
        """The mean step of the two."""
        return mean_granularity(list(self.parts().values()))

    @property
    def reads(self) -> bool:
        """Whether the tile reads the two one by one, as refreshes do."""
        return self.refresh_every > 0

    def parts(self) -> Mapping[str, UnitCell]:
        """Return the two."""
        return {"minus": self.minus, "plus": self.minus if self.plus is None else self.plus}

    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the array that joins them; raises ConfigError for devices without a mirror image or without bounds to refresh by."""
        made = OneSidedArray(self, site, arrays)
        if self.copy_inverted != "no":
            self.mirror(made.device("minus"), made.device("plus"))
        return made

    def mirror(self, minus: DeviceArray, plus: DeviceArray) -> None:
        """Make the cells of plus mirror images."""
        own, theirs = plus.device.inverted(plus.cell()), minus.device.inverted(minus.cell())
        made = (
            {**own, **{name: theirs[name] for name in theirs if name.startswith("slope")}}
            if self.copy_inverted == "mirrored_slopes"
            else theirs
        )
        for name, value in {name: value.clone() for name, value in made.items()}.items():
            getattr(plus, f"cell_{name}").copy_(value)
        plus.w.copy_(plus.device.placed(torch.zeros_like(plus.w), plus.cell()))

    def equations(self) -> tuple[str, ...]:
        """Return the difference."""
        return ("w = g_plus - g_minus, each pulse up",)


class OneSidedArray(JoinedArray):
    """The two devices of a `one_sided` cell; `since` counts towards the next refresh, `refreshes` counts those done."""

    def __init__(self, cell: OneSided, site: ArraySite, arrays: Mapping[str, nn.Module]) -> None:
        super().__init__(cell.granularity, site, arrays)
        self.cell, self.read = cell, site.read
        self.since: Tensor
        self.refreshes: Tensor
        self.register_buffer("since", torch.zeros(1, dtype=torch.int64, device=site.key.device))
        self.register_buffer("refreshes", torch.zeros(1, dtype=torch.int64, device=site.key.device))
        if cell.refresh_every:
            lacking = [name for name in self.arrays if "w_max" not in self.device(name).device.cells()]
            if lacking:
                raise ConfigError(f"refresh needs devices with w_max, which its thresholds refer to: {', '.join(lacking)} has none")

    def device(self, name: str) -> DeviceArray:
        """Return the array of g_plus or g_minus."""
        array = self.part(name)
        assert isinstance(array, DeviceArray)
        return array

    def weights(self) -> Tensor:
        """Return the difference [out, in]."""
        return self.part("plus").weights() - self.part("minus").weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Set g_plus to the positive part of w and g_minus to the negative one."""
        for name, sign in (("plus", 1), ("minus", -1)):
            self.part(name).set_weights((sign * w).clamp_min(0.0), noise.child(name))

    def pulse_trains(self, made: Trains, noise: Stream) -> None:
        """Apply pulse trains, each coincidence as a pulse up to one of the two, with the refreshes that fall due."""
        assert noise.ordinals is not None
        samples, every = len(noise.ordinals), self.cell.refresh_every
        if not every:
            self.pulsed(made, noise)
            return
        if self.cell.units_in_mbatch:
            self.pulsed(made, noise)
            self.count(1, noise)
            return
        start = 0
        while start < samples:
            stop = min(start + every - int(self.since), samples)
            mine = torch.arange(start, stop, device=noise.ordinals.device)
            self.pulsed(of_samples(made, mine), noise.at(noise.ordinals[mine]))
            self.count(stop - start, noise)
            start = stop

    def pulsed(self, made: Trains, noise: Stream) -> None:
        """Apply pulse trains to the two devices."""
        for name, select in (("plus", UP_ONLY), ("minus", DOWN_AS_UP)):
            self.part(name).pulse_trains(made._replace(select=select), noise.child(name))

    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Add what -lr d x^T increases to g_plus and what it decreases to g_minus, within their bounds in any case."""
        for row, error in zip(x, d, strict=True):
            change = -lr * torch.outer(error, row).to(self.like().dtype)
            for name, sign in (("plus", 1), ("minus", -1)):
                array = self.device(name)
                array.set_weights(array.w + (sign * change).clamp_min(0.0), noise.child(name))

    def count(self, passed: int, noise: Stream) -> None:
        """Count mini-batches or vectors, and refresh when it is time."""
        self.since.add_(passed)
        if int(self.since) >= self.cell.refresh_every:
            self.since.zero_()
            self.refresh(noise)

    def readings(self, name: str, noise: Stream) -> Tensor:
        """Return what the tile reads of g_plus or g_minus [out, in], column by column."""
        w = self.part(name).weights()
        one_hot = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
        ordinals = self.refreshes * w.shape[1] + torch.arange(w.shape[1], device=w.device)
        return self.read(w, one_hot, noise.child(f"refresh read {name}").at(ordinals)).mT

    def refresh(self, noise: Stream) -> None:
        """Reset the pairs that are close to saturation and write their differences anew."""
        read = {name: self.readings(name, noise) for name in ("plus", "minus")}
        share = {name: read[name] / self.device(name).device.cells()["w_max"].mean for name in read}
        upper, lower = self.cell.refresh_upper_thres, self.cell.refresh_lower_thres
        plus_larger = (share["plus"] > upper) & (share["minus"] > lower)
        minus_larger = (share["plus"] > lower) & (share["minus"] > upper)
        due = torch.where(read["plus"] > read["minus"], plus_larger, minus_larger)
        ordinals = self.refreshes * due.shape[1] + torch.arange(due.shape[1], device=due.device)
        self.refreshes.add_(1)
        if not due.any():
            return
        self.reset(due, noise.child("refresh"))
        difference = torch.where(due, read["plus"] - read["minus"], 0.0)
        one_hot = torch.eye(due.shape[1], dtype=difference.dtype, device=due.device)
        writing = noise.child("refresh write").at(ordinals)
        kernel = self.kernel("pulse_bits", due.device.type)
        self.pulsed(
            trains(one_hot, difference.mT.contiguous(), -1.0, self.granularity, self.cell.refresh_update.numbers(), writing, kernel),
            writing,
        )
