"""Device `three_state_vcm`: filamentary switching whose pulse also depends on temperature and on the length of the disc."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import HiddenState
from ohmlet.spec import number
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.pulsed import Pulsed
from ohmlet_kernels.noise import Stream

__all__ = ["ThreeStateVCM"]

ops: Any = None  # bound by each engine

STEEPNESS = 10.0


@frozen(kw_only=True)
class ThreeStateVCM(Pulsed):
    """Valence-change memory of three states: vacancies in the disc (the weight), its temperature T, its length l.

    A behavioural model in the manner of JART VCM v1b, not that model: it keeps what makes it hard to simulate (Joule heating with
    memory, thermal activation, steep windows, a disc that changes from pulse to pulse) and leaves out its circuit. Per pulse, with the
    vacancy concentration c in units of its largest, c = floor + (1 - floor)(w - w_min) / (w_max - w_min):

        T <- t_ambient + cooling (T - t_ambient) + heat c / l                          heat of a set pulse (up) or reset pulse (down)
        dw = +-dw exp(activation (1/T_0 - 1/T)) F / l (1 + dw_min_std xi_1)            T_0 is T after the first pulse at c = 1/2, l = 1
        F  = 1 - c^10 up, 1 - (floor / c)^10 down;    w is then clipped to [w_min, w_max]
        l  <- l + length_std xi_2, within 1 +- length_range

    so that dw_min is the step of a cold cell at c = 1/2, but for the window. Pulses are taken to follow one another at a fixed rate.
    Weights are normalised, temperatures in K, l relative to its mean. Source for form and orders of magnitude: Bengel et al., IEEE
    Trans. Circuits Syst. I 67, 4618 (2020), doi:10.1109/TCSI.2020.3018502.
    """

    normals: ClassVar[int] = 2

    t_ambient: float = number(293.0, "temperature of the surroundings", unit="K", gt=0)
    cooling: float = number(0.5, "part of the heating that is left at the next pulse", ge=0, lt=1)
    heat_set: float = number(300.0, "heating by a pulse up at c = 1, l = 1", unit="K", ge=0)
    heat_reset: float = number(400.0, "heating by a pulse down at c = 1, l = 1", unit="K", ge=0)
    activation: float = number(1500.0, "activation energy of the vacancies' motion over Boltzmann's constant", unit="K", ge=0)
    floor: float = number(0.02, "smallest vacancy concentration, in units of the largest", gt=0, lt=0.5)
    length_dtod: float = number(0.1, "spread of the disc's length over devices, relative", ge=0)
    length_std: float = number(0.02, "change of the disc's length from pulse to pulse", ge=0)
    length_range: float = number(0.4, "largest deviation of the disc's length", gt=0, lt=1)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.w_max <= self.w_min:
            raise ConfigError(f"w_max = {self.w_max:g} must be above w_min = {self.w_min:g}: there is no range of concentrations")

    def hidden(self) -> Mapping[str, HiddenState]:
        """Return temperature and length of the disc."""
        return {
            "temperature": HiddenState(initial=self.t_ambient, unit="K"),
            "length": HiddenState(initial=1.0, spread=self.length_dtod),
        }

    def parameters(self) -> Mapping[str, float]:
        """Return what all cells share."""
        names = ("dw_min_std", "t_ambient", "cooling", "heat_set", "heat_reset", "activation", "floor", "length_std")
        return {
            **{name: getattr(self, name) for name in names},
            "t_set": self.t_ambient + self.heat_set / 2,
            "t_reset": self.t_ambient + self.heat_reset / 2,
            "shortest": 1 - self.length_range,
            "longest": 1 + self.length_range,
        }

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with the concentration per weight."""
        cell = super().derive(drawn, noise)
        width = cell["w_max"] - cell["w_min"]
        return {**cell, "per_width": quotient(width * 0 + (1 - self.floor), width)}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight, the temperature and the length of the disc after one pulse."""
        length = ops.minimum(ops.maximum(hidden.length, params.shortest), params.longest)
        c = ops.maximum(params.floor + cell.per_width * (w - cell.w_min), params.floor)
        heat = ops.where(up, params.heat_set, params.heat_reset) * c / length
        temperature = params.t_ambient + params.cooling * (hidden.temperature - params.t_ambient) + heat
        rate = ops.exp(params.activation * (1 / ops.where(up, params.t_set, params.t_reset) - 1 / temperature))
        window = 1 - ops.pow(ops.where(up, c, params.floor / c), STEEPNESS)
        size = ops.where(up, cell.dw_up, -cell.dw_down) * rate * window / length
        after = ops.minimum(ops.maximum(w + size * (1 + params.dw_min_std * noise[0]), cell.w_min), cell.w_max)
        length = ops.minimum(ops.maximum(length + params.length_std * noise[1], params.shortest), params.longest)
        return after, (temperature, length)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"T <- {self.t_ambient:g} K + {self.cooling:g} (T - {self.t_ambient:g} K) + heat c/l, heat {self.heat_set:g} K up, "
            f"{self.heat_reset:g} K down",
            f"dw = +-{self.dw_min:g} exp({self.activation:g} K (1/T_0 - 1/T)) F/l (1 + {self.dw_min_std:g} xi)",
        )
