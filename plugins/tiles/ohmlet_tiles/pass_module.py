"""The module behind one analog pass: the state of its input scaling, and the product itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.tile import Site
from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.analog_mvm.scaling import abs_max, abs_max_sum, signed_max
from ohmlet_kernels.mapped_mvm import Mapping
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_readout import Readout
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.input_range import (
    AbsMax,
    AbsMaxSum,
    AverageAbsMax,
    Calibrated,
    Fixed,
    Learned,
    LearnedRange,
    Max,
    RunningRange,
)

__all__ = ["PassModule", "with_backward"]


class PassModule(nn.Module):
    """Computes one analog pass; `variation` overrules what the crossbar's key would give, for crossbars that were measured."""

    def __init__(self, settings: AnalogPass, site: Site, name: str, converter: ConductanceConverter | None = None) -> None:
        super().__init__()
        self.settings, self.site, self.name = settings, site, name
        self.numbers = settings.settings()
        if name == "backward":
            self.numbers = self.numbers._replace(bound_management=False)
        self.variation = None if settings.varies else Variation()
        self.readout: Readout | None = None
        if settings.adc is not None and settings.uniform is None:
            if name == "backward" and settings.adc.bound == "calibrated":
                raise ConfigError("backward.adc needs a number as bound: ohmlet.calibrate sees the outputs of the forward pass only")
            self.readout = Readout(settings.adc, name, site.out_features if name == "backward" else site.in_features)
        self.coded, self.converter = settings.time_coded(), converter
        if self.coded is not None and (converter is None or converter.devices != 2):
            raise ConfigError(f"ir_drop time_dependent needs a conductance_converter of one device pair per weight, not {converter}")
        scaling = settings.input_range
        self.range = LearnedRange(scaling) if isinstance(scaling, Learned) else None
        self.calibrated = Calibrated() if isinstance(scaling, Fixed) and scaling.value is None else None
        self.running = RunningRange(scaling) if isinstance(scaling, AverageAbsMax) else None

    def scaled(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the inputs, clipped by a learned range, and the scale [..., S, R, 1] that they are divided by."""
        scaling = self.settings.input_range
        if self.range is not None:
            clipped, r = self.range(x)
            return clipped, r
        if self.running is not None:
            return x, self.running(x)
        if self.calibrated is not None:
            return x, self.calibrated().to(x.dtype)
        if isinstance(scaling, AbsMax):
            return x, abs_max(x, scaling.limit)
        if isinstance(scaling, Max):
            return x, signed_max(x, scaling.limit)
        if isinstance(scaling, AbsMaxSum):
            return x, abs_max_sum(x, self.numbers, scaling.limit)
        if isinstance(scaling, Fixed) and scaling.value is not None:
            return x, x.new_full((), scaling.value)
        return x, None

    def full_scale(self) -> Tensor | float:
        """Return the input that is full scale for this pass as it stands; 1 where each vector has a scale of its own."""
        if self.range is not None:
            return (self.range.start + self.range.shift[0]).abs().detach()
        if self.running is not None:
            return torch.where(self.running.average > 0, self.running.average, 1.0)
        if self.calibrated is not None:
            return self.calibrated()  # type: ignore[no-any-return]
        scaling = self.settings.input_range
        return scaling.value if isinstance(scaling, Fixed) and scaling.value is not None else 1.0

    def fabricated(self, w: Tensor, noise: Stream) -> Variation:
        """Return what differs between outputs and cells of the crossbar with this key, whose weights have the shape of w [..., out, in]."""
        return self.settings.variation(w, noise.key, self.name, self.name == "backward") if self.variation is None else self.variation

    def product(self, x: Tensor, scale: Tensor | None, w: Tensor, noise: Stream, fixed: Variation | None = None) -> Tensor:
        """Return w x [..., S, R, out] of inputs [..., S, R, in] with their scale and weights [..., out, in].

        `fixed` is what differs between outputs and cells, unless given that of the noise's key.
        """
        kernel = self.site.kernel
        if self.coded is not None and self.converter is not None:
            window = self.converter.window
            plus, minus = self.converter.to_conductances(w)
            coded: Tensor = kernel("time_coded_mvm", x.device.type)(
                x, plus, minus, window.g_max - window.g_min, scale, self.numbers, self.coded, noise
            )
            return coded
        if fixed is None:
            fixed = self.fabricated(w, noise)
        y: Tensor = self.converted(kernel("analog_mvm", x.device.type))(x, w, scale, self.numbers, noise, fixed)
        return y

    def converted(self, product: Callable[..., Any]) -> Callable[..., Any]:
        """Return a product as this crossbar's converters read it: itself where it knows them, as it does the ideal quantiser."""
        return product if self.readout is None else functools.partial(self._read, self.readout, product)

    def _read(
        self,
        readout: Readout,
        product: Callable[..., Any],
        x: Tensor,
        w: Tensor,
        scale: Tensor | None,
        numbers: MVM,
        noise: Stream,
        fixed: Variation,
    ) -> Tensor:
        unit = None if scale is None else torch.where(scale > 0, scale, 1.0)
        y: Tensor = product(x if unit is None else x / unit, w, None, numbers._replace(out_scale=1.0), noise, fixed)
        z: Tensor = readout(y, noise, readout.fabricated(y.shape[-1], y, noise)) * numbers.out_scale
        if scale is None or unit is None:
            return z
        return z * unit if numbers.in_noise > 0 else (z * unit).masked_fill(scale <= 0, 0.0)

    def mapped(self, x: Tensor, weight: Tensor, mapping: Mapping, noise: Stream) -> Tensor:
        """Return the product with a layer's weights [..., out, in], scaled and modified on the way; engines may lack the operation."""
        x, scale = self.scaled(x)
        fixed = self.fabricated(weight, noise)
        kernel: Any = None
        if self.readout is None:
            with suppress(ConfigError):
                kernel = self.site.kernel("mapped_mvm", x.device.type)
        if kernel is None:
            product = self.converted(self.site.kernel("analog_mvm", x.device.type))
            return mapped_mvm(x, weight, mapping, scale, self.numbers, noise, fixed, product)
        y: Tensor = kernel(x, weight, mapping, scale, self.numbers, noise, fixed)
        return y

    def forward(self, x: Tensor, w: Tensor, noise: Stream, fixed: Variation | None = None) -> Tensor:
        """Return w x [..., S, R, out] of inputs [..., S, R, in] and weights [..., out, in]."""
        x, scale = self.scaled(x)
        return self.product(x, scale, w, noise, fixed)


class _Route(torch.autograd.Function):
    """Adds nothing to the output and reads the crossbar transposed for the gradient of the inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, transposed: PassModule, noise: Stream, fixed: Variation | None) -> Tensor:
        ctx.save_for_backward(w)
        ctx.transposed, ctx.noise, ctx.fixed = transposed, noise, fixed
        return torch.zeros_like(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (w,) = ctx.saved_tensors
        gradient = ctx.transposed(grads[0], w.mT, ctx.noise.child("backward"), ctx.fixed)
        return gradient, None, None, None, None, None


def with_backward(
    forward: PassModule,
    backward: PassModule | None,
    x: Tensor,
    w: Tensor,
    noise: Stream,
    fixed: tuple[Variation | None, Variation | None] = (None, None),
    scaled: tuple[Tensor, Tensor | None] | None = None,
) -> Tensor:
    """Return the forward pass whose input gradient, unless `backward` is None, comes from the transposed analog pass.

    The gradient of the weights stays exact; that of inputs which clip passes unmasked, as the hardware knows nothing of it. `fixed` is
    the variation of either pass and `scaled` the clipped inputs with their scale, where they are known already.
    """
    clipped, scale = forward.scaled(x) if scaled is None else scaled
    if backward is None:
        return forward.product(clipped, scale, w, noise, fixed[0])
    y = forward.product(clipped.detach(), scale, w, noise, fixed[0])
    routed: Tensor = _Route.apply(clipped, y.detach(), w.detach(), backward, noise, fixed[1])  # type: ignore[no-untyped-call]
    return y + routed
