"""The numbers an analog matrix-vector product needs, with steps and bounds resolved."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

__all__ = ["MVM", "Variation"]


class MVM(NamedTuple):
    """Settings of one pass, in the crossbar's units: input 1 is the full scale, outputs are sums of normalised weight times input.

    A step of 0 does not quantise, an infinite bound does not clip, a strength of 0 is absent. Every field has the meaning that
    `analog_mvm.reference` writes as an equation.
    """

    in_step: float = 0.0
    in_bound: float = math.inf
    in_stochastic: bool = False
    out_noise: float = 0.0
    w_noise: float = 0.0
    out_step: float = 0.0
    out_bound: float = math.inf
    out_stochastic: bool = False
    w_noise_kind: str = "additive"
    """"additive", "relative" or "pcm": what the read noise of a weight is proportional to."""
    in_noise: float = 0.0
    in_asymmetry: float = 0.0
    out_asymmetry: float = 0.0
    out_scale: float = 1.0
    nonlinear: bool = False
    slope_calibration: float = 0.0
    r_series: float = 0.0
    v_offset_w_min: float = 0.0
    ir_drop: float = 0.0
    ir_drop_g_ratio: float = 1.0
    passes: str = "one"
    """"one"; "analog_sum" or "digital_sum": negative and positive inputs in passes of their own, added before or after the ADC."""
    bound_management: bool = False
    worst_case: bool = False
    max_reduction: float = 1000.0
    max_in_resolution: float = 0.25
    test_negative: bool = True
    assumed_w_max: float = 0.6


class Variation(NamedTuple):
    """What differs between the outputs or cells of one crossbar, fixed when it is built; None where nothing does."""

    out_noise: Tensor | None = None
    """[..., out], in place of the setting of that name."""
    nonlinearity: Tensor | None = None
    """[..., out], strength of the S shape of each output."""
    v_offset: Tensor | None = None
    """[..., out], relative voltage offset of each output."""
    w_asymmetry: Tensor | None = None
    """[..., out, in], factor on the weights that negative inputs see."""
