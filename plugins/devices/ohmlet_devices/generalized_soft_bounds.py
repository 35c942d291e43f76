"""Device `generalized_soft_bounds`: soft bounds stated by what a pulse measurement tells of an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter, Device
from ohmlet.spec import boolean, number, numbers
from ohmlet_devices.cmo_statistics import Statistic
from ohmlet_kernels.noise import Stream

__all__ = ["GeneralizedSoftBounds"]

ops: Any = None  # bound by each engine

SMALLEST = 0.01
"""Share of its window by which a device's symmetry point stays off the ends: there the step from that end is infinite."""


@frozen(kw_only=True)
class GeneralizedSoftBounds(Device):
    """Steps that fall as powers of the distance from the bounds, stated by window, symmetry point, states and noise in conductance.

        up    w <- w + a_up ((w_max - w) / (w_max - w_min))^p_up (1 + nsr xi)
        down  w <- w - a_down ((w - w_min) / (w_max - w_min))^p_down (1 + nsr xi),   then clipped to [w_min, w_max]
        a_up = s / (1 - g*)^p_up,  a_down = s / g*^p_down,   s = (w_max - w_min) / n_states,  g* = (g_sp - g_min) / (g_max - g_min)

    so that at the symmetry point g_sp a pulse either way is one of the n_states steps of the window, with a spread of nsr steps. A
    weight is a conductance on the scale of the mean window: -1 is g_min_uS and 1 is g_max_uS, and each device has bounds, symmetry
    point, states and exponents of its own. Devices differ normally, their states and nsr lognormally; where the range that was seen is
    given, it cuts the distribution off and the stated mean still comes out. A symmetry point within 1 % of the ends of its window is
    moved there. Raises ConfigError for windows without a symmetry point and ranges that do not hold their mean.

    Source: Falcone et al., Adv. Funct. Mater. (2025), doi:10.1002/adfm.202504688, for what is measured; Fusi and Abbott, Nat. Neurosci.
    10, 485 (2007), doi:10.1038/nn1859, for the form with exponents of 1.
    """

    n_states: float = number(100.0, "mean number of states: window over the step at the symmetry point", gt=1)
    n_states_dtod: float = number(0.2, "spread of the number of states over devices, of its logarithm", ge=0, le=2)
    n_states_range: tuple[float, ...] | None = numbers(None, "least and most states that devices have", gt=1, shortest=2)
    nsr: float = number(0.3, "spread of a step from pulse to pulse over its mean", ge=0, le=20)
    nsr_dtod: float = number(0.0, "spread of nsr over devices, of its logarithm", ge=0, le=2)
    g_min_uS: float = number(10.0, "mean conductance that pulses down approach", unit="uS", ge=0)  # noqa: N815 - the unit is written so
    g_min_dtod_uS: float = number(0.0, "spread of g_min over devices", unit="uS", ge=0)  # noqa: N815
    g_min_range_uS: tuple[float, ...] | None = numbers(None, "ends of g_min", unit="uS", ge=0, shortest=2)  # noqa: N815
    g_max_uS: float = number(90.0, "mean conductance that pulses up approach", unit="uS", gt=0)  # noqa: N815
    g_max_dtod_uS: float = number(0.0, "spread of g_max over devices", unit="uS", ge=0)  # noqa: N815
    g_max_range_uS: tuple[float, ...] | None = numbers(None, "ends of g_max", unit="uS", ge=0, shortest=2)  # noqa: N815
    g_sp_uS: float = number(50.0, "mean symmetry point, where steps up and down are equal", unit="uS", gt=0)  # noqa: N815
    g_sp_dtod_uS: float = number(0.0, "spread of the symmetry point over devices", unit="uS", ge=0)  # noqa: N815
    g_sp_range_uS: tuple[float, ...] | None = numbers(None, "ends of the symmetry point", unit="uS", ge=0, shortest=2)  # noqa: N815
    p_up: float = number(1.0, "exponent of steps up", ge=0)
    p_up_dtod: float = number(0.0, "spread of p_up over devices, absolute", ge=0)
    p_down: float = number(1.0, "exponent of steps down", ge=0)
    p_down_dtod: float = number(0.0, "spread of p_down over devices, absolute", ge=0)
    count_pulses: bool = boolean(False, "count the pulses of each cell, for a report of endurance")

    def __attrs_post_init__(self) -> None:
        if not self.g_min_uS < self.g_sp_uS < self.g_max_uS:
            raise ConfigError(
                f"the symmetry point g_sp_uS = {self.g_sp_uS:g} must lie between g_min_uS = {self.g_min_uS:g} and g_max_uS = "
                f"{self.g_max_uS:g}"
            )
        if self.nsr == 0 and self.nsr_dtod:
            raise ConfigError(f"nsr_dtod = {self.nsr_dtod:g} has no effect without nsr: set it or leave nsr_dtod out")
        self.statistics()

    def weight(self, g: float) -> float:
        """Return the weight that a conductance (uS) stands for."""
        return 2.0 * (g - self.g_min_uS) / (self.g_max_uS - self.g_min_uS) - 1.0

    def statistics(self) -> Mapping[str, Statistic]:
        """Return the distribution over devices of what was measured, conductances as weights."""
        per_uS = 2.0 / (self.g_max_uS - self.g_min_uS)
        made = {"n_states": Statistic("n_states", self.n_states, self.n_states_dtod, self.n_states_range, log=True)}
        for name, field in (("w_min", "g_min"), ("w_max", "g_max"), ("w_sp", "g_sp")):
            ends: tuple[float, ...] | None = getattr(self, f"{field}_range_uS")
            # Stated in uS, so that a refusal quotes what was given.
            mean, std = getattr(self, f"{field}_uS"), getattr(self, f"{field}_dtod_uS")
            Statistic(f"{field}_uS", mean, std, ends)
            cut = None if ends is None else tuple(map(self.weight, ends))
            made[name] = Statistic(field, self.weight(mean), per_uS * std, cut)
        return made

    @property
    def granularity(self) -> float:
        """The mean step at the symmetry point."""
        return 2.0 / self.n_states

    @property
    def counts(self) -> bool:
        """Whether arrays of this device count pulses."""
        return self.count_pulses

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices, before ranges and steps are worked out."""
        return {
            **{name: statistic.cell() for name, statistic in self.statistics().items()},
            "nsr": Statistic("nsr", self.nsr, self.nsr_dtod, log=True).cell() if self.nsr else CellParameter(),
            "p_up": CellParameter(mean=self.p_up, spread=self.p_up_dtod, distribution="normal_absolute"),
            "p_down": CellParameter(mean=self.p_down, spread=self.p_down_dtod, distribution="normal_absolute"),
        }

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return bounds, steps, exponents and noise of each device."""
        cell = {**drawn, **{name: statistic.within(drawn[name]) for name, statistic in self.statistics().items()}}
        w_min, w_sp, states = cell["w_min"], cell.pop("w_sp"), cell.pop("n_states")
        # A window is at least one step wide, however devices were drawn.
        w_max = cell["w_max"].maximum(w_min + self.granularity)
        width = w_max - w_min
        at = ((w_sp - w_min) / width).clamp(SMALLEST, 1.0 - SMALLEST)
        p_up, p_down = cell["p_up"].clamp_min(0.0), cell["p_down"].clamp_min(0.0)
        step = width / states
        made = {"w_max": w_max, "w_min": w_min, "p_up": p_up, "p_down": p_down, "per_width": 1.0 / width, "nsr": cell["nsr"]}
        return {**made, "dw_up": step / (1.0 - at) ** p_up, "dw_down": step / at**p_down}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        distance = ops.maximum(ops.where(up, cell.w_max - w, w - cell.w_min) * cell.per_width, 0.0)
        size = ops.where(up, cell.dw_up, -cell.dw_down) * ops.pow(distance, ops.where(up, cell.p_up, cell.p_down))
        after = w + size * (1 + cell.nsr * noise[0])
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def inverted(self, cell: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the mirror images, whose pulses up do what pulses down do here."""
        swapped = {"dw_up": "dw_down", "dw_down": "dw_up", "p_up": "p_down", "p_down": "p_up"}
        made = {name: cell[swapped.get(name, name)] for name in cell}
        return {**made, "w_max": -cell["w_min"], "w_min": -cell["w_max"]}

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        at, step = (self.g_sp_uS - self.g_min_uS) / (self.g_max_uS - self.g_min_uS), self.granularity
        noise = f"(1 + {self.nsr:g} xi)"
        return (
            f"up: dw = {step / (1 - at) ** self.p_up:g} ((1 - w)/2)^{self.p_up:g} {noise}",
            f"down: dw = -{step / at**self.p_down:g} ((1 + w)/2)^{self.p_down:g} {noise}",
            f"w = -1 is {self.g_min_uS:g} uS, w = 1 is {self.g_max_uS:g} uS; symmetry point {self.g_sp_uS:g} uS, {self.n_states:g} states",
        )
