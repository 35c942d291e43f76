"""Closed-loop programming: read, compare with the target, write again what is outside, until all devices pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.chip.pulse_writes import Pulses
from ohmlet.chip.writes import Array, Increment, Placement
from ohmlet.config.structure import part
from ohmlet.errors import ConfigError
from ohmlet.spec import integer, number

__all__ = ["Outcome", "WriteVerify"]


class Outcome(NamedTuple):
    """What a write-verify loop left in one device per weight, all [instances, groups?, out, in]."""

    g: Tensor
    """uS"""
    pulses: Tensor
    """Spent on each device."""
    iterations: Tensor
    """Writes that each device took part in."""
    accepted: Tensor
    """Whether the last read of the device was within tolerance."""


@frozen(kw_only=True)
class WriteVerify:
    """Write-verify: devices are written and read in turns until the read is within tolerance, or `max_iterations` writes were made.

        accepted when |g_read - target| <= tolerance_uS + tolerance_relative target
        g_read = g + read_noise_uS xi, or the noise model's read at time 0

    An accepted device is left alone from then on, so what it really holds is off by the read noise too. All devices of all chip
    instances are written at once. Every iteration draws its own numbers: more iterations, instances or layers leave the others' as they
    were. Raises ConfigError for a tolerance that no read can meet.
    """

    model: Placement | Increment | Pulses = part(Placement | Increment | Pulses, "what one write does to a device", "placement")
    tolerance_uS: float = number(0.5, "accepted distance of a read from the target", unit="uS", ge=0.0)  # noqa: N815
    tolerance_relative: float = number(0.0, "further accepted distance, relative to the target", ge=0.0)
    read_noise_uS: float | None = number(  # noqa: N815
        None, "standard deviation of one read; left out: the read noise of the noise model at time 0", unit="uS", ge=0.0
    )
    max_iterations: int = integer(20, "writes after which a device is given up", ge=1)

    def __attrs_post_init__(self) -> None:
        if self.tolerance_uS == 0.0 and self.tolerance_relative == 0.0:
            raise ConfigError("'tolerance_uS' and 'tolerance_relative' are both 0, and no write meets its target exactly; set either")

    def tolerance(self, target: Tensor) -> Tensor:
        """Return how far (uS) a read may be from targets (uS)."""
        return self.tolerance_uS + self.tolerance_relative * target

    def read(self, array: Array, g: Tensor, count: int) -> Tensor:
        """Return what the read with this number sees of conductances (uS)."""
        noise = array.noise.child(f"verify {count}")
        if self.read_noise_uS is None:
            return array.held(array.noise_model.read(g, g, 0.0, array.window, noise))
        return g if self.read_noise_uS == 0.0 else array.held(g + self.read_noise_uS * noise.normal("verify", array.target))

    def run(self, array: Array) -> Outcome:
        """Write the devices of an array and return what became of them."""
        writer = self.model.begin(array)
        tolerance = self.tolerance(array.target)
        pending = torch.ones_like(writer.g, dtype=torch.bool)
        pulses, iterations = (torch.zeros_like(writer.g, dtype=torch.int32) for _ in range(2))
        seen = None
        if self.model.reads_first:
            seen = self.read(array, writer.g, 0)
            pending = (seen - array.target).abs() > tolerance
        for iteration in range(self.max_iterations):
            if not bool(pending.any()):
                break
            pulses += writer.write(pending, seen, iteration)
            iterations += pending
            seen = self.read(array, writer.g, iteration + 1)
            pending = pending & ((seen - array.target).abs() > tolerance)
        return Outcome(writer.g, pulses, iterations, ~pending)
