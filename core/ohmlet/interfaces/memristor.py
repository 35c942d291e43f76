"""Memristors: devices that are also driven by voltages, with a current-voltage law and a conductance that moves while one is held."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter, Device
from ohmlet.interfaces.noise_model import ConductanceWindow

if TYPE_CHECKING:
    from torch import Tensor

    from ohmlet_kernels.noise import Stream

__all__ = ["BOLTZMANN", "Memristor", "WritePulse", "johnson"]

BOLTZMANN = 1.380649e-23
"""J / K."""

MICRO = 1e-6

ROUNDING = 1e-6
"""How far, relatively, a voltage may lie beyond its range: what single precision makes of the range's own ends."""


def johnson(conductance: Tensor, kelvin: float, hertz: float) -> Tensor:
    """Return the standard deviation [A] of the thermal current noise of conductances [S]: sqrt(4 k T f |G|), T in K, f in Hz.

    Source: Nyquist, Phys. Rev. 32, 110 (1928), doi:10.1103/PhysRev.32.110.
    """
    return (4 * BOLTZMANN * kelvin * hertz * conductance.abs()).sqrt()


class WritePulse(NamedTuple):
    """A rectangular voltage pulse."""

    volts: float
    seconds: float


class Memristor(Device):
    """A device of one state, its conductance g, that also has a static current-voltage law and moves while a voltage is held.

        weight <-> state     g = g_min + (g_max - g_min)(w + 1)/2, [g_min, g_max] the `window`; g in S, the window in uS
        reading              I = current(V, g), for |V| <= v_read_max
        writing              g' = applied(g, V, seconds): the state after V was held for so long

    It trains in tile `in_memory` like any device: a pulse up is `set_pulse`, which raises the conductance, a pulse down `reset_pulse`;
    both are read from fields `set_voltage`, `set_width`, `reset_voltage`, `reset_width` unless overridden. The physics is written once,
    in `step`. Whatever depends on voltage and duration comes to it through `conditions`, which returns its `params` for any pulses, as
    numbers or as tensors; `parameters` calls it with the two write pulses, `applied` with the voltages on an array. All methods are pure,
    elementwise and differentiable in tensors. `cell` holds the per-cell arrays that `derive` returned, of the same sizes as g or
    broadcasting to it.

        @frozen(kw_only=True)
        class Ohmic(Memristor):
            \"\"\"A resistor whose conductance moves at constant rate beyond a threshold.\"\"\"

            rate: float = number(100.0, "speed at 1 V", unit="1/s", gt=0)
            set_voltage: float = number(1.0, "of a pulse up", unit="V", gt=0)
            set_width: float = number(1e-4, "of a pulse up", unit="s", gt=0)
            reset_voltage: float = number(-1.0, "of a pulse down", unit="V", lt=0)
            reset_width: float = number(1e-4, "of a pulse down", unit="s", gt=0)

            @property
            def window(self):
                return ConductanceWindow(10.0, 100.0)

            def current(self, v, g, cell):
                return g * v

            def slope(self, v, g, cell):
                return g + 0 * v

            def conditions(self, set_volts, set_seconds, reset_volts, reset_seconds):
                return {"up": self.rate * set_volts * set_seconds, "down": self.rate * reset_volts * reset_seconds}

            @staticmethod
            def step(w, up, noise, cell, hidden, params):
                moved = w + ops.where(up, params.up, params.down)
                return ops.minimum(ops.maximum(moved, cell.w_min), cell.w_max), hidden
    """

    normals: ClassVar[int] = 0
    polarity: ClassVar[int] = 1
    """1 where positive voltages raise the conductance, -1 where negative ones do."""

    @property
    @abstractmethod
    def window(self) -> ConductanceWindow:
        """The conductances [uS] that weights -1 and 1 stand for."""

    @property
    def v_read_max(self) -> float:
        """The largest |V| [V] for which the static law holds; any unless overridden."""
        return math.inf

    @property
    def v_write_range(self) -> tuple[float, float]:
        """The lowest and the highest voltage [V] for which the dynamics hold; any unless overridden."""
        return -math.inf, math.inf

    @property
    def write_seconds_range(self) -> tuple[float, float]:
        """The shortest and the longest time [s] for which the dynamics hold; any unless overridden."""
        return 0.0, math.inf

    @property
    def set_pulse(self) -> WritePulse:
        """The pulse that `step` applies for up: it raises the conductance."""
        return WritePulse(self.set_voltage, self.set_width)  # type: ignore[attr-defined]

    @property
    def reset_pulse(self) -> WritePulse:
        """The pulse that `step` applies for down: it lowers the conductance."""
        return WritePulse(self.reset_voltage, self.reset_width)  # type: ignore[attr-defined]

    @property
    def granularity(self) -> float:
        """The mean step of a pulse at the middle of the window, over both ways, in normalised weight, without spread."""
        import torch

        middle = self.conductance(torch.zeros((1, 1), dtype=torch.float64))
        cell = self.typical()
        moved = [
            abs(float(self.weight(self.applied(middle, torch.full_like(middle, pulse.volts), pulse.seconds, cell))))
            for pulse in (self.set_pulse, self.reset_pulse)
        ]
        return sum(moved) / 2

    def cells(self) -> Mapping[str, CellParameter]:
        """Return the bounds of the weight, those of the window; a device with per-cell parameters adds to them."""
        return {"w_max": CellParameter(mean=1.0), "w_min": CellParameter(mean=-1.0)}

    def typical(self) -> dict[str, Tensor]:
        """Return the per-cell values [1, 1] of a device without device-to-device spread, float64."""
        import torch

        from ohmlet_kernels.noise import Stream

        like = torch.zeros((1, 1), dtype=torch.float64)
        drawn = {name: parameter.values(like) for name, parameter in self.cells().items()}
        return self.derive(drawn, Stream(torch.tensor(0)))

    def conductance(self, w: Tensor) -> Tensor:
        """Return the conductances [S] of normalised weights."""
        low, high = MICRO * self.window.g_min, MICRO * self.window.g_max
        return low + (high - low) / 2 * (w + 1)

    def weight(self, g: Tensor) -> Tensor:
        """Return the normalised weights of conductances [S]."""
        low, high = MICRO * self.window.g_min, MICRO * self.window.g_max
        return (g - low) * (2 / (high - low)) - 1

    @abstractmethod
    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the current [A] at voltages v [V] through cells of state g [S], without noise.

        It is the formula at any voltage; `check_read` refuses those beyond `v_read_max`, and `write_current` continues it there.
        """

    @abstractmethod
    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return dI/dV [S] of `current`."""

    def cubic(self, g: Tensor, cell: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Return A1 [S] and A3 [S / V^2] of each cell where the law is I = A1 V + A3 V^3, which solvers have a fast path for; else None."""
        return None

    def write_current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the current [A] at voltages [V] of any size: beyond `v_read_max` a resistor, with the resistance that it has there."""
        if math.isinf(self.v_read_max):
            return self.current(v, g, cell)
        inside = v.clamp(-self.v_read_max, self.v_read_max)
        return self.current(inside, g, cell) * (v.abs() / self.v_read_max).clamp_min(1.0)

    def write_slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return dI/dV [S] of `write_current`."""
        if math.isinf(self.v_read_max):
            return self.slope(v, g, cell)
        inside = v.clamp(-self.v_read_max, self.v_read_max)
        return (self.current(inside, g, cell) / inside).where(v.abs() > self.v_read_max, self.slope(inside, g, cell))

    def read_noise(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor], hertz: float) -> Tensor | None:
        """Return the standard deviation [A] of the current read within a bandwidth [Hz]; None for a model without read noise."""
        return None

    @abstractmethod
    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return what `step` reads as `params`, for pulses of these voltages [V] and durations [s]; numbers or tensors.

        `set_volts` has the sign of `polarity` and `reset_volts` the other one; either may be 0, where nothing moves.
        """

    def parameters(self) -> Mapping[str, float]:
        """Return the numbers that `step` reads for the write pulses."""
        import torch

        given = [torch.tensor(value, dtype=torch.float64) for value in (*self.set_pulse, *self.reset_pulse)]
        return {name: float(value) for name, value in self.conditions(*given).items()}

    def applied(self, g: Tensor, v: Tensor, seconds: Tensor | float, cell: Mapping[str, Tensor], noise: Stream | None = None) -> Tensor:
        """Return the states [S] of cells of state g [S] after the voltages v [V] were held for `seconds`.

        All sizes broadcast. A device with pulse-to-pulse spread draws one number for each cell, g being [..., rows, columns]; without
        `noise` it answers as at its median. Raises ConfigError for voltages or times outside of what the dynamics hold for.
        """
        self.check_write(v, seconds)
        return self.conductance(self.stepped(self.weight(g), v, seconds, cell, noise))

    def stepped(self, w: Tensor, v: Tensor, seconds: Tensor | float, cell: Mapping[str, Tensor], noise: Stream | None = None) -> Tensor:
        """Return the weights after voltages were held, by one `step`; a device whose step is short-sighted overrides it to take several."""
        import torch

        v = torch.as_tensor(v, dtype=w.dtype, device=w.device)
        size, time = self.polarity * v.abs(), torch.as_tensor(seconds, dtype=w.dtype, device=w.device)
        after = self.answer(w, self.polarity * v > 0, self.conditions(size, time, -size, time), cell, self.draws(w, v, noise))
        return torch.where(v == 0, w, after)

    def draws(self, w: Tensor, v: Tensor, noise: Stream | None) -> tuple[Tensor, ...]:
        """Return the random numbers of one pulse to each cell, zeros (and a half for uniforms) without a stream."""
        import torch

        like = w.new_empty(()).expand(torch.broadcast_shapes(w.shape, v.shape))
        if noise is None:
            zero = w.new_zeros(())
            return (*(zero for _ in range(self.normals)), *(zero + 0.5 for _ in range(self.uniforms)))
        normals = tuple(noise.normal(f"pulse {number}", like) for number in range(self.normals))
        return (*normals, *(noise.uniform(f"pulse {number}", like) for number in range(self.uniforms)))

    def answer(self, w: Tensor, up: Tensor, params: Mapping[str, Any], cell: Mapping[str, Tensor], draws: tuple[Tensor, ...]) -> Tensor:
        """Return the weights after one `step` with these `params`, evaluated in torch."""
        import torch

        from ohmlet_kernels.pulsed_update import read_step
        from ohmlet_kernels.pulsed_update.reference import stepper

        tables = self.tables()
        step = read_step(type(self).step, tuple(cell), (), tuple(params), tuple(tables), self.normals, self.uniforms)
        values = tuple(torch.as_tensor(value, dtype=w.dtype, device=w.device) for value in params.values())
        cells = tuple(cell[name].to(w.dtype) for name in step.cell)
        return stepper(step)(w, up, draws, cells, (), values, tuple(tables.values()))[0]

    def check_read(self, v: Tensor) -> None:
        """Raise ConfigError for read voltages beyond `v_read_max`, or none at all."""
        largest = float(v.detach().abs().max()) if v.numel() else 0.0
        if not largest <= self.v_read_max * (1 + ROUNDING):
            raise ConfigError(
                f"{type(self).__name__} has a current-voltage law up to {self.v_read_max:g} V, and {largest:g} V is to be read: "
                "lower the read voltage"
            )

    def check_write(self, v: Tensor, seconds: Tensor | float) -> None:
        """Raise ConfigError for voltages outside of `v_write_range` or times outside of `write_seconds_range`; 0 V is always allowed."""
        import torch

        name, (low, high) = type(self).__name__, self.v_write_range
        v = torch.as_tensor(v).detach()
        least, most = (float(v.min()), float(v.max())) if v.numel() else (0.0, 0.0)
        if not (least >= low * (1 + ROUNDING) and most <= high * (1 + ROUNDING)):
            worst = most if not most <= high * (1 + ROUNDING) else least
            raise ConfigError(f"{name} is known for voltages from {low:g} to {high:g} V, and {worst:g} V is applied: stay within")
        times = torch.as_tensor(seconds, dtype=torch.float64).detach()
        first, last = self.write_seconds_range
        if not bool(((times >= first * (1 - ROUNDING)) & (times <= last * (1 + ROUNDING))).all()):
            wrong = times[~((times >= first * (1 - ROUNDING)) & (times <= last * (1 + ROUNDING)))].flatten()[0]
            raise ConfigError(f"{name} is known for pulses from {first:g} to {last:g} s, and one lasts {float(wrong):g} s: stay within")
