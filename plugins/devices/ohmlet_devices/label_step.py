"""Device `label_step`: linear steps stated by the nonlinearity labels of published device tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import number
from ohmlet_devices.linear_step import LinearStep
from ohmlet_devices.nonlinearity import LARGEST_LABEL, LinearSteps, linear_steps, shapes_of_labels
from ohmlet_devices.pulsed import Varied
from ohmlet_kernels.noise import Stream

__all__ = ["LabelStep"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class LabelStep(Varied):
    """Linear steps that lead from one end of the range to the other in a number of pulses, on curves of given nonlinearity labels.

    With x = p / P the train so far, A the shape of a label (`ohmlet_devices.nonlinearity`), B = 1 / (1 - exp(-1 / A)):

        up                 g(x) = B (1 - exp(-x / A)), from g = 0        dw = k (2 B - 1 - w),    k = 1 - exp(-1 / (A P))
        down, label < 0    its mirror image, fast at the top             dw = -k (2 B - 1 + w)
        down, label > 0    back on the curve up, slow at the top         dw = -k' (2 B - 1 - w),  k' = exp(1 / (A P)) - 1

    for w = 2 g - 1 in [-1, 1]. To each step comes noise of `cycle_to_cycle` of the range, and `dw_min_std` of itself where given. A
    device's labels are both off by the same `nl_dtod` xi. Other spreads are those of every pulsed device, zero unless given.

    All weights are normalised. Source: Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    nl_up: float = number(1.0, "nonlinearity label of a train up", ge=0, le=LARGEST_LABEL)
    nl_down: float = number(-1.0, "nonlinearity label of a train down, negative for fast at the top", ge=-LARGEST_LABEL, le=LARGEST_LABEL)
    pulses_up: float = number(100.0, "pulses from the lowest weight to the highest", unit="pulses", ge=1)
    pulses_down: float = number(100.0, "pulses from the highest weight to the lowest", unit="pulses", ge=1)
    cycle_to_cycle: float = number(0.0, "spread of a step from pulse to pulse, in units of the range", ge=0, lt=1)
    nl_dtod: float = number(0.0, "spread of both labels over devices, absolute", ge=0)
    dw_min_dtod: float = number(0.0, "spread of the steps over devices, relative", ge=0)
    dw_min_std: float = number(0.0, "spread of a device's step from pulse to pulse, relative to the step", ge=0)
    w_max_dtod: float = number(0.0, "spread of the highest weight over devices, relative", ge=0)
    w_min_dtod: float = number(0.0, "spread of the lowest weight over devices, relative", ge=0)
    up_down_dtod: float = number(0.0, "spread of the difference of steps up and down over devices, relative to their mean", ge=0)

    @property
    def steps(self) -> LinearSteps:
        """The nominal steps."""
        return linear_steps(self.nl_up, self.nl_down, self.pulses_up, self.pulses_down)

    @property
    def w_max(self) -> float:
        """The highest weight."""
        return 1.0

    @property
    def w_min(self) -> float:
        """The lowest weight."""
        return -1.0

    @property
    def dw_min(self) -> float:
        """The mean of the steps up and down at w = 0."""
        return (self.steps.dw_up + self.steps.dw_down) / 2

    @property
    def beta(self) -> tuple[float, float]:
        """What pulses up and down do more than dw_min at w = 0, relative."""
        more = (self.steps.dw_up - self.steps.dw_down) / (2 * self.dw_min)
        return more, -more

    def linear_step(self) -> LinearStep:
        """Return the same device as `linear_step`, whose noise is relative to the step; raises ConfigError where it is not so here."""
        if self.cycle_to_cycle or self.nl_dtod:
            raise ConfigError("cycle_to_cycle and nl_dtod have no counterpart in linear_step: set them to 0")
        shared = {name: getattr(self, name) for name in ("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod")}
        return LinearStep(
            dw_min=self.dw_min,
            up_down=self.beta[0],
            w_max=1.0,
            w_min=-1.0,
            gamma_up=self.steps.gamma_up,
            gamma_down=self.steps.gamma_down,
            gamma_up_dtod=0.0,
            gamma_down_dtod=0.0,
            allow_increasing=self.steps.gamma_down < 0,
            **shared,
        )

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        return {**super().cells(), "nl_shift": CellParameter(spread=self.nl_dtod, distribution="normal_absolute")}

    def parameters(self) -> Mapping[str, float]:
        """Return the spreads from pulse to pulse."""
        return {"dw_min_std": self.dw_min_std, "range_std": 2 * self.cycle_to_cycle}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return steps and slopes of each device."""
        cell = super().derive(drawn, noise)
        shift, nominal = cell.pop("nl_shift"), self.steps
        for way, label, pulses in (("up", self.nl_up, self.pulses_up), ("down", abs(self.nl_down), self.pulses_down)):
            retraces = way == "down" and self.nl_down > 0
            shape = shapes_of_labels((label + shift).clamp_min(0.0))
            part = torch.expm1(1 / (shape * pulses)) if retraces else -torch.expm1(-1 / (shape * pulses))
            # A straight line has an infinite shape: no slope, and steps of 2 / P.
            straight = shape.isinf()
            size = torch.where(straight, 2 / pulses, part / torch.tanh(1 / (2 * shape)).where(~straight, 1.0))
            gain = cell[f"dw_{way}"] / (nominal.dw_up if way == "up" else nominal.dw_down)
            cell[f"dw_{way}"] = (gain * size).to(shift)
            tilt = part.where(~straight, 0.0)
            cell[f"slope_{way}"] = (gain * (tilt if way == "down" and not retraces else -tilt)).to(shift)
        return cell

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        size = ops.where(up, cell.dw_up, -cell.dw_down) + ops.where(up, cell.slope_up, -cell.slope_down) * w
        spread = size * params.dw_min_std + ops.where(up, params.range_std, -params.range_std)
        return ops.minimum(ops.maximum(w + size + spread * noise[0], cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        steps, noise = self.steps, f" + {2 * self.cycle_to_cycle:g} xi" if self.cycle_to_cycle else ""
        return (
            f"up: dw = {steps.dw_up:g} (1 - {steps.gamma_up:g} w){noise}, {self.pulses_up:g} pulses from -1 to 1",
            f"down: dw = -{steps.dw_down:g} (1 + {steps.gamma_down:g} w){noise}, {self.pulses_down:g} pulses from 1 to -1",
        )
