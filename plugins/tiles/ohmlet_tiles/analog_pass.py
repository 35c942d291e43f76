"""One analog pass over a crossbar, forward or transposed: every setting of the matrix-vector product."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.adc import ADC
from ohmlet.spec import number
from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.time_coded_mvm import TimeCoded
from ohmlet_tiles.adc_uniform import UniformADC
from ohmlet_tiles.converters import DAC
from ohmlet_tiles.input_range import AbsMaxSum, InputRange, Unscaled
from ohmlet_tiles.percent import check_share, warn_share
from ohmlet_tiles.periphery import (
    BitWisePasses,
    BoundManagement,
    IRDrop,
    IRDropModel,
    IterativeWorstCase,
    Nonlinearity,
    Passes,
    SeparatePasses,
    SplitPasses,
    TimeDependentIRDrop,
    VoltageDrop,
)
from ohmlet_tiles.read_noise import ReadNoise

__all__ = ["AnalogPass"]


@frozen(kw_only=True)
class AnalogPass:
    """The analog matrix-vector product; a part left out is ideal."""

    dac: DAC | None = part(DAC | None, "converter of the inputs", None)
    adc: ADC | None = part(ADC | None, "converter of the outputs", None)
    input_range: InputRange = part(InputRange, "what a full-scale input stands for", "abs_max")
    bound_management: BoundManagement | None = part(BoundManagement | None, "what happens when outputs pass the ADC's bound", None)
    in_noise: float = number(0.0, "noise of a DAC's output, in units of the full scale", ge=0.0)
    in_asymmetry: float = number(0.0, "loss of negative inputs, relative")
    out_noise: float = number(0.0, "noise of an output, in units of one full input times one full weight", ge=0.0)
    out_noise_spread: float = number(0.0, "standard deviation of out_noise between outputs, relative", ge=0.0)
    out_asymmetry: float = number(0.0, "loss of negative outputs, relative")
    out_scale: float = number(1.0, "fixed digital factor on the outputs")
    weight_noise: ReadNoise | None = part(ReadNoise | None, "read noise of the weights", None)
    ir_drop: IRDropModel | None = part(IRDropModel | None, "resistance of the output lines", None)
    nonlinearity: Nonlinearity | None = part(Nonlinearity | None, "S shape of the outputs", None)
    voltage_drop: VoltageDrop | None = part(VoltageDrop | None, "offset and series resistance of the output lines", None)
    passes: Passes | None = part(Passes | None, "passes of their own for parts of the inputs; one pass if left out", None)

    def __attrs_post_init__(self) -> None:
        self._check_converter()
        check_share("in_noise", self.in_noise, "the full scale of the inputs")
        warn_share("out_noise", self.out_noise, "the product of one full input and one full weight")
        if self.weight_noise is not None:
            check_share("weight_noise.std", self.weight_noise.std, "the largest weight")
        if self.bound_management is not None and (self.adc is None or self.adc.bound == math.inf):
            raise ConfigError("bound_management has no effect without an adc of finite bound")
        if self.out_noise_spread > 0 and self.out_noise == 0:
            raise ConfigError(f"out_noise_spread {self.out_noise_spread!r} has no effect without out_noise")
        if (
            self.bound_management is not None
            and isinstance(self.input_range, Unscaled)
            and isinstance(self.bound_management, IterativeWorstCase)
        ):
            raise ConfigError("bound_management iterative_worst_case replaces the input scale, and input_range none has none")

        if isinstance(self.ir_drop, TimeDependentIRDrop):
            self._check_time_coded()
        elif self.passes is not None and not isinstance(self.passes, SeparatePasses):
            raise ConfigError(f"passes {self.passes.type_name} belong to ir_drop time_dependent, where inputs are pulse lengths")

    @property
    def uniform(self) -> UniformADC | None:
        """The converter where it is an ideal quantiser of a stated range, which the product's kernels compute themselves."""
        return self.adc if isinstance(self.adc, UniformADC) and isinstance(self.adc.bound, float) else None

    def _check_converter(self) -> None:
        """Raise ConfigError for parts that count on a converter which the kernels compute, beside one that they do not."""
        if self.adc is None or self.uniform is not None:
            return
        if self.adc.bound == "granular":
            raise ConfigError("adc.bound granular needs weights and inputs of whole digits, which tile bit_sliced has: state a number")
        counting = {
            "bound_management": self.bound_management,
            "nonlinearity": self.nonlinearity,
            "input_range abs_max_sum": isinstance(self.input_range, AbsMaxSum),
            "passes": self.passes is not None and getattr(self.passes, "sum", "digital") == "digital",
            "ir_drop time_dependent": isinstance(self.ir_drop, TimeDependentIRDrop),
        }
        for name in (name for name, given in counting.items() if given):
            raise ConfigError(
                f"{name} goes with an adc of type uniform whose bound is a number, not {type(self.adc).__name__} {self.adc.bound!r}"
            )

    def _check_time_coded(self) -> None:
        """Raise ConfigError for settings that a time-coded product knows nothing of."""
        levels = None if self.dac is None else self.dac.levels if self.dac.bits is None else 2**self.dac.bits - 2
        if self.dac is None or levels is None or self.dac.bound != 1.0:
            raise ConfigError("ir_drop time_dependent needs a dac with bits or levels and bound 1: codes are pulse lengths")
        if isinstance(self.passes, SplitPasses) and not self.passes.bit_shift < math.log2(levels + 2) - 1:
            raise ConfigError(
                f"passes split: bit_shift {self.passes.bit_shift!r} must be below the {math.log2(levels + 2) - 1:g} bits of a code's size"
            )
        if isinstance(self.passes, SplitPasses | BitWisePasses) and math.log2(levels + 2) % 1:
            raise ConfigError(f"passes {self.passes.type_name} need a dac of 2^bits - 2 levels, not {levels:g}")
        unknown = {
            "bound_management": self.bound_management,
            "in_asymmetry": self.in_asymmetry,
            "out_asymmetry": self.out_asymmetry,
            "out_noise_spread": self.out_noise_spread,
            "weight_noise": self.weight_noise,
            "nonlinearity": self.nonlinearity,
            "voltage_drop": self.voltage_drop,
            "passes separate": isinstance(self.passes, SeparatePasses),
        }
        given = [name for name, value in unknown.items() if value]
        if given:
            raise ConfigError(f"ir_drop time_dependent has no {', '.join(given)}: leave them out")

    def time_coded(self) -> TimeCoded | None:
        """Return the numbers of a time-coded product, or None when inputs are amplitudes."""
        drop = self.ir_drop
        if not isinstance(drop, TimeDependentIRDrop) or self.dac is None:
            return None
        return TimeCoded(
            levels=2.0 / self.dac.step,
            rows=drop.rows,
            segments=drop.segments,
            r_wire=drop.r_wire,
            v_read=drop.v_read,
            trapezoid=drop.integration == "trapezoid",
            adc_frequency=drop.adc_frequency,
            passes=self.passes.type_name if self.passes else "one",
            bit_shift=self.passes.bit_shift if isinstance(self.passes, SplitPasses) else 3,
        )

    def settings(self) -> MVM:
        """Return the numbers that the kernel needs."""
        dac, adc, bm, vd, nl = self.dac, self.uniform, self.bound_management, self.voltage_drop, self.nonlinearity
        worst = isinstance(bm, IterativeWorstCase)
        quadratic = self.ir_drop if isinstance(self.ir_drop, IRDrop) else None
        summed = self.input_range if isinstance(self.input_range, AbsMaxSum) else None
        return MVM(
            in_step=dac.step if dac else 0.0,
            in_bound=dac.bound if dac else math.inf,
            in_stochastic=dac is not None and dac.rounding == "stochastic",
            in_noise=self.in_noise,
            in_asymmetry=self.in_asymmetry,
            out_noise=self.out_noise,
            out_asymmetry=self.out_asymmetry,
            out_scale=self.out_scale,
            out_step=adc.fixed_step if adc else 0.0,
            out_bound=float(adc.bound) if adc else math.inf,
            out_stochastic=adc is not None and adc.rounding == "stochastic",
            w_noise=self.weight_noise.std if self.weight_noise else 0.0,
            w_noise_kind=self.weight_noise.kernel if self.weight_noise else "additive",
            nonlinear=nl is not None or (vd is not None and vd.r_series > 0),
            slope_calibration=nl.slope_calibration if nl else 0.0,
            r_series=vd.r_series if vd else 0.0,
            v_offset_w_min=vd.reference_w if vd else 0.0,
            ir_drop=quadratic.scale if quadratic else 0.0,
            ir_drop_g_ratio=quadratic.g_ratio if quadratic else 1.0,
            passes=f"{self.passes.sum}_sum" if isinstance(self.passes, SeparatePasses) else "one",
            bound_management=bm is not None,
            worst_case=worst,
            max_reduction=bm.max_reduction if bm else 1000.0,
            max_in_resolution=bm.max_in_resolution if bm else (summed.max_in_resolution if summed else 0.25),
            test_negative=bm.test_negative if bm else True,
            assumed_w_max=bm.assumed_w_max if isinstance(bm, IterativeWorstCase) else (summed.assumed_w_max if summed else 0.6),
        )

    @property
    def varies(self) -> bool:
        """Whether outputs or cells of a crossbar differ, so that `variation` has something to say."""
        return (
            self.out_noise_spread > 0
            or self.nonlinearity is not None
            or (self.voltage_drop is not None and self.voltage_drop.offset_std > 0)
            or (isinstance(self.passes, SeparatePasses) and self.passes.w_asymmetry > 0)
            or (self.adc is not None and self.uniform is None)
        )

    def variation(self, w: Tensor, key: Tensor, name: str, transposed: bool) -> Variation:
        """Return what differs between a crossbar's outputs or cells.

        It is fixed when a crossbar is built: a pure function of its key, so that each chip instance has its own. `w` [..., out, in] as
        this pass sees it, `name` tells forward and transposed pass apart; both see the same cells.
        """
        lines, cells = Stream(key, path=f"fabrication {name}"), Stream(key, path="fabrication cells")
        row = w.new_empty((1, w.shape[-2]))
        bound = float(self.uniform.bound) if self.uniform and self.uniform.bound != math.inf else 1.0
        noise = shape = offset = asymmetry = None
        if self.out_noise_spread > 0:
            noise = (self.out_noise * (1.0 + self.out_noise_spread * lines.normal("output noise", row))).abs().squeeze(-2)
        if self.nonlinearity is not None:
            spread = self.nonlinearity.spread
            differing = 1.0 + spread * lines.normal("nonlinearity", row) if spread > 0 else torch.ones_like(row)
            shape = (self.nonlinearity.strength / bound * differing).abs().squeeze(-2)
        if self.voltage_drop is not None and self.voltage_drop.offset_std > 0:
            offset = (self.voltage_drop.offset_std * lines.normal("voltage offset", row)).clamp_min(0.0).squeeze(-2)
        if isinstance(self.passes, SeparatePasses) and self.passes.w_asymmetry > 0:
            drawn = cells.normal("asymmetry", w.mT if transposed else w)
            asymmetry = 1.0 + self.passes.w_asymmetry * (drawn.mT if transposed else drawn)
        return Variation(noise, shape, offset, asymmetry)
