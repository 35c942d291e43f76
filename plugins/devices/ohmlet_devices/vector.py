"""Device `vector`: several devices at each crosspoint whose weights add up."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import PulsedArray
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, CompositeCell, UnitCell
from ohmlet.spec import integer, numbers, one_of
from ohmlet_devices.joined import JoinedArray, mean_granularity, of_samples
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Trains

__all__ = ["Vector", "VectorArray"]

POLICIES = ("all", "single_random", "single_sequential", "single_fixed")


@frozen(kw_only=True)
class Vector(CompositeCell):
    """Devices in parallel at each crosspoint: w = sum of gamma_k w_k.

        all                each vector's pulses go to every device
        single_random      to one device, drawn for each vector and the same for all cells
        single_sequential  to one device after the other, vector by vector, beginning with first_update_idx
        single_fixed       to device first_update_idx only

    Weights that are set are shared out: w_k = w / sum(gamma). Pulse probabilities are worked out with the mean step of the devices.
    Source: Boybat et al., Nat. Commun. 9, 2514 (2018), doi:10.1038/s41467-018-04933-y.
    """

    unit_cell_devices: tuple[UnitCell, ...] = part(tuple[UnitCell, ...], "the devices at a crosspoint", ["soft_bounds", "soft_bounds"])
    update_policy: str = one_of("all", POLICIES, "which devices get the pulses of a vector")
    first_update_idx: int = integer(0, "the device that is pulsed first, or always", ge=0)
    gamma_vec: tuple[float, ...] | None = numbers(None, "weight of each device in the sum; 1/n unless given")
    set_form: str = one_of("share", ("share", "same"), "weights that are set: share: so that the sum is w; same: each device is set to w")

    def __attrs_post_init__(self) -> None:
        count = len(self.unit_cell_devices)
        if not count:
            raise ConfigError("unit_cell_devices is empty: give at least one device")
        if self.gamma_vec is not None and len(self.gamma_vec) != count:
            raise ConfigError(f"gamma_vec has {len(self.gamma_vec)} entries for {count} devices: give one for each")
        if self.first_update_idx >= count:
            raise ConfigError(f"first_update_idx = {self.first_update_idx} with {count} devices: it counts from 0")
        if self.first_update_idx and self.update_policy in {"all", "single_random"}:
            raise ConfigError(f"first_update_idx has no effect with update_policy {self.update_policy}: leave it out")
        fixed = self.update_policy == "single_fixed"
        if self.set_form == "share" and (self.gammas[self.first_update_idx] if fixed else math.fsum(self.gammas)) == 0:
            raise ConfigError(f"gamma_vec = {self.gammas} lets no weight be set: the devices that are pulsed add up to nothing")

    @property
    def gammas(self) -> tuple[float, ...]:
        """The weight of each device in the sum."""
        count = len(self.unit_cell_devices)
        return (1 / count,) * count if self.gamma_vec is None else self.gamma_vec

    @property
    def granularity(self) -> float:
        """The mean step over the devices."""
        return mean_granularity(self.unit_cell_devices)

    def parts(self) -> Mapping[str, UnitCell]:
        """Return the devices by their number."""
        return {str(index): cell for index, cell in enumerate(self.unit_cell_devices)}

    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the array that joins them."""
        return VectorArray(self, site, arrays)

    def equations(self) -> tuple[str, ...]:
        """Return the sum."""
        return ("w = " + " + ".join(f"{gamma:g} w_{index}" for index, gamma in enumerate(self.gammas)),)


class VectorArray(JoinedArray):
    """The devices of a `vector`; `vectors` counts the updates so far."""

    def __init__(self, cell: Vector, site: ArraySite, arrays: Mapping[str, nn.Module]) -> None:
        super().__init__(cell.granularity, site, arrays)
        self.cell = cell
        self.vectors: Tensor
        self.register_buffer("vectors", torch.zeros(1, dtype=torch.int64, device=site.key.device))

    def weights(self) -> Tensor:
        """Return the sum over the devices [out, in]."""
        total = torch.zeros_like(self.like())
        for gamma, array in zip(self.cell.gammas, self.parts().values(), strict=True):
            total += gamma * array.weights()
        return total

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Set the devices that pulses reach."""
        gammas, arrays, shared = self.cell.gammas, list(self.parts().items()), self.cell.set_form == "share"
        if self.cell.update_policy == "single_fixed":
            index = self.cell.first_update_idx
            name, array = arrays[index]
            rest = self.weights() - gammas[index] * array.weights()
            array.set_weights((w - rest) / gammas[index] if shared else w, noise.child(name))
            return
        for name, array in arrays:
            array.set_weights(w / math.fsum(gammas) if shared else w, noise.child(name))

    def chosen(self, count: int, noise: Stream) -> Tensor | None:
        """Return which device each of `count` vectors goes to, int64 [S]; None for all devices."""
        devices, policy = len(self.arrays), self.cell.update_policy
        if policy == "all":
            return None
        if policy == "single_random":
            drawn = noise.uniform("device", self.vectors.new_empty((count, 1, 1), dtype=torch.float32))
            return (drawn.reshape(count) * devices).long().clamp_max(devices - 1)
        first = self.vectors.new_full((count,), self.cell.first_update_idx)
        if policy == "single_fixed":
            return first
        made = (first + self.vectors + torch.arange(count, device=first.device)) % devices
        self.vectors.add_(count)
        return made

    def each(self, count: int, noise: Stream) -> list[tuple[PulsedArray, Stream, Tensor]]:
        """Return the arrays that the vectors reach, each with its noise and the indices of its vectors."""
        assert noise.ordinals is not None
        choice, out = self.chosen(count, noise), []
        for index, (name, array) in enumerate(self.parts().items()):
            mine = torch.arange(count, device=self.vectors.device)
            if choice is not None:
                mine = mine[choice == index]
            if len(mine):
                out.append((array, noise.child(name).at(noise.ordinals[mine]), mine))
        return out

    def pulse_trains(self, made: Trains, noise: Stream) -> None:
        """Apply the trains of each vector to the devices that it goes to."""
        for array, own, mine in self.each(len(made.x), noise):
            array.pulse_trains(of_samples(made, mine), own)

    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Subtract lr d x^T from the devices that each vector goes to."""
        for array, own, mine in self.each(len(x), noise):
            array.add(x[mine], d[mine], lr, bounded=bounded, noise=own)
