"""Weight modifiers: what hardware-aware training does to a crossbar's weights while they are used, drawn once per optimizer step.

The gradient of the weights is that of the unmodified ones; the gradient of the inputs sees the modified ones. Below, A is the
crossbar's largest |w| (or `w_max` when given), xi standard normal, one for each weight.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from attrs import field, frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import boolean, number
from ohmlet_kernels.mapped_mvm.reference import largest
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.percent import check_strength

__all__ = ["AddNormal", "Discretize", "DiscretizeAddNormal", "DoReFa", "MultNormal", "Poly", "ProgNoise"]

PCM_COEFFICIENTS = (0.26348 / 25.0, 0.0768, -0.001877 * 25.0)
"""Programming error of PCM relative to g_max, in powers of |w|/A: Nandakumar et al., ICECS (2019), doi:10.1109/ICECS46596.2019.8964852."""


def passed_through(w: Tensor, modified: Tensor) -> Tensor:
    """Return the modified weights with the gradient of the unmodified ones."""
    return w + (modified.detach() - w.detach())


def away_from_zero(value: Tensor) -> Tensor:
    """Return values rounded to the nearest whole number, halves away from zero."""
    return torch.sign(value) * torch.floor(value.abs() + 0.5)


def discretized(w: Tensor, a: Tensor, step: float, stochastic: bool, noise: Stream) -> Tensor:
    """Return w rounded to multiples of A step."""
    steps = w.detach() / (a * step)
    if stochastic:
        return torch.floor(steps + noise.shared().uniform("rounding", w)) * step * a
    return away_from_zero(steps) * step * a


@frozen(kw_only=True)
class AddNormal:
    """w + std A xi."""

    type_name: ClassVar[str] = "add_normal"
    std: float = number(0.08, "noise relative to A", ge=0.0)
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        check_strength(self.std, self.w_max, "the crossbar's largest weight")

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        return w + self.std * largest(w, self.w_max) * noise.shared().normal("modifier", w)


@frozen(kw_only=True)
class MultNormal:
    """w (1 + std A xi)."""

    type_name: ClassVar[str] = "mult_normal"
    std: float = number(0.1, "noise relative to the weight", ge=0.0)
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        check_strength(self.std, self.w_max, "the weight")

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        return passed_through(w, w * (1.0 + self.std * largest(w, self.w_max) * noise.shared().normal("modifier", w)))


@frozen(kw_only=True)
class Discretize:
    """w rounded to multiples of step A, halves away from zero."""

    type_name: ClassVar[str] = "discretize"
    step: float = number(1.0 / 127.0, "width of a bin, for weights from 0 to A", gt=0.0, le=1.0)
    stochastic: bool = boolean(False, "round up with the probability of the remainder")
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        return passed_through(w, discretized(w, largest(w, self.w_max), self.step, self.stochastic, noise))


@frozen(kw_only=True)
class DiscretizeAddNormal:
    """w rounded to multiples of step A, plus std A xi."""

    type_name: ClassVar[str] = "discretize_add_normal"
    step: float = number(1.0 / 127.0, "width of a bin, for weights from 0 to A", gt=0.0, le=1.0)
    std: float = number(0.08, "noise relative to A", ge=0.0)
    stochastic: bool = boolean(False, "round up with the probability of the remainder")
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        if self.std == 0:
            raise ConfigError("std 0.0 adds no noise to the rounding: take modifier discretize, or give a std above 0")
        check_strength(self.std, self.w_max, "the crossbar's largest weight")

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        a = largest(w, self.w_max)
        return passed_through(w, discretized(w, a, self.step, self.stochastic, noise) + self.std * a * noise.shared().normal("modifier", w))


@frozen(kw_only=True)
class DoReFa:
    """round(tanh(w) |clip / tanh(A)| / step) step.

    References: Zhou et al., arXiv (2016), doi:10.48550/arXiv.1606.06160.
    """

    type_name: ClassVar[str] = "dorefa"
    step: float = number(1.0 / 127.0, "width of a bin", gt=0.0, le=1.0)
    clip: float = number(0.6, "largest weight after it", gt=0.0)
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        squeezed = torch.tanh(w) * (self.clip / torch.tanh(largest(w, self.w_max))).abs()
        return passed_through(squeezed, away_from_zero(squeezed / self.step) * self.step)


def _coefficients(_: object, __: object, value: tuple[float, ...]) -> None:
    if not value or not all(isinstance(each, int | float) and math.isfinite(each) for each in value):
        raise ConfigError(f"'coefficients' are finite numbers, lowest power first: {value!r}")


@frozen(kw_only=True)
class Poly:
    """w + std A (sum_k c_k (|w|/A)^k) xi: noise whose strength depends on the weight, by default as that of programmed PCM."""

    type_name: ClassVar[str] = "poly"
    std: float = number(1.0, "factor on the polynomial", ge=0.0)
    coefficients: tuple[float, ...] = field(default=PCM_COEFFICIENTS, validator=_coefficients, metadata={"doc": "c_k, lowest power first"})
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        check_strength(self.std, self.w_max)

    def noise_of(self, w: Tensor, noise: Stream) -> Tensor:
        """Return what is added to the weights."""
        a = largest(w, self.w_max)
        relative = w.detach().abs() / a
        strength = sum(c * relative**k for k, c in enumerate(self.coefficients))
        return self.std * a * strength * noise.shared().normal("modifier", w)

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        return w + self.noise_of(w, noise)


@frozen(kw_only=True)
class ProgNoise:
    """sign(w) |w + std A (sum_k c_k (|w|/A)^k) xi|, sign(0) = 1: as `poly`, the weight keeping its sign as a device pair does."""

    type_name: ClassVar[str] = "prog_noise"
    std: float = number(1.0, "factor on the polynomial", ge=0.0)
    coefficients: tuple[float, ...] = field(default=PCM_COEFFICIENTS, validator=_coefficients, metadata={"doc": "c_k, lowest power first"})
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        check_strength(self.std, self.w_max)

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        added = Poly(std=self.std, coefficients=self.coefficients, w_max=self.w_max).noise_of(w, noise)
        return passed_through(w, torch.where(w < 0, -1.0, 1.0) * (w + added).abs())
