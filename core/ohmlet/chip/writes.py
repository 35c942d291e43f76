"""What one write does to a device, in a write-verify loop: it lands with an error, or it moves by an increment."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, one_of
from ohmlet_kernels.noise import Stream

__all__ = ["Array", "Increment", "Placement", "Writer"]


class Array(NamedTuple):
    """One device per weight of one crossbar in all chip instances, about to be written."""

    target: Tensor
    """uS, [groups?, out, in]"""
    stuck: Tensor | None
    """uS, NaN for healthy devices, [instances, groups?, out, in]"""
    noise_model: NoiseModel
    window: ConductanceWindow
    noise: Stream
    """One key per instance (and group)."""

    def held(self, g: Tensor) -> Tensor:
        """Return conductances [instances, groups?, out, in] with those of stuck devices in place."""
        g = g.expand(*self.noise.key.shape, *self.target.shape[-2:])
        return g if self.stuck is None else g.where(self.stuck.isnan(), self.stuck)

    def fresh(self, start: str) -> Tensor:
        """Return the conductances before the first write: all at g_min or g_max, or as the noise model programs them."""
        if start == "programmed":
            return self.held(self.noise_model.program(self.target, self.window, self.noise))
        return self.held(self.target.new_full((), getattr(self.window, start)))


class Writer(Protocol):
    """Devices being written; `g` [instances, groups?, out, in] is what they hold, in uS."""

    g: Tensor

    def write(self, chosen: Tensor, seen: Tensor | None, iteration: int) -> Tensor:
        """Write the chosen devices, knowing what the last read saw (uS), and return how many pulses each of them took."""


@frozen(kw_only=True)
class Placement:
    """Each write lands at the target with the error of the noise model's programming, independent of the writes before.

        g = program(target, noise of this write)

    The first write reaches what programming without verification reaches. Noise models that were measured after a closed loop, such as
    `pcm` and `reram_cmo`, state what the loop leaves; here their spread is that of a single write.
    """

    type_name: ClassVar[str] = "placement"
    reads_first: ClassVar[bool] = False

    def begin(self, array: Array) -> Writer:
        """Return the devices of an array, about to be written."""
        return _Placed(array)


class _Placed:
    def __init__(self, array: Array) -> None:
        self.array, self.g = array, array.fresh("g_min")

    def write(self, chosen: Tensor, seen: Tensor | None, iteration: int) -> Tensor:
        array = self.array
        # The first write is that of a chip programmed without verification.
        noise = array.noise if iteration == 0 else array.noise.child(f"write {iteration}")
        self.g = array.held(array.noise_model.program(array.target, array.window, noise)).where(chosen, self.g)
        return chosen.to(torch.int32)


@frozen(kw_only=True)
class Increment:
    """Each write moves a device by a part of the distance that the read before it saw, with an error.

        dg = gain (target - g_seen) + sqrt(sigma_uS^2 + (sigma_relative gain (target - g_seen))^2) xi,  g = max(g + dg, 0)

    with xi standard normal, drawn anew for each write.
    """

    type_name: ClassVar[str] = "increment"
    reads_first: ClassVar[bool] = True
    gain: float = number(0.7, "part of the distance to the target that a write covers on average", gt=0.0, lt=2.0)
    sigma_uS: float = number(0.2, "error of a write that does not depend on its size", unit="uS", ge=0.0)  # noqa: N815
    sigma_relative: float = number(0.1, "error of a write relative to its size", ge=0.0)
    start: str = one_of("g_min", ("g_min", "g_max", "programmed"), "where devices are before: reset, set, or as the noise model programs")

    def begin(self, array: Array) -> Writer:
        """Return the devices of an array, about to be written."""
        return _Incremented(self, array)


class _Incremented:
    def __init__(self, spec: Increment, array: Array) -> None:
        self.spec, self.array, self.g = spec, array, array.fresh(spec.start)

    def write(self, chosen: Tensor, seen: Tensor | None, iteration: int) -> Tensor:
        if seen is None:
            raise ConfigError("increments are computed from a read, and none came before")
        spec, array = self.spec, self.array
        wanted = spec.gain * (array.target - seen)
        sigma = torch.hypot(wanted.new_tensor(spec.sigma_uS), spec.sigma_relative * wanted)
        xi = array.noise.child(f"write {iteration}").normal("increment", array.target)
        self.g = array.held((self.g + wanted + sigma * xi).clamp_min(0.0)).where(chosen, self.g)
        return chosen.to(torch.int32)
