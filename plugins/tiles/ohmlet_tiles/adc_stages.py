"""Converters `pipeline` and `cyclic`: stages of one and a half bits, one after another or one used again and again."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import integer, number
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_binary import BinaryADC, grouped

__all__ = ["CyclicADC", "PipelineADC"]


@frozen(kw_only=True)
class StagedADC(BinaryADC):
    """A converter of bits - 1 stages of 1.5 bit and a comparator."""

    own_stages: ClassVar[bool] = True
    """Whether each stage has capacitors and comparators of its own."""

    sigma_c1: float = number(0.0, "mismatch of the capacitor that keeps the charge, relative", ge=0.0, lt=0.3)
    sigma_c2: float = number(0.0, "mismatch of the capacitor that is switched, relative", ge=0.0, lt=0.3)
    sigma_c_par: float = number(0.0, "parasitic capacitance at the amplifier's input, standard deviation, relative", ge=0.0, lt=0.3)
    group_size: int = integer(8, "columns that share a converter", ge=1)

    def fabricate(self, columns: int, like: Tensor, noise: Stream) -> Any:
        """Return gamma, beta and the three comparators' offsets of each stage, [*L, columns, stages] each."""
        stages, groups = (self.bits - 1 if self.own_stages else 1), -(-columns // self.group_size)

        def drawn(name: str, count: int = stages) -> Tensor:
            return noise.normal(name, like.new_empty((groups, count)))

        c1, c2 = 1.0 + self.sigma_c1 * drawn("c1"), 1.0 + self.sigma_c2 * drawn("c2")
        gamma, beta = c2 / c1, c1 / (c1 + c2 + self.sigma_c_par * drawn("c parasitic"))
        offsets = (self.sigma_comparator * drawn(name) for name in ("comparator up", "comparator down"))
        last = self.sigma_comparator * drawn("comparator last", 1)
        return tuple(grouped(each, self.group_size, columns) for each in (gamma, beta, *offsets, last))

    def codes(self, u: Tensor, made: Any) -> Tensor:
        """Return the codes of positions u [..., S, R, out]."""
        gamma, beta, up, down, last = (each[..., None, None, :, :] for each in made)
        v, code = u / self.half - 1.0, torch.full_like(u, self.half)
        for i in range(self.bits - 1):
            stage = i if self.own_stages else 0
            decision = (v > 0.25 + up[..., stage]).to(u.dtype) - (v < -0.25 + down[..., stage]).to(u.dtype)
            code = code + decision * 2.0 ** (self.bits - 2 - i)
            amplified = (1.0 + gamma[..., stage]) * v - gamma[..., stage] * decision
            v = amplified / (1.0 + self.inverse_gain / beta[..., stage]) if self.inverse_gain else amplified
        code = code - (v < last[..., 0]).to(u.dtype)
        whole: Tensor = code.clamp(0.0, 2.0 * self.half - 1.0)
        return whole


@frozen(kw_only=True)
class PipelineADC(StagedADC):
    """A pipeline: each stage decides on -1, 0 or 1, takes it away and doubles what is left, with capacitors of its own.

    With v = u / half - 1 in [-1, 1] on the scale u of `sar`, comparators at +-1/4 with offsets, and gamma = C2 / C1:

        d = 1 where v > 1/4, -1 where v < -1/4, else 0
        v <- ((1 + gamma) v - gamma d) / (1 + 1 / (A beta)),   beta = C1 / (C1 + C2 + C_par)
        code = half + sum_i d_i 2^(bits - 1 - i) - (1 where the last v < 0),   i = 1 ... bits - 1

    References: Spear et al., IEEE JxCDC 9 (2023), doi:10.1109/JXCDC.2023.3315134.
    """


@frozen(kw_only=True)
class CyclicADC(StagedADC):
    """One stage of a `pipeline` that is used for every bit, so that all bits meet the same errors.

    References: Spear et al., IEEE JxCDC 9 (2023), doi:10.1109/JXCDC.2023.3315134.
    """

    own_stages: ClassVar[bool] = False
