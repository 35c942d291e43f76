"""Devices: how one resistive cell answers one pulse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from ohmlet.spec import Spec, number, one_of

__all__ = ["CellParameter", "Device", "HiddenState"]


@frozen(kw_only=True)
class CellParameter:
    """A parameter that differs from cell to cell: its mean, its device-to-device spread, and how the spread is meant."""

    mean: float = number(0.0, "mean over devices")
    spread: float = number(0.0, "standard deviation over devices, relative or absolute as `distribution` says", ge=0.0)
    distribution: str = one_of("normal_relative", ("normal_relative", "normal_absolute", "lognormal"), "how devices differ")
    unit: str = field(default="1")


@frozen(kw_only=True)
class HiddenState:
    """A state of a cell besides its weight: its value in a fresh device, its device-to-device spread, its unit."""

    initial: float = number(0.0, "value in a fresh device")
    spread: float = number(0.0, "absolute standard deviation over devices", ge=0.0)
    unit: str = field(default="1")


class Device(Spec):
    """A resistive cell: what differs between cells, what a cell remembers, and its closed-form answer to a single pulse.

    Subclass it as a frozen attrs class. `step` is a static scalar function in plain Python whose maths comes from the module global
    `ops` (where, exp, log, pow, abs, minimum, maximum, ...), so that one source runs as torch, numba and Triton:

        ops: Any = None   # bound by each engine

        @frozen(kw_only=True)
        class SoftBounds(Device):
            \"\"\"Step size falls linearly to zero at the bounds.\"\"\"

            dw_min: float = number(0.001, "mean step at w = 0", gt=0)
            dw_min_std: float = number(0.3, "cycle-to-cycle spread of the step, relative", ge=0)

            def cells(self):
                bound = CellParameter(mean=0.6, spread=0.3)
                return {"dw": CellParameter(mean=self.dw_min, spread=0.3), "w_max": bound, "w_min": evolve(bound, mean=-0.6)}

            def parameters(self):
                return {"sigma": self.dw_min_std}

            @staticmethod
            def step(w, up, noise, cell, hidden, params):
                slope = ops.where(up, cell.dw * (1 - w / cell.w_max), -cell.dw * (1 - w / cell.w_min))
                return ops.minimum(ops.maximum(w + slope * (1 + params.sigma * noise[0]), cell.w_min), cell.w_max), hidden
    """

    kind: ClassVar[str] = "device"
    normals: ClassVar[int] = 1
    """Standard normals that one pulse draws, `noise[0]` onward."""
    uniforms: ClassVar[int] = 0
    """Uniforms in (0, 1) that one pulse draws, after the normals."""

    @abstractmethod
    def cells(self) -> Mapping[str, CellParameter]:
        """Return the per-cell parameters by name; `step` reads them as `cell.name`."""

    def hidden(self) -> Mapping[str, HiddenState]:
        """Return the hidden states by name; `step` reads them as `hidden.name` and returns all of them in this order."""
        return {}

    def parameters(self) -> Mapping[str, float]:
        """Return the numbers that all cells share; `step` reads them as `params.name`."""
        return {}

    def tables(self) -> Mapping[str, tuple[float, ...]]:
        """Return tables of fixed length that all cells share (nodes of a piecewise response); `step` reads them as `params.name`."""
        return {}

    @staticmethod
    @abstractmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight and the hidden states after one pulse, up or down, from normalised weight `w`; scalar and closed-form."""
