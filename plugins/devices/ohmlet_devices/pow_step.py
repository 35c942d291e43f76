"""Device `pow_step`: steps that fall as a power of the distance from the bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import number, one_of
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.pulsed import Pulsed
from ohmlet_kernels.noise import Stream

__all__ = ["GRANULARITY", "PowStep", "power_cells", "power_granularity", "powers"]

ops: Any = None  # bound by each engine

GRANULARITY = "the step that pulse probabilities are worked out with: zero: the mean at w = 0; centre: that midway between the bounds"


def power_cells(device: Any) -> dict[str, CellParameter]:
    """Return what makes the exponents of devices differ."""
    return {
        "pow_gain": CellParameter(mean=1.0, spread=device.pow_gamma_dtod),
        "pow_asymmetry": CellParameter(spread=device.pow_up_down_dtod, distribution="normal_absolute"),
    }


def powers(device: Any, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the exponents of each device and the width of its range of weights, from the cells with `power_cells`."""
    cell = dict(drawn)
    gain, asymmetry = cell.pop("pow_gain"), cell.pop("pow_asymmetry")
    up, down = device.pow_beta
    gamma_up, gamma_down = device.pow_gamma * (gain + up + asymmetry), device.pow_gamma * (gain + down - asymmetry)
    if device.enforce_consistency:
        gamma_up, gamma_down = gamma_up.abs(), gamma_down.abs()
    width = cell["w_max"] - cell["w_min"]
    return {**cell, "gamma_up": gamma_up, "gamma_down": gamma_down, "per_width": quotient(width * 0 + 1, width)}


def power_beta(device: Any) -> tuple[float, float]:
    """Return what the exponents up and down are more than pow_gamma, relative, in the form that steps have."""
    if device.up_down_form == "symmetric":
        return device.pow_up_down, -device.pow_up_down
    return min(device.pow_up_down, 0.0), -max(device.pow_up_down, 0.0)


def power_granularity(device: Any) -> float:
    """Return the mean step at w = 0 or midway between the bounds."""
    width = device.w_max - device.w_min
    if device.granularity_form == "centre" or width == 0:
        return float(device.dw_min * 0.5**device.pow_gamma)
    (up, down), (more_up, more_down) = device.beta, device.pow_beta
    step_up = (1 + up) * (device.w_max / width) ** (device.pow_gamma * (1 + more_up))
    step_down = (1 + down) * (-device.w_min / width) ** (device.pow_gamma * (1 + more_down))
    return float(device.dw_min * (step_up + step_down) / 2)


def check_powers(device: Any) -> None:
    """Raise ConfigError for exponents that are no such."""
    if device.pow_gamma and abs(device.pow_up_down) >= 1:
        raise ConfigError(f"pow_up_down = {device.pow_up_down:g} leaves no positive exponent: it must lie within (-1, 1)")


@frozen(kw_only=True)
class PowStep(Pulsed):
    """Steps that fall as a power of the distance from the bound that they lead to.

        up    w <- w + dw_up ((w_max - w) / (w_max - w_min))^gamma_up (1 + dw_min_std xi)
        down  w <- w - dw_down ((w - w_min) / (w_max - w_min))^gamma_down (1 + dw_min_std xi),   then clipped to [w_min, w_max]
        gamma_up = pow_gamma (1 + pow_gamma_dtod xi_1 + pow_up_down + pow_up_down_dtod xi_2), gamma_down with - for the last two

    All weights are normalised. Source: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494; Fusi and Abbott, Nat. Neurosci.
    10, 485 (2007), doi:10.1038/nn1859 for pow_gamma = 1.
    """

    pow_gamma: float = number(1.0, "exponent", ge=0)
    pow_gamma_dtod: float = number(0.1, "spread of the exponent over devices, relative", ge=0)
    pow_up_down: float = number(0.0, "what the exponent of pulses up is more than pow_gamma, relative, in the form of up_down")
    pow_up_down_dtod: float = number(0.0, "spread of pow_up_down over devices, absolute", ge=0)
    granularity_form: str = one_of("zero", ("zero", "centre"), GRANULARITY)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_powers(self)

    @property
    def pow_beta(self) -> tuple[float, float]:
        """What the exponents are more than pow_gamma."""
        return power_beta(self)

    @property
    def granularity(self) -> float:
        """The nominal step at w = 0 or midway between the bounds."""
        return power_granularity(self)

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        return {**super().cells(), **power_cells(self)}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with their exponents."""
        return powers(self, super().derive(drawn, noise))

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        distance = ops.where(up, cell.w_max - w, w - cell.w_min) * cell.per_width
        size = ops.where(up, cell.dw_up, -cell.dw_down) * ops.pow(ops.maximum(distance, 0.0), ops.where(up, cell.gamma_up, cell.gamma_down))
        after = w + size * (1 + params.dw_min_std * noise[0])
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        width, (up, down) = self.w_max - self.w_min, self.pow_beta
        return (
            f"up: dw = {self.dw_min:g} (({self.w_max:g} - w)/{width:g})^{self.pow_gamma * (1 + up):g}",
            f"down: dw = -{self.dw_min:g} ((w - ({self.w_min:g}))/{width:g})^{self.pow_gamma * (1 + down):g}",
        )
