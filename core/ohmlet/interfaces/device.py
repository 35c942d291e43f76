"""Devices: how one resistive cell answers one pulse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from attrs import field, frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import Spec, number, one_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ohmlet_kernels.noise import Stream

__all__ = ["ArraySite", "CellParameter", "CompositeCell", "Device", "HiddenState", "UnitCell"]


@frozen(kw_only=True)
class CellParameter:
    """A parameter that differs from cell to cell: its mean, its device-to-device spread, and how the spread is meant.

    normal_relative  mean (1 + spread xi)      normal_absolute  mean + spread xi      lognormal  mean exp(spread xi)
    """

    mean: float = number(0.0, "mean over devices (median of a lognormal)")
    spread: float = number(0.0, "standard deviation over devices, relative or absolute as `distribution` says", ge=0.0)
    distribution: str = one_of("normal_relative", ("normal_relative", "normal_absolute", "lognormal"), "how devices differ")
    unit: str = field(default="1")

    def values(self, xi: Tensor) -> Tensor:
        """Return the parameter of each cell from one standard normal per cell."""
        if self.distribution == "normal_absolute":
            return self.mean + self.spread * xi
        return self.mean * ((self.spread * xi).exp() if self.distribution == "lognormal" else 1 + self.spread * xi)


@frozen(kw_only=True)
class HiddenState:
    """A state of a cell besides its weight: its value in a fresh device, its device-to-device spread, its unit."""

    initial: float = number(0.0, "value in a fresh device")
    spread: float = number(0.0, "absolute standard deviation over devices", ge=0.0)
    unit: str = field(default="1")


class ArraySite(NamedTuple):
    """Where an array of cells is built: its size, its own key of the noise, the kernels of the config's engine."""

    rows: int
    """Outputs."""
    columns: int
    """Inputs."""
    key: Tensor
    """int64, no sizes."""
    kernel: Callable[[str, str], Callable[..., Any]]
    read: Callable[[Tensor, Tensor, Stream], Tensor]
    """read(w, x, noise) -> y [S, out]: the tile's read-out of weights w [out, in] with inputs x [S, in], full scale 1."""
    exact: bool = False
    """Whether `read` is w x itself, so that one line's cells need no read-out."""
    reads: Mapping[str, Callable[[Tensor, Tensor, Stream], Tensor]] | None = None
    """Read-outs of arrays that have one of their own, by name."""

    reading: Any = None
    """The settings of `read`, where an engine's transfers can do all that it does."""

    @property
    def read_by_engine(self) -> bool:
        """Whether an engine's transfers can make the read-out."""
        return self.exact or self.reading is not None

    def read_of(self, name: str) -> Callable[[Tensor, Tensor, Stream], Tensor]:
        """Return the read-out of an array: its own, or the one of all."""
        return (self.reads or {}).get(name, self.read)


class UnitCell(Spec):
    """What sits at a crosspoint: one device, or several that act as one."""

    kind: ClassVar[str] = "device"

    @property
    def reads(self) -> bool:
        """Whether the cells are read out by the tile's `read` pass, to be refreshed for example; no, unless overridden."""
        return False

    @property
    def pulsed(self) -> bool:
        """Whether updates are pulses, so that how these are coded matters; yes, unless overridden."""
        return True

    @property
    @abstractmethod
    def granularity(self) -> float:
        """The mean step of one pulse, in normalised weight: what pulse probabilities and transfers are worked out with."""


class CompositeCell(UnitCell):
    """A crosspoint of several devices, or one whose updates are no pulses; builds a module that acts like an array of one device.

    `compose` gets an array for each of `parts`, fabricated, and returns an `nn.Module` with the methods of `ohmlet.cells.CellArray`.
    """

    @property
    def reads(self) -> bool:
        """Whether one of the parts is read out by the tile."""
        return any(cell.reads for cell in self.parts().values())

    @abstractmethod
    def parts(self) -> Mapping[str, UnitCell]:
        """Return the cells of each array by name."""

    @abstractmethod
    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the module that owns the arrays and acts as one."""


class Device(UnitCell):
    """A resistive cell: what differs between cells, what a cell remembers, and its closed-form answer to a single pulse.

    Subclass it as a frozen attrs class. `step` is a static scalar function in plain Python whose maths comes from the module global
    `ops` (where, exp, log, pow, sqrt, tanh, abs, minimum, maximum, interpolate), so that one source runs as torch, numba and Triton:

        ops: Any = None  # bound by each engine

        @frozen(kw_only=True)
        class SaturatingStep(Device):
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

    Every array is stated as `CellParameter` in `cells`; where devices are correlated, `derive` turns what was drawn into what `step`
    reads. `w_min` and `w_max` among them bound the weights that can be set. The other methods say what happens between updates, and
    do nothing unless overridden.
    """

    normals: ClassVar[int] = 1
    """Standard normals that one pulse draws, `noise[0]` onward."""
    uniforms: ClassVar[int] = 0
    """Uniforms in (0, 1) that one pulse draws, after the normals."""

    @property
    def granularity(self) -> float:
        """The mean step of one pulse: the field `dw_min` unless overridden."""
        return float(self.dw_min)  # type: ignore[attr-defined]

    @property
    def write_noise(self) -> float:
        """The standard deviation between the weight that a cell holds and the one that reads see, drawn anew when it is written."""
        return 0.0

    @property
    def write_noise_on_set(self) -> bool:
        """Whether weights that are set, rather than pulsed, get write noise too."""
        return True

    @property
    def counts(self) -> bool:
        """Whether arrays count the pulses of each cell."""
        return False

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
        """Return tables that all cells share, nodes at equal distances over [0, 1]; `step` reads `ops.interpolate(params.name, x)`."""
        return {}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the per-cell arrays [out, in] that `step` and the other methods read, from those of `cells` as drawn."""
        return drawn

    @staticmethod
    @abstractmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight and the hidden states after one pulse, up or down, from normalised weight `w`; scalar and closed-form."""

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the weights that cells take when `w` is to be set: clipped to `w_min` and `w_max` where there are such."""
        if "w_min" not in cell or "w_max" not in cell:
            return w
        return w.clamp(cell["w_min"], cell["w_max"])

    def inverted(self, cell: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the cells of the mirror images, whose pulses up do what pulses down do here; raises ConfigError without such."""
        raise ConfigError(f"{type(self).__name__} does not say what its mirror image is: override `inverted`")

    def decayed(self, w: Tensor, cell: Mapping[str, Tensor], alpha: float) -> Tensor:
        """Return the weights after the decay of `alpha` mini-batches."""
        return w

    def diffused(self, w: Tensor, cell: Mapping[str, Tensor], noise: Stream) -> Tensor:
        """Return the weights after the diffusion of one mini-batch."""
        return w

    def reset_to(self, w: Tensor, cell: Mapping[str, Tensor], noise: Stream) -> Tensor:
        """Return the weights that a reset brings cells to; zero unless overridden."""
        return self.placed(w * 0, cell)

    def drifted(
        self, w: Tensor, state: Mapping[str, Tensor], cell: Mapping[str, Tensor], seconds: float, noise: Stream
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the weights after retention drift over `seconds`, and the state [out, in] that it keeps, as `drift_state` names it."""
        return w, state

    def drift_state(self) -> tuple[str, ...]:
        """Return the names of the arrays that `drifted` keeps between calls; empty for a device that does not drift."""
        return ()
