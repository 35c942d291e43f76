"""Tile `inference`: weights in model units, hardware-aware in training, programmable as conductances."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.mapped_mvm import Mapping
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.input_range import AverageAbsMax, check_unreached
from ohmlet_tiles.modifiers import AddNormal
from ohmlet_tiles.pass_equations import pass_equations
from ohmlet_tiles.pass_module import PassModule, with_backward
from ohmlet_tiles.per_sample import per_sample_mvm
from ohmlet_tiles.training import Training
from ohmlet_tiles.whole_layer import whole_layer
from ohmlet_tiles.without_effect import check_undriven

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
        ramp = self.training.ramp
        if ramp is not None and ramp.out_noise and (self.forward.out_noise == 0 or self.forward.time_coded() is not None):
            raise ConfigError("training.ramp.out_noise has no effect: forward has no out_noise that could grow (inputs as amplitudes)")
        check_undriven(self.noise_model, self.drift_compensation)
        behind = None if self.backward is None else self.backward.input_range
        if behind is not None:
            check_unreached("backward", behind)
        if isinstance(behind, AverageAbsMax) and self.training.per_sample:
            raise ConfigError("training.per_sample reads samples side by side, and backward.input_range average_abs_max one after another")

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
        if training.per_sample:
            lines.append("training: each sample meets modified weights of its own")
        if training.ramp is not None:
            lines.append(f"training: strength {training.ramp}")
        return tuple(lines)


class InferenceCrossbar(nn.Module):
    """One crossbar of tile `inference`; its only state is a learned input range."""

    def __init__(self, tile: Inference, site: Site) -> None:
        super().__init__()
        self.tile, self.site = tile, site
        self.forward_pass = PassModule(tile.forward, site, "forward", tile.conductance_converter)
        self.backward_pass = PassModule(tile.backward, site, "backward", tile.conductance_converter) if tile.backward is not None else None
        # Not for crossbars that compute their products otherwise.
        alone = type(self) is InferenceCrossbar and tile.backward is None
        self.layer = whole_layer(self.forward_pass, tile.training, site) if alone else None

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in] clipped as `training.clip` says."""
        return self.tile.training.constrain(weight)

    def full_scale(self) -> Tensor | float:
        """Return the input that is full scale, which read-outs of known inputs drive."""
        return self.forward_pass.full_scale()

    @property
    def adjustable(self) -> bool:
        """Whether the full scale is a number of this crossbar, which `set_full_scale` can set."""
        return self.forward_pass.range is not None or self.forward_pass.calibrated is not None

    def set_full_scale(self, r: float) -> None:
        """Set the range of the inputs; a learned one is learned from there."""
        (self.forward_pass.range or self.forward_pass.calibrated).set(r)  # type: ignore[union-attr]

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        training, fixed = self.tile.training, self._fixed(w, noise)
        if training.per_sample and training.modifies(self.training):
            return per_sample_mvm(self.forward_pass, self.backward_pass, x, w, noise, fixed, self._modified)
        return with_backward(self.forward_pass, self.backward_pass, x, self._modified(w, noise), noise, fixed)

    def transposed_mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w^T x [..., S, R, in] for inputs [..., S, R, out]: driven at its outputs, by `backward`'s converters if any."""
        y: Tensor = (self.backward_pass or self.forward_pass)(x, w.mT, noise)
        return y

    def mapped_mvm(self, x: Tensor, weight: Tensor, divisor: Tensor, noise: Stream) -> Tensor:
        """Return w x as `mvm` for w = weight / divisor, in one operation where the engine and the settings have it."""
        training = self.tile.training
        modifier = training.modifier if training.modifies(self.training) else None
        alone = not (training.drop_connect or training.keep_last_column or training.per_sample)
        one = self.backward_pass is None and self.forward_pass.coded is None and training.ramp is None
        if one and (not training.modifies(self.training) or (alone and isinstance(modifier, AddNormal))):
            std, w_max = (modifier.std, modifier.w_max) if isinstance(modifier, AddNormal) else (0.0, None)
            return self.forward_pass.mapped(x, weight, Mapping(divisor, std, w_max), noise)
        return self.mvm(x, weight / divisor, noise)

    def mapped_affine(self) -> Any:
        """Return what computes a layer in training in one call, as `mapped_mvm` and the layer would, or None where it takes both."""
        measured = any(value is not None for value in self.forward_pass.variation or ())
        return None if measured or not self.training or "mapped_mvm" in self.__dict__ else self.layer

    def _modified(self, w: Tensor, noise: Stream) -> Tensor:
        return self.tile.training.modified(w, noise, self.training)

    def _fixed(self, w: Tensor, noise: Stream) -> tuple[Variation | None, None]:
        """Return the forward pass's variation where its output noise grows, else None."""
        ramp = self.tile.training.ramp
        if ramp is None or not ramp.out_noise or not self.training:
            return None, None
        return ramp.varied(self.forward_pass.fabricated(w, noise), self.tile.forward.out_noise, w, noise.event), None
