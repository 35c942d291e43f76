"""An analog pass as the equations it stands for, with its values."""

from __future__ import annotations

import math

from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.input_range import Fixed
from ohmlet_tiles.periphery import IRDrop, SeparatePasses

__all__ = ["pass_equations"]

SCALES = {
    "average_abs_max": "running average of max_j |x_j|",
    "abs_max": "max_j |x_j| of each input vector",
    "max": "max_j x_j of each input vector",
    "abs_max_sum": "max(max_j |x_j|, one-sided sum of x_j times assumed_w_max / bound) of each input vector",
}


def pass_equations(settings: AnalogPass) -> tuple[str, ...]:
    """Return the pass as equations with its values."""
    s, scaling = settings.settings(), settings.input_range
    words = {"none": "1", "learned": "learned per crossbar", "fixed": "calibrated per crossbar"}
    r = words.get(scaling.type_name, SCALES.get(scaling.type_name, ""))
    if isinstance(scaling, Fixed) and scaling.value is not None:
        r = f"{scaling.value:g}"
    if getattr(scaling, "limit", math.inf) < math.inf:
        r += f", at most {getattr(scaling, 'limit'):g}"  # noqa: B009 - only some scalings have one
    lines = [f"r = {r}", _converted("v_j", "x_j / r", s.in_step, s.in_bound, s.in_stochastic)]
    if s.in_noise:
        lines.append(f"v_j <- v_j + {s.in_noise:g} xi_j")
    if s.in_asymmetry:
        lines.append(f"v_j <- {1 - s.in_asymmetry:g} v_j where v_j < 0")
    if isinstance(settings.passes, SeparatePasses):
        cells = f"w_ij (1 + {settings.passes.w_asymmetry:g} xi_ij) where v_j < 0"
        lines.append(f"v_j < 0 and v_j > 0 in passes of their own, {settings.passes.sum} sum; {cells}")
    coded = settings.time_coded()
    if coded is not None:
        lines.append(
            f"k_j = v_j {coded.levels / 2:g} time steps, {coded.passes}; {coded.r_wire:g} ohm between rows, {coded.segments} segments"
        )
        lines.append("y_i = (sum_j e_ij k_j + T o_i) / (span levels / 2), e and o from the lines' resistance")
    else:
        lines.append("y_i = sum_j w_ij v_j")
    if isinstance(settings.ir_drop, IRDrop):
        lines.append(f"y_i <- y_i - {s.ir_drop:g} c_i sum_j w_ij v_j (1 - (1 - j/n)^2)")
        lines.append(f"c = a (a (0.05 a - 0.2) + 0.5), a_i = n / {s.ir_drop_g_ratio:g} sum_j |w_ij v_j|, n inputs")
    if settings.voltage_drop:
        vd = settings.voltage_drop
        lines.append(f"y_i <- (1 - o_i)(y_i + q) / (1 + {vd.r_series:g} |y_i + q|) - (1 + o_i) q / (1 + {vd.r_series:g} |q|)")
        lines.append(f"o_i = max({vd.offset_std:g} xi_i, 0), q = {-vd.reference_w:g} sum_j v_j")
    if settings.weight_noise:
        inner = {"additive": "v_j^2", "relative": "w_ij^2 v_j^2", "pcm": "|w_ij| v_j^2"}[s.w_noise_kind]
        lines.append(f"y_i <- y_i + {s.w_noise:g} sqrt(sum_j {inner}) xi_i")
    if settings.nonlinearity:
        nl = settings.nonlinearity
        lines.append(
            f"y_i <- f y_i / (1 + |n_i y_i|), n_i = {nl.strength:g} (1 + {nl.spread:g} xi_i) / bound, f from {nl.slope_calibration:g}"
        )
    if s.out_asymmetry:
        lines.append(f"y_i <- {1 - s.out_asymmetry:g} y_i where y_i < 0")
    if s.out_noise:
        lines.append(
            f"y_i <- y_i + {s.out_noise:g} xi'_i"
            + (f", differing by {settings.out_noise_spread:g} between outputs" if settings.out_noise_spread else "")
        )
    if settings.adc is None or settings.uniform is not None:
        lines.append(_converted("z_i", "y_i", s.out_step, s.out_bound, s.out_stochastic))
    else:
        bound = settings.adc.bound
        lines.append(f"z_i = ADC(y_i) over ±{bound:g}" if isinstance(bound, float) else f"z_i = ADC(y_i), bound {bound}")
    if settings.bound_management:
        lines.append(f"{settings.bound_management.type_name}: samples with |y_i| > {s.out_bound:g} are read again with smaller inputs")
    return (*lines, f"output {f'{s.out_scale:g} ' if s.out_scale != 1 else ''}r z_i")


def _converted(name: str, inner: str, step: float, bound: float, stochastic: bool) -> str:
    rounding = "stochastic_round" if stochastic else "round"
    rounded = f"{rounding}({inner} / {step:.6g}) {step:.6g}" if step else inner
    if step and " " in inner:
        rounded = f"{rounding}(({inner}) / {step:.6g}) {step:.6g}"
    return f"{name} = clip({rounded}, ±{bound:g})" if bound < math.inf else f"{name} = {rounded}"
