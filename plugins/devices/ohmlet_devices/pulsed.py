"""What the pulsed devices have in common: how devices differ, and what happens to them between updates."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter, Device
from ohmlet.spec import boolean, number, one_of
from ohmlet_devices.drift import Drift
from ohmlet_kernels.noise import Stream

__all__ = ["Pulsed", "Varied"]

PERFECT = 100.0
"""How far the bounds of a perfect bias column lie beyond the nominal ones."""

LARGEST_SPREAD = 10.0
"""Relative spread beyond which a number was meant in percent: published ones reach 5."""


@frozen(kw_only=True)
class Varied(Device):
    """The settings that all pulsed devices share, and the cells that come of them; a device adds nominal steps, bounds and its `step`.

    Per device, each xi a standard normal of its own:

        steps      dw_up = dw_min (gain + beta_up + up_down_dtod xi),  dw_down = dw_min (gain + beta_down - up_down_dtod xi)
                   gain = 1 + dw_min_dtod xi', or lognormal;  symmetric: beta_up = up_down = -beta_down
        bounds     w_max (1 + w_max_dtod xi),  w_min (1 + w_min_dtod xi)
        stuck      with corrupt_devices_prob: no steps, and a weight anywhere within +-corrupt_devices_range and the bounds
        decay      w <- b + (w - b) (1 - 1/tau) per mini-batch, tau = lifetime (1 + lifetime_dtod xi), b the reset level
        diffusion  w <- w + |diffusion (1 + diffusion_dtod xi)| xi'' per mini-batch
        reset      w <- b + reset_std xi'',  b = reset (1 + reset_dtod xi)
        reads see  w + write_noise_std xi'', xi'' drawn anew when a cell is written

    Source: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333; Rasch et al., AICAS (2021),
    doi:10.1109/AICAS51828.2021.9458494.
    """

    dw_min_dtod: float = number(0.3, "spread of dw_min over devices, relative", ge=0)
    dw_min_dtod_log_normal: bool = boolean(False, "steps of devices are distributed lognormally")
    log_normal_center: str = one_of("mean", ("mean", "median"), "what of the lognormal distribution dw_min is")
    dw_min_std: float = number(0.3, "spread of a device's step from pulse to pulse, relative", ge=0)
    w_max_dtod: float = number(0.3, "spread of w_max over devices, relative", ge=0)
    w_min_dtod: float = number(0.3, "spread of w_min over devices, relative", ge=0)
    up_down_dtod: float = number(0.01, "spread of up_down over devices, absolute", ge=0)
    enforce_consistency: bool = boolean(
        True, "steps and bounds of the wrong sign are turned round; else crossed bounds switch a device off"
    )
    perfect_bias: bool = boolean(False, "the last column has devices without spread, with bounds a hundredfold")
    corrupt_devices_prob: float = number(0.0, "fraction of devices that are stuck", ge=0, le=1)
    corrupt_devices_range: float = number(0.1, "largest absolute weight at which a device is stuck", ge=0)
    diffusion: float = number(0.0, "standard deviation of the random walk of a weight per mini-batch", ge=0)
    diffusion_dtod: float = number(0.0, "spread of diffusion over devices, relative", ge=0)
    lifetime: float = number(0.0, "time constant of the decay, 0 for none", unit="mini-batches", ge=0)
    lifetime_dtod: float = number(0.0, "spread of lifetime over devices, relative", ge=0)
    reset: float = number(0.0, "weight that a reset and the decay lead to")
    reset_dtod: float = number(0.0, "spread of reset over devices, in the form that reset_dtod_form says", ge=0)
    reset_dtod_form: str = one_of("relative", ("relative", "absolute"), "whether reset_dtod is relative to reset")
    reset_std: float = number(0.01, "spread of a device's weight from reset to reset", ge=0)
    drift: Drift | None = part(Drift | None, "retention drift between updates", None)
    write_noise_std: float = number(0.0, "standard deviation between the weight that reads see and the one that pulses change", ge=0)
    write_noise_unit: str = one_of("weight", ("weight", "dw_min"), "what write_noise_std is in units of")
    apply_write_noise_on_set: bool = boolean(True, "weights that are set, rather than pulsed, get write noise too")
    count_pulses: bool = boolean(False, "count the pulses of each cell, for a report of endurance")

    def __attrs_post_init__(self) -> None:
        for name, needs in (
            ("corrupt_devices_range", "corrupt_devices_prob"),
            ("diffusion_dtod", "diffusion"),
            ("lifetime_dtod", "lifetime"),
            *([("reset_dtod", "reset")] if self.reset_dtod_form == "relative" else []),
        ):
            standard = 0.1 if name == "corrupt_devices_range" else 0.0
            if getattr(self, name) != standard and not getattr(self, needs):
                raise ConfigError(f"{name} = {getattr(self, name):g} has no effect without {needs}: set it or leave {name} out")
        for name in ("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "diffusion_dtod", "lifetime_dtod"):
            if getattr(self, name) > LARGEST_SPREAD:
                raise ConfigError(
                    f"{name} = {getattr(self, name):g} is a spread of {getattr(self, name):.0%}: spreads are fractions of the mean, "
                    "0.3 for 30 %"
                )
        if 0.0 < self.lifetime <= 1.0:
            raise ConfigError(
                f"lifetime = {self.lifetime:g} mini-batches loses every weight after each: it is a time constant, 0 for no decay"
            )
        if self.dw_min > self.w_max - self.w_min > 0.0:
            raise ConfigError(
                f"dw_min = {self.dw_min:g} is a step of more than the range of weights [{self.w_min:g}, {self.w_max:g}]: it is in units "
                "of normalised weight; a device of n steps from bound to bound has (w_max - w_min) / n"
            )
        if self.write_noise > self.w_max - self.w_min:
            raise ConfigError(
                f"write_noise_std = {self.write_noise_std:g} in units of {self.write_noise_unit} is more than the range of weights "
                f"[{self.w_min:g}, {self.w_max:g}]; if it is in units of dw_min, say write_noise_unit: dw_min"
            )

    @property
    @abstractmethod
    def dw_min(self) -> float:
        """The mean step of a pulse, as nominal."""

    @property
    @abstractmethod
    def w_max(self) -> float:
        """The mean upper bound."""

    @property
    @abstractmethod
    def w_min(self) -> float:
        """The mean lower bound."""

    @property
    @abstractmethod
    def beta(self) -> tuple[float, float]:
        """What pulses up and pulses down do more than dw_min on average, relative."""

    @property
    def write_noise(self) -> float:
        """The standard deviation between the weight that a cell holds and the one that reads see."""
        return self.write_noise_std * (self.dw_min if self.write_noise_unit == "dw_min" else 1.0)

    @property
    def write_noise_on_set(self) -> bool:
        """Whether weights that are set get write noise."""
        return self.apply_write_noise_on_set

    @property
    def counts(self) -> bool:
        """Whether arrays of this device count pulses."""
        return self.count_pulses

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices, before steps and bounds are worked out."""
        spread, distribution, gain = self.dw_min_dtod, "normal_relative", 1.0
        if self.dw_min_dtod_log_normal:
            distribution, gain = "lognormal", math.exp(-(spread**2) / 2) if self.log_normal_center == "mean" else 1.0
        made = {
            "w_max": CellParameter(mean=self.w_max, spread=self.w_max_dtod),
            "w_min": CellParameter(mean=self.w_min, spread=self.w_min_dtod),
            "gain": CellParameter(mean=gain, spread=spread, distribution=distribution),
            "asymmetry": CellParameter(spread=self.up_down_dtod, distribution="normal_absolute"),
        }
        if self.diffusion:
            made["diffusion"] = CellParameter(mean=self.diffusion, spread=self.diffusion_dtod)
        if self.lifetime:
            made["lifetime"] = CellParameter(mean=self.lifetime, spread=self.lifetime_dtod, unit="mini-batches")
        if self.reset or self.reset_dtod:
            made["reset"] = CellParameter(mean=self.reset, spread=self.reset_dtod, distribution=f"normal_{self.reset_dtod_form}")
        if self.drift is not None:
            made["nu"] = CellParameter(mean=self.drift.nu, spread=self.drift.nu_dtod)
        return made

    def parameters(self) -> Mapping[str, float]:
        """Return the spread from pulse to pulse."""
        return {"dw_min_std": self.dw_min_std}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return steps and bounds of each device, and what the other methods read."""
        cell = dict(drawn)
        gain, asymmetry, (up, down) = cell.pop("gain"), cell.pop("asymmetry"), self.beta
        dw_up, dw_down = self.dw_min * (gain + up + asymmetry), self.dw_min * (gain + down - asymmetry)
        w_max, w_min = cell["w_max"], cell["w_min"]
        if self.enforce_consistency:
            dw_up, dw_down = dw_up.abs(), dw_down.abs()
            w_max, w_min = torch.maximum(w_max, w_min).abs(), -torch.minimum(w_max, w_min).abs()
        else:
            crossed, middle = w_min > w_max, (w_min + w_max) / 2
            w_max, w_min = middle.where(crossed, w_max), middle.where(crossed, w_min)
        if self.corrupt_devices_prob:
            stuck = noise.uniform("stuck", w_max) < self.corrupt_devices_prob
            low = torch.minimum(w_min, w_max).clamp_min(-self.corrupt_devices_range)
            high = torch.maximum(w_min, w_max).clamp_max(self.corrupt_devices_range)
            at = low + (high - low) * noise.uniform("stuck at", w_max)
            w_max, w_min = at.where(stuck, w_max), at.where(stuck, w_min)
            dw_up, dw_down = dw_up.masked_fill(stuck, 0.0), dw_down.masked_fill(stuck, 0.0)
        if self.perfect_bias:
            for value, perfect in (
                (dw_up, self.dw_min),
                (dw_down, self.dw_min),
                (w_max, PERFECT * self.w_max),
                (w_min, PERFECT * self.w_min),
            ):
                value[..., -1] = perfect
        cell |= {"dw_up": dw_up, "dw_down": dw_down, "w_max": w_max, "w_min": w_min}
        if "lifetime" in cell:
            lifetime = cell.pop("lifetime")
            cell["decay"] = torch.where(lifetime > 1, 1 / lifetime, 1.0)
        if "diffusion" in cell:
            cell["diffusion"] = cell["diffusion"].abs()
        return cell

    def inverted(self, cell: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the mirror images of devices whose ways up and down differ by their cells alone; raises ConfigError for others."""
        known = {"dw_up", "dw_down", "slope_up", "slope_down", "w_max", "w_min", "decay", "diffusion", "reset", "nu"}
        if not known.issuperset(cell):
            raise ConfigError(f"{type(self).__name__} has no mirror image: use constant_step, linear_step or soft_bounds")
        turned = {"dw_up": ("dw_down", 1), "dw_down": ("dw_up", 1), "slope_up": ("slope_down", -1), "slope_down": ("slope_up", -1)}
        turned |= {"w_max": ("w_min", -1), "w_min": ("w_max", -1)}
        return {name: turned[name][1] * cell[turned[name][0]] if name in turned else value for name, value in cell.items()}

    def decayed(self, w: Tensor, cell: Mapping[str, Tensor], alpha: float) -> Tensor:
        """Return the weights after the decay of `alpha` mini-batches towards the reset level."""
        if "decay" not in cell:
            return w
        level = cell.get("reset", 0.0)
        return self.placed(level + (w - level) * (1 - alpha * cell["decay"]), cell)

    def diffused(self, w: Tensor, cell: Mapping[str, Tensor], noise: Stream) -> Tensor:
        """Return the weights after one step of their random walk."""
        return self.placed(w + cell["diffusion"] * noise.normal("walk", w), cell) if "diffusion" in cell else w

    def reset_to(self, w: Tensor, cell: Mapping[str, Tensor], noise: Stream) -> Tensor:
        """Return the weights after a reset."""
        return self.placed(cell.get("reset", w * 0) + self.reset_std * noise.normal("level", w), cell)

    def drift_state(self) -> tuple[str, ...]:
        """Return what drift remembers of each cell."""
        return () if self.drift is None else ("elapsed", "start", "last")

    def drifted(
        self, w: Tensor, state: Mapping[str, Tensor], cell: Mapping[str, Tensor], seconds: float, noise: Stream
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the weights after further `seconds`, within their bounds."""
        if self.drift is None:
            return w, state
        after, elapsed, start = self.drift.at(w, state, cell["nu"], seconds, noise)
        after = self.placed(after, cell)
        return after, {"elapsed": elapsed, "start": start, "last": after}


@frozen(kw_only=True)
class Pulsed(Varied):
    """A pulsed device whose nominal step and bounds are settings; see `Varied` for what they make of each cell."""

    dw_min: float = number(0.001, "mean step of a pulse at its nominal size, in normalised weight", gt=0)
    w_max: float = number(0.6, "mean upper bound of the weight", ge=0)
    w_min: float = number(-0.6, "mean lower bound of the weight", le=0)
    up_down: float = number(0.0, "what pulses up do more than dw_min, and pulses down less, relative")
    up_down_form: str = one_of(
        "symmetric",
        ("symmetric", "one_sided"),
        "symmetric: steps dw_min (1 +- up_down); one_sided: only the smaller of the two steps is changed",
    )

    @property
    def beta(self) -> tuple[float, float]:
        """What pulses up and pulses down do more than dw_min on average, relative."""
        if self.up_down_form == "symmetric":
            return self.up_down, -self.up_down
        return min(self.up_down, 0.0), -max(self.up_down, 0.0)
