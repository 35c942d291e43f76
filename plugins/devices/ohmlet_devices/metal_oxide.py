"""Device `metal_oxide`: the phenomenological model of integrated metal-oxide memristors, static law and pulse dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.interfaces.memristor import Memristor, johnson
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import boolean, number, one_of
from ohmlet_devices import metal_oxide_constants as c
from ohmlet_kernels.noise import Stream

__all__ = ["MetalOxide"]

ops: Any = None  # bound by each engine

BINS = range(8)
KELVIN = 273.15
INSIDE = (3.17e-6, 315e-6)
"""S: where a conductance is put that would leave the range, and the range of what can be programmed."""
NEVER = 1e30
LEAST = 0.1
"""Smallest part of the mean A1, and of its own slope at 0 V, that a device keeps: deviations of 3 sigma would turn currents round."""
STUCK_WITHIN = 1e-5
"""Distance from a limit, in weight, within which a latched device is known; what single precision makes of the limit is closer."""


@frozen(kw_only=True)
class MetalOxide(Memristor):
    """Integrated metal-oxide memristors (TiO2-x crossbars): cubic current-voltage law, conductance steps fitted in voltage and duration.

        I(V)     = (A1 + xi sA1) V + (A3 + xi sA3) V^3,                         |V| <= 0.4 V
        A1       = a0 + a1 G + a2 T,   A3 = a0' G + a1' G^2 + a2' T^-1.33        T in degrees Celsius
        sA1, sA3 = polynomials in G and T, not below 0; xi at most so far that dI/dV stays above 0 within 0.4 V
        noise    sigma_I = sqrt(4 k T f |I / V|),   T in K
        set      dG = c0 ( 1 - tanh(c1 (L - c2))) (tanh(c3 V - c4) + 1)(1 + xi_d P),  V in (threshold, 1.15] V
        reset    dG = c0 (-1 - tanh(c1 (L - c2))) (tanh(c3 V - c4) - 1)(1 + xi_d P),  V in [-1.5, -threshold) V
        P        = d0 + d1 L^2 + d2 V L + d3 V^2 L + d4 V^3,                     L = ln(t / 1 s), 100 ns <= t <= 100 ms

    G in S; xi and xi_d are standard normals of each device; the constants c and d depend on the bin of G, eight of them over 3.16 to
    316 uS. There is no spread from pulse to pulse. At low conductances |P| exceeds 1: as published, many devices then move against a
    pulse, which `forward_only` keeps them from. A conductance that would leave the range is put to 315 or 3.17 uS (`clamp`), stays
    at the limit for ever (`stuck`), or goes on with the constants of the last bin, down to 0 (`free`). Beyond 0.4 V the current is
    taken to be that of the resistance at 0.4 V. Raises ConfigError for write pulses outside of what was fitted, unless `extrapolate`.

    Source: Nili et al., IEEE Trans. Nanotechnol. (2020), ieeexplore.ieee.org/document/9047174; constants as published with the
    authors' simulator, temperatures read as Celsius, which the law is consistent with.
    """

    temperature: float = number(313.15, "of the array", unit="K", ge=300.0, le=400.0)
    g_min_uS: float = number(3.16, "conductance of weight -1", unit="uS", ge=3.16, le=316.0)  # noqa: N815
    g_max_uS: float = number(316.0, "conductance of weight 1", unit="uS", ge=3.16, le=316.0)  # noqa: N815
    set_voltage: float = number(1.0, "of a pulse up", unit="V", gt=0)
    set_width: float = number(5e-4, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.0, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(5e-4, "duration of a pulse down", unit="s", gt=0)
    threshold: float = number(0.8, "voltage up to which nothing moves", unit="V", ge=0)
    range_policy: str = one_of("clamp", ("clamp", "stuck", "free"), "what becomes of a device at the ends of the range")
    static_dtod: float = number(1.0, "spread of xi over devices; 0 for alike current-voltage laws", ge=0)
    dynamic_dtod: float = number(1.0, "spread of xi_d over devices; 0 for alike steps", ge=0)
    forward_only: bool = boolean(False, "no device moves against a pulse: 1 + xi_d P is not below 0")
    extrapolate: bool = boolean(False, "allow pulses outside of what was fitted")

    def __attrs_post_init__(self) -> None:
        self.window  # noqa: B018 - refuses an empty one
        for name in ("set", "reset"):
            pulse = getattr(self, f"{name}_pulse")
            self.check_write(torch.tensor(pulse.volts), pulse.seconds)
            if abs(pulse.volts) <= self.threshold:
                raise ConfigError(
                    f"{name}_voltage = {pulse.volts:g} V is not beyond the threshold of {self.threshold:g} V: no pulse would move"
                )

    @property
    def window(self) -> ConductanceWindow:
        """The conductances of weights -1 and 1."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    @property
    def v_read_max(self) -> float:
        """The law was fitted up to here."""
        return 0.4

    @property
    def v_write_range(self) -> tuple[float, float]:
        """What was fitted."""
        return super().v_write_range if self.extrapolate else c.WRITE_VOLTS

    @property
    def write_seconds_range(self) -> tuple[float, float]:
        """What was fitted."""
        return super().write_seconds_range if self.extrapolate else c.PULSE_SECONDS

    def cells(self) -> Mapping[str, CellParameter]:
        """Return the bounds and each device's two deviations."""
        spread = {"xi": self.static_dtod, "xi_dynamic": self.dynamic_dtod}
        made = {name: CellParameter(spread=value, distribution="normal_absolute") for name, value in spread.items()}
        return {**super().cells(), **made}

    def cubic(self, g: Tensor, cell: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return A1 [S] and A3 [S / V^2] of each device, its deviation included."""
        celsius, xi = self.temperature - KELVIN, cell["xi"]
        a, b, p, q = (c.STATIC[name] for name in ("A1", "A3", "sigma_A1", "sigma_A3"))
        spread_1 = p[0] + p[1] * g + p[2] * celsius + p[3] * g * g
        spread_3 = q[0] + q[1] * g + q[2] * celsius + q[3] * g * g + q[4] * g * celsius
        mean = a[0] + a[1] * g + a[2] * celsius
        linear = torch.maximum(mean + xi * spread_1.clamp_min(0.0), LEAST * mean)
        third = b[0] * g + b[1] * g * g + b[2] * celsius**-1.33 + xi * spread_3.clamp_min(0.0)
        return linear, torch.maximum(third, (LEAST - 1) / (3 * self.v_read_max**2) * linear)

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return A1 V + A3 V^3."""
        linear, third = self.cubic(g, cell)
        return v * (linear + third * v * v)

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return A1 + 3 A3 V^2."""
        linear, third = self.cubic(g, cell)
        return linear + 3 * third * v * v

    def read_noise(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor], hertz: float) -> Tensor:
        """Return the thermal noise of the conductance I / V."""
        linear, third = self.cubic(g, cell)
        return johnson(linear + third * v * v, self.temperature, hertz)

    def fitted(self, g: Tensor, cell: Mapping[str, Tensor], v: Tensor) -> Tensor:
        """Return the conductance [S] that a straight line through the origin, fitted to the currents at voltages v [n], amounts to."""
        linear, third = self.cubic(g, cell)
        return linear + third * (v**4).sum() / (v * v).sum()

    def moves(self, volts: Tensor, seconds: Tensor, way: str, bins: Any) -> tuple[Tensor, Tensor]:
        """Return the step [weight] of a typical device and its change with xi_d, in the given bins; 0 below the threshold."""
        if way == "set":
            c2, c3, c4, d0, d1, d2, d3, d4 = bins
            c0, c1, sign = c.SET_C0, c.SET_C1, 1.0
        else:
            c1, c2, c4, d0, d1, d2, d3, d4 = bins
            c0, c3, sign = c.RESET_C0, c.RESET_C3, -1.0
        length = seconds.log()
        square = volts * volts
        mean = c0 * (sign - (c1 * (length - c2)).tanh()) * ((c3 * volts - c4).tanh() + sign)
        spread = d0 + d1 * length * length + (d2 * volts + d3 * square) * length + d4 * square * volts
        mean = torch.where(volts.abs() > self.threshold, mean, 0.0) * (2e6 / (self.g_max_uS - self.g_min_uS))
        return mean, mean * spread

    def ends(self) -> tuple[float, ...]:
        """Return, as weights, what is too high and too low, where to put it, and the latches above and below."""
        low, high, inside_low, inside_high, zero = self.weight(
            torch.tensor([c.EDGES[0], c.EDGES[-1], *INSIDE, 0.0], dtype=torch.float64)
        ).tolist()
        return {
            "clamp": (high, low, inside_high, inside_low, NEVER, -NEVER),
            "stuck": (high, low, high, low, high - STUCK_WITHIN, low + STUCK_WITHIN),
            "free": (NEVER, zero, NEVER, zero, NEVER, -NEVER),
        }[self.range_policy]

    def edges(self) -> Tensor:
        """Return the seven borders between bins, as weights."""
        return self.weight(torch.tensor(c.EDGES[1:-1], dtype=torch.float64))

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return step and spread in each bin, both ways, the borders of the bins, and what happens at the ends of the range."""
        made: dict[str, Any] = {}
        for way, volts, seconds, constants in (("set", set_volts, set_seconds, c.SET), ("reset", reset_volts, reset_seconds, c.RESET)):
            for number_of in BINS:
                mean, spread = self.moves(volts, seconds, way, constants[number_of])
                made |= {f"{way}_{number_of}": mean, f"{way}_spread_{number_of}": spread}
        made |= {f"edge_{1 + number_of}": edge for number_of, edge in enumerate(self.edges().tolist())}
        made["backward"] = 0.0 if self.forward_only else NEVER
        return made | dict(zip(("top", "bottom", "to_top", "to_bottom", "stuck_above", "stuck_below"), self.ends(), strict=True))

    def stepped(self, w: Tensor, v: Tensor, seconds: Tensor | float, cell: Mapping[str, Tensor], noise: Stream | None = None) -> Tensor:
        """Return the weights after voltages were held: `step`, with the constants of each device's bin alone."""
        v = torch.as_tensor(v, dtype=w.dtype, device=w.device)
        time = torch.as_tensor(seconds, dtype=w.dtype, device=w.device)
        bins = torch.bucketize(w.detach().contiguous(), self.edges().to(w), right=True)
        up, size = v > 0, v.abs()
        (rise, more), (fall, less) = (
            self.moves(volts, time, way, [w.new_tensor(column)[bins] for column in zip(*constants, strict=True)])
            for way, volts, constants in (("set", size, c.SET), ("reset", -size, c.RESET))
        )
        rise, fall = rise + cell["xi_dynamic"] * more, fall + cell["xi_dynamic"] * less
        if self.forward_only:
            rise, fall = rise.clamp_min(0.0), fall.clamp_max(0.0)
        moved = w + torch.where(up, rise, fall)
        top, bottom, to_top, to_bottom, stuck_above, stuck_below = self.ends()
        kept = moved.masked_fill(moved > top, to_top).masked_fill(moved < bottom, to_bottom)
        return torch.where((v == 0) | (w >= stuck_above) | (w <= stuck_below), w, kept)

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse, with the constants of its bin."""
        mean, spread = ops.where(up, params.set_0, params.reset_0), ops.where(up, params.set_spread_0, params.reset_spread_0)
        mean = ops.where(w >= params.edge_1, ops.where(up, params.set_1, params.reset_1), mean)
        spread = ops.where(w >= params.edge_1, ops.where(up, params.set_spread_1, params.reset_spread_1), spread)
        mean = ops.where(w >= params.edge_2, ops.where(up, params.set_2, params.reset_2), mean)
        spread = ops.where(w >= params.edge_2, ops.where(up, params.set_spread_2, params.reset_spread_2), spread)
        mean = ops.where(w >= params.edge_3, ops.where(up, params.set_3, params.reset_3), mean)
        spread = ops.where(w >= params.edge_3, ops.where(up, params.set_spread_3, params.reset_spread_3), spread)
        mean = ops.where(w >= params.edge_4, ops.where(up, params.set_4, params.reset_4), mean)
        spread = ops.where(w >= params.edge_4, ops.where(up, params.set_spread_4, params.reset_spread_4), spread)
        mean = ops.where(w >= params.edge_5, ops.where(up, params.set_5, params.reset_5), mean)
        spread = ops.where(w >= params.edge_5, ops.where(up, params.set_spread_5, params.reset_spread_5), spread)
        mean = ops.where(w >= params.edge_6, ops.where(up, params.set_6, params.reset_6), mean)
        spread = ops.where(w >= params.edge_6, ops.where(up, params.set_spread_6, params.reset_spread_6), spread)
        mean = ops.where(w >= params.edge_7, ops.where(up, params.set_7, params.reset_7), mean)
        spread = ops.where(w >= params.edge_7, ops.where(up, params.set_spread_7, params.reset_spread_7), spread)
        change = mean + cell.xi_dynamic * spread
        moved = w + ops.where(up, ops.maximum(change, -params.backward), ops.minimum(change, params.backward))
        kept = ops.where(moved > params.top, params.to_top, ops.where(moved < params.bottom, params.to_bottom, moved))
        return ops.where((w >= params.stuck_above) | (w <= params.stuck_below), w, kept), hidden

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return weights within what can be programmed, 3.17 to 315 uS."""
        low, high = self.weight(torch.tensor(INSIDE, dtype=torch.float64)).tolist()
        return w.clamp(low, high)

    def stuck(self, g: Tensor) -> Tensor:
        """Return which devices of states g [S] are latched at a limit; none unless `range_policy` is stuck."""
        *_, above, below = self.ends()
        w = self.weight(g)
        return (w >= above) | (w <= below)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"I = A1 V + A3 V^3 at {self.temperature:g} K, |V| <= 0.4 V, G {self.g_min_uS:g} to {self.g_max_uS:g} uS",
            f"up: {self.set_voltage:g} V for {self.set_width:g} s, down: {self.reset_voltage:g} V for {self.reset_width:g} s, "
            f"above {self.threshold:g} V; at the ends of the range: {self.range_policy}",
        )
