"""Tile `circuit`: crossbars solved as circuits, with resistive wires and cells of any current-voltage law."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.circuit import Lines
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.memristor import MICRO, Memristor
from ohmlet.interfaces.tile import Site
from ohmlet.spec import number, one_of
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.circuit_cells import effective
from ohmlet_tiles.circuit_layout import LAYOUTS, readout
from ohmlet_tiles.circuit_pass import CircuitPass, check_pass
from ohmlet_tiles.circuit_solve import Solve, Surrogate
from ohmlet_tiles.circuit_wires import CircuitWires
from ohmlet_tiles.inference import Inference, InferenceCrossbar
from ohmlet_tiles.pass_module import with_backward

__all__ = ["Circuit", "CircuitCrossbar"]


@frozen(kw_only=True)
class Circuit(Inference):
    """Tile `inference` whose products are currents of a circuit: wires, devices and sense nodes obey Kirchhoff's laws.

        inputs    v_j = v_read DAC(x_j / r) on word lines, outputs the currents into the virtual grounds of bit lines
        circuit   V_ij + r_access I_ij + (Z I)_ij = v_j,  I_ij = g_ij V_ij or the device's law,  g from `conductance_converter`
        outputs   w x = sum over devices of factor_d (gain I_d / v_read) + offset sum_j x_j; gain and offset make it exact for ideal wires
                  and linear cells, and the window's ends right for a typical nonlinear device

    Gradients pass through the solution, and the gradient of inputs is what reading the crossbar transposed gives, by reciprocity;
    `backward` adds the converters of that read. A chip hands over its conductances, stuck devices included; what differs between
    devices is a pure function of a chip's seed. Sources: `crossbar_solve`; A. Chen, IEEE Trans. Electron Devices 60 (2013),
    doi:10.1109/TED.2013.2246791.
    """

    wires: CircuitWires = part(CircuitWires, "resistances", {})
    device: UnitCell | None = part(UnitCell | None, "a memristor, for its current-voltage law and spread; resistors if left out", None)
    v_read: float = number(0.2, "voltage of a full-scale input", unit="V", gt=0.0)
    read_bandwidth: float | None = number(None, "of the amplifiers, for the device's thermal noise; none if left out", unit="Hz", gt=0.0)
    layout: str = one_of(
        "separate", LAYOUTS, "crossbars for each device of a weight, or columns or rows of one crossbar next to each other"
    )
    solve: Solve = part(Solve, "exact, or once for a matrix that is reused", "exact")
    rtol: float = number(1e-8, "largest relative error of a bit line's current", ge=1e-12, le=1e-3)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_pass(self.forward, "forward")
        if self.backward is not None:
            check_pass(self.backward, "backward")
        if self.training.per_sample:
            raise ConfigError("training.per_sample has no place in tile circuit: each sample would be a circuit of its own")
        readout(self.conductance_converter)
        if self.layout != "separate" and self.conductance_converter.devices == 1:
            raise ConfigError(f"layout {self.layout} has no effect with one device per weight: leave it out")
        if self.device is None and self.read_bandwidth is not None:
            raise ConfigError("read_bandwidth has no effect without a device, whose noise it is of: leave it out")
        if self.device is not None:
            self._check_device(self.device)

    def _check_device(self, device: UnitCell) -> None:
        """Raise ConfigError for a device without a law, or one that is to be used outside of it."""
        if not isinstance(device, Memristor):
            raise ConfigError(
                f"device {type(device).__name__} has no current-voltage law: take a memristor, such as cubic_iv or metal_oxide"
            )
        reach = self.v_read * max(1.0 if each is None or each.dac is None else each.dac.bound for each in (self.forward, self.backward))
        if math.isfinite(reach) and reach > device.v_read_max * (1 + 1e-6):
            raise ConfigError(
                f"v_read {self.v_read:g} V puts up to {reach:g} V on cells, and the law of {type(device).__name__} holds up to "
                f"{device.v_read_max:g} V: lower v_read"
            )
        window, known = self.conductance_converter.window, device.window
        if window.g_min < known.g_min * (1 - 1e-6) or window.g_max > known.g_max * (1 + 1e-6):
            raise ConfigError(
                f"conductance_converter uses {window.g_min:g} to {window.g_max:g} uS, and {type(device).__name__} has {known.g_min:g} to "
                f"{known.g_max:g} uS: set g_min_uS and g_max_uS of the converter within"
            )
        low, high = effective(device, torch.tensor([window.g_min, window.g_max]), self.v_read).tolist()
        if not high > low:
            raise ConfigError(
                f"{type(device).__name__} conducts no more at {window.g_max:g} uS than at {window.g_min:g} uS: widen the window"
            )
        one = torch.full((1, 1), MICRO * window.g_max, dtype=torch.float64)
        if self.read_bandwidth is not None and device.read_noise(0 * one, one, device.typical(), self.read_bandwidth) is None:
            raise ConfigError(f"read_bandwidth has no effect: {type(device).__name__} has no thermal noise; leave it out")

    @property
    def memristor(self) -> Memristor | None:
        """The device, which `__attrs_post_init__` has found to be one with a law."""
        return self.device if isinstance(self.device, Memristor) else None

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return CircuitCrossbar(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the circuit with its values, then the passes and the training."""
        w, converter = self.wires, self.conductance_converter
        factors, offset = readout(converter)
        window = converter.window
        ends = (effective(self.memristor, torch.tensor([window.g_min, window.g_max]), self.v_read) / MICRO).tolist()
        law = "I = g V" if self.device is None else "I = current(V, g) of the device"
        first = (
            f"v_j on word lines in units of {self.v_read:g} V, outputs into virtual grounds; {law}",
            f"V_ij + {w.r_access:g} ohm I_ij + (Z I)_ij = v_j, Z of {w.r_word:g} and {w.r_bit:g} ohm per cell of word and bit line, "
            f"{w.r_source:g} and {w.r_sense:g} ohm at sources and sense nodes; drive {w.drive}, sense {w.sense}",
            f"{converter.devices} devices per weight, layout {self.layout}; sum_j w_ij v_j stands for sum_d f_d I_d / "
            f"({self.v_read:g} V {(ends[1] - ends[0]) / (window.g_max - window.g_min):.6g}), "
            f"f = ({', '.join(f'{each:g}' for each in factors)}) / uS" + (f", and {offset:g} sum_j v_j" if offset else ""),
            "solved for each input"
            if not isinstance(self.solve, Surrogate)
            else f"fitted as a matrix to {self.solve.samples} random inputs; its error is measured on as many others",
        )
        return (*first, *super().equations())


