"""Device `ideal`: a weight in floating point that takes every update exactly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.interfaces.device import ArraySite, CompositeCell, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["Ideal"]


@frozen(kw_only=True)
class Ideal(CompositeCell):
    """No device at all: w <- w - lr d x^T in floating point, without bounds, pulses or noise, whatever the tile's update says.

    Between updates a weight may decay and diffuse: w <- w (1 - 1 / lifetime) + diffusion xi per mini-batch.
    """

    granularity_as: float = number(0.001, "the step that transfers to this cell are worked out with", gt=0)
    lifetime: float = number(0.0, "time constant of the decay, 0 for none", unit="mini-batches", ge=0)
    diffusion: float = number(0.0, "standard deviation of the random walk of a weight per mini-batch", ge=0)

    @property
    def granularity(self) -> float:
        """The step that is assumed of it."""
        return self.granularity_as

    @property
    def pulsed(self) -> bool:
        """No: updates are exact."""
        return False

    def parts(self) -> Mapping[str, UnitCell]:
        """Return nothing: there is no device."""
        return {}

    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the weights."""
        return IdealArray(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the update."""
        return ("w <- w - lr d x^T in floating point",)


class IdealArray(CellArray):
    """Weights in floating point."""

    def __init__(self, cell: Ideal, site: ArraySite) -> None:
        super().__init__()
        self.cell_spec, self.granularity = cell, cell.granularity
        self.decays, self.diffuses = cell.lifetime > 0, cell.diffusion > 0
        self.key: Tensor
        self.register_buffer("key", site.key.clone())
        self.w: Tensor
        self.register_buffer("w", torch.zeros((site.rows, site.columns), device=site.key.device))
        self.events: Tensor
        self.register_buffer("events", torch.zeros(1, dtype=torch.int64, device=site.key.device))

    def weights(self) -> Tensor:
        """Return the weights [out, in]."""
        return self.w

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Set the weights."""
        self.w.copy_(w)

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulses: PulsedUpdate, noise: Stream, granularity: float | None = None) -> None:
        """Subtract lr d x^T."""
        self.add(x, d, lr, bounded=False, noise=noise)

    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Subtract lr d x^T."""
        self.w.sub_(lr * d.to(self.w.dtype).mT @ x.to(self.w.dtype))

    def decay(self, alpha: float = 1.0, noise: Stream | None = None) -> None:
        """Let the weights decay towards zero."""
        if self.cell_spec.lifetime > 0:
            self.w.mul_(1 - alpha / max(self.cell_spec.lifetime, 1.0))

    def diffuse(self, noise: Stream) -> None:
        """Let the weights walk one step."""
        if self.cell_spec.diffusion > 0:
            event = self.events.clone()
            self.events.add_(1)
            self.w.add_(self.cell_spec.diffusion * Stream(self.key, None, event, f"{noise.path}/diffusion").normal("walk", self.w))

    def age(self, noise: Stream) -> None:
        """Let the weights decay and diffuse as in one mini-batch."""
        self.decay()
        self.diffuse(noise)

    def reset(self, mask: Tensor, noise: Stream) -> None:
        """Set the weights to zero where mask [out, in] is true."""
        self.w.masked_fill_(mask, 0.0)
