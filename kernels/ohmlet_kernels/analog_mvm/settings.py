"""The numbers an analog matrix-vector product needs, with steps and bounds resolved."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["MVM"]


class MVM(NamedTuple):
    """Settings of one pass; a step of 0 does not quantise, an infinite bound does not clip.

    Steps, bounds and `out_noise` are in the crossbar's units (input 1 is the full scale, output sum of normalised w times input).
    """

    in_step: float = 0.0
    in_bound: float = math.inf
    in_stochastic: bool = False
    out_noise: float = 0.0
    w_noise: float = 0.0
    out_step: float = 0.0
    out_bound: float = math.inf
    out_stochastic: bool = False
