"""The analog pass of tile `circuit`: converters and amplifiers around crossbars whose currents are solved for."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ohmlet.errors import ConfigError, SurrogateWarning
from ohmlet.interfaces.memristor import MICRO
from ohmlet.interfaces.tile import Site
from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.analog_mvm.reference import analog_mvm
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.circuit_cells import Cells, drawn, effective
from ohmlet_tiles.circuit_layout import Layout, readout
from ohmlet_tiles.circuit_network import Network
from ohmlet_tiles.circuit_solve import Surrogate
from ohmlet_tiles.circuit_surrogate import Fitted, error, fit
from ohmlet_tiles.pass_module import PassModule

if TYPE_CHECKING:
    from ohmlet_tiles.circuit import Circuit

__all__ = ["CircuitPass", "check_pass"]


def check_pass(settings: AnalogPass, name: str) -> None:
    """Raise ConfigError for settings that describe in another way what the circuit is solved for."""
    instead = {
        "ir_drop": "the wires are solved for: state them in wires",
        "voltage_drop": "state the resistance of the sense nodes as wires.r_sense",
        "weight_noise": "cells are read with the noise of noise_model and, with read_bandwidth, of the device",
    }
    wrong = [
        f"{name}.{field} has no place in tile circuit: {words}" for field, words in instead.items() if getattr(settings, field) is not None
    ]
    if getattr(settings.passes, "w_asymmetry", 0.0):
        wrong.append(f"{name}.passes.w_asymmetry has no place in tile circuit: state a device whose law differs with the voltage's sign")
    if wrong:
        raise ConfigError(*wrong)


class Known(NamedTuple):
    """A fitted matrix and what it was fitted to."""

    g: Tensor
    key: Tensor
    fitted: Fitted


class CircuitPass(PassModule):
    """Computes one pass with the conductances [devices, ..., out, in] (uS) of a crossbar in the place of its weights."""

    def __init__(self, settings: AnalogPass, site: Site, name: str, tile: Circuit) -> None:
        super().__init__(settings, site, name, tile.conductance_converter)
        self.tile, self.back = tile, name == "backward"
        self.known: Known | None = None
        self.surrogate_error: float | None = None
        """Of the matrix that was fitted last, None before."""
        factors, offset = readout(tile.conductance_converter)
        window = tile.conductance_converter.window
        ends = torch.tensor([window.g_min, window.g_max], dtype=torch.float64)
        low, high = (effective(tile.memristor, ends, tile.v_read) / MICRO).tolist()
        # Digital gain and offset undo what a typical device's law makes of the window.
        self.gain = (window.g_max - window.g_min) / (high - low)
        self.offset = offset + sum(factors) * (window.g_min - self.gain * low)
        self.layout = Layout(tile.layout, torch.tensor(factors, dtype=torch.float64))

    def product(self, x: Tensor, scale: Tensor | None, w: Tensor, noise: Stream, fixed: Variation | None = None) -> Tensor:
        """Return the product [..., S, R, out] of inputs [..., S, R, in] with conductances w [devices, ..., out, in] in uS."""
        if fixed is None:
            fixed = self.fabricated(w[0], noise)
        y: Tensor = self.converted(functools.partial(analog_mvm, array=self.array))(x, w, scale, self.numbers, noise, fixed)
        return y

    def array(self, v: Tensor, g: Tensor, settings: MVM, noise: Stream, variation: Variation) -> Tensor:
        """Return the outputs [..., S, R, out] of inputs v [..., S, R, in], 1 being v_read, in units of one full input times weight."""
        u = v.flatten(-3, -2).to(torch.float64)
        network = self.network(g, noise, u.ndim - 2)
        if isinstance(self.tile.solve, Surrogate):
            current, variance = self.fitted(network, g, noise).currents(self.drive(u))
        else:
            current, variance = network.currents(self.drive(u))
        unit = self.gain / (MICRO * self.tile.v_read)
        y = unit * self.summed(current) + self.offset * u.sum(-1, keepdim=True)
        if variance is not None:
            spread = unit * self.summed(variance, 2).sqrt()
            y = y + spread.expand(y.shape) * noise.normal("thermal", y.unflatten(-2, v.shape[-3:-1])).flatten(-3, -2)
        out: Tensor = y.to(v.dtype).unflatten(-2, v.shape[-3:-1])
        return out

    def network(self, g: Tensor, noise: Stream, leading: int) -> Network:
        """Return the crossbars that hold conductances g [devices, ..., out, in] (uS); inputs have so many leading sizes."""
        tile = self.tile
        # A transposed pass reads the same cells: they lie, and differ, as for the forward one.
        states = MICRO * (g.mT if self.back else g).to(torch.float64).clamp_min(0.0)
        device = tile.memristor
        cell = {} if device is None else drawn(device, len(g), states, noise)
        inner = max([leading, *(each.ndim - 3 for each in (states, *cell.values()))])
        laid = {name: self.layout.grid(_padded(value, inner)) for name, value in {"": states, **cell}.items()}
        kernel = self.site.kernel("crossbar_solve", g.device.type)
        network = Network(Cells(laid.pop(""), device, laid, tile.read_bandwidth), tile.wires.wires(), kernel, tile.rtol)
        return network.turned() if self.back else network

    def drive(self, u: Tensor) -> Tensor:
        """Return the voltages of the driven lines [..., P, lines] for inputs [..., P, in]."""
        volts = self.tile.v_read * u
        return self.layout.into_bits(volts).flip(-1) if self.back else self.layout.into_words(volts)

    def summed(self, current: Tensor, power: int = 1) -> Tensor:
        """Return the sums over devices [..., P, out] of sensed lines' currents [..., P, lines], or with power 2 of their variances."""
        return self.layout.from_words(current.flip(-1), power) if self.back else self.layout.from_bits(current, power)

    def fitted(self, network: Network, g: Tensor, noise: Stream) -> Fitted:
        """Return the matrix that stands for the crossbars, fitted anew if their conductances are others than last time."""
        settings, key = self.tile.solve, noise.key
        assert isinstance(settings, Surrogate)
        differentiated = torch.is_grad_enabled() and g.requires_grad
        known = self.known
        if (
            known is not None
            and not differentiated
            and known.g.device == g.device
            and torch.equal(known.key, key)
            and torch.equal(known.g, g)
        ):
            return known.fitted
        like = torch.empty(settings.samples, g.shape[-1], dtype=torch.float64, device=g.device)
        own = noise._replace(ordinals=None, event=None, path=f"surrogate {self.name}")
        drawn_inputs = (own.uniform(words, like) for words in ("fit", "held out"))
        some, others = (self.drive(each if settings.positive else 2.0 * each - 1.0) for each in drawn_inputs)
        found = fit(network, some, self.tile.v_read)
        if not self.training:
            self.surrogate_error = error(network, found, others, self.summed)
            if self.surrogate_error > settings.tolerance:
                warnings.warn(
                    f"the surrogate of a crossbar of {network.cells.g.shape[-2]} x {network.cells.g.shape[-1]} cells is off by "
                    f"{self.surrogate_error:.2g} of its outputs' norm, more than tile.solve.tolerance {settings.tolerance:g}: "
                    "lower v_read, where cells are closer to linear, or set tile.solve: exact",
                    SurrogateWarning,
                    stacklevel=2,
                )
        if not differentiated:
            self.known = Known(g.detach().clone(), key.clone(), found)
        return found


def _padded(t: Tensor, leading: int) -> Tensor:
    """Return t [devices, ..., out, in] with sizes of one after the first, for as many leading sizes in between."""
    return t.reshape(len(t), *[1] * (leading + 3 - t.ndim), *t.shape[1:])
