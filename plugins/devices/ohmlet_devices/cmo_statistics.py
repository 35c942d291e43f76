"""How a measured quantity differs between devices when only its mean, its spread and the range seen are published."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter

__all__ = ["Statistic"]

FARTHEST = 6.0
"""Standard deviations beyond the range where the peak may lie for the mean to be met."""


def below(z: float) -> float:
    """Return the standard normal distribution function."""
    return math.erfc(-z / math.sqrt(2.0)) / 2.0


@frozen
class Statistic:
    """A normal or, with `log`, lognormal distribution with this mean, cut off at the ends of a range if there is one.

    With z standard normal within [alpha, beta] and log(x) or x = m + std z, the location m is such that the mean comes out:

        normal     m + std (phi(alpha) - phi(beta)) / (Phi(beta) - Phi(alpha)) = mean
        lognormal  exp(m + std^2/2) (Phi(beta - std) - Phi(alpha - std)) / (Phi(beta) - Phi(alpha)) = mean

    Raises ConfigError for a range without spread, a range that does not hold the mean, and a mean too close to its end.
    """

    name: str
    mean: float
    std: float
    """Standard deviation before the cut; of the logarithm with `log`."""
    range: tuple[float, ...] | None = None
    log: bool = False

    def __attrs_post_init__(self) -> None:
        if self.range is None:
            return
        if len(self.range) != 2 or not self.range[0] < self.mean < self.range[1]:
            raise ConfigError(f"the range of {self.name} must be two numbers around its mean {self.mean:g}: {list(self.range)}")
        if self.log and self.range[0] <= 0:
            raise ConfigError(f"the range of {self.name} must be above 0: {list(self.range)}")
        if self.std == 0:
            raise ConfigError(f"the range {list(self.range)} of {self.name} has no effect without a spread: set one, or leave it out")
        low, high = self._ends()
        if not self._mean(low - FARTHEST * self.std) <= self.mean <= self._mean(high + FARTHEST * self.std):
            raise ConfigError(
                f"{self.name} cannot have the mean {self.mean:g} within {list(self.range)} with a spread of {self.std:g}: lower the spread"
            )

    def _ends(self) -> tuple[float, float]:
        assert self.range is not None
        low, high = self.range
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _cut(self, location: float) -> tuple[float, float]:
        low, high = self._ends()
        return (low - location) / self.std, (high - location) / self.std

    def _mean(self, location: float) -> float:
        alpha, beta = self._cut(location)
        share = max(below(beta) - below(alpha), 1e-300)
        if self.log:
            return math.exp(location + self.std**2 / 2) * (below(beta - self.std) - below(alpha - self.std)) / share
        height = (math.exp(-(alpha**2) / 2) - math.exp(-(beta**2) / 2)) / math.sqrt(2 * math.pi)
        return location + self.std * height / share

    @property
    def location(self) -> float:
        """The mean of x, or of its logarithm, before the cut."""
        if self.range is None:
            return math.log(self.mean) - self.std**2 / 2 if self.log else self.mean
        low, high = (end + side * FARTHEST * self.std for end, side in zip(self._ends(), (-1, 1), strict=True))
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if self._mean(middle) < self.mean else (low, middle)
        return (low + high) / 2

    def cell(self, unit: str = "1") -> CellParameter:
        """Return what is drawn for each device: the distribution before the cut."""
        if self.log:
            return CellParameter(mean=math.exp(self.location), spread=self.std, distribution="lognormal", unit=unit)
        return CellParameter(mean=self.location, spread=self.std, distribution="normal_absolute", unit=unit)

    def within(self, drawn: Tensor) -> Tensor:
        """Return what was drawn, its quantiles moved into the range."""
        if self.range is None:
            return drawn
        value = drawn.double().log() if self.log else drawn.double()
        at = torch.special.ndtr((value - self.location) / self.std)
        alpha, beta = map(below, self._cut(self.location))
        inside = self.location + self.std * torch.special.ndtri(alpha + (beta - alpha) * at)
        # Rounding at the ends of the quantiles must not lead beyond the range.
        inside = inside.clamp(*self._ends())
        cut: Tensor = (inside.exp() if self.log else inside).to(drawn.dtype).clamp(*self.range)
        return cut
