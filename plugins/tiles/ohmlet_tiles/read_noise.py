"""Read noise of the weights, as its sum reaches an output: drawn anew for each input vector."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ohmlet.spec import number

__all__ = ["AdditiveConstant", "PCMRead", "ReadNoise", "Relative"]


@frozen(kw_only=True)
class AdditiveConstant:
    """Equal for all weights: y_i += std (sum_j v_j^2)^(1/2) xi_i."""

    type_name: ClassVar[str] = "additive_constant"
    kernel: ClassVar[str] = "additive"
    std: float = number(0.01, "standard deviation of a normalised weight", gt=0.0)


@frozen(kw_only=True)
class Relative:
    """Proportional to the weight: y_i += std (sum_j w_ij^2 v_j^2)^(1/2) xi_i."""

    type_name: ClassVar[str] = "relative"
    kernel: ClassVar[str] = "relative"
    std: float = number(0.01, "standard deviation relative to the weight", gt=0.0)


@frozen(kw_only=True)
class PCMRead:
    """Proportional to the root of the weight, as in phase-change memory: y_i += std (sum_j |w_ij| v_j^2)^(1/2) xi_i."""

    type_name: ClassVar[str] = "pcm_read"
    kernel: ClassVar[str] = "pcm"
    std: float = number(0.0175, "standard deviation at the largest weight", gt=0.0)


ReadNoise = AdditiveConstant | Relative | PCMRead