class CircuitCrossbar(InferenceCrossbar):
    """One crossbar of tile `circuit`; its only state is a learned input range."""

    tile: Circuit

    def __init__(self, tile: Circuit, site: Site) -> None:
        super().__init__(tile, site)
        self.layer = None  # tile inference's short way through a layer knows no circuit
        self.forward_pass: CircuitPass = CircuitPass(tile.forward, site, "forward", tile)
        self.backward_pass: CircuitPass | None = None if tile.backward is None else CircuitPass(tile.backward, site, "backward", tile)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows: the measured error of a surrogate."""
        off = self.forward_pass.surrogate_error
        return "" if off is None else f"surrogate off by {off:.2g} on inputs that it was not fitted to"

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        return self._read(x, self.tile.conductance_converter.to_conductances(self._modified(w, noise)), noise, self._fixed(w, noise))

    def conductance_mvm(self, x: Tensor, g: Tensor, noise: Stream) -> Tensor:
        """Return the product for the conductances [devices, ..., out, in] (uS) that a chip holds."""
        return self._read(x, g, noise, (None, None))

    def lines(self, g: Tensor, key: Tensor) -> Lines:
        """Return the cells of chips with these keys that hold g [devices, instances, groups?, out, in] (uS), as pulses meet them."""
        device = self.tile.device
        if not isinstance(device, Memristor):
            raise ConfigError("pulses need a memristor to move, and tile circuit has resistors: set tile.device, such as metal_oxide")
        network = self.forward_pass.network(g, Stream(key), 0)
        return Lines(device, network.cells.g, network.cells.cell, network.wires)

    def laid(self, t: Tensor) -> Tensor:
        """Return values per device [devices, ..., out, in] as they lie on the lines, [..., rows, columns]."""
        return self.forward_pass.layout.grid(t)

    def driven(self, u: Tensor) -> Tensor:
        """Return the voltages of word lines [..., P, rows] that inputs [..., P, in] become, 1 being full scale."""
        return self.forward_pass.drive(u)

    @torch.no_grad()
    def lost(self, w: Tensor, noise: Stream) -> Tensor:
        """Return the part of v_read that cells do not see when all inputs are full scale, [..., rows, columns], for a map.

        Crossbars of a pair come first among the leading sizes; with layout `rows` word lines of negative drive count likewise.
        """
        g = self.tile.conductance_converter.to_conductances(w)
        network = self.forward_pass.network(g, noise, w.ndim - 2)
        v = self.forward_pass.drive(torch.ones(1, w.shape[-1], dtype=torch.float64, device=w.device))
        seen = network.solution(v).cell_voltage.squeeze(-3)
        return 1.0 - seen / v.mT

    def mapped_mvm(self, x: Tensor, weight: Tensor, divisor: Tensor, noise: Stream) -> Tensor:
        """Return w x as `mvm` for w = weight / divisor."""
        return self.mvm(x, weight / divisor, noise)

    def transposed_mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w^T x [..., S, R, in] for inputs [..., S, R, out]: bit lines driven and word lines sensed."""
        return self.transposed_conductance_mvm(x, self.tile.conductance_converter.to_conductances(w), noise)

    def transposed_conductance_mvm(self, x: Tensor, g: Tensor, noise: Stream) -> Tensor:
        """Return the transposed product for conductances [devices, ..., out, in] (uS), with `backward`'s converters if there are any."""
        y: Tensor = (self.backward_pass or CircuitPass(self.tile.forward, self.site, "backward", self.tile))(x, g.mT, noise)
        return y

    def _read(self, x: Tensor, g: Tensor, noise: Stream, fixed: tuple[object, object]) -> Tensor:
        return with_backward(self.forward_pass, self.backward_pass, x, g, noise, fixed)  # type: ignore[arg-type]
