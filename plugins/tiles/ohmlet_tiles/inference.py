"""Tile `inference`: weights in model units, hardware-aware in training, programmable as conductances."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Site
from ohmlet.spec import number
from ohmlet_kernels.analog_mvm import MVM
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.converters import ADC, DAC
from ohmlet_tiles.input_range import AbsMax, Fixed, InputRange, Learned, LearnedRange
from ohmlet_tiles.weight_training import AddNormal, Clip

__all__ = ["AdditiveConstant", "Forward", "Inference", "InferenceCrossbar", "Training"]


@frozen(kw_only=True)
class AdditiveConstant:
    """Read noise of the weights, equal for all: y_i += std ||v|| xi_i, drawn anew for each input vector."""

    type_name: ClassVar[str] = "additive_constant"
    std: float = number(0.01, "standard deviation of a normalised weight", ge=0.0)


@frozen(kw_only=True)
class Forward:
    """The analog matrix-vector product of a forward pass; a part left out is ideal."""

    dac: DAC | None = part(DAC | None, "converter of the inputs", None)
    adc: ADC | None = part(ADC | None, "converter of the outputs", None)
    input_range: InputRange = part(InputRange, "what a full-scale input stands for", "abs_max")
    out_noise: float = number(0.0, "noise of an output, in units of one full input times one full weight", ge=0.0)
    weight_noise: AdditiveConstant | None = part(AdditiveConstant | None, "read noise of the weights", None)

    def settings(self) -> MVM:
        """Return the numbers that the kernel needs."""
        dac, adc = self.dac, self.adc
        return MVM(
            in_step=dac.step if dac else 0.0,
            in_bound=dac.bound if dac else float("inf"),
            in_stochastic=dac is not None and dac.rounding == "stochastic",
            out_noise=self.out_noise,
            w_noise=self.weight_noise.std if self.weight_noise else 0.0,
            out_step=adc.step if adc else 0.0,
            out_bound=adc.bound if adc else float("inf"),
            out_stochastic=adc is not None and adc.rounding == "stochastic",
        )


@frozen(kw_only=True)
class Training:
    """What hardware-aware training adds to the forward pass."""

    modifier: AddNormal | None = part(AddNormal | None, "weight noise in training", None)
    clip: Clip | None = part(Clip | None, "bound of the weights", None)


@frozen(kw_only=True)
class Inference(ProgrammableTile):
    """A crossbar for inference: trained digitally with the hardware in the loop, then programmed as conductances that drift.

    References: Rasch et al., Nat. Commun. 14, 5282 (2023), doi:10.1038/s41467-023-40770-4.
    """

    forward: Forward = part(Forward, "the matrix-vector product", {})
    training: Training = part(Training, "hardware-aware training", {})
    conductance_converter: ConductanceConverter = part(ConductanceConverter, "weights to conductances", "single_pair")
    noise_model: NoiseModel | None = part(NoiseModel | None, "programming noise, drift and read noise", None)
    drift_compensation: DriftCompensation = part(DriftCompensation, "digital undoing of drift", "none")

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return InferenceCrossbar(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the forward pass as equations with its values."""
        f, s = self.forward, self.forward.settings()
        scale = {"none": "1", "abs_max": "max_j |x_j|, per input vector", "learned": "learned per crossbar"}
        r = f"{f.input_range.value:g}" if isinstance(f.input_range, Fixed) else scale[f.input_range.type_name]
        lines = [f"r = {r}"]

        def converted(name: str, inner: str, step: float, bound: float, stochastic: bool) -> str:
            rounded = f"{'stochastic_round' if stochastic else 'round'}({inner} / {step:.6g}) {step:.6g}" if step else inner
            return f"{name} = clip({rounded}, ±{bound:g})" if bound < float("inf") else f"{name} = {rounded}"

        lines.append(converted("v_j", "(x_j / r)", s.in_step, s.in_bound, s.in_stochastic))
        noise = (f" + {s.w_noise:g} ||v|| xi_i" if s.w_noise else "") + (f" + {s.out_noise:g} xi'_i" if s.out_noise else "")
        lines.append(f"y_i = sum_j w_ij v_j{noise}")
        lines.append(converted("z_i", "(y_i)", s.out_step, s.out_bound, s.out_stochastic) + ", output r z_i")
        if self.training.modifier:
            lines.append(f"training: w + {self.training.modifier.std:g} max|w| xi, drawn once per optimizer step")
        if self.training.clip:
            lines.append(f"training: weights clipped, {self.training.clip}")
        return tuple(lines)


class InferenceCrossbar(nn.Module):
    """One crossbar of tile `inference`; its only state is a learned input range."""

    def __init__(self, tile: Inference, site: Site) -> None:
        super().__init__()
        self.tile, self.site = tile, site
        self.settings = tile.forward.settings()
        scaling = tile.forward.input_range
        self.input_range = LearnedRange(scaling) if isinstance(scaling, Learned) else None

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in] clipped as `training.clip` says."""
        return self.tile.training.clip.constrain(weight) if self.tile.training.clip else weight

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        scale: Tensor | None = None
        scaling = self.tile.forward.input_range
        if self.input_range is not None:
            x, scale = self.input_range(x)
        elif isinstance(scaling, AbsMax):
            scale = x.detach().abs().amax(-1, keepdim=True)
            scale = scale.masked_fill(scale == 0, 1.0)
        elif isinstance(scaling, Fixed):
            scale = torch_scalar(scaling.value, x)
        if self.training and self.tile.training.modifier is not None:
            w = self.tile.training.modifier.modify(w, noise)
        y: Tensor = self.site.kernel("analog_mvm", x.device.type)(x, w, scale, self.settings, noise)
        return y


def torch_scalar(value: float, like: Tensor) -> Tensor:
    """Return a number as a tensor of `like`'s dtype and device."""
    return like.new_full((), value)
