"""Tile `ideal`: exact products, the yardstick of every other tile."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor, nn

from ohmlet.interfaces.tile import Site, Tile
from ohmlet_kernels.analog_mvm.nonideal import product
from ohmlet_kernels.noise import Stream

__all__ = ["Ideal", "IdealCrossbar"]


@frozen(kw_only=True)
class Ideal(Tile):
    """A crossbar without any nonideality; its layers equal the digital ones to rounding."""

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return IdealCrossbar()

    def equations(self) -> tuple[str, ...]:
        """Return the exact product."""
        return ("y_i = sum_j w_ij x_j",)


class IdealCrossbar(nn.Module):
    """One crossbar of tile `ideal`."""

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] exactly."""
        return product(x, w)

    def mapped_mvm(self, x: Tensor, weight: Tensor, divisor: Tensor, noise: Stream) -> Tensor:
        """Return w x as `mvm` for w = weight / divisor, without scaled weights that backward would have to keep."""
        return product(x, weight) / divisor.mT.unsqueeze(-3)
