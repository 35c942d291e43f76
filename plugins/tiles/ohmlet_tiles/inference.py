"""Tile `inference`: weights in model units, hardware-aware in training, programmable as conductances."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.pass_equations import pass_equations
from ohmlet_tiles.pass_module import PassModule, with_backward
from ohmlet_tiles.training import Training

__all__ = ["Inference", "InferenceCrossbar"]


@frozen(kw_only=True)
class Inference(ProgrammableTile):
    """A crossbar for inference: trained digitally with the hardware in the loop, then programmed as conductances that drift.

    References: Rasch et al., Nat. Commun. 14, 5282 (2023), doi:10.1038/s41467-023-40770-4.
    """

    forward: AnalogPass = part(AnalogPass, "the matrix-vector product", {})
    backward: AnalogPass | None = part(AnalogPass | None, "the transposed product that gradients take; exact if left out", None)
    training: Training = part(Training, "hardware-aware training", {})
    conductance_converter: ConductanceConverter = part(ConductanceConverter, "weights to conductances", "single_pair")
    noise_model: NoiseModel | None = part(NoiseModel | None, "programming noise, drift and read noise", None)
    drift_compensation: DriftCompensation = part(DriftCompensation, "digital undoing of drift", "none")

    def __attrs_post_init__(self) -> None:
        if self.noise_model is not None:
            self.noise_model.check(self.conductance_converter.window)

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return InferenceCrossbar(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the forward pass as equations with its values."""
        lines = list(pass_equations(self.forward))
        if self.backward is not None:
            lines += [f"gradients: {line}" for line in pass_equations(self.backward)]
        training = self.training
        lines += [f"training: weights {each}" for each in (training.clip, training.modifier) if each is not None]
        if training.drop_connect:
            lines.append(f"training: weights read as zero with probability {training.drop_connect:g}")
        return tuple(lines)


class InferenceCrossbar(nn.Module):
    """One crossbar of tile `inference`; its only state is a learned input range."""

    def __init__(self, tile: Inference, site: Site) -> None:
        super().__init__()
        self.tile, self.site = tile, site
        self.forward_pass = PassModule(tile.forward, site, "forward", tile.conductance_converter)
        self.backward_pass = PassModule(tile.backward, site, "backward", tile.conductance_converter) if tile.backward is not None else None

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in] clipped as `training.clip` says."""
        return self.tile.training.constrain(weight)

    def full_scale(self) -> Tensor | float:
        """Return the input that is full scale, which read-outs of known inputs drive."""
        return self.forward_pass.full_scale()

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        w = self.tile.training.modified(w, noise, self.training)
        return with_backward(self.forward_pass, self.backward_pass, x, w, noise)
