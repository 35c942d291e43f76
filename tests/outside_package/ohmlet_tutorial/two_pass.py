"""Tile `two_pass`: positive and negative inputs in two passes."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor, matmul, nn

from ohmlet.config import part
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["TwoPass", "TwoPassCrossbar"]


@frozen(kw_only=True)
class TwoPass(ProgrammableTile):
    """A crossbar whose drivers are unipolar: positive and negative inputs take a pass each, and each pass adds its own noise.

    y = (w max(x, 0) + out_noise xi) + (w min(x, 0) + out_noise xi')
    """

    out_noise: float = number(0.04, "noise of an output in each pass, in units of one full input times one full weight", ge=0.0)
    conductance_converter: ConductanceConverter = part(ConductanceConverter, "weights to conductances", "single_pair")
    noise_model: NoiseModel | None = part(NoiseModel | None, "programming noise, drift and read noise", None)
    drift_compensation: DriftCompensation = part(DriftCompensation, "digital undoing of drift", "none")

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return TwoPassCrossbar(self)

    def equations(self) -> tuple[str, ...]:
        """Return the product with its values."""
        return (f"y_i = (sum_j w_ij max(x_j, 0) + {self.out_noise:g} xi_i) + (sum_j w_ij min(x_j, 0) + {self.out_noise:g} xi'_i)",)


class TwoPassCrossbar(nn.Module):
    """One crossbar of tile `two_pass`; it has no state."""

    def __init__(self, tile: TwoPass) -> None:
        super().__init__()
        self.tile = tile

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        return self.one_pass(x.clamp_min(0.0), w, noise.child("positive")) + self.one_pass(x.clamp_max(0.0), w, noise.child("negative"))

    def one_pass(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return the product of inputs of one sign, with noise."""
        y = matmul(x.flatten(-3, -2), w.mT)
        y = y.reshape(*y.shape[:-2], *x.shape[-3:-1], y.shape[-1])
        return y + self.tile.out_noise * noise.normal("output", y)
